// cgroups of containers: the same files with the same values as runc's, in the host's hierarchies and inside; update, events, delete.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostHierarchies, mountOf, UNIFIED } from '../../runsc-compat/cgroups/hierarchies.ts';
import { PIDS_ROOM, type Resources } from '../../runsc-compat/cgroups/resources.ts';
import { until } from '../support/until.ts';
import { Rig, type RuntimeName, type TestSpec } from './kit/runtimes.ts';
import { lives } from './support.ts';

const BOTH: RuntimeName[] = ['runc', 'ringfence'];
const MIB = 1024 * 1024;
const host = hostHierarchies();
const v1 = host.version === 1;
const cgroupMount = { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'ro'] };

/** Takes memory by touching it itself, until it is killed. */
const EATER = "sh -c 'a=0123456789abcdef; while :; do a=$a$a; done' 2>/dev/null";

/** Files that limits are written to. */
const FILES: Record<string, string[]> = v1
  ? {
      cpu: ['cpu.shares', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'],
      cpuset: ['cpuset.cpus', 'cpuset.mems'],
      memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.soft_limit_in_bytes', 'memory.swappiness'],
      pids: ['pids.max'],
      blkio: ['blkio.bfq.weight', 'blkio.weight', 'blkio.throttle.read_bps_device', 'blkio.throttle.write_iops_device'],
      devices: ['devices.list'],
    }
  : {
      [UNIFIED]: [
        'cpu.weight',
        'cpu.max',
        'cpuset.cpus',
        'cpuset.mems',
        'memory.max',
        'memory.swap.max',
        'memory.low',
        'pids.max',
        'io.max',
      ],
    };

/** Folders of the groups of a process, by controller. */
function groupsOf(pid: number): Record<string, string> {
  const out: Record<string, string> = {};
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
    const [, controllers = '', path = ''] = line.split(':');
    for (const c of controllers.split(',')) {
      const m = mountOf(host, c);
      if (m !== null) out[c] = join(m.mountpoint, path);
    }
  }
  return out;
}

/** What `events --stats` prints. */
interface Stats {
  type: string;
  id: string;
  data: { pids: object; memory: { usage: { limit: number } }; cpu: { throttling: { throttledTime?: number } } };
}

/** What stands in the files; lines without an order are sorted, and what the sandbox needs itself is taken off. */
function written(pid: number, name: RuntimeName): Record<string, string> {
  const groups = groupsOf(pid);
  const out: Record<string, string> = {};
  for (const [controller, files] of Object.entries(FILES)) {
    for (const f of files) {
      const path = join(groups[controller] as string, f);
      if (!existsSync(path)) continue;
      let text = readFileSync(path, 'utf8').trim().split('\n').sort().join('\n');
      if (f === 'pids.max' && name === 'ringfence' && text !== 'max') text = String(Number(text) - PIDS_ROOM);
      out[f] = text;
    }
  }
  return out;
}

function limited(resources: Resources): (spec: TestSpec) => void {
  return (spec) => {
    spec.linux.resources = resources;
    spec.mounts.push(cgroupMount);
  };
}

const rigs = new Map<RuntimeName, Rig>();
const rig = (name: RuntimeName): Rig => rigs.get(name) as Rig;

beforeAll(() => {
  for (const name of BOTH) rigs.set(name, new Rig(name));
});

afterEach(async () => {
  for (const r of rigs.values()) {
    if (existsSync(r.states)) for (const id of readdirSync(r.states)) await r.run(['delete', '--force', id]);
  }
});

afterAll(async () => {
  for (const r of rigs.values()) await r.close();
});

/** Starts a container that sleeps; its id and pid. */
async function started(name: RuntimeName, change: (spec: TestSpec) => void): Promise<{ id: string; pid: number }> {
  const id = rig(name).id();
  const r = await rig(name).run(['run', '--detach', '--bundle', rig(name).bundle(['sleep', '1000'], change), id]);
  if (r.status !== 0) throw new Error(`${name} run: ${r.stderr}`);
  return { id, pid: (await rig(name).state(id)).pid };
}

const LIMITS: [string, Resources][] = [
  ['none', {}],
  ['processor shares, quota and period', { cpu: { shares: 512, quota: 50_000, period: 200_000 } }],
  ['a quota alone', { cpu: { quota: 20_000 } }],
  ['no quota', { cpu: { quota: -1, period: 50_000 } }],
  ['a cpuset', { cpu: { cpus: '0', mems: '0' } }],
  ['memory with reservation and swap', { memory: { limit: 128 * MIB, reservation: 64 * MIB, swap: 256 * MIB } }],
  ['memory without a limit of swap', { memory: { limit: 128 * MIB, swap: -1 } }],
  ['memory alone', { memory: { limit: 128 * MIB } }],
  ['processes', { pids: { limit: 77 } }],
  ['no limit of processes', { pids: { limit: -1 } }],
  ['weight of input and output', { blockIO: { weight: 0 } }],
  [
    'devices',
    {
      devices: [
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' },
        { allow: true, type: 'b', major: 7, access: 'r' },
        { allow: false, type: 'c', major: 10, minor: 229, access: 'w' },
      ],
    },
  ],
  ['all devices', { devices: [{ allow: true, access: 'rwm' }] }],
];

describe('limits in the host', () => {
  test.each(LIMITS)('%s', async (_what, resources) => {
    const [runc, ours] = await Promise.all(
      BOTH.map(async (name) => written((await started(name, limited(structuredClone(resources)))).pid, name)),
    );
    expect(ours).toEqual(runc);
  });
});

describe('places of groups', () => {
  const PATHS: [string, string | null][] = [
    ['absolute', '/rf-place/one'],
    ['relative', 'rf-place/two'],
    ['none', null],
    ['with dots', '/rf-place/../rf-place/./three/'],
    ['a relative one that climbs', '../../rf-place/four'],
  ];

  afterAll(() => {
    for (const folder of Object.values(groupsOf(process.pid))) {
      for (const top of [folder, ...host.mounts.map((m) => m.mountpoint)]) {
        try {
          if (existsSync(join(top, 'rf-place'))) rmdirQuietly(join(top, 'rf-place'));
        } catch (e) {
          throw new Error(`${top}: ${String(e)}`);
        }
      }
    }
  });

  test.each(PATHS)('%s', async (_what, path) => {
    const places = await Promise.all(
      BOTH.map(async (name) => {
        const c = await started(name, (spec) => {
          if (path === null) delete spec.linux.cgroupsPath;
          else spec.linux.cgroupsPath = path === '/rf-place/one' ? `${path}-${name}` : `${path.replace(/\/$/, '')}-${name}`;
        });
        return readFileSync(`/proc/${c.pid}/cgroup`, 'utf8').replaceAll(c.id, 'ID').replaceAll(`-${name}`, '');
      }),
    );
    expect(places[1]).toBe(places[0]);
  });
});

function rmdirQuietly(path: string): void {
  for (const e of readdirSync(path, { withFileTypes: true })) if (e.isDirectory()) rmdirQuietly(join(path, e.name));
  rmdirSync(path);
}

describe.each(BOTH)('%s', (name) => {
  const WRONG: [string, Resources, RegExp][] = [
    ['a processor that is not there', { cpu: { cpus: '999' } }, /cpuset\.cpus/],
    ['a quota that is too short', { cpu: { quota: 10 } }, /cpu\.(cfs_quota_us|max).*: (invalid argument|EINVAL)/],
    ['a period that is too long', { cpu: { period: 2_000_000_000 } }, /cpu\.(cfs_period_us|max).*: (invalid argument|EINVAL)/],
    ['less memory with swap than without', { memory: { limit: 64 * MIB, swap: 32 * MIB } }, /memory\.memsw|memory\+swap limit should be/],
    ...((v1
      ? [
          ['shares below the least', { cpu: { shares: 1 } }, /the minimum allowed cpu-shares is 2/],
          ['swappiness', { memory: { swappiness: 200 } }, /invalid memory swappiness value: 200/],
          ['v2 files', { unified: { 'memory.max': '100' } }, /cannot use unified on cgroup v1/],
        ]
      : []) as [string, Resources, RegExp][]),
  ];

  test.each(WRONG)('is refused and leaves nothing: %s', async (_what, resources, text) => {
    const id = rig(name).id();
    let path = '';
    const bundle = rig(name).bundle(['true'], (spec) => {
      spec.linux.resources = resources;
      path = spec.linux.cgroupsPath as string;
    });
    const r = await rig(name).run(['create', '--bundle', bundle, id]);
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(text);
    if (name === 'ringfence') expect(r.stderr.trim().split('\n')).toHaveLength(1);
    expect((await rig(name).run(['state', id])).stderr).toContain('does not exist');
    for (const m of host.mounts) expect(existsSync(join(m.mountpoint, path)), m.mountpoint).toBe(false);
  });

  test('every process is in every group, exec included, and delete removes them with those below', async () => {
    const c = await started(name, limited({}));
    const groups = groupsOf(c.pid);
    const pidFile = join(rig(name).dir, 'exec.pid');
    await rig(name).run(['exec', '--detach', '--pid-file', pidFile, c.id, 'sleep', '1000']);
    expect(groupsOf(Number(readFileSync(pidFile, 'utf8')))).toEqual(groups);
    for (const folder of Object.values(groups)) {
      expect(folder).not.toBe('');
      mkdirSync(join(folder, 'below'));
    }
    const members = readFileSync(join(groups[v1 ? 'memory' : UNIFIED] as string, 'cgroup.procs'), 'utf8')
      .trim()
      .split('\n')
      .map(Number);
    expect(members).toContain(c.pid);
    expect((await rig(name).run(['delete', '--force', c.id])).status).toBe(0);
    for (const folder of Object.values(groups)) expect(existsSync(folder), folder).toBe(false);
    for (const pid of members) expect(lives(pid)).toBe(false);
  });

  test('pids.max is met exactly', async () => {
    const r = await rig(name).script(
      '(i=0; while sleep 60 >/dev/null 2>&1 & do i=$((i+1)); echo $i; done) 2>/tmp/err | tail -n 1; cat /tmp/err',
      limited({ pids: { limit: 9 } }),
    );
    expect(r.stdout).toMatch(/^6\n.*can't fork: Resource temporarily unavailable/);
  });

  test('a process that takes too much memory is killed, and the others go on', async () => {
    const limit = limited({ memory: { limit: 96 * MIB, swap: 96 * MIB } });
    const r = await rig(name).script(`${EATER}; echo $?; echo alive`, limit);
    expect(r.stdout).toBe('137\nalive\n');
    expect((await rig(name).script(`exec ${EATER}`, limit)).status).toBe(137);
  });

  test('the host counts the kill in the container its own group, where clients look', async () => {
    const c = await started(name, limited({ memory: { limit: 96 * MIB, swap: 96 * MIB } }));
    await rig(name).run(['exec', c.id, 'sh', '-c', EATER]);
    const folder = groupsOf(c.pid)[v1 ? 'memory' : UNIFIED] as string;
    expect(readFileSync(join(folder, v1 ? 'memory.oom_control' : 'memory.events'), 'utf8')).toMatch(/^oom_kill [1-9]/m);
    expect((await rig(name).state(c.id)).status).toBe('running');
  });

  test('signals wait for the end of a pause, but for SIGKILL', async () => {
    const id = rig(name).id();
    const script = 'trap "exit 7" TERM; touch /tmp/ready; while :; do sleep 0.1; done';
    const bundle = rig(name).bundle(['sh', '-c', script]);
    await rig(name).run(['run', '--detach', '--bundle', bundle, id]);
    while (!existsSync(join(bundle, 'rootfs/tmp/ready'))) await new Promise((done) => setTimeout(done, 20));
    expect((await rig(name).run(['pause', id])).status).toBe(0);
    expect((await rig(name).state(id)).status).toBe('paused');
    expect((await rig(name).run(['kill', id, 'TERM'])).status).toBe(0);
    expect((await rig(name).state(id)).status).toBe('paused');
    expect((await rig(name).run(['resume', id])).status).toBe(0);
    await rig(name).reaches(id, 'stopped');
    const other = await started(name, () => undefined);
    await rig(name).run(['pause', other.id]);
    expect((await rig(name).run(['kill', other.id, 'KILL'])).status).toBe(0);
    if (name === 'ringfence') await rig(name).reaches(other.id, 'stopped');
  });
});

describe('update', () => {
  const CHANGES: [string, string[], string | undefined][] = [
    [
      'options',
      ['--memory', '80m', '--memory-swap', '160m', '--cpu-share', '300', '--cpu-quota', '30000', '--pids-limit', '55'],
      undefined,
    ],
    ['a period alone', ['--cpu-period', '50000'], undefined],
    ['a cpuset', ['--cpuset-cpus', '0', '--cpuset-mems', '0'], undefined],
    ['no limit of memory', ['--memory', '-1'], undefined],
    ['standard input', ['--resources', '-'], JSON.stringify({ memory: { limit: 90 * MIB, swap: 180 * MIB }, pids: { limit: 66 } })],
  ];
  const before: Resources = { memory: { limit: 64 * MIB, swap: 128 * MIB }, cpu: { shares: 500, quota: 10_000, period: 100_000 } };

  test.each(CHANGES)('by %s', async (_what, words, input) => {
    const [runc, ours] = await Promise.all(
      BOTH.map(async (name) => {
        const c = await started(name, limited(structuredClone(before)));
        const r = await rig(name).run(['update', ...words, c.id], input === undefined ? {} : { input });
        if (r.status !== 0) throw new Error(`${name} update: ${r.stderr}`);
        return written(c.pid, name);
      }),
    );
    expect(ours).toEqual(runc);
  });

  test('is seen inside', async () => {
    const c = await started('ringfence', limited(structuredClone(before)));
    const r = rig('ringfence');
    const inside = async (script: string): Promise<string> => (await r.run(['exec', c.id, 'sh', '-c', script])).stdout;
    const look = 'grep MemTotal /proc/meminfo; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max';
    expect(await inside(look)).toBe('MemTotal:          65536 kB\n67108864\nmax\n');
    expect((await r.run(['update', '--memory', '96m', '--memory-swap', '192m', '--pids-limit', '20', c.id])).status).toBe(0);
    expect(await inside(look)).toBe('MemTotal:          98304 kB\n100663296\n20\n');
  });

  test('what is wrong is told in one line and changes nothing', async () => {
    const c = await started('ringfence', limited(structuredClone(before)));
    const was = written(c.pid, 'ringfence');
    for (const [words, text] of [
      [['--memory', 'much'], /invalid value for memory: "much"/],
      [['--cpu-quota', '1.5'], /invalid value for cpu-quota/],
      [['--cpuset-cpus', '999'], /cpuset\.cpus/],
      [['--resources', '/no/such'], /open \/no\/such: no such file or directory/],
      [['--l3-cache-schema', 'L3:0=f'], /Intel RDT/],
    ] as const) {
      const r = await rig('ringfence').run(['update', ...words, c.id]);
      expect(r.status).toBe(1);
      expect(r.stderr.trim()).toMatch(text);
      expect(r.stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(written(c.pid, 'ringfence')).toEqual(was);
  });
});

describe('events', () => {
  /** Paths of all keys; arrays count as one. */
  function keys(v: unknown, at = ''): string[] {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return [at];
    const inner = Object.entries(v).flatMap(([k, x]) => keys(x, `${at}/${k}`));
    return [at, ...inner];
  }

  test('--stats has the keys that runc has', async () => {
    const busy = ['sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo x >/tmp/x; sleep 1000'];
    const found = await Promise.all(
      BOTH.map(async (name) => {
        const id = rig(name).id();
        const limits = limited({ memory: { limit: 96 * MIB, swap: 192 * MIB }, cpu: { quota: 5000, period: 50_000 }, pids: { limit: 50 } });
        await rig(name).run(['run', '--detach', '--bundle', rig(name).bundle(busy, limits), id]);
        // Counts that are zero are left out: it is looked at when its loop has been held back.
        let event: Stats | undefined;
        await until('the loop is throttled', async () => {
          const r = await rig(name).run(['events', '--stats', id]);
          expect(r.status).toBe(0);
          event = JSON.parse(r.stdout) as Stats;
          return (event.data.cpu.throttling.throttledTime ?? 0) > 0;
        });
        if (event === undefined) throw new Error('no event');
        expect(event.type).toBe('stats');
        expect(event.id).toBe(id);
        expect(event.data.memory.usage.limit).toBe(96 * MIB);
        expect(event.data.pids).toMatchObject({ limit: 50 });
        // Device lines depend on what reached the disk meanwhile, and so does the page cache's own count: it may be zero.
        return new Set(keys(event).filter((k) => !k.startsWith('/data/blkio/') && k !== '/data/memory/cache'));
      }),
    );
    expect([...(found[1] as Set<string>)].sort()).toEqual([...(found[0] as Set<string>)].sort());
  });

  test('come again and again, tell of memory that ran out, and end with the container', async () => {
    const r = rig('ringfence');
    const c = await started('ringfence', limited({ memory: { limit: 96 * MIB, swap: 96 * MIB } }));
    const lines = r.run(['events', '--interval', '300ms', c.id]);
    await r.run(['exec', c.id, 'sh', '-c', `sleep 1; ${EATER}; sleep 1`]);
    await r.run(['kill', c.id, 'KILL']);
    const events = (await lines).stdout
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { type: string; id: string });
    expect(events.filter((e) => e.type === 'stats').length).toBeGreaterThan(1);
    expect(events).toContainEqual({ type: 'oom', id: c.id });
    expect((await r.run(['events', c.id])).stderr).toContain('not running');
    expect((await r.run(['events', '--interval', '0', c.id])).status).toBe(1);
  });
});

describe('inside', () => {
  test('/sys/fs/cgroup has the hierarchies of the host with the limits of the container', async () => {
    const limits: Resources = {
      memory: { limit: 64 * MIB, swap: 128 * MIB, reservation: 32 * MIB },
      cpu: { shares: 512, quota: 50_000, period: 100_000 },
    };
    const script = v1
      ? 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes; cat cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us; ls; grep " cgroup " /proc/self/mountinfo | sed "s/.* - //"; cut -d: -f1,2 /proc/self/cgroup'
      : 'cd /sys/fs/cgroup; cat memory.max memory.low cpu.max cpu.weight; grep cgroup2 /proc/self/mountinfo | sed "s/.* - cgroup2.*/cgroup2/"; cut -d: -f1,2 /proc/self/cgroup';
    const [runc, ours] = await Promise.all(BOTH.map(async (name) => await rig(name).script(script, limited(structuredClone(limits)))));
    expect(ours?.stderr).toBe('');
    expect(ours?.stdout).toBe(runc?.stdout);
  });

  test('numbers are real, and processors are those that the quota amounts to', async () => {
    const script =
      'nproc; grep -c ^processor /proc/cpuinfo; grep -c "^cpu[0-9]" /proc/stat; cat /sys/devices/system/cpu/online; head -c 20000000 /dev/zero | tail -c 20000000 | wc -c; cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.current; free | grep Mem';
    const r = await rig('ringfence').script(script, (spec) => {
      limited({ memory: { limit: 128 * MIB }, cpu: { quota: 100_000, period: 100_000 }, pids: { limit: 30 } })(spec);
      spec.mounts = spec.mounts.map((m) => (m.type === 'cgroup' ? { ...m, type: 'cgroup2' } : m));
    });
    const [nproc, info, stat, online, bytes, current, max, pids, free] = r.stdout.split('\n');
    expect([nproc, info, stat, online, bytes]).toEqual(['1', '1', '1', '0', '20000000']);
    expect(Number(max)).toBe(128 * MIB);
    expect(Number(current)).toBeGreaterThan(4 * MIB);
    expect(Number(current)).toBeLessThan(128 * MIB);
    expect(Number(pids)).toBe(2);
    expect(free).toMatch(/^Mem: +131072 /);
  });

  test('device rules hold', async () => {
    const script = 'head -c 4 /dev/zero | wc -c; head -c 4 /dev/full 2>&1 >/dev/null; mknod /tmp/n c 1 5 && head -c 4 /tmp/n | wc -c';
    const r = await rig('ringfence').script(script, (spec) => {
      limited({ devices: [{ allow: true }] })(spec);
      for (const set of Object.values(spec.process?.capabilities ?? {})) set.push('CAP_MKNOD');
    });
    expect(r.stdout).toBe('4\n4\n');
  });
});

describe('ringfence alone', () => {
  test('a memory limit that no sandbox fits in is told in one line', async () => {
    const r = await rig('ringfence').script('true', limited({ memory: { limit: 4 * MIB } }));
    expect(r.status).toBe(125);
    expect(r.stderr.trim()).toMatch(/^ringfence: the memory limit is too small: [^\n]*$/);
    expect(readdirSync(rig('ringfence').states)).toEqual([]);
  });

  test('--ignore-cgroups and --cgroup-manager disabled make no group', async () => {
    for (const word of ['--ignore-cgroups', '--cgroup-manager=disabled']) {
      const id = rig('ringfence').id();
      const bundle = rig('ringfence').bundle(['sleep', '1000'], limited({ pids: { limit: 7 } }));
      expect((await rig('ringfence').run(['run', '--detach', '--bundle', bundle, id], { global: [word] })).status).toBe(0);
      expect(readFileSync(`/proc/${(await rig('ringfence').state(id)).pid}/cgroup`, 'utf8')).not.toContain('rf-');
      expect((await rig('ringfence').run(['exec', id, 'cat', '/sys/fs/cgroup/pids/pids.max'])).stdout).toBe('7\n');
    }
  });

  test('checkpoint and restore are refused, help included', async () => {
    for (const words of [
      ['checkpoint', '--help'],
      ['checkpoint', '--image-path', '/tmp/x', 'c'],
      ['restore', '--help'],
      ['restore', 'c'],
    ]) {
      const r = await rig('ringfence').run(words);
      expect(r.status).toBe(1);
      expect(r.stderr).toBe(`ringfence: ${words[0]} is not supported\n`);
    }
  });
});
