// Memory: mmap and its family (mmap(2), mprotect(2), madvise(2), mlock(2), mincore(2)).

import { CAP_IPC_LOCK } from '../../abi/capability.ts';
import { EACCES, EBADF, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM, ESRCH } from '../../abi/errno.ts';
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_SYNC,
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../abi/mman.ts';
import { ST_NOEXEC } from '../../abi/mount.ts';
import {
  SYS_brk,
  SYS_madvise,
  SYS_mincore,
  SYS_mlock,
  SYS_mlock2,
  SYS_mlockall,
  SYS_mmap,
  SYS_mprotect,
  SYS_mremap,
  SYS_msync,
  SYS_munlock,
  SYS_munlockall,
  SYS_munmap,
  SYS_process_vm_readv,
  SYS_process_vm_writev,
} from '../../abi/nr.ts';
import { RLIMIT_MEMLOCK } from '../../abi/resource.ts';
import { FileMapping, SharedMemory } from '../kernel/filemapping.ts';
import { mayPtrace } from '../kernel/ptrace.ts';
import type { Task } from '../kernel/task.ts';
import { noteOption } from '../kernel/unsupported.ts';
import { PAGE, pageDown, pageUp } from '../mm/memory.ts';
import { unknownOption } from './options.ts';
import { full, partial, type Row } from './row.ts';

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
/** Where addresses end: what reaches further has wrapped around. */
const ADDRESSES = 2 ** 64;
let nextShared = 1;

/** Anonymous shared memory: a memfd that the guest's process maps and the Sentry keeps. */
function sharedAnonymous(t: Task, len: number): SharedMemory | number {
  const host = t.kernel.host;
  const fd = host.memfd('shared');
  if (fd < 0) return fd;
  const r = host.ftruncate(fd, len);
  if (r < 0) {
    host.close(fd);
    return r;
  }
  return new SharedMemory(fd, '/dev/zero (deleted)', nextShared++, (n) => host.close(n));
}

export function sys_mmap(t: Task): number {
  const addr = t.arg(0);
  const len = t.arg(1);
  const prot = t.argU(2);
  const flags = t.argU(3);
  const offset = t.arg(5);
  if ((t.argU(5) & (PAGE - 1)) !== 0 || len === 0) return -EINVAL;
  const type = flags & 3;
  if (type === 0) return -EINVAL;
  const shared = type !== MAP_PRIVATE;
  if (type === MAP_SHARED_VALIDATE && (flags & MAP_SYNC) !== 0) {
    noteOption(t, 'mmap', 'MAP_SYNC');
    return -EOPNOTSUPP;
  }
  if ((flags & MAP_HUGETLB) !== 0) {
    noteOption(t, 'mmap', 'MAP_HUGETLB');
    return -ENOMEM;
  }
  if (len > t.kernel.platform.maxAddress) return -ENOMEM;
  const kept = (flags & ~3) | (shared ? MAP_SHARED : MAP_PRIVATE);
  if ((flags & MAP_ANONYMOUS) !== 0) {
    if (!shared) return t.mm.mmap(t.ctx, addr, len, prot, kept, PROT_ALL, null, 0, -1, 0);
    const m = sharedAnonymous(t, pageUp(len));
    if (typeof m === 'number') return m;
    m.ref();
    const r = t.mm.mmap(t.ctx, addr, len, prot, kept, PROT_ALL, m, 0, m.fd, 0);
    m.unref();
    return r;
  }
  const f = t.fds.get(t.argI(4));
  if (f === null) return -EBADF;
  if (!f.readable) return -EACCES;
  if ((flags & MAP_GROWSDOWN) !== 0) return -EINVAL;
  if (offset + len > 2 ** 52) return -EOVERFLOW;
  if (shared && (prot & PROT_WRITE) !== 0 && !f.writable) return -EACCES;
  let maxProt = PROT_ALL;
  if (shared && !f.writable) maxProt &= ~PROT_WRITE;
  if (f.mount !== null && (f.mount.flags & ST_NOEXEC) !== 0) {
    if ((prot & PROT_EXEC) !== 0) return -EPERM;
    maxProt &= ~PROT_EXEC;
  }
  const backing = f.mapping(t, offset, len, shared, shared && f.writable);
  if (typeof backing === 'number') return backing;
  // A device that maps as anonymous memory (/dev/zero).
  if (backing.fd < 0) {
    if (!shared) return t.mm.mmap(t.ctx, addr, len, prot, kept, maxProt, new FileMapping(f), offset, -1, 0);
    const m = sharedAnonymous(t, pageUp(len));
    if (typeof m === 'number') return m;
    m.ref();
    const r = t.mm.mmap(t.ctx, addr, len, prot, kept, maxProt, m, 0, m.fd, 0);
    m.unref();
    return r;
  }
  return t.mm.mmap(t.ctx, addr, len, prot, kept, maxProt, new FileMapping(f), offset, backing.fd, backing.offset);
}

export function sys_munmap(t: Task): number {
  return t.mm.munmap(t.ctx, t.arg(0), t.arg(1));
}

export function sys_mprotect(t: Task): number {
  return t.mm.mprotect(t.ctx, t.arg(0), t.arg(1), t.argU(2));
}

export function sys_brk(t: Task): number {
  return t.mm.brk(t.ctx, t.arg(0));
}

export function sys_mremap(t: Task): number {
  return t.mm.mremap(t.ctx, t.arg(0), t.arg(1), t.arg(2), t.argU(3), t.arg(4));
}

/** Advice that the host carries out in the guest's own pages. */
const HOST_ADVICE: ReadonlySet<number> = new Set([
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_COLD,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_DONTNEED_LOCKED,
  MADV_COLLAPSE,
  MADV_DONTFORK,
  MADV_DOFORK,
  MADV_WIPEONFORK,
  MADV_KEEPONFORK,
]);
/** Advice without an effect that a guest could see. */
const QUIET_ADVICE: ReadonlySet<number> = new Set([MADV_DONTDUMP, MADV_DODUMP, MADV_MERGEABLE, MADV_UNMERGEABLE]);

export function sys_madvise(t: Task): number {
  const addr = t.arg(0);
  const len = pageUp(t.arg(1));
  const advice = t.argI(2);
  if (addr % PAGE !== 0 || addr + len > t.kernel.platform.maxAddress) return -EINVAL;
  const known = HOST_ADVICE.has(advice);
  if (!known && !QUIET_ADVICE.has(advice)) {
    return advice === MADV_REMOVE ? removePages(t, addr, len) : unknownOption(t, 'madvise', advice, EINVAL);
  }
  if (len === 0) return 0;
  if (known) {
    const r = t.mm.madvise(t.ctx, addr, len, advice);
    if (r < 0) return r;
    if (advice === MADV_DONTFORK || advice === MADV_DOFORK) {
      t.mm.vmas.change(addr, addr + len, (v) => {
        v.dontFork = advice === MADV_DONTFORK;
      });
    } else if (advice === MADV_WIPEONFORK || advice === MADV_KEEPONFORK) {
      t.mm.vmas.change(addr, addr + len, (v) => {
        v.wipeOnFork = advice === MADV_WIPEONFORK;
      });
    }
    return 0;
  }
  return t.mm.vmas.covers(addr, addr + len) ? 0 : -ENOMEM;
}

/** MADV_REMOVE: a hole in the shared memory behind the range. */
function removePages(t: Task, addr: number, len: number): number {
  const v = t.mm.vmas.find(addr);
  if (v === null || addr + len > v.end) return -ENOMEM;
  if ((v.flags & MAP_SHARED) === 0 || (v.prot & PROT_WRITE) === 0 || v.object === null) return -EINVAL;
  const at = v.offset + addr - v.start;
  const FALLOC_FL_KEEP_SIZE = 1;
  const FALLOC_FL_PUNCH_HOLE = 2;
  if (v.object instanceof SharedMemory) return t.kernel.host.fallocate(v.object.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at, len);
  if (v.object instanceof FileMapping) return v.object.file.allocate(t, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at, len);
  return -EINVAL;
}

export function sys_msync(t: Task): number {
  const addr = t.arg(0);
  const len = pageUp(t.arg(1));
  const flags = t.argI(2);
  if (addr % PAGE !== 0 || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0) return -EINVAL;
  if ((flags & (MS_ASYNC | MS_SYNC)) === (MS_ASYNC | MS_SYNC)) return -EINVAL;
  if (len === 0) return 0;
  if (!t.mm.vmas.covers(addr, addr + len)) return -ENOMEM;
  if ((flags & MS_SYNC) === 0) return 0;
  for (let i = t.mm.vmas.indexAfter(addr); i < t.mm.vmas.list.length; i++) {
    const v = t.mm.vmas.list[i]!;
    if (v.start >= addr + len) break;
    if ((v.flags & MAP_SHARED) === 0 || !(v.object instanceof FileMapping)) continue;
    const r = v.object.file.fsync(true);
    if (r < 0 && r !== -EINVAL) return r;
  }
  return 0;
}

/** Length from the page of the first argument up to where the second ends, in 64 bits as Linux computes it: it may wrap around. */
function lockedLength(t: Task): number {
  const offset = t.argU(0) & (PAGE - 1);
  const length = t.arg(1) + offset;
  if (length <= ADDRESSES - PAGE) return pageUp(length);
  const low = t.argU(1) + offset;
  return low < 2 ** 32 ? 0 : pageUp(low - 2 ** 32);
}

function lockRange(t: Task, on: boolean): number {
  const addr = pageDown(t.arg(0));
  const end = addr + lockedLength(t);
  const limit = !on || t.creds.has(CAP_IPC_LOCK) ? Infinity : t.rlimit(RLIMIT_MEMLOCK);
  if (limit === 0) return -EPERM;
  if (end === addr) return 0;
  if (limit !== Infinity) {
    let already = 0;
    const list = t.mm.vmas.list;
    for (let i = t.mm.vmas.indexAfter(addr); i < list.length && list[i]!.start < end; i++) {
      const v = list[i]!;
      if (v.locked) already += Math.min(end, v.end) - Math.max(addr, v.start);
    }
    if (t.mm.vmas.locked - already + end - addr > limit) return -ENOMEM;
  }
  if (end >= ADDRESSES) return -EINVAL;
  if (!t.mm.vmas.covers(addr, end)) return -ENOMEM;
  t.mm.vmas.change(addr, end, (v) => {
    v.locked = on;
  });
  if (on) t.mm.noteLocked();
  // The pages are made present, as a lock promises; the host may still write them to its swap.
  if (on) t.mm.madvise(t.ctx, addr, end - addr, MADV_POPULATE_READ);
  return 0;
}

export function sys_mlock(t: Task): number {
  return lockRange(t, true);
}

export function sys_mlock2(t: Task): number {
  if ((t.argI(2) & ~MLOCK_ONFAULT) !== 0) return -EINVAL;
  return lockRange(t, true);
}

export function sys_munlock(t: Task): number {
  return lockRange(t, false);
}

function setLocked(t: Task, on: boolean): void {
  t.mm.vmas.change(0, t.kernel.platform.maxAddress, (v) => {
    v.locked = on;
  });
}

export function sys_mlockall(t: Task): number {
  const flags = t.argI(0);
  if (flags === 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) !== 0 || flags === MCL_ONFAULT) return -EINVAL;
  const limit = t.creds.has(CAP_IPC_LOCK) ? Infinity : t.rlimit(RLIMIT_MEMLOCK);
  if (limit === 0) return -EPERM;
  if ((flags & MCL_CURRENT) !== 0 && t.mm.vmas.total > limit) return -ENOMEM;
  t.mm.limitLocked = limit;
  t.mm.noteLocked();
  if ((flags & MCL_CURRENT) !== 0) setLocked(t, true);
  t.mm.lockFuture = (flags & MCL_FUTURE) !== 0;
  return 0;
}

export function sys_munlockall(t: Task): number {
  setLocked(t, false);
  t.mm.lockFuture = false;
  return 0;
}

export function sys_mincore(t: Task): number {
  const addr = t.arg(0);
  const len = pageUp(t.arg(1));
  if ((t.argU(0) & (PAGE - 1)) !== 0) return -EINVAL;
  if (len === 0) return 0;
  if (addr + len > t.kernel.platform.maxAddress || !t.mm.vmas.covers(addr, addr + len)) return -ENOMEM;
  const r = t.ctx.hostcall(SYS_mincore, addr, len, t.arg(2), 0, 0, 0);
  return r;
}

/** process_vm_readv and process_vm_writev between two tasks of the sandbox. */
function transfer(t: Task, write: boolean): number {
  if (t.arg(5) !== 0) return -EINVAL;
  const o = t.pidns.task(t.argI(0));
  const UIO_MAX = 1024;
  if (t.arg(2) > UIO_MAX || t.arg(4) > UIO_MAX) return -EINVAL;
  const l = t.copyInIovec(t.arg(1), t.arg(2));
  if (typeof l === 'number') return l;
  const local = l.map((v) => ({ base: v.base, len: v.len }));
  if (local.every((v) => v.len === 0)) return 0;
  const r = t.copyInIovec(t.arg(3), t.arg(4));
  if (typeof r === 'number') return r;
  if (o === null) return -ESRCH;
  if (mayPtrace(t, o) < 0) return -EPERM;
  const remote = r.map((v) => ({ base: v.base, len: v.len }));
  const buf = t.kernel.scratch;
  let done = 0;
  let i = 0;
  let j = 0;
  while (i < local.length && j < remote.length) {
    const a = local[i]!;
    const b = remote[j]!;
    const n = Math.min(a.len, b.len, buf.length);
    if (n > 0) {
      const err = write
        ? t.mm.read(a.base, buf, 0, n) < 0
          ? -EFAULT
          : o.mm.write(b.base, buf, 0, n)
        : o.mm.read(b.base, buf, 0, n) < 0
          ? -EFAULT
          : t.mm.write(a.base, buf, 0, n);
      if (err < 0) return done > 0 ? done : -EFAULT;
      done += n;
      a.base += n;
      a.len -= n;
      b.base += n;
      b.len -= n;
    }
    if (a.len === 0) i++;
    if (b.len === 0) j++;
  }
  return done;
}

export function sys_process_vm_readv(t: Task): number {
  return transfer(t, false);
}

export function sys_process_vm_writev(t: Task): number {
  return transfer(t, true);
}

export const rows: readonly Row[] = [
  partial(SYS_mmap, 'mmap', sys_mmap, 'no huge pages (MAP_HUGETLB), no MAP_SYNC', 'ptr', 'size', 'prot', 'mmap', 'fd', 'hex'),
  full(SYS_mprotect, 'mprotect', sys_mprotect, 'ptr', 'size', 'prot'),
  full(SYS_munmap, 'munmap', sys_munmap, 'ptr', 'size'),
  full(SYS_brk, 'brk', sys_brk, 'ptr'),
  partial(SYS_mremap, 'mremap', sys_mremap, 'one area at a time', 'ptr', 'size', 'size', 'hex', 'ptr'),
  full(SYS_msync, 'msync', sys_msync, 'ptr', 'size', 'hex'),
  full(SYS_mincore, 'mincore', sys_mincore, 'ptr', 'size', 'ptr'),
  partial(SYS_madvise, 'madvise', sys_madvise, 'no page merging, no core dump control, no soft offlining', 'ptr', 'size', 'int'),
  partial(SYS_mlock, 'mlock', sys_mlock, 'pages are made present, not pinned on the host', 'ptr', 'size'),
  full(SYS_munlock, 'munlock', sys_munlock, 'ptr', 'size'),
  partial(SYS_mlockall, 'mlockall', sys_mlockall, 'pages are not pinned on the host', 'hex'),
  full(SYS_munlockall, 'munlockall', sys_munlockall),
  partial(SYS_mlock2, 'mlock2', sys_mlock2, 'pages are made present, not pinned on the host', 'ptr', 'size', 'hex'),
  full(SYS_process_vm_readv, 'process_vm_readv', sys_process_vm_readv, 'int', 'ptr', 'size', 'ptr', 'size', 'int'),
  full(SYS_process_vm_writev, 'process_vm_writev', sys_process_vm_writev, 'int', 'ptr', 'size', 'ptr', 'size', 'int'),
];
