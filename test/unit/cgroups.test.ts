// Places, conversions and rules of cgroups, on trees in a temporary folder.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type CgroupRecord,
  cgroupMode,
  joinFiles,
  makeCgroup,
  oomKills,
  planCgroup,
  removeCgroup,
  setCgroup,
} from '../../runsc-compat/cgroups/cgroup.ts';
import { cpuWeight, integerText, ioWeight, limitText, swapOnly } from '../../runsc-compat/cgroups/convert.ts';
import { deviceList, parseDeviceList } from '../../runsc-compat/cgroups/devices.ts';
import { type Hierarchies, hierarchies, UNIFIED } from '../../runsc-compat/cgroups/hierarchies.ts';
import { oomLead, sentryLimits } from '../../runsc-compat/cgroups/limits.ts';
import { cleanPath, groupFolders } from '../../runsc-compat/cgroups/paths.ts';
import { merged, PIDS_ROOM, type Resources } from '../../runsc-compat/cgroups/resources.ts';
import { jsonText, stats } from '../../runsc-compat/cgroups/stats.ts';
import { duration } from '../../runsc-compat/cmd/events.ts';

const V1 = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
35 31 0:32 /deep/er /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
36 31 0:33 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
37 31 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`;
const V1_OWN = '5:name=systemd:/a\n4:pids:/deep/er/own\n3:devices:/\n2:memory:/m\n1:cpu,cpuacct:/c\n0::/u\n';

describe('hierarchies', () => {
  test('v1, hybrid and v2', () => {
    const h = hierarchies(V1, V1_OWN);
    expect(h.version).toBe(1);
    expect(h.mounts.map((m) => m.controllers)).toEqual([
      ['cpu', 'cpuacct'],
      ['memory'],
      ['devices'],
      ['pids'],
      ['name=systemd'],
      [UNIFIED],
    ]);
    expect(h.own.get('cpuacct')).toBe('/c');
    expect(h.own.get(UNIFIED)).toBe('/u');
    expect(hierarchies('31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw', '0::/x\n').version).toBe(2);
    expect(hierarchies('', '').version).toBe(0);
  });
});

describe('cgroupsPath', () => {
  const h = hierarchies(V1, V1_OWN);
  const v2 = hierarchies('31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw', '0::/user.slice/session\n');

  test.each([
    ['', ''],
    ['a/b/', 'a/b'],
    ['../../a', 'a'],
    ['/a//b/../c/', '/a/c'],
    ['/..', '/'],
    ['.', '.'],
  ])('%s is clean as %s', (path, clean) => {
    expect(cleanPath(path)).toBe(clean);
  });

  test('absolute ones count from the top, relative ones from our own group', () => {
    const at = (path: string): Record<string, string> => Object.fromEntries(groupFolders(h, path, 'id'));
    expect(at('/x/y')).toEqual({
      devices: '/sys/fs/cgroup/devices/x/y',
      memory: '/sys/fs/cgroup/memory/x/y',
      cpu: '/sys/fs/cgroup/cpu,cpuacct/x/y',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct/x/y',
      pids: '/sys/fs/cgroup/pids/x/y',
      'name=systemd': '/sys/fs/cgroup/systemd/x/y',
      '': '/sys/fs/cgroup/unified/x/y',
    });
    expect(at('x').memory).toBe('/sys/fs/cgroup/memory/m/x');
    expect(at('').memory).toBe('/sys/fs/cgroup/memory/m/id');
    expect(at('x').pids).toBe('/sys/fs/cgroup/pids/own/x');
    expect(groupFolders(v2, '/x', 'id')).toEqual(new Map([['', '/sys/fs/cgroup/x']]));
    expect(groupFolders(v2, '', 'id')).toEqual(new Map([['', '/sys/fs/cgroup/user.slice/id']]));
  });

  test('a machine without the devices controller is refused', () => {
    const without = { ...h, mounts: h.mounts.filter((m) => !m.controllers.includes('devices')) };
    expect(() => groupFolders(without, '/x', 'id')).toThrow('mountpoint for devices not found');
  });

  test('options', () => {
    expect(cgroupMode({ rootless: 'true' })).toEqual({ driver: 'cgroupfs', rootless: true });
    expect(cgroupMode({ rootless: 'false', ignoreCgroups: true })).toEqual({ driver: 'none', rootless: false });
    expect(cgroupMode({ rootless: 'false', systemdCgroup: true }).driver).toBe('systemd');
    expect(cgroupMode({ cgroupManager: 'disabled' }).driver).toBe('none');
    expect(() => cgroupMode({ cgroupManager: 'x' })).toThrow('--cgroup-manager takes');
    expect(() => cgroupMode({ rootless: 'x' })).toThrow('--rootless takes');
  });
});

describe('conversions', () => {
  test.each([
    [0, 0],
    [2, 1],
    [1024, 39],
    [262144, 10000],
  ])('cpu.shares %i is cpu.weight %i', (shares, weight) => {
    expect(cpuWeight(shares)).toBe(weight);
  });

  test.each([
    [0, 0],
    [10, 1],
    [500, 4950],
    [1000, 10000],
  ])('blkio.weight %i is io.weight %i', (weight, io) => {
    expect(ioWeight(weight)).toBe(io);
  });

  test('swap', () => {
    expect(swapOnly(0, -1)).toBe(-1);
    expect(swapOnly(-1, 100)).toBe(-1);
    expect(swapOnly(0, 100)).toBe(0);
    expect(swapOnly(300, 100)).toBe(200);
    expect(() => swapOnly(100, 0)).toThrow('without memory limit');
    expect(() => swapOnly(100, 200)).toThrow('>= memory limit');
  });

  test('numbers', () => {
    expect([limitText(0), limitText(-1), limitText(5)]).toEqual(['', 'max', '5']);
    expect(integerText(2 ** 63)).toBe('9223372036854775808');
    expect(jsonText({ a: 9223372036854771712n, b: [1, 'x', null, true], c: {} })).toBe(
      '{"a":9223372036854771712,"b":[1,"x",null,true],"c":{}}',
    );
    expect([duration('5s'), duration('1m30s'), duration('1.5h'), duration('250ms')]).toEqual([5000, 90000, 5400000, 250]);
    for (const wrong of ['', '5', '0s', '-1s', '1x']) expect(() => duration(wrong)).toThrow('duration interval');
  });

  test('update keeps what it does not name', () => {
    const old: Resources = { cpu: { shares: 5, quota: 10, period: 20 }, memory: { limit: 7, swap: 9 }, pids: { limit: 3 } };
    expect(merged(old, { cpu: { quota: 0, period: 30, cpus: '' }, pids: { limit: 0 } })).toEqual({
      ...old,
      cpu: { shares: 5, quota: 10, period: 30 },
    });
    expect(merged({}, { memory: {}, pids: { limit: 0 } })).toEqual({});
    expect(merged(old, { memory: { limit: -1 } }).memory).toEqual({ limit: -1, swap: -1 });
  });
});

describe('devices', () => {
  test('rules in order, and what every container gets', () => {
    const none = deviceList([]);
    expect(none.open).toBe(false);
    expect(none.entries.get('c 1:3')).toEqual(new Set('rwm'));
    const l = deviceList([
      { allow: true },
      { allow: false, type: 'c', major: 10, minor: 1, access: 'w' },
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 10, minor: 2, access: 'rw' },
      { allow: false, type: 'c', major: 10, minor: 2, access: 'w' },
      { allow: true, type: 'b', major: 8 },
    ]);
    expect(l.open).toBe(false);
    expect(l.entries.has('c 10:1')).toBe(false);
    expect(l.entries.get('c 10:2')).toEqual(new Set('r'));
    expect(l.entries.get('b 8:*')).toEqual(new Set('rwm'));
    expect(deviceList([{ allow: true }, { allow: false, type: 'c', major: 1, minor: 3 }]).entries.size).toBe(0);
    expect(() => deviceList([{ allow: true, access: 'x' }])).toThrow('/linux/resources/devices/0/access');
    expect(() => deviceList([{ allow: true, type: 'q' }])).toThrow('/linux/resources/devices/0/type');
    expect(parseDeviceList('a *:* rwm').open).toBe(true);
    expect(parseDeviceList('c 1:3 rw\nc 5:* m').entries.get('c 5:*')).toEqual(new Set('m'));
  });
});

describe('a v2 tree', () => {
  let dir = '';
  let h: Hierarchies;
  const FILES: Record<string, string> = {
    'cgroup.controllers': 'cpuset cpu io memory pids',
    'cgroup.subtree_control': '',
    'cgroup.type': 'domain',
    'cgroup.procs': '',
    'cpu.max': '',
    'cpu.weight': '',
    'cpuset.cpus': '',
    'cpuset.mems': '',
    'memory.max': '',
    'memory.low': '',
    'memory.swap.max': '',
    'pids.max': '',
    'io.weight': '',
    'io.max': '',
  };

  /** A group as the kernel fills it. */
  function fill(folder: string): void {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
  }

  const group = (): string => join(dir, 'pods/one');
  const read = (name: string, folder = group()): string => readFileSync(join(folder, name), 'utf8');

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'rf-v2-'));
    h = { version: 2, mounts: [{ mountpoint: dir, root: '/', controllers: [UNIFIED] }], own: new Map([[UNIFIED, '/init']]) };
    for (const folder of [dir, join(dir, 'pods'), group()]) fill(folder);
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  async function make(resources: Resources): Promise<CgroupRecord> {
    const spec = { ociVersion: '1.0.2', linux: { cgroupsPath: '/pods/one', resources } };
    const record = await planCgroup(spec, 'id', { driver: 'cgroupfs', rootless: false }, h);
    if (record === null) throw new Error('no plan');
    await makeCgroup(record, 'id', resources, h);
    return record;
  }

  test('controllers are handed on, limits converted', async () => {
    const record = await make({
      cpu: { shares: 1024, quota: 50_000, cpus: '0-1', mems: '0' },
      memory: { limit: 100, reservation: 50, swap: 300 },
      pids: { limit: 10 },
      blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] },
    });
    expect(read('cgroup.subtree_control', dir)).toBe('+cpuset +cpu +io +memory +pids');
    expect(read('cgroup.subtree_control', join(dir, 'pods'))).toBe('+cpuset +cpu +io +memory +pids');
    expect(read('cgroup.subtree_control')).toBe('');
    expect(read('cpu.weight')).toBe('39');
    expect(read('cpu.max')).toBe('50000 100000');
    expect(read('cpuset.cpus')).toBe('0-1');
    expect([read('memory.max'), read('memory.low'), read('memory.swap.max')]).toEqual(['100', '50', '200']);
    expect(read('pids.max')).toBe(String(10 + PIDS_ROOM));
    expect([read('io.weight'), read('io.max')]).toEqual(['4950', '8:0 rbps=1000']);
    expect(joinFiles(record)).toEqual([join(group(), 'cgroup.procs')]);
    expect(joinFiles(record, '../sub')).toEqual([join(group(), 'sub/cgroup.procs')]);
    await setCgroup(record, { memory: { limit: -1 }, pids: { limit: -1 } });
    expect([read('memory.max'), read('memory.swap.max'), read('pids.max')]).toEqual(['max', 'max', 'max']);
  });

  test('unified values go to files by name', async () => {
    await make({ unified: { 'memory.max': '77', 'cpu.weight': '3' } });
    expect([read('memory.max'), read('cpu.weight')]).toEqual(['77', '3']);
    await expect(make({ unified: { 'a/b': '1' } })).rejects.toThrow('must be a file name');
    await expect(make({ unified: { 'rdma.max': '1' } })).rejects.toThrow('controller "rdma" not available');
    await expect(make({ unified: { nothing: '1' } })).rejects.toThrow('CONTROLLER.PARAMETER');
  });

  test('what fails leaves no folder that was made', async () => {
    const record = { version: 2 as const, paths: { [UNIFIED]: join(dir, 'new/deep') }, rootless: false };
    await expect(makeCgroup(record, 'id', { pids: { limit: 1 } }, h)).rejects.toThrow(
      /open .*\/new\/deep\/pids\.max: no such file or directory/,
    );
    expect(existsSync(join(dir, 'new'))).toBe(false);
  });

  test('a threaded group is refused', async () => {
    writeFileSync(join(group(), 'cgroup.type'), 'domain invalid\n');
    await expect(make({})).rejects.toThrow('is in domain invalid mode');
  });

  test('counts', async () => {
    const record = await make({});
    const put = (name: string, text: string): void => writeFileSync(join(group(), name), text);
    put('memory.events', 'low 0\nhigh 0\nmax 4\noom 2\noom_kill 2\n');
    put('memory.current', '5000\n');
    put('memory.max', '9000\n');
    put('memory.stat', 'anon 4000\nfile 1000\n');
    put('cpu.stat', 'usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 0\n');
    put('pids.max', `${20 + PIDS_ROOM}\n`);
    put('io.stat', '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n');
    expect(oomKills(record)).toBe(2);
    const s = JSON.parse(jsonText(stats(record, 3)));
    expect(s.memory.usage).toMatchObject({ limit: 9000, usage: 5000, failcnt: 4 });
    expect(s.memory.raw).toEqual({ anon: 4000, file: 1000 });
    expect(s.cpu.usage).toEqual({ total: 7000, kernel: 2000, user: 5000 });
    expect(s.pids).toEqual({ current: 3, limit: 20 });
    expect(s.blkio.ioServiceBytesRecursive[0]).toEqual({ major: 8, op: 'Read', value: 10 });
  });

  test('groups below are removed too', async () => {
    const empty = join(dir, 'empty');
    mkdirSync(join(empty, 'a/b'), { recursive: true });
    await removeCgroup({ version: 2, paths: { [UNIFIED]: empty }, rootless: false });
    expect(existsSync(empty)).toBe(false);
    expect(existsSync(dirname(empty))).toBe(true);
  });

  test('what the Sentry is told', async () => {
    writeFileSync(join(group(), 'cpuset.cpus.effective'), '0-2,5\n');
    const record = await make({});
    const l = sentryLimits({ memory: { limit: 1 << 26, swap: -1 }, cpu: { quota: -1 }, pids: { limit: 9 } }, record, h);
    expect(l).toMatchObject({
      version: 2,
      memory: 1 << 26,
      memorySwap: -1,
      cpuQuota: -1,
      cpuPeriod: 100_000,
      cpuShares: 1024,
      cpus: 4,
      pids: 9,
    });
    expect(l.devices.open).toBe(false);
    expect(l.devices.except['c 5:1']).toBe('rwm');
    expect(oomLead(l)).toBe(1000);
    expect(oomLead({ ...l, memory: 2 ** 30 })).toBe(250);
  });
});
