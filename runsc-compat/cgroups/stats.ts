// What a container has used, in the form of runc's `events --stats`: names, units and which fields are left out at 0.

import { readdirSync } from 'node:fs';
import type { CgroupRecord } from './cgroup.ts';
import { UNIFIED } from './hierarchies.ts';
import { tryKnob } from './knobs.ts';
import { PIDS_ROOM } from './resources.ts';

/** JSON with whole numbers of 64 bits. */
export type Json = string | number | bigint | boolean | null | Json[] | { [key: string]: Json };

/** JSON.stringify for values with bigints. */
export function jsonText(v: Json): string {
  if (typeof v === 'bigint') return v.toString();
  if (Array.isArray(v)) return `[${v.map(jsonText).join(',')}]`;
  if (typeof v !== 'object' || v === null) return JSON.stringify(v);
  return `{${Object.entries(v)
    .map(([k, x]) => `${JSON.stringify(k)}:${jsonText(x)}`)
    .join(',')}}`;
}

type Fields = { [key: string]: Json };

const TICK_NS = 10_000_000n;
const US_NS = 1000n;
const NO_LIMIT = 2n ** 64n - 1n;

function big(text: string | null | undefined): bigint {
  const m = /^-?\d+/.exec(text ?? '');
  return m === null ? 0n : BigInt(m[0]);
}

/** A limit of v2: "max" is none. */
function limit(text: string | null): bigint {
  return text === null || text.startsWith('max') ? NO_LIMIT : big(text);
}

/** Lines "key value" as a record. */
function keyed(text: string | null): Record<string, bigint> {
  const out: Record<string, bigint> = {};
  for (const line of (text ?? '').split('\n')) {
    const m = /^(\S+) (\d+)$/.exec(line);
    if (m !== null) out[m[1] as string] = BigInt(m[2] as string);
  }
  return out;
}

/** Without what is 0 (Go's omitempty). */
function nonzero(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== 0n && v !== 0 && !(Array.isArray(v) && v.length === 0)));
}

/** "0-2,5" as numbers. */
function numbers(list: string | null): number[] {
  const out: number[] = [];
  for (const part of (list ?? '').split(',')) {
    const m = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (m === null) continue;
    for (let n = Number(m[1]); n <= Number(m[2] ?? m[1]); n++) out.push(n);
  }
  return out;
}

function entry(limitBytes: bigint, usage: bigint, max: bigint, failcnt: bigint): Fields {
  return { limit: limitBytes, ...nonzero({ usage, max }), failcnt };
}

function cpuV1(cpuacct: string, cpu: string): Fields {
  const ticks = keyed(tryKnob(cpuacct, 'cpuacct.stat'));
  const rows = (tryKnob(cpuacct, 'cpuacct.usage_all') ?? '').split('\n').slice(1);
  const column = (i: number): bigint[] => rows.map((r) => big(r.split(' ')[i]));
  const stat = keyed(tryKnob(cpu, 'cpu.stat'));
  const percpu = (tryKnob(cpuacct, 'cpuacct.usage_percpu') ?? '').split(' ').filter((w) => w !== '');
  return {
    usage: {
      ...nonzero({
        total: big(tryKnob(cpuacct, 'cpuacct.usage')),
        percpu: percpu.map(big),
        percpu_kernel: column(2),
        percpu_user: column(1),
      }),
      kernel: (ticks.system ?? 0n) * TICK_NS,
      user: (ticks.user ?? 0n) * TICK_NS,
    },
    throttling: nonzero({
      periods: stat.nr_periods ?? 0n,
      throttledPeriods: stat.nr_throttled ?? 0n,
      throttledTime: stat.throttled_time ?? 0n,
    }),
  };
}

function cpusetV1(folder: string): Fields {
  const n = (name: string): bigint => big(tryKnob(folder, `cpuset.${name}`));
  return {
    ...nonzero({ cpus: numbers(tryKnob(folder, 'cpuset.cpus')) }),
    cpu_exclusive: n('cpu_exclusive'),
    ...nonzero({ mems: numbers(tryKnob(folder, 'cpuset.mems')) }),
    mem_hardwall: n('mem_hardwall'),
    mem_exclusive: n('mem_exclusive'),
    memory_migrate: n('memory_migrate'),
    memory_spread_page: n('memory_spread_page'),
    memory_spread_slab: n('memory_spread_slab'),
    memory_pressure: n('memory_pressure'),
    sched_load_balance: n('sched_load_balance'),
    sched_relax_domain_level: n('sched_relax_domain_level'),
  };
}

function memoryV1(folder: string): Fields {
  const raw = keyed(tryKnob(folder, 'memory.stat'));
  const part = (name: string): Fields => {
    const at = (what: string): bigint => big(tryKnob(folder, `memory.${name}${what}`));
    return entry(at('limit_in_bytes'), at('usage_in_bytes'), at('max_usage_in_bytes'), at('failcnt'));
  };
  return {
    ...nonzero({ cache: raw.cache ?? 0n }),
    usage: part(''),
    swap: part('memsw.'),
    kernel: part('kmem.'),
    kernelTCP: part('kmem.tcp.'),
    raw,
  };
}

/** Lines "MAJOR:MINOR OP VALUE"; the sum at the end is nobody's. */
function blockLines(text: string | null): Fields[] {
  const out: Fields[] = [];
  for (const line of (text ?? '').split('\n')) {
    const m = /^(\d+):(\d+) (?:(\w+) )?(\d+)$/.exec(line);
    if (m === null) continue;
    out.push(nonzero({ major: big(m[1]), minor: big(m[2]), ...(m[3] === undefined ? {} : { op: m[3] }), value: big(m[4]) }));
  }
  return out;
}

function blkioV1(folder: string): Fields {
  for (const [prefix, recursive] of [
    ['blkio.bfq.', '_recursive'],
    ['blkio.', '_recursive'],
    ['blkio.throttle.', ''],
  ] as const) {
    const at = (name: string): Fields[] => blockLines(tryKnob(folder, `${prefix}${name}${recursive}`));
    const serviced = at('io_serviced');
    if (serviced.length === 0) continue;
    return nonzero({
      ioServiceBytesRecursive: at('io_service_bytes'),
      ioServicedRecursive: serviced,
      ioQueueRecursive: at('io_queued'),
      ioServiceTimeRecursive: at('io_service_time'),
      ioWaitTimeRecursive: at('io_wait_time'),
      ioMergedRecursive: at('io_merged'),
      ioTimeRecursive: at('time'),
      sectorsRecursive: at('sectors'),
    });
  }
  return {};
}

function hugetlb(folder: string | undefined, names: { limit: string; usage: string; max: string; failcnt: string }): Fields {
  const out: Fields = {};
  if (folder === undefined) return out;
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch {
    return out;
  }
  for (const f of files) {
    const m = /^hugetlb\.(\w+)\.(\w+)$/.exec(f);
    if (m === null || m[2] !== names.usage) continue;
    const at = (name: string): bigint => big(tryKnob(folder, `hugetlb.${m[1]}.${name}`));
    const failed = names.failcnt === 'events' ? (keyed(tryKnob(folder, `hugetlb.${m[1]}.events`)).max ?? 0n) : at(names.failcnt);
    out[m[1] as string] = { ...nonzero({ usage: at(names.usage), max: names.max === '' ? 0n : at(names.max) }), failcnt: failed };
  }
  return out;
}

function ioV2(folder: string): Fields {
  const bytes: Fields[] = [];
  const count: Fields[] = [];
  for (const line of (tryKnob(folder, 'io.stat') ?? '').split('\n')) {
    const m = /^(\d+):(\d+) (.*)$/.exec(line);
    if (m === null) continue;
    for (const word of (m[3] as string).split(' ')) {
      const [key = '', value] = word.split('=');
      const op = { r: 'Read', w: 'Write', d: 'Discard' }[key.charAt(0)];
      if (op === undefined || !/^[rwd](bytes|ios)$/.test(key)) continue;
      (key.endsWith('bytes') ? bytes : count).push(nonzero({ major: big(m[1]), minor: big(m[2]), op, value: big(value) }));
    }
  }
  return nonzero({ ioServiceBytesRecursive: bytes, ioServicedRecursive: count });
}

function dataV2(folder: string): Fields {
  const cpu = keyed(tryKnob(folder, 'cpu.stat'));
  const raw = keyed(tryKnob(folder, 'memory.stat'));
  const usage = big(tryKnob(folder, 'memory.current'));
  const most = limit(tryKnob(folder, 'memory.max'));
  const swapMost = limit(tryKnob(folder, 'memory.swap.max'));
  const ns = (name: string): bigint => (cpu[name] ?? 0n) * US_NS;
  const none = entry(0n, 0n, 0n, 0n);
  const swap = entry(
    most === NO_LIMIT || swapMost === NO_LIMIT ? NO_LIMIT : most + swapMost,
    usage + big(tryKnob(folder, 'memory.swap.current')),
    0n,
    0n,
  );
  return {
    cpu: {
      usage: { ...nonzero({ total: ns('usage_usec') }), kernel: ns('system_usec'), user: ns('user_usec') },
      throttling: nonzero({ periods: cpu.nr_periods ?? 0n, throttledPeriods: cpu.nr_throttled ?? 0n, throttledTime: ns('throttled_usec') }),
    },
    cpuset: { ...cpusetV1('/nowhere') },
    memory: {
      ...nonzero({ cache: raw.file ?? 0n }),
      usage: entry(most, usage, big(tryKnob(folder, 'memory.peak')), keyed(tryKnob(folder, 'memory.events')).max ?? 0n),
      swap,
      kernel: none,
      kernelTCP: none,
      raw,
    },
    blkio: ioV2(folder),
    hugetlb: hugetlb(folder, { limit: 'max', usage: 'current', max: '', failcnt: 'events' }),
  };
}

function dataV1(paths: Record<string, string>): Fields {
  const at = (controller: string): string => paths[controller] ?? '/nowhere';
  return {
    cpu: cpuV1(at('cpuacct'), at('cpu')),
    cpuset: cpusetV1(at('cpuset')),
    memory: memoryV1(at('memory')),
    blkio: blkioV1(at('blkio')),
    hugetlb: hugetlb(paths.hugetlb, { limit: 'limit_in_bytes', usage: 'usage_in_bytes', max: 'max_usage_in_bytes', failcnt: 'failcnt' }),
  };
}

/** The `data` of a stats event. `tasks`: how many the guest has, where the sandbox told; the host counts the sandbox's own as well. */
export function stats(record: CgroupRecord | undefined, tasks: number | null): Json {
  const paths = record?.paths ?? {};
  const pidsFolder = (record?.version === 2 ? paths[UNIFIED] : paths.pids) ?? '/nowhere';
  const most = big(tryKnob(pidsFolder, 'pids.max'));
  const current = tasks === null ? big(tryKnob(pidsFolder, 'pids.current')) : BigInt(tasks);
  const { cpu, cpuset, memory, blkio, hugetlb: huge } = record?.version === 2 ? dataV2(paths[UNIFIED] ?? '/nowhere') : dataV1(paths);
  return {
    cpu: cpu as Json,
    cpuset: cpuset as Json,
    memory: memory as Json,
    pids: nonzero({ current, limit: most > BigInt(PIDS_ROOM) ? most - BigInt(PIDS_ROOM) : 0n }),
    blkio: blkio as Json,
    hugetlb: huge as Json,
    intel_rdt: {},
    network_interfaces: null,
  };
}
