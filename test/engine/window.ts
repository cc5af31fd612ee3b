// Calls whose answer is how their bytes travelled: the window is compared with guest memory. For guests/traffic.c.
import type { MiniKernel, Task } from './kernel.ts';

const EFAULT = -14;
const EINVAL = -22;
const ENAMETOOLONG = -36;
const CAME_NOT = -1000;
const DIFFERS = -1001;
const PATH_MAX = 4096;
const IOV_MAX = 1024;
const LIMIT = 1 << 20;
const MSGHDR_BYTES = 56;

const memory = Buffer.alloc(LIMIT);

/** The path at `addr` as memory and window have it: its length with the NUL. */
function path(t: Task, addr: number): number {
  const c = t.context;
  const n = c.addressSpace.readUpTo(addr, memory, 0, PATH_MAX);
  const bytes = memory.subarray(0, n).indexOf(0) + 1;
  const at = c.fetchedFrom(addr);
  if (n === 0) return at < 0 ? EFAULT : DIFFERS;
  if (bytes === 0) return n === PATH_MAX ? ENAMETOOLONG : EFAULT;
  if (at < 0) return CAME_NOT;
  return c.fetchedLength >= bytes && memory.compare(c.window, at, at + bytes, 0, bytes) === 0 ? bytes : DIFFERS;
}

/** The same for `len` bytes. */
function bytesAt(t: Task, addr: number, len: number): number {
  const c = t.context;
  if (len === 0) return 0;
  const at = c.fetched(addr, len);
  if (len > LIMIT || c.addressSpace.read(addr, memory, 0, len) < 0) return at < 0 ? EFAULT : DIFFERS;
  if (at < 0) return CAME_NOT;
  return memory.compare(c.window, at, at + len, 0, len) === 0 ? len : DIFFERS;
}

/** The same for what the `count` elements of an iovec show. */
function vector(t: Task, addr: number, count: number): number {
  if (count === 0) return 0;
  if (count > IOV_MAX) return EINVAL;
  let result = bytesAt(t, addr, count * 16);
  if (result === EFAULT || result === DIFFERS) return result;
  const elements = Buffer.from(memory.subarray(0, count * 16));
  let total = 0;
  for (let i = 0; i < count; i++) {
    const n = bytesAt(t, Number(elements.readBigUInt64LE(i * 16)), Number(elements.readBigUInt64LE(i * 16 + 8)));
    if (n === EFAULT || n === DIFFERS) return n;
    if (n === CAME_NOT) result = CAME_NOT;
    total += n;
  }
  return result === CAME_NOT ? CAME_NOT : total;
}

function message(t: Task, addr: number): number {
  const r = bytesAt(t, addr, MSGHDR_BYTES);
  if (r < 0) return r;
  const header = Buffer.from(memory.subarray(0, MSGHDR_BYTES));
  return vector(t, Number(header.readBigUInt64LE(16)), Number(header.readBigUInt64LE(24)));
}

/** open, pwrite64, writev, sendmsg and rename of `k` are answered here. */
export function compareWindows(k: MiniKernel): void {
  k.answers.set(2, (t, args) => path(t, args[0] as number));
  k.answers.set(18, (t, args) => bytesAt(t, args[1] as number, args[2] as number));
  k.answers.set(20, (t, args) => vector(t, args[1] as number, args[2] as number));
  k.answers.set(46, (t, args) => message(t, args[1] as number));
  k.answers.set(82, (t, args) => {
    const from = path(t, args[0] as number);
    const to = path(t, args[1] as number);
    return from < 0 ? from : to < 0 ? to : from + to;
  });
}
