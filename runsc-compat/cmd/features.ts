// ringfence features: what the runtime can do, in the form of the runtime specification.

import type { Command } from 'commander';
import * as capability from '../../src/abi/capability.ts';
import { SPEC_VERSION, SPEC_VERSION_MIN, VERSION } from '../version.ts';
import { print } from '../output.ts';
import { SECCOMP_ACTIONS } from '../spec/seccomp.ts';

/** The structure that `features` prints (runtime specification, features.md). */
export function features(): Record<string, unknown> {
  const capabilities = Object.entries(capability)
    .filter(([name, n]) => /^CAP_(?!LAST)/.test(name) && typeof n === 'number' && n <= capability.CAP_LAST_CAP)
    .sort((a, b) => a[1] - b[1])
    .map(([name]) => name);
  const off = { enabled: false };
  return {
    ociVersionMin: SPEC_VERSION_MIN,
    ociVersionMax: SPEC_VERSION,
    hooks: ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'],
    mountOptions: [
      ...['bind', 'rbind', 'ro', 'rw', 'nosuid', 'suid', 'nodev', 'dev', 'noexec', 'exec', 'rro', 'rnosuid', 'rnodev', 'rnoexec'],
      ...['noatime', 'nodiratime', 'relatime', 'strictatime', 'private', 'rprivate', 'slave', 'rslave', 'tmpcopyup'],
      ...['size', 'nr_inodes', 'mode', 'uid', 'gid', 'ptmxmode', 'newinstance'],
    ],
    linux: {
      namespaces: ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'],
      capabilities,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        enabled: true,
        actions: SECCOMP_ACTIONS,
        operators: ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((op) => `SCMP_CMP_${op}`),
        archs: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],
      },
      apparmor: off,
      selinux: off,
      intelRdt: off,
      mountExtensions: { idmap: off },
    },
    annotations: { 'io.ringfence.version': VERSION },
    potentiallyUnsafeConfigAnnotations: [],
  };
}

/** Defines the command. */
export function defineFeatures(program: Command): void {
  program
    .command('features')
    .summary('print what the runtime can do')
    .description('Prints what the runtime can do, as JSON (features.md of the runtime specification).')
    .addHelpText('after', '\nExample:\n  ringfence features')
    .action(() => {
      print(`${JSON.stringify(features(), null, 2)}\n`);
    });
}
