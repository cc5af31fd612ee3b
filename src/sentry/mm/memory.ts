// The memory manager: one guest address space (Linux: struct mm_struct). It owns the set of areas, the choice of addresses and the
// limits; the pages are the host process's, changed by host calls that the asking thread's stub makes (house rule: the thread that asks
// stands in the stub, so nobody else need be stopped).

import { EACCES, EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM, EPERM } from '../../abi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_STACK,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../abi/mman.ts';
import { SYS_madvise, SYS_mprotect, SYS_mremap, SYS_munmap } from '../../abi/nr.ts';
import { type AddressSpace, type Context, NATIVE_FUTEX, type Platform } from '../../platform/platform.ts';
import { GapZone } from './gaps.ts';
import { isData, type MapObject, Vma, VmaSet } from './vma.ts';

export const PAGE = 4096;

export function pageDown(a: number): number {
  return a - (a % PAGE);
}

export function pageUp(a: number): number {
  const r = a % PAGE;
  return r === 0 ? a : a + PAGE - r;
}

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
/** Flags of mmap(2) that go to the host as they are; the others are the Sentry's business. */
const HOST_FLAGS = MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE | MAP_STACK;
const PROT_SEM = 8;
const PROT_GROWSDOWN = 0x01000000;

/** How far below the end of the address range files are mapped and programs placed: within the reach of what stands behind that end. */
const NEAR = 0x60000000 - 0x200000;
/** Anonymous memory from this size on goes below that, unless an address is asked for; at multiples of a huge page. */
const FAR_LENGTH = 64 << 20;
const HUGE_PAGE = 2 << 20;

/** What execve records for /proc and for prctl(PR_SET_MM). */
export interface ExecLayout {
  argStart: number;
  argEnd: number;
  envStart: number;
  envEnd: number;
  stackTop: number;
  auxv: Uint8Array;
}

/** Whoever makes mappings in the guest's address space: one of its threads, or a batch that a thread carries out later. */
export type Mapper = Pick<Context, 'mmap'>;

export class MemoryManager {
  readonly platform: Platform;
  readonly as: AddressSpace;
  readonly vmas: VmaSet = new VmaSet();
  /** Tasks that live in this address space. */
  users = 1;
  brkStart = 0;
  brkEnd = 0;
  /** Lowest address of what is kept close to the end of the address range. */
  readonly nearFloor: number;
  /** Small and file-backed mappings go into the first zone while there is room, large anonymous ones into the second. */
  private readonly near: GapZone;
  private readonly far: GapZone;
  layout: ExecLayout = { argStart: 0, argEnd: 0, envStart: 0, envEnd: 0, stackTop: 0, auxv: new Uint8Array(0) };
  /** The program file that runs here, for /proc/PID/exe. */
  exe: MapObject | null = null;
  /** PR_SET_DUMPABLE. */
  dumpable = 1;
  /** MCL_FUTURE was given. */
  lockFuture = false;
  /** Some task here is or was traced: a tracer sees every call, and code as it was written. */
  traced = false;
  /** Private futex queues by address; made by kernel/futex.ts. */
  futexes: unknown = null;
  /** RLIMIT_AS, RLIMIT_DATA in bytes, kept by the owner. */
  limitAs = Infinity;
  limitData = Infinity;
  /** RLIMIT_MEMLOCK, and whether CAP_IPC_LOCK lifts it: of the task that locked future maps (MCL_FUTURE). */
  limitLocked = Infinity;

  constructor(platform: Platform, as: AddressSpace) {
    this.platform = platform;
    this.as = as;
    this.nearFloor = Math.max(platform.minAddress, platform.maxAddress - NEAR);
    this.near = new GapZone(this.vmas, this.nearFloor, platform.maxAddress - PAGE);
    this.far = new GapZone(this.vmas, platform.minAddress, this.nearFloor);
  }

  /** Guest memory -> buf. 0 or -EFAULT. */
  read(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (!this.inRange(addr, len)) return this.inVdso(addr, len) ? this.as.read(addr, buf, off, len) : -EFAULT;
    return this.as.read(addr, buf, off, len);
  }

  /** buf -> guest memory. 0 or -EFAULT. */
  write(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (len === 0) return 0;
    if (!this.inRange(addr, len)) return -EFAULT;
    return this.as.write(addr, buf, off, len);
  }

  /** True when [addr, addr + len) lies in one area that the guest may write: then only its own tricks make a write there fail. */
  mayWrite(addr: number, len: number): boolean {
    const v = this.vmas.find(addr);
    return v !== null && addr + len <= v.end && (v.prot & PROT_WRITE) !== 0;
  }

  /** Pages were locked: what madvise(2) may do to them is the Sentry's to say. */
  noteLocked(): void {
    this.as.setNative(NATIVE_FUTEX);
  }

  /** A filter looks at calls of a task here: those that the engine makes itself must be among `calls` (NATIVE_*). */
  limitNative(calls: number): void {
    this.as.setNative(calls);
  }

  /** `ctx`, stopped in this address space, is traced. */
  noteTraced(ctx: Context): void {
    if (this.traced) return;
    this.traced = true;
    this.as.setNative(0);
    ctx.unpatch();
  }

  /** The protection of the code at [addr, addr + len) when it may be rewritten: private, executable, not writable. -1 otherwise. */
  codeProtection(addr: number, len: number): number {
    const v = this.vmas.find(addr);
    if (v === null || addr + len > v.end || (v.flags & MAP_PRIVATE) === 0) return -1;
    return (v.prot & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC ? v.prot : -1;
  }

  /** As many bytes as are readable from addr. */
  readUpTo(addr: number, buf: Uint8Array, off: number, len: number): number {
    if (addr >= this.platform.maxAddress) return this.inVdso(addr, 1) ? this.as.readUpTo(addr, buf, off, len) : 0;
    return this.as.readUpTo(addr, buf, off, Math.min(len, this.platform.maxAddress - addr));
  }

  private inRange(addr: number, len: number): boolean {
    return addr + len <= this.platform.maxAddress;
  }

  private inVdso(addr: number, len: number): boolean {
    const p = this.platform;
    return addr >= p.vdsoAddress && addr + len <= p.vdsoAddress + p.vdsoSize;
  }

  /** Where mappings near the end of the address range may lie: [floor, top). */
  setNear(floor: number, top: number): void {
    this.near.move(floor, top);
  }

  /** Top of the area that mmap fills downwards. */
  get mmapBase(): number {
    return this.near.top;
  }

  /** A free range of `len` bytes, at `hint` if that is free. `far`: rather away from programs and files. -ENOMEM when none. */
  findGap(hint: number, len: number, far = false): number {
    if (hint >= this.platform.minAddress && hint + len <= this.platform.maxAddress && !this.vmas.overlaps(hint, hint + len)) return hint;
    let at = far ? this.far.find(len, HUGE_PAGE) : this.near.find(len, PAGE);
    if (at < 0) at = far ? this.near.find(len, PAGE) : this.far.find(len, PAGE);
    return at >= 0 ? at : this.aboveNear(len);
  }

  /** What an exhausted lower part leaves: between the near zone and the end of the address range. */
  private aboveNear(len: number): number {
    const list = this.vmas.list;
    let at = this.near.top;
    for (let i = this.vmas.indexAfter(at); ; i++) {
      const v = list[i];
      const end = v === undefined ? this.platform.maxAddress : v.start;
      if (end - at >= len) return at;
      if (v === undefined) return -ENOMEM;
      at = Math.max(at, v.end);
    }
  }

  /** Forgets the areas of [start, end), whose pages are gone. */
  private free(start: number, end: number): void {
    this.vmas.remove(start, end);
    this.near.freed(start, end);
    this.far.freed(start, end);
  }

  /** Would `len` more bytes with these attributes exceed RLIMIT_DATA? */
  private beyondData(prot: number, flags: number, len: number): boolean {
    return isData(prot, flags) && this.vmas.data + len > this.limitData;
  }

  /**
   * mmap(2). `object` (a reference is taken) and `fd`/`fdOffset` say what backs it; fd -1 is anonymous. `offset` is what the guest gave.
   * The address or -errno.
   */
  mmap(
    ctx: Mapper,
    hint: number,
    length: number,
    prot: number,
    flags: number,
    maxProt: number,
    object: MapObject | null,
    offset: number,
    fd: number,
    fdOffset: number,
  ): number {
    const len = pageUp(length);
    if (len === 0) return -EINVAL;
    if (len > this.platform.maxAddress) return -ENOMEM;
    let addr: number;
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      addr = hint;
      if (addr % PAGE !== 0) return -EINVAL;
      if (addr + len > this.platform.maxAddress) return -ENOMEM;
      if (addr < this.platform.minAddress) return -EPERM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && this.vmas.overlaps(addr, addr + len)) return -EEXIST;
    } else {
      addr = this.findGap(pageDown(hint), len, fd < 0 && len >= FAR_LENGTH && (prot & PROT_EXEC) === 0);
      if (addr < 0) return addr;
    }
    if (this.vmas.total + len > this.limitAs || this.beyondData(prot, flags, len)) return -ENOMEM;
    if (this.lockFuture && this.vmas.locked + len > this.limitLocked) return -EAGAIN;
    let host = (flags & HOST_FLAGS) | (fd < 0 ? MAP_ANONYMOUS : 0);
    // What the guest may never write is private to the host's kernel: it shows the same pages, and a guest that calls mprotect(2) behind the
    // Sentry's back gets a copy, whatever the descriptor allows.
    if ((flags & MAP_SHARED) !== 0 && (maxProt & PROT_WRITE) === 0) host = (host & ~MAP_SHARED) | MAP_PRIVATE;
    const r = ctx.mmap(addr, len, prot & PROT_ALL, fd < 0 ? host : host & ~MAP_ANONYMOUS, fd, fdOffset);
    if (r < 0) return r;
    this.vmas.remove(addr, addr + len);
    if (object !== null) object.ref();
    const kept = flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE | MAP_STACK);
    const v = new Vma(addr, addr + len, prot & PROT_ALL, maxProt, kept, object, offset);
    v.locked = this.lockFuture;
    this.vmas.insert(v);
    return addr;
  }

  /** munmap(2). 0 or -errno. */
  munmap(ctx: Context, addr: number, length: number): number {
    const len = pageUp(length);
    if (addr % PAGE !== 0 || len === 0 || addr + len > this.platform.maxAddress) return -EINVAL;
    const r = ctx.hostcall(SYS_munmap, addr, len, 0, 0, 0, 0);
    if (r < 0) return r;
    this.free(addr, addr + len);
    return 0;
  }

  /** mprotect(2). 0 or -errno. */
  mprotect(ctx: Context, addr: number, length: number, prot: number): number {
    if (addr % PAGE !== 0 || (prot & ~(PROT_ALL | PROT_SEM | PROT_GROWSDOWN)) !== 0) return -EINVAL;
    const len = pageUp(length);
    if (len === 0) return 0;
    if (addr + len > this.platform.maxAddress) return -ENOMEM;
    let start = addr;
    if ((prot & PROT_GROWSDOWN) !== 0) {
      const v = this.vmas.find(addr);
      if (v === null) return -ENOMEM;
      if ((v.flags & MAP_GROWSDOWN) === 0) return -EINVAL;
      start = v.start;
    }
    const want = prot & PROT_ALL;
    const end = addr + len;
    if (!this.vmas.covers(start, end)) return -ENOMEM;
    for (let i = this.vmas.indexAfter(start); i < this.vmas.list.length; i++) {
      const v = this.vmas.list[i]!;
      if (v.start >= end) break;
      if ((want & ~v.maxProt) !== 0) return -EACCES;
    }
    const r = ctx.hostcall(SYS_mprotect, start, end - start, want, 0, 0, 0);
    if (r < 0) return r;
    this.vmas.protect(start, end, want);
    return 0;
  }

  /** brk(2): moves the program break; the new (or unchanged) break. */
  brk(ctx: Context, to: number): number {
    if (to < this.brkStart || to >= this.platform.maxAddress) return this.brkEnd;
    const oldEnd = pageUp(this.brkEnd);
    const newEnd = pageUp(to);
    if (newEnd > oldEnd) {
      if (this.vmas.overlaps(oldEnd, newEnd + PAGE)) return this.brkEnd;
      if (this.vmas.total + newEnd - oldEnd > this.limitAs) return this.brkEnd;
      if (this.beyondData(PROT_WRITE, MAP_PRIVATE, newEnd - oldEnd)) return this.brkEnd;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS;
      if (ctx.mmap(oldEnd, newEnd - oldEnd, PROT_READ | PROT_WRITE, flags, -1, 0) < 0) return this.brkEnd;
      this.vmas.insert(new Vma(oldEnd, newEnd, PROT_READ | PROT_WRITE, PROT_ALL, MAP_PRIVATE, null, 0, '[heap]'));
    } else if (newEnd < oldEnd && this.munmap(ctx, newEnd, oldEnd - newEnd) < 0) return this.brkEnd;
    this.brkEnd = to;
    return to;
  }

  /** mremap(2). The address or -errno. */
  mremap(ctx: Context, addr: number, oldLength: number, newLength: number, flags: number, newAddr: number): number {
    const known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    if ((flags & ~known) !== 0 || addr % PAGE !== 0) return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
    const oldLen = pageUp(oldLength);
    const newLen = pageUp(newLength);
    if (newLen === 0) return -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) !== 0 && oldLen !== newLen) return -EINVAL;
    const v = this.vmas.find(addr);
    if (v === null) return -EFAULT;
    if (oldLen === 0 && (v.flags & MAP_SHARED) === 0) return -EINVAL;
    if (addr + oldLen > v.end) return -EFAULT;
    const fixed = (flags & MREMAP_FIXED) !== 0;
    if (fixed) {
      if (newAddr % PAGE !== 0 || newAddr + newLen > this.platform.maxAddress || newAddr < this.platform.minAddress) return -EINVAL;
      if (newAddr < addr + oldLen && addr < newAddr + newLen) return -EINVAL;
    } else if ((flags & MREMAP_DONTUNMAP) === 0 && oldLen > 0) {
      if (newLen === oldLen) return addr;
      if (newLen < oldLen) {
        const r = this.munmap(ctx, addr + newLen, oldLen - newLen);
        return r < 0 ? r : addr;
      }
      // Grow in place when the room behind is free.
      const end = addr + oldLen;
      if (v.end === end && addr + newLen <= this.platform.maxAddress && !this.vmas.overlaps(end, addr + newLen)) {
        if (this.vmas.total + newLen - oldLen > this.limitAs || this.beyondData(v.prot, v.flags, newLen - oldLen)) return -ENOMEM;
        const r = ctx.hostcall(SYS_mremap, addr, oldLen, newLen, 0, 0, 0);
        if (r === addr) {
          const grown = v.slice(addr, end);
          grown.start = end;
          grown.end = addr + newLen;
          grown.offset += oldLen;
          this.vmas.insert(grown);
          return addr;
        }
      }
      if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    }
    if (this.vmas.total + newLen - (fixed ? 0 : oldLen) > this.limitAs) return -ENOMEM;
    if (this.beyondData(v.prot, v.flags, newLen - oldLen)) return -ENOMEM;
    const to = fixed ? newAddr : this.findGap(0, newLen, v.object === null && newLen >= FAR_LENGTH && (v.prot & PROT_EXEC) === 0);
    if (to < 0) return to;
    const r = ctx.hostcall(SYS_mremap, addr, oldLen, newLen, MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP), to, 0);
    if (r < 0) return r;
    const moved = v.slice(addr, addr + Math.max(oldLen, PAGE));
    moved.start = to;
    moved.end = to + newLen;
    if ((flags & MREMAP_DONTUNMAP) === 0 && oldLen > 0) this.free(addr, addr + oldLen);
    this.vmas.remove(to, to + newLen);
    this.vmas.insert(moved);
    return to;
  }

  /** madvise(2) that the host may see as it is. The caller has checked `advice`. 0 or -errno. */
  madvise(ctx: Context, addr: number, len: number, advice: number): number {
    return ctx.hostcall(SYS_madvise, addr, len, advice, 0, 0, 0);
  }

  /** The areas of a fork's child. The host has copied the pages already. */
  fork(as: AddressSpace): MemoryManager {
    const m = new MemoryManager(this.platform, as);
    for (const v of this.vmas.list) {
      if (v.dontFork) continue;
      const c = v.slice(v.start, v.end);
      c.locked = false;
      m.vmas.append(c);
    }
    m.brkStart = this.brkStart;
    m.brkEnd = this.brkEnd;
    m.setNear(this.near.floor, this.near.top);
    m.layout = this.layout;
    m.exe = this.exe;
    if (m.exe !== null) m.exe.ref();
    m.dumpable = this.dumpable;
    m.limitAs = this.limitAs;
    m.limitData = this.limitData;
    return m;
  }

  /** A task leaves; with the last one the host process ends. True if it was the last. */
  unref(): boolean {
    if (--this.users > 0) return false;
    this.as.kill();
    this.vmas.clear();
    if (this.exe !== null) this.exe.unref();
    this.exe = null;
    return true;
  }
}
