// What config.json holds, as far as it is used here (OCI runtime specification 1.2). The schema checks the rest.

import type { Resources } from '../cgroups/resources.ts';

export interface User {
  uid?: number;
  gid?: number;
  umask?: number;
  additionalGids?: number[];
}

export interface Process {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user?: User;
  args?: string[];
  env?: string[];
  cwd: string;
  capabilities?: { bounding?: string[]; effective?: string[]; inheritable?: string[]; permitted?: string[]; ambient?: string[] };
  rlimits?: { type: string; soft: number; hard: number }[];
  noNewPrivileges?: boolean;
  oomScoreAdj?: number;
  scheduler?: { policy: string; nice?: number; priority?: number; flags?: string[] };
  ioPriority?: { class?: string; priority?: number };
  execCPUAffinity?: Record<string, string>;
  apparmorProfile?: string;
  selinuxLabel?: string;
}

export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

export interface Hook {
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

export type HookPoint = 'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop';

export interface Device {
  path: string;
  type: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

export interface SeccompArg {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  syscalls?: { names: string[]; action: string; errnoRet?: number; args?: SeccompArg[] }[];
}

export interface Linux {
  namespaces?: { type: string; path?: string }[];
  rootfsPropagation?: string;
  uidMappings?: { containerID: number; hostID: number; size: number }[];
  gidMappings?: { containerID: number; hostID: number; size: number }[];
  devices?: Device[];
  sysctl?: Record<string, string>;
  intelRdt?: Record<string, unknown>;
  timeOffsets?: Record<string, unknown>;
  personality?: { domain?: string; flags?: string[] };
  maskedPaths?: string[];
  readonlyPaths?: string[];
  mountLabel?: string;
  seccomp?: Seccomp;
  cgroupsPath?: string;
  resources?: Resources;
}

export interface Spec {
  ociVersion: string;
  root?: { path: string; readonly?: boolean };
  process?: Process;
  hostname?: string;
  domainname?: string;
  mounts?: Mount[];
  hooks?: Partial<Record<HookPoint, Hook[]>>;
  annotations?: Record<string, string>;
  linux?: Linux;
}
