// The rows of the table as data: what is measured, against what, and the goals.

import type { Unit } from './stats.ts';

export interface Row {
  /** What the command line and the kept results call it. */
  id: string;
  title: string;
  unit: Unit;
  /** Whom the first ratio compares with. */
  base: 'native' | 'runc';
  /** What ringfence's value may be at most, as a multiple of the base's; undefined: nothing is promised. */
  goal?: number;
  /** The same, as a share of the value of runsc on systrap. */
  runscGoal?: number;
  /** What ringfence's value itself may be at most, in the row's unit. */
  limit?: number;
  /** Whether --quick measures it. */
  quick: boolean;
}

/** Rows that one start of a sandbox measures together. */
export interface Group {
  name: string;
  /** Which program measures: the C one, the shell script of programs, or this one from outside. */
  by: 'guest' | 'programs' | 'life';
  /** Options of the C program. */
  options?: string[];
  /** Milliseconds for each row, where it is not the usual time. */
  ms?: number;
  /** The mean counts, not the median: where threads take turns, the turns without the row count too. */
  mean?: boolean;
  /** The whole sandbox runs on one processor. */
  oneCpu?: boolean;
  /** How many times at most, whatever --runs says: rows that take long. */
  maxRuns?: number;
  rows: Row[];
}

type Line = [id: string, title: string, goal?: number, runscGoal?: number];

function rows(lines: Line[], quick: boolean | string[], base: Row['base'] = 'native', unit: Unit = 'ns'): Row[] {
  return lines.map(([id, title, goal, runscGoal]) => {
    const row: Row = { id, title, unit, base, quick: quick === true || (quick !== false && quick.includes(id)) };
    if (goal !== undefined) row.goal = goal;
    if (runscGoal !== undefined) row.runscGoal = runscGoal;
    return row;
  });
}

/** Rows of the C program keep their names in every surrounding: `getppid@busy-2`. What stands before the @ is the program's name. */
export function guestName(id: string): string {
  return id.split('@')[0]!;
}

const calls: Line[] = [
  ['getppid', 'getppid', 2.5, 0.3],
  ['clock_gettime', 'clock_gettime by syscall()', 2.5, 0.3],
  ['sched_yield', 'sched_yield', 2.5, 0.3],
  ['read-zero', 'read 1 byte of /dev/zero', 3, 0.5],
  ['write-null', 'write 1 byte to /dev/null', 3, 0.5],
  ['pipe', 'pipe: write + read 1 byte', 3, 0.5],
  ['pread-4k', 'pread 4 KiB, cached', 2.5, 0.6],
  ['pwrite-4k', 'pwrite 4 KiB, cached', 2.5, 0.6],
  ['pread-64k', 'pread 64 KiB, cached', 2.5, 1],
  ['pwrite-64k', 'pwrite 64 KiB, cached', 2.5, 1],
  ['stat', 'stat of a known name', 1, 0.3],
  ['fstat', 'fstat', 1, 0.3],
  ['open-close', 'open + close of a known name', 1.5, 0.6],
  ['getdents-1000', 'getdents of 1,000 names', 3, 0.5],
  ['pipe-threads', 'pipe ping-pong, threads', 2, 0.3],
  ['pipe-processes', 'pipe ping-pong, processes', 2, 0.3],
  ['futex-threads', 'futex ping-pong, threads', 2, 0.3],
  ['futex-processes', 'futex ping-pong, processes', 2, 0.3],
  ['epoll', 'epoll_wait + eventfd, one thread', 3, 0.4],
  ['epoll-wake', 'epoll_wait + eventfd wake, threads, round trip', 3, 0.4],
  ['mmap', 'mmap + touch 4 pages + munmap', 1.5, 0.1],
  ['fault', 'page fault', 1.5, 1],
  ['brk', 'brk', 1.5, 0.1],
  ['mprotect', 'mprotect of 4 pages', 1.5, 0.1],
  ['fork', 'fork + exit + wait', 2, 0.15],
  ['fork-exec', 'fork + exec + wait', 2, 0.15],
  ['thread', 'thread create + join', 2, 0.4],
  ['unix-round', 'unix socket ping-pong, processes', 3, 0.4],
  ['unix-stream-64k', 'unix socket stream, per 64 KiB', 3, 0.4],
  ['signal', 'signal to self, handler, return', 4, 0.5],
];

const programs: Line[] = [
  ['python3', 'python3 -c pass', 1.5, 0.4],
  ['node', 'node -e 0', 1.5, 0.4],
  ['bash-true', 'bash: 200 times /bin/true', 1.5, 0.4],
  ['tar', 'tar x of 5,000 files', 1.5, 0.5],
  ['git-status', 'git status in 5,000 files', 1.5, 0.5],
  ['find', 'find in 5,000 files', 1.5, 0.5],
  ['make', 'make of a C project', 1.5, 0.5],
  ['npm-install', 'npm install from local packages', 1.5, 0.5],
  ['sqlite', 'sqlite: 10,000 inserts, no fsync', 2, 0.5],
  ['sqlite-fsync', 'sqlite: 10,000 inserts, with fsync', 2, 0.5],
  ['redis', 'redis-benchmark, unix socket', 2, 0.5],
];

function busy(n: number): Group {
  const lines: Line[] = [
    [`getppid@busy-${n}`, `getppid beside ${n} busy thread${n > 1 ? 's' : ''}`, 2.5, 0.3],
    [`pread-4k@busy-${n}`, `pread 4 KiB beside ${n} busy thread${n > 1 ? 's' : ''}`, 2.5, 0.6],
  ];
  return { name: `beside ${n} busy`, by: 'guest', options: ['--busy', `${n}`], ms: 500, mean: true, maxRuns: 3, rows: rows(lines, false) };
}

const oneCpu: Line[] = [
  ['getppid@one-cpu', 'getppid on one processor', 2.5, 0.3],
  ['pread-4k@one-cpu', 'pread 4 KiB on one processor', 2.5, 0.6],
  ['pipe-threads@one-cpu', 'pipe ping-pong, threads, on one processor', 2, 0.3],
];

/**
 * What --quick measures: rows of one thread and of whole commands. What two threads or processes do together takes five times as long
 * when the scheduler puts them elsewhere, natively as well, and says nothing in a minute.
 */
const quickCalls = [
  'getppid',
  'clock_gettime',
  'sched_yield',
  'read-zero',
  'write-null',
  'pipe',
  'pread-4k',
  'pwrite-4k',
  'pread-64k',
  'pwrite-64k',
  'stat',
  'fstat',
  'open-close',
  'getdents-1000',
  'epoll',
  'mmap',
  'fault',
  'brk',
  'mprotect',
  'signal',
];

/** All groups of the first table, in the order in which they are measured and printed. */
export const groups: readonly Group[] = [
  { name: 'system calls', by: 'guest', rows: rows(calls, quickCalls) },
  { name: 'no call', by: 'guest', rows: rows([['bounce', 'a cache line between two threads, there and back: no call']], false) },
  ...[1, 2, 8].map(busy),
  { name: 'one processor', by: 'guest', ms: 300, mean: true, oneCpu: true, maxRuns: 3, rows: rows(oneCpu, false) },
  { name: 'programs', by: 'programs', maxRuns: 3, rows: rows(programs, ['python3', 'node']) },
  {
    name: 'life cycle',
    by: 'life',
    rows: rows(
      [
        ['do-true', '`do -- true`, start to end', 3, 0.7],
        ['bundle', 'busybox bundle: create + start + end + delete', 3, 0.7],
      ],
      true,
      'runc',
    ),
  },
  {
    name: 'idle sandbox',
    by: 'life',
    maxRuns: 3,
    rows: [
      ...rows([['idle-pss', 'memory of an idle sandbox (PSS, all processes)', undefined, 1]], false, 'runc', 'bytes'),
      {
        id: 'idle-switches',
        title: 'idle sandbox: voluntary context switches',
        unit: 'per second',
        base: 'runc',
        limit: 0.5,
        quick: false,
      },
      { id: 'idle-cpu', title: 'idle sandbox: processor time in 3 s', unit: 'ns', base: 'runc', limit: 1e6, quick: false },
    ],
  },
  {
    name: 'many sandboxes',
    by: 'life',
    maxRuns: 1,
    rows: [
      ...rows([['many-time', '100 idle busybox sandboxes: time to start', 3, 0.7]], false, 'runc'),
      ...rows([['many-pss', '100 idle busybox sandboxes: PSS', 3, 0.7]], false, 'runc', 'bytes'),
    ],
  },
];

/** What may be many around a call, and which rows are measured among them. */
export interface Surrounding {
  kind: 'files' | 'tasks' | 'maps' | 'names';
  title: string;
  rows: string[];
}

export const surroundings: readonly Surrounding[] = [
  { kind: 'files', title: 'open files', rows: ['stat', 'open-close', 'read-zero', 'mmap', 'fork', 'epoll'] },
  { kind: 'tasks', title: 'tasks', rows: ['stat', 'open-close', 'read-zero', 'mmap', 'fork', 'epoll'] },
  { kind: 'maps', title: 'mappings', rows: ['stat', 'open-close', 'read-zero', 'mmap', 'fork', 'epoll'] },
  { kind: 'names', title: 'directory entries', rows: ['stat', 'open-close'] },
];

export const sizes: readonly number[] = [1, 100, 10_000];

/** The kept name of a row among so many of something. */
export function sizeId(row: string, kind: Surrounding['kind'], n: number): string {
  return `${row}@${kind}-${n}`;
}
