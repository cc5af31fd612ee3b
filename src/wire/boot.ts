// What the entrypoint tells a Sentry or a Gofer at birth: JSON in an inherited descriptor, descriptors named by number.

/** A mount of a container as the Sentry must build it, in order. */
export interface MountConfig {
  destination: string;
  /** bind: served by the gofer under attach point `attach`; others are the Sentry's own file systems. */
  type: 'bind' | 'tmpfs' | 'proc' | 'sysfs' | 'devpts' | 'mqueue' | 'cgroup' | 'cgroup2' | 'devtmpfs';
  /** As in config.json: what /proc/self/mountinfo shows as source. */
  source: string;
  /** Index into the gofer's attach points, for type bind. */
  attach: number;
  readonly: boolean;
  nosuid: boolean;
  nodev: boolean;
  noexec: boolean;
  /** Mount options that remain (size=, mode=, gid=, ...). */
  options: string[];
}

/** One v1 hierarchy of the host, as the container sees it below /sys/fs/cgroup. */
export interface HierarchyConfig {
  /** Its folder there. */
  folder: string;
  /** "memory"; a named one is "name=systemd". */
  controllers: string[];
}

/** Limits of a container: the Sentry enforces some, and shows all. Numbers below 0: no limit. */
export interface LimitsConfig {
  /** What a mount of type cgroup shows: the host's layout. */
  version: 1 | 2;
  /** Of version 1, in the host's order. */
  hierarchies: HierarchyConfig[];
  /** Bytes. */
  memory: number;
  /** Memory and swap together, bytes. */
  memorySwap: number;
  /** Bytes. */
  memoryReservation: number;
  /** Swap that is left to it, bytes. */
  swap: number;
  /** As cpu.shares. */
  cpuShares: number;
  /** Microseconds of processor time in each period; periods in microseconds. */
  cpuQuota: number;
  cpuPeriod: number;
  /** How many processors its cpuset has; 0: all that the Sentry may use. */
  cpus: number;
  /** Processes and threads of the guest. */
  pids: number;
  /** Devices that may be used: all but `except`, or only those. Keys "c 1:3", "b *:*"; values letters of "rwm". */
  devices: { open: boolean; except: Record<string, string> };
}

/** A filter of seccomp(2) that a process starts with. */
export interface SeccompConfig {
  /** Array of struct sock_filter, base64. */
  program: string;
  /** SECCOMP_FILTER_FLAG_LOG. */
  log: boolean;
}

export interface ProcessConfig {
  args: string[];
  env: string[];
  cwd: string;
  uid: number;
  gid: number;
  additionalGids: number[];
  umask: number;
  /** Capability masks as [low, high] 32-bit words. */
  capabilities: {
    bounding: [number, number];
    effective: [number, number];
    inheritable: [number, number];
    permitted: [number, number];
    ambient: [number, number];
  };
  noNewPrivileges: boolean;
  /** From linux.seccomp. */
  seccomp?: SeccompConfig;
  rlimits: { type: number; soft: number; hard: number }[];
  oomScoreAdj: number;
  /** sched_setattr(2): policy, nice value, real-time priority. Nobody schedules by it: it is what the guest sees. */
  scheduler?: { policy: number; nice: number; priority: number; resetOnFork: boolean };
  /** ioprio_set(2): class and level in one number. */
  ioPriority?: number;
  /** True: standard streams are the slave of a terminal of the sandbox; `consoleIn/Out` are host descriptors to pump (raw). */
  terminal: boolean;
  consoleSize: { rows: number; cols: number } | null;
}

/**
 * Which namespaces a container shares with others of its sandbox: containers with the same word for a kind share it. A kind that is not
 * named, or whose word no other container has, is the container's own. Files are always its own.
 */
export interface NamespaceWords {
  uts?: string;
  ipc?: string;
  network?: string;
  pid?: string;
  cgroup?: string;
}

/** Where a container finds the socket on which it says that it is ready (sd_notify(3)), if it is to. */
export const NOTIFY_PATH = '/run/notify/notify.sock';

export interface ContainerConfig {
  /** NOTIFY_PATH is bound before the first process starts. */
  notify?: boolean;
  id: string;
  /** '' in a shared UTS namespace: it stays what it is. */
  hostname: string;
  domainname: string;
  /** Root is the gofer's attach point 0. overlay: writes stay in the Sentry's memory. */
  rootReadonly: boolean;
  overlay: boolean;
  /** Writes to bind mounts stay in the Sentry's memory as well. */
  overlayMounts?: boolean;
  /** Bytes that an overlay's memory may hold; absent: what the sandbox has. */
  overlaySize?: number;
  /** Nobody else changes the root (the bind mounts): what was learnt of it is believed for ever. */
  rootExclusive?: boolean;
  mountsExclusive?: boolean;
  mounts: MountConfig[];
  maskedPaths: string[];
  readonlyPaths: string[];
  sysctl: Record<string, string>;
  devices: { path: string; type: string; major: number; minor: number; mode: number; uid: number; gid: number }[];
  annotations: Record<string, string>;
  /** Absent: none (`do`). */
  limits?: LimitsConfig;
  namespaces?: NamespaceWords;
  /** The first process may be stopped by job control, as if the caller's shell were its parent, and is no pid 1 (`do`). */
  jobControl?: boolean;
  process: ProcessConfig;
}

/** Descriptors of one process's streams as the Sentry inherited or received them. -1: none. */
export interface StdioFds {
  /** Host descriptors for 0, 1, 2; -1 where the stream is the terminal. */
  fds: [number, number, number];
  /** Raw host terminal ends to pump to the sandbox's own terminal; -1 without one. */
  consoleIn: number;
  consoleOut: number;
  /** Further descriptors (--preserve-fds), given to the guest as 3, 4, ... */
  extra: number[];
}

/** What traps system calls. */
export type PlatformName = 'systrap' | 'ptrace' | 'kvm';

export interface BootConfig {
  sandboxId: string;
  platform: PlatformName;
  network: 'none' | 'host' | 'sandbox';
  /** Listening SOCK_SEQPACKET unix socket of the control protocol (src/wire/control.ts); -1: none. */
  controlFd: number;
  /** Connections of the control protocol that exist already. */
  controlClients: number[];
  /** SOCK_SEQPACKET socket to the engine's program (the pristine stub) that native/launch started. */
  stubFd: number;
  /** SOCK_SEQPACKET socket to the container's gofer. */
  goferFd: number;
  /** Where the log (JSON lines) goes; -1: nowhere. */
  logFd: number;
  debug: boolean;
  /** Where strace lines go; -1: off. */
  straceFd: number;
  /** Names of the calls that are printed there; none: all. */
  straceOnly?: string[];
  /** `latency`, `balanced` (default) or `density`: what is done with processors that nobody needs. */
  cpuMode?: string;
  /** False: call sites are not rewritten. */
  patch?: boolean;
  /** One byte is written here when the control server answers. -1: none. */
  readyFd: number;
  /** Socket to the stand-in of the first container: gets its exit status (wait(2) encoding, 4 bytes LE); its end kills the container. */
  standinFd: number;
  /** Files of the container's groups on the host that say what it uses, open for reading, by their names there. */
  counters?: Record<string, number>;
  /** System calls are counted, and what came of it is written here at the end (CallCounts, as JSON); absent: they are not. */
  countsFd?: number;
  /** The first container, whose end is the sandbox's. Started by the control method `start`. */
  container: ContainerConfig;
  stdio: StdioFds;
}

/** One tree that a gofer serves; index 0 is the root. */
export interface AttachPoint {
  /** Path inside the gofer's own mount namespace. */
  path: string;
  readonly: boolean;
}

export interface GoferConfig {
  /** SOCK_SEQPACKET socket to the Sentry. */
  socketFd: number;
  logFd: number;
  attach: AttachPoint[];
}
