// struct rusage of getrusage(2) and wait4(2).

import { RUSAGE } from '../../abi/layouts.ts';
import { putU64 } from '../../base/bytes.ts';
import type { Usage } from '../kernel/usage.ts';

function putTimeval(b: Uint8Array, off: number, ns: number): void {
  putU64(b, off, Math.floor(ns / 1e9));
  putU64(b, off + 8, Math.floor((ns % 1e9) / 1e3));
}

/** Writes `u` as a struct rusage to the beginning of `b`. */
export function putRusage(u: Usage, b: Uint8Array): void {
  b.fill(0, 0, RUSAGE.size);
  putTimeval(b, RUSAGE.ru_utime, u.userNs);
  putTimeval(b, RUSAGE.ru_stime, u.systemNs);
  putU64(b, RUSAGE.ru_maxrss, u.maxRssKb);
  putU64(b, RUSAGE.ru_minflt, u.minorFaults);
  putU64(b, RUSAGE.ru_majflt, u.majorFaults);
}
