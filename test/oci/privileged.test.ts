// A privileged container: all capabilities, also those that this host's root does not have, and nothing of the host with them.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as capability from '../../src/abi/capability.ts';
import { Bench } from './support.ts';

const LIMIT = 60_000;

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.close());

const ALL = Object.entries(capability)
  .filter(([name, n]) => /^CAP_(?!LAST)/.test(name) && (n as number) <= capability.CAP_LAST_CAP)
  .map(([name]) => name);
/** Device nodes that clients list for a privileged container: disks, memory, virtual machines, file systems, tunnels. */
const DEVICES: [string, 'b' | 'c', number, number][] = [
  ['sda', 'b', 8, 0],
  ['vda', 'b', 254, 0],
  ['loop0', 'b', 7, 0],
  ['mem', 'c', 1, 1],
  ['port', 'c', 1, 4],
  ['kvm', 'c', 10, 232],
  ['fuse', 'c', 10, 229],
  ['net/tun', 'c', 10, 200],
];

/** Runs a script in a privileged container: its output. */
function privileged(script: string): string {
  const bundle = bench.bundle(['sh', '-c', script], (s) => {
    if (s.process !== undefined) {
      s.process.capabilities = { bounding: ALL, effective: ALL, permitted: ALL, inheritable: ALL, ambient: ALL };
      s.process.noNewPrivileges = false;
    }
    const { maskedPaths: _masked, readonlyPaths: _readonly, ...linux } = s.linux ?? {};
    s.linux = {
      ...linux,
      devices: DEVICES.map(([path, type, major, minor]) => ({ path: `/dev/${path}`, type, major, minor, fileMode: 0o660, uid: 0, gid: 0 })),
      resources: { devices: [{ allow: true, access: 'rwm' }] },
    };
    s.mounts = (s.mounts ?? []).map((m) => (m.destination === '/sys' ? { ...m, options: ['nosuid', 'noexec', 'nodev'] } : m));
  });
  const r = bench.run(['run', '--bundle', bundle, `privileged-${Math.random().toString(36).slice(2)}`]);
  expect([r.status, r.stderr]).toEqual([0, '']);
  return r.stdout;
}

describe('a privileged container', () => {
  test(
    'has every capability, and may use them inside',
    () => {
      const script = 'cat /proc/self/status; ulimit -n 1048576; ulimit -n; hostname other; hostname; mount -t tmpfs t /tmp && echo mounted';
      const lines = privileged(script).split('\n');
      for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(lines).toContain(`Cap${set}:\t000001ffffffffff`);
      expect(lines.slice(-4)).toEqual(['1048576', 'other', 'mounted', '']);
    },
    LIMIT,
  );

  test(
    'has the nodes of devices, and no device behind them',
    () => {
      const open = DEVICES.map(([path]) => `(: < /dev/${path}) 2>&1`).join('; ');
      const lines = privileged(`for d in ${DEVICES.map((d) => d[0]).join(' ')}; do stat -c '%F' /dev/$d; done; ${open}; true`)
        .trim()
        .split('\n');
      expect(lines.slice(0, DEVICES.length)).toEqual(DEVICES.map((d) => (d[1] === 'b' ? 'block special file' : 'character special file')));
      expect(lines.length).toBe(2 * DEVICES.length);
      for (const line of lines.slice(DEVICES.length)) expect(line).toMatch(/No such device or address/);
    },
    LIMIT,
  );

  test(
    'makes nodes of its own that lead nowhere either, and sees no hardware of the host',
    () => {
      const script =
        'busybox mknod /tmp/disk b 8 0; (: < /tmp/disk) 2>&1; ls /sys/block /sys/bus /sys/devices | wc -w; ls /proc/sysrq-trigger 2>&1; true';
      const lines = privileged(script).split('\n');
      expect(lines[0]).toContain('No such device or address');
      expect(Number(lines[1])).toBeLessThan(20);
      expect(lines[2]).toContain('No such file or directory');
    },
    LIMIT,
  );
});
