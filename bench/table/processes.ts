// What /proc says of processes: who descends from whom, memory, switches, processor time.

import { readdirSync, readFileSync } from 'node:fs';

/** A file of /proc; undefined when its process has ended. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw e;
  }
}

/** State and parent; undefined when the process has ended. */
function stat(pid: number): { state: string; parent: number } | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, parent: Number(fields[1]) };
}

/** Whether a process still runs; one that nobody has waited for yet does not. */
export function alive(pid: number): boolean {
  const s = stat(pid);
  return s !== undefined && s.state !== 'Z' && s.state !== 'X';
}

/** All processes that descend from one, without itself. */
export function descendants(of: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const s = stat(pid);
    if (s === undefined) continue;
    const siblings = children.get(s.parent);
    if (siblings === undefined) children.set(s.parent, [pid]);
    else siblings.push(pid);
  }
  const found: number[] = [];
  const queue = [of];
  for (let p = queue.pop(); p !== undefined; p = queue.pop()) {
    for (const c of children.get(p) ?? []) {
      found.push(c);
      queue.push(c);
    }
  }
  return found;
}

/** Proportional set size of processes together, in bytes: pages that several share are divided among them. */
export function pss(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) kilobytes += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0);
  return kilobytes * 1024;
}

export interface Activity {
  /** Voluntary context switches. */
  switches: number;
  /** Processor time in nanoseconds. */
  cpu: number;
}

/** What all threads of some processes have done since they began. */
export function activity(pids: readonly number[]): Activity {
  const sum: Activity = { switches: 0, cpu: 0 };
  for (const pid of pids) {
    let tids: string[];
    try {
      tids = readdirSync(`/proc/${pid}/task`);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw e;
    }
    for (const tid of tids) {
      const dir = `/proc/${pid}/task/${tid}`;
      sum.switches += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(read(`${dir}/status`) ?? '')?.[1] ?? 0);
      sum.cpu += Number((read(`${dir}/schedstat`) ?? '0').split(' ')[0]);
    }
  }
  return sum;
}

/** Memory that the host could still give away, in bytes. */
export function available(): number {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))![1]) * 1024;
}
