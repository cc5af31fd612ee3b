// The arguments and the environment of execve(2), read from the guest.

import { E2BIG, EFAULT } from '../../abi/errno.ts';
import { RLIMIT_STACK } from '../../abi/resource.ts';
import { getU64, latin1Decode } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import { PAGE, pageDown } from '../mm/memory.ts';

/** MAX_ARG_STRLEN. */
const MAX_STRING = 131072;
/** Room for arguments: a quarter of the stack, at most 6 MiB (execve(2)). */
const ARGS_MOST = 6 << 20;

/** Part of a vector of pointers, and the page of the guest at `pageHeld` (0: none) while its strings are read. */
const pointers = new Uint8Array(1024);
const page = new Uint8Array(PAGE);
let pageHeld = 0;

/** Reads a NULL-terminated vector of strings from the guest. -EFAULT or -E2BIG. */
export function copyInStrings(t: Task, addr: number, out: string[], room: number): number {
  if (addr === 0) return 0;
  let used = 0;
  pageHeld = 0;
  for (let at = addr; ; ) {
    const n = t.mm.readUpTo(at, pointers, 0, Math.min(pointers.length, PAGE - (at % PAGE)));
    if (n < 8) {
      // One pointer may lie on two pages.
      if (t.mm.read(at, pointers, 0, 8) < 0) return -EFAULT;
    }
    const count = Math.max(1, n >>> 3);
    for (let i = 0; i < count; i++, at += 8) {
      const p = getU64(pointers, 8 * i);
      if (p === 0) return used;
      const s = copyInHeldString(t, p);
      if (typeof s === 'number') return s === -EFAULT ? s : -E2BIG;
      used += s.length + 9;
      if (used > room) return -E2BIG;
      out.push(s);
    }
  }
}

/** A string of the guest. Those of one vector mostly lie side by side: the page read last is kept for the next one. */
function copyInHeldString(t: Task, addr: number): string | number {
  const start = pageDown(addr);
  if (start !== pageHeld) {
    pageHeld = 0;
    if (t.mm.readUpTo(start, page, 0, PAGE) < PAGE) return t.copyInString(addr, MAX_STRING);
    pageHeld = start;
  }
  const end = page.indexOf(0, addr - start);
  return end < 0 ? t.copyInString(addr, MAX_STRING) : latin1Decode(page, addr - start, end);
}

/** How many bytes of arguments and environment execve takes for this task. */
export function argsRoom(t: Task): number {
  return Math.min(ARGS_MOST, Math.max(131072, t.rlimit(RLIMIT_STACK) / 4));
}
