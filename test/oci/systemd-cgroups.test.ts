// The systemd cgroup driver against a bus of its own with a service that answers as systemd does. No systemd runs here: what is proved is
// what is asked of it, as the bus's own monitor reads it, and what is done beside.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bus, completeTypes, decode, encode, type Message, type Variant } from '../../runsc-compat/cgroups/dbus.ts';
import { hostHierarchies, mountOf } from '../../runsc-compat/cgroups/hierarchies.ts';
import { PIDS_ROOM } from '../../runsc-compat/cgroups/resources.ts';
import { expandSlice, limitProperties, unitOf } from '../../runsc-compat/cgroups/systemd.ts';
import { Rig } from './kit/runtimes.ts';

describe('D-Bus messages', () => {
  test('go and come back', () => {
    const m: Message = {
      kind: 1,
      serial: 7,
      path: '/a/b',
      interface: 'x.y',
      member: 'Go',
      destination: 'z.w',
      signature: 'sba(sv)a(sa(sv))t',
      body: [
        'é',
        true,
        [
          ['N', { type: 'au', value: [1, 2] }],
          ['B', { type: 'b', value: false }],
        ],
        [],
        2n ** 64n - 1n,
      ],
    };
    const bytes = encode(m);
    expect(decode(bytes)).toEqual({ message: m, length: bytes.length });
    expect(decode(Buffer.concat([bytes, bytes]))?.length).toBe(bytes.length);
    for (let n = 0; n < bytes.length; n++) expect(decode(bytes.subarray(0, n))).toBe(null);
    expect(completeTypes('sa(sv)aau(s(uu)){sv}')).toEqual(['s', 'a(sv)', 'aau', '(s(uu))', '{sv}']);
  });
});

describe('units', () => {
  test('slices', () => {
    expect(expandSlice('a-b-c.slice')).toBe('/a.slice/a-b.slice/a-b-c.slice');
    expect(expandSlice('system.slice')).toBe('/system.slice');
    expect(expandSlice('-.slice')).toBe('/');
    for (const wrong of ['a', 'a--b.slice', '-a.slice', 'a-.slice', '.slice', 'x/a.slice'])
      expect(() => expandSlice(wrong)).toThrow('invalid slice name');
  });

  test('names', () => {
    expect(unitOf('a.slice:p:n', 'id', 's.slice')).toEqual({ name: 'p-n.scope', slice: 'a.slice' });
    expect(unitOf(':p:n', 'id', 's.slice')).toEqual({ name: 'p-n.scope', slice: 's.slice' });
    expect(unitOf('', 'id', 's.slice')).toEqual({ name: 'ringfence-id.scope', slice: 's.slice' });
    expect(unitOf('a.slice:p:n.slice', 'id', 's.slice').name).toBe('n.slice');
    expect(() => unitOf('/a/b', 'id', 's.slice')).toThrow('expected cgroupsPath to be of format "slice:prefix:name"');
  });

  test('limits', () => {
    const of = (version: 1 | 2): Record<string, unknown> =>
      Object.fromEntries(
        limitProperties({ memory: { limit: 100, swap: 300 }, cpu: { shares: 1024, quota: 15_000 }, pids: { limit: -1 } }, version).map(
          ([k, v]) => [k, v.value],
        ),
      );
    const none = 2n ** 64n - 1n;
    expect(of(1)).toEqual({ MemoryLimit: 100, CPUShares: 1024, CPUQuotaPerSecUSec: 150_000, TasksMax: none });
    expect(of(2)).toEqual({ MemoryMax: 100, MemorySwapMax: 200, CPUWeight: 39, CPUQuotaPerSecUSec: 150_000, TasksMax: none });
  });
});

const MANAGER = 'org.freedesktop.systemd1.Manager';
const host = hostHierarchies();

/** Answers as systemd's manager does, and moves the processes that it is given. */
class FakeManager {
  readonly calls: { member: string; body: unknown[] }[] = [];
  result = 'done';
  private jobs = 0;
  private readonly bus: Bus;

  private constructor(bus: Bus) {
    this.bus = bus;
    bus.onMessage = (m) => this.handle(m);
  }

  static async start(socket: string): Promise<FakeManager> {
    const bus = await Bus.connect(socket, true);
    const manager = new FakeManager(bus);
    await bus.call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName', 'su', [
      'org.freedesktop.systemd1',
      0,
    ]);
    return manager;
  }

  close(): void {
    this.bus.close();
  }

  private handle(m: Message): void {
    if (m.interface !== MANAGER || m.kind !== 1) return;
    this.calls.push({ member: m.member ?? '', body: m.body });
    const answer = (signature: string, body: unknown[]): void => {
      this.bus.send({ kind: 2, destination: m.sender ?? '', replySerial: m.serial, signature, body });
    };
    if (m.member !== 'StartTransientUnit' && m.member !== 'StopUnit') return answer('', []);
    const unit = m.body[0] as string;
    const folder = join(mountOf(host, 'name=systemd')?.mountpoint ?? '/nowhere', this.slice, unit);
    if (m.member === 'StartTransientUnit') {
      const properties = new Map(m.body[2] as [string, Variant][]);
      this.slice = expandSlice(properties.get('Slice')?.value as string);
      const made = join(mountOf(host, 'name=systemd')?.mountpoint ?? '/nowhere', this.slice, unit);
      mkdirSync(made, { recursive: true });
      for (const pid of (properties.get('PIDs')?.value ?? []) as number[]) writeFileSync(join(made, 'cgroup.procs'), String(pid));
    } else if (existsSync(folder)) rmdirSync(folder);
    const job = `/org/freedesktop/systemd1/job/${++this.jobs}`;
    answer('o', [job]);
    this.bus.send({
      kind: 4,
      path: '/org/freedesktop/systemd1',
      interface: MANAGER,
      member: 'JobRemoved',
      signature: 'uoss',
      body: [this.jobs, job, unit, this.result],
    });
  }

  private slice = '/';
}

describe.runIf(host.version === 1)('containers', () => {
  let dir = '';
  let daemon: ChildProcess;
  let monitor: ChildProcess;
  let monitored = '';
  let manager: FakeManager;
  let rig: Rig;
  const slices = ['rfa.slice/rfa-b.slice', 'rfa.slice'];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rf-bus-'));
    const socket = join(dir, 'bus');
    const config = join(dir, 'bus.conf');
    writeFileSync(
      config,
      `<busconfig><type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
    );
    daemon = spawn('dbus-daemon', ['--nofork', '--nopidfile', `--config-file=${config}`], { stdio: 'ignore' });
    for (let i = 0; i < 200 && !existsSync(socket); i++) await new Promise((done) => setTimeout(done, 25));
    manager = await FakeManager.start(socket);
    monitor = spawn('dbus-monitor', ['--address', `unix:path=${socket}`, `interface='${MANAGER}'`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    monitor.stdout?.on('data', (d: Buffer) => (monitored += d.toString()));
    for (let i = 0; i < 200 && monitored === ''; i++) await new Promise((done) => setTimeout(done, 25));
    rig = new Rig('ringfence');
  });

  afterAll(async () => {
    await rig.close();
    manager.close();
    for (const child of [monitor, daemon]) child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
    for (const m of host.mounts) for (const s of slices) if (existsSync(join(m.mountpoint, s))) rmdirSync(join(m.mountpoint, s));
  });

  const env = (): Record<string, string> => ({ DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${join(dir, 'bus')}` });
  const systemd = (args: string[]) => rig.run(args, { global: ['--systemd-cgroup'], env: env() });

  test('a scope is started, changed and stopped', async () => {
    const id = rig.id();
    const bundle = rig.bundle(['sleep', '1000'], (spec) => {
      spec.linux.cgroupsPath = `rfa-b.slice:cri:${id}`;
      spec.linux.resources = { memory: { limit: 100_003_840 }, cpu: { shares: 512, quota: 50_000, period: 100_000 }, pids: { limit: 44 } };
    });
    expect(await systemd(['run', '--detach', '--bundle', bundle, id])).toMatchObject({ status: 0, stderr: '' });
    const start = manager.calls.find((c) => c.member === 'StartTransientUnit');
    expect(start?.body.slice(0, 2)).toEqual([`cri-${id}.scope`, 'replace']);
    const properties = Object.fromEntries(((start?.body[2] ?? []) as [string, Variant][]).map(([k, v]) => [k, v.value]));
    expect(properties).toMatchObject({ Slice: 'rfa-b.slice', Delegate: true, MemoryAccounting: true, DefaultDependencies: false });
    expect(properties).toMatchObject({
      MemoryLimit: 100_003_840n,
      CPUShares: 512n,
      CPUQuotaPerSecUSec: 500_000n,
      TasksMax: BigInt(44 + PIDS_ROOM),
    });
    // As somebody else reads it from the bus.
    expect(monitored).toMatch(/member=StartTransientUnit\n {3}string "cri-[^"]*\.scope"\n {3}string "replace"\n {3}array \[/);
    expect(monitored).toMatch(/string "MemoryLimit"\n +variant +uint64 100003840/);

    const pid = (await rig.state(id)).pid;
    const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    for (const controller of ['memory', 'name=systemd', 'pids'])
      expect(groups).toContain(`:${controller}:/rfa.slice/rfa-b.slice/cri-${id}.scope\n`);
    const file = (controller: string, name: string): string =>
      readFileSync(join(mountOf(host, controller)?.mountpoint ?? '', 'rfa.slice/rfa-b.slice', `cri-${id}.scope`, name), 'utf8').trim();
    expect(file('memory', 'memory.limit_in_bytes')).toBe('100003840');
    // The command that made it is not in it any more.
    const members = file('name=systemd', 'cgroup.procs').split('\n');
    expect(members).toContain(String(pid));
    for (const member of members) expect(readFileSync(`/proc/${member}/cmdline`, 'latin1')).not.toContain('--systemd-cgroup');

    expect((await systemd(['update', '--memory', '104857600', id])).status).toBe(0);
    const update = manager.calls.find((c) => c.member === 'SetUnitProperties');
    expect(update?.body).toEqual([`cri-${id}.scope`, true, [['MemoryLimit', { type: 't', value: 104857600n }]]]);
    expect(file('memory', 'memory.limit_in_bytes')).toBe('104857600');

    // The state alone says how it was made.
    expect((await rig.run(['delete', '--force', id], { env: env() })).status).toBe(0);
    expect(manager.calls.map((c) => c.member)).toContain('StopUnit');
    for (const m of host.mounts) expect(existsSync(join(m.mountpoint, 'rfa.slice/rfa-b.slice', `cri-${id}.scope`))).toBe(false);
  });

  test('what systemd refuses is told, and nothing is left', async () => {
    const id = rig.id();
    const bundle = rig.bundle(['true'], (spec) => (spec.linux.cgroupsPath = `rfa-b.slice:cri:${id}`));
    manager.result = 'failed';
    const r = await systemd(['create', '--bundle', bundle, id]);
    manager.result = 'done';
    expect(r.status).toBe(1);
    expect(r.stderr).toBe(`ringfence: systemd: StartTransientUnit of cri-${id}.scope: failed\n`);
    expect(readdirSync(rig.states)).toEqual([]);
    for (const m of host.mounts) expect(existsSync(join(m.mountpoint, 'rfa.slice/rfa-b.slice', `cri-${id}.scope`))).toBe(false);
  });

  test('no bus, and a path of another form', async () => {
    const bundle = rig.bundle(['true'], (spec) => (spec.linux.cgroupsPath = 'a.slice:b:c'));
    const none = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${join(dir, 'none')}` };
    const r = await rig.run(['create', '--bundle', bundle, rig.id()], { global: ['--systemd-cgroup'], env: none });
    expect([r.status, r.stderr]).toEqual([
      1,
      expect.stringMatching(/^ringfence: cannot reach systemd by D-Bus: [^\n]*ENOENT[^\n]*cgroupfs driver\n$/),
    ]);
    const other = rig.bundle(['true'], (spec) => (spec.linux.cgroupsPath = '/a/b'));
    expect((await systemd(['create', '--bundle', other, rig.id()])).stderr).toContain(
      'expected cgroupsPath to be of format "slice:prefix:name"',
    );
    expect(readdirSync(rig.states)).toEqual([]);
  });
});
