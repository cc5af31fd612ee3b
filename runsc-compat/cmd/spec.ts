// ringfence spec: a config.json to start from.

import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { CliError, codeOf } from '../errors.ts';
import type { Spec } from '../spec/types.ts';
import { SPEC_VERSION } from '../version.ts';

const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];

/** The configuration that `spec` writes. */
export function defaultSpec(rootless: boolean): Spec {
  const namespaces = ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', ...(rootless ? ['user'] : [])].map((type) => ({ type }));
  return {
    ociVersion: SPEC_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'ringfence',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'] },
    ],
    linux: {
      namespaces,
      maskedPaths: [
        '/proc/acpi',
        '/proc/asound',
        '/proc/kcore',
        '/proc/keys',
        '/proc/latency_stats',
        '/proc/timer_list',
        '/proc/timer_stats',
        '/proc/sched_debug',
        '/proc/scsi',
        '/sys/firmware',
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** Defines the command. */
export function defineSpec(program: Command): void {
  program
    .command('spec')
    .summary('write a config.json to start from')
    .description('Writes a config.json to start from. An existing file is not touched.')
    .option('-b, --bundle <dir>', 'folder to write it to', '.')
    .option('--rootless', 'for an ordinary user')
    .addHelpText('after', '\nExample:\n  mkdir -p /srv/web/rootfs && ringfence spec --bundle /srv/web')
    .action((o: { bundle: string; rootless?: boolean }) => {
      const file = join(o.bundle, 'config.json');
      try {
        const fd = openSync(file, 'wx', 0o644);
        writeSync(fd, `${JSON.stringify(defaultSpec(o.rootless === true), null, 2)}\n`);
        closeSync(fd);
      } catch (e) {
        if (codeOf(e) === 'EEXIST') throw new CliError(`File ${file} exists. Remove it first`);
        throw new CliError(`cannot write ${file}: ${codeOf(e)}`);
      }
    });
}
