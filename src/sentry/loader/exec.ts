// execve(2): finding the program, its interpreter or script interpreter, a fresh address space with the image and the stack in it, and the
// switch of the calling task over to it.

import { E2BIG, EFAULT, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM, EPERM } from '../../abi/errno.ts';
import {
  AT_BASE,
  AT_CLKTCK,
  AT_EGID,
  AT_ENTRY,
  AT_EUID,
  AT_EXECFN,
  AT_FLAGS,
  AT_GID,
  AT_HWCAP,
  AT_HWCAP2,
  AT_MINSIGSTKSZ,
  AT_PAGESZ,
  AT_PHDR,
  AT_PHENT,
  AT_PHNUM,
  AT_PLATFORM,
  AT_RANDOM,
  AT_SECURE,
  AT_SYSINFO_EHDR,
  AT_UID,
  ET_EXEC,
  PF_R,
  PF_W,
  PF_X,
} from '../../abi/elf.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_GROWSDOWN, MAP_NORESERVE, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../abi/mman.ts';
import { RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_STACK } from '../../abi/resource.ts';
import { SIGCHLD } from '../../abi/signal.ts';
import { getU64, latin1Decode, latin1Write, putU64 } from '../../base/bytes.ts';
import { MapBatch } from '../../platform/mapbatch.ts';
import { type Context, REG_COUNT, REG_CS, REG_EFLAGS, REG_RIP, REG_RSP, REG_SS } from '../../platform/platform.ts';
import { endOtherThreads, endVfork } from '../kernel/exit.ts';
import { ExeMapping, FileMapping } from '../kernel/filemapping.ts';
import type { Task } from '../kernel/task.ts';
import { leaveAddressSpace } from '../kernel/usage.ts';
import { MemoryManager, PAGE, pageDown, pageUp } from '../mm/memory.ts';
import type { File } from '../vfs/file.ts';
import { openExec } from '../vfs/open.ts';
import { LOOKUP_FOLLOW } from '../vfs/walk.ts';
import { type ElfImage, parseElf } from './elf.ts';
import { execCredentials } from './execcreds.ts';

const HEAD = 4096;
/** BINPRM_BUF_SIZE: how far a #! line may reach. */
const SCRIPT_LINE = 256;
const SCRIPT_DEPTH = 5;
/** MAX_ARG_STRLEN. */
const MAX_STRING = 131072;
const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
const STACK_DEFAULT = 8 << 20;
const STACK_MOST = 64 << 20;
const STACK_LEAST = 256 << 10;
/** Room for arguments: a quarter of the stack, at most 6 MiB (execve(2)). */
const ARGS_MOST = 6 << 20;
/** Where position-independent programs go that are too large to stand near the end of the address range (ELF_ET_DYN_BASE). */
const PIE_BASE = 0x555555554000;
const PIE_NEAR_MOST = 256 << 20;
/** What stays free behind the program for brk(2). */
const HEAP_ROOM = 512 << 20;
const USER_CS = 0x33;
const USER_SS = 0x2b;

const head = new Uint8Array(HEAD);
/** Part of a vector of pointers, and the page of the guest at `pageHeld` (0: none) while its strings are read. */
const pointers = new Uint8Array(1024);
const page = new Uint8Array(PAGE);
let pageHeld = 0;

/** Reads up to `len` bytes at `pos`; the count or -errno. */
function readAt(t: Task, f: File, buf: Uint8Array, pos: number, len: number): number {
  let done = 0;
  while (done < len) {
    const n = f.pread(t, buf, done, len - done, pos + done);
    if (n < 0) return n;
    if (n === 0) break;
    done += n;
  }
  return done;
}

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

interface Program {
  file: File;
  image: ElfImage;
  interpFile: File | null;
  interp: ElfImage | null;
  argv: string[];
  /** AT_EXECFN. */
  execfn: string;
}

function parseScript(n: number): { interp: string; arg: string | null } | number {
  const limit = Math.min(n, SCRIPT_LINE);
  let end = head.indexOf(10, 2);
  if (end < 0 || end > limit) {
    if (n >= SCRIPT_LINE) {
      // Too long a line is fine as long as the interpreter's path is whole.
      const text = latin1Decode(head, 2, SCRIPT_LINE).replace(/^[ \t]+/, '');
      if (!/[ \t\0]/.test(text)) return -ENOEXEC;
    }
    end = limit;
  }
  const line = latin1Decode(head, 2, end)
    .replace(/\0.*$/s, '')
    .replace(/^[ \t]+|[ \t]+$/g, '');
  if (line.length === 0) return -ENOEXEC;
  const space = line.search(/[ \t]/);
  if (space < 0) return { interp: line, arg: null };
  return { interp: line.slice(0, space), arg: line.slice(space).replace(/^[ \t]+/, '') };
}

function loadImage(t: Task, f: File): ElfImage | number {
  const n = readAt(t, f, head, 0, HEAD);
  if (n < 0) return n;
  return parseElf(head, n, (buf, off, len) => readAt(t, f, buf, off, len) === len);
}

/** Opens everything that the program needs, following #! lines. Files are the caller's to release. */
function prepare(
  t: Task,
  dir: File | null,
  path: string,
  flags: number,
  argv: string[],
  display: string,
  visible: boolean,
): Program | number {
  let file = openExec(t, dir, path, flags);
  let args = argv;
  let name = display;
  for (let depth = 0; ; depth++) {
    if (typeof file === 'number') return file;
    const n = readAt(t, file, head, 0, HEAD);
    if (n < 0) {
      file.unref();
      return n;
    }
    if (n < 2 || head[0] !== 0x23 || head[1] !== 0x21) break;
    const s = parseScript(n);
    file.unref();
    if (typeof s === 'number') return s;
    // The interpreter could not open a name that goes away with this very call.
    if (!visible) return -ENOENT;
    if (depth >= SCRIPT_DEPTH) return -ELOOP;
    args = s.arg === null ? [s.interp, name, ...args.slice(1)] : [s.interp, s.arg, name, ...args.slice(1)];
    name = s.interp;
    file = openExec(t, null, s.interp, LOOKUP_FOLLOW);
  }
  const image = loadImage(t, file);
  if (typeof image === 'number') {
    file.unref();
    return image;
  }
  const p: Program = { file, image, interpFile: null, interp: null, argv: args, execfn: display };
  if (image.interpLength > 0) {
    const r = prepareInterp(t, p);
    if (r < 0) {
      file.unref();
      return r;
    }
  }
  return p;
}

function prepareInterp(t: Task, p: Program): number {
  const b = new Uint8Array(p.image.interpLength);
  const n = readAt(t, p.file, b, p.image.interpOffset, b.length);
  if (n < 0) return n;
  if (n < b.length || b[n - 1] !== 0) return -ENOEXEC;
  const f = openExec(t, null, latin1Decode(b, 0, b.indexOf(0)), LOOKUP_FOLLOW);
  if (typeof f === 'number') return f;
  const image = loadImage(t, f);
  if (typeof image === 'number') {
    f.unref();
    return image === -ENOEXEC ? -ELIBBAD : image;
  }
  p.interpFile = f;
  p.interp = image;
  return 0;
}

function release(p: Program): void {
  p.file.unref();
  if (p.interpFile !== null) p.interpFile.unref();
}

/** Maps one image at `bias`. 0 or -errno. */
function mapImage(t: Task, batch: MapBatch, mm: MemoryManager, f: File, image: ElfImage, bias: number): number {
  const object = new FileMapping(f);
  for (const s of image.segments) {
    const prot =
      ((s.flags & PF_R) !== 0 ? PROT_READ : 0) | ((s.flags & PF_W) !== 0 ? PROT_WRITE : 0) | ((s.flags & PF_X) !== 0 ? PROT_EXEC : 0);
    const start = pageDown(bias + s.vaddr);
    const slack = bias + s.vaddr - start;
    const fileEnd = bias + s.vaddr + s.filesz;
    const memEnd = bias + s.vaddr + s.memsz;
    if (s.filesz > 0) {
      const backing = f.mapping(t, s.offset - slack, s.filesz + slack, false, false);
      if (typeof backing === 'number') return backing;
      const r = mm.mmap(
        batch,
        start,
        pageUp(fileEnd) - start,
        prot,
        MAP_PRIVATE | MAP_FIXED,
        PROT_ALL,
        object,
        s.offset - slack,
        backing.fd,
        backing.offset,
      );
      if (r < 0) return r;
      if (memEnd > fileEnd && (prot & PROT_WRITE) !== 0) {
        // The rest of the last file page belongs to .bss.
        if (pageUp(fileEnd) > fileEnd) batch.zero(fileEnd, pageUp(fileEnd) - fileEnd);
      }
    }
    const bss = s.filesz > 0 ? pageUp(fileEnd) : start;
    if (pageUp(memEnd) > bss) {
      const r = mm.mmap(batch, bss, pageUp(memEnd) - bss, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, PROT_ALL, null, 0, -1, 0);
      if (r < 0) return r;
    }
  }
  return 0;
}

function span(image: ElfImage): { low: number; high: number } {
  const first = image.segments[0]!;
  const last = image.segments[image.segments.length - 1]!;
  return { low: pageDown(first.vaddr), high: pageUp(last.vaddr + last.memsz) };
}

function randomPages(t: Task, count: number): number {
  t.kernel.host.random(t.kernel.word);
  return (t.kernel.word32[0]! % count) * PAGE;
}

/** Where a position-independent program of `size` bytes goes: at the lower end of what reaches the end of the address range. */
function pieBase(t: Task, mm: MemoryManager, size: number, align: number): number {
  const base = (size <= PIE_NEAR_MOST ? mm.nearFloor + align : PIE_BASE) + randomPages(t, 0x4000);
  return base - (base % align);
}

interface Layout {
  entry: number;
  sp: number;
}

/** Fills a fresh address space with the program. The entry point and stack pointer, or -errno. */
function build(t: Task, ctx: Context, mm: MemoryManager, p: Program, envp: string[], secure: boolean): Layout | number {
  const platform = t.kernel.platform;
  const limit = t.rlimit(RLIMIT_STACK);
  const stackSize = pageUp(Math.max(STACK_LEAST, Math.min(STACK_MOST, limit === Infinity ? STACK_DEFAULT : limit)));
  const stackTop = platform.maxAddress - PAGE - randomPages(t, 0x1000);
  const mmapTop = stackTop - Math.max(stackSize, 128 << 20) - (1 << 20) - randomPages(t, 0x1000);

  const own = span(p.image);
  let bias = 0;
  if (p.image.type !== ET_EXEC) {
    bias = own.low !== 0 && p.interp === null ? 0 : pieBase(t, mm, own.high - own.low, p.image.align);
  } else if (own.low < platform.minAddress) return -EPERM;
  const batch = new MapBatch();
  let r = mapImage(t, batch, mm, p.file, p.image, bias);
  if (r < 0) return r;
  mm.brkStart = own.high + bias + randomPages(t, 0x100);
  mm.brkEnd = mm.brkStart;
  // A program that stands among the mappings keeps room for its heap.
  const near = mm.brkStart > mm.nearFloor && mm.brkStart < mmapTop;
  mm.setNear(near ? Math.min(pageUp(mm.brkStart) + HEAP_ROOM, mmapTop) : mm.nearFloor, mmapTop);

  let entry = p.image.entry + bias;
  let base = 0;
  if (p.interp !== null && p.interpFile !== null) {
    const other = span(p.interp);
    base = mm.findGap(0, other.high - other.low + p.interp.align);
    if (base < 0) return base;
    base += p.interp.align - 1;
    base = base - (base % p.interp.align) - other.low;
    r = mapImage(t, batch, mm, p.interpFile, p.interp, base);
    if (r < 0) return r;
    entry = p.interp.entry + base;
  }

  const stackProt = PROT_READ | PROT_WRITE | (p.image.executableStack ? PROT_EXEC : 0);
  r = mm.mmap(
    batch,
    stackTop - stackSize,
    stackSize,
    stackProt,
    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_NORESERVE,
    PROT_ALL,
    null,
    0,
    -1,
    0,
  );
  if (r < 0) return r;
  const stack = mm.vmas.find(stackTop - PAGE);
  if (stack !== null) stack.label = '[stack]';

  // Strings, from the top down; then 16 random bytes; then the vectors.
  const strings = [p.execfn, 'x86_64', ...p.argv, ...envp];
  let bytes = 0;
  for (const s of strings) bytes += s.length + 1;
  const auxWords = 2 * 22;
  const vectorBytes = 8 * (1 + p.argv.length + 1 + envp.length + 1 + auxWords);
  const stringsAt = stackTop - 8 - bytes;
  const randomAt = stringsAt - 16 - ((stringsAt - 16) % 16);
  let sp = randomAt - vectorBytes;
  sp -= sp % 16;
  const total = stackTop - sp;
  if (total > stackSize - 16 * PAGE) return -E2BIG;
  const b = new Uint8Array(total);
  let at = stringsAt - sp;
  const addresses: number[] = [];
  for (const s of strings) {
    addresses.push(sp + at);
    at += latin1Write(s, b, at) + 1;
  }
  t.kernel.host.random(b.subarray(randomAt - sp, randomAt - sp + 16));
  let w = 0;
  const push = (v: number): void => {
    putU64(b, w, v);
    w += 8;
  };
  push(p.argv.length);
  for (let i = 0; i < p.argv.length; i++) push(addresses[2 + i]!);
  push(0);
  for (let i = 0; i < envp.length; i++) push(addresses[2 + p.argv.length + i]!);
  push(0);
  const auxAt = w;
  const aux = (type: number, v: number): void => {
    push(type);
    push(v);
  };
  const c = t.creds;
  if (platform.vdsoAddress !== 0) aux(AT_SYSINFO_EHDR, platform.vdsoAddress);
  aux(AT_MINSIGSTKSZ, ctx.fpSize + 1024);
  aux(AT_HWCAP, t.kernel.hwcap);
  aux(AT_PAGESZ, PAGE);
  aux(AT_CLKTCK, 100);
  aux(AT_PHDR, p.image.phdrAddress + bias);
  aux(AT_PHENT, p.image.phentsize);
  aux(AT_PHNUM, p.image.phnum);
  aux(AT_BASE, base);
  aux(AT_FLAGS, 0);
  aux(AT_ENTRY, p.image.entry + bias);
  aux(AT_UID, c.ruid);
  aux(AT_EUID, c.euid);
  aux(AT_GID, c.rgid);
  aux(AT_EGID, c.egid);
  aux(AT_SECURE, secure ? 1 : 0);
  aux(AT_RANDOM, randomAt);
  aux(AT_HWCAP2, 0);
  aux(AT_EXECFN, addresses[0]!);
  aux(AT_PLATFORM, addresses[1]!);
  aux(0, 0);
  const argStart = addresses[2] ?? stackTop - 8;
  const envStart = addresses[2 + p.argv.length] ?? stackTop - 8;
  mm.layout = { argStart, argEnd: envStart, envStart, envEnd: stackTop - 8, stackTop, auxv: b.slice(auxAt, w) };
  batch.copy(sp, b);
  r = ctx.mapAll(batch);
  return r < 0 ? r : { entry, sp };
}

/** The last component of a path, as comm keeps it. */
function commOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).slice(0, 15);
}

function switchTo(t: Task, ctx: Context, mm: MemoryManager, at: Layout): void {
  const regs = ctx.regs;
  for (let i = 0; i < 2 * REG_COUNT; i++) regs[i] = 0;
  const set = (r: number, v: number): void => {
    regs[2 * r] = v;
    regs[2 * r + 1] = Math.floor(v / 4294967296);
  };
  set(REG_RIP, at.entry);
  set(REG_RSP, at.sp);
  set(REG_EFLAGS, 0x202);
  set(REG_CS, USER_CS);
  set(REG_SS, USER_SS);
  t.ctx = ctx;
  t.mm = mm;
  ctx.owner = t;
}

/**
 * Replaces the program of `t`. `path` is relative to `dir` (null: working directory); `flags` are LOOKUP_FOLLOW and LOOKUP_EMPTY;
 * `display` is what scripts see as their name; `visible` is false when an interpreter could not open it. 0 with the new registers in place (the caller answers NO_RESULT), or -errno with nothing
 * changed.
 */
export function execProgram(
  t: Task,
  dir: File | null,
  path: string,
  flags: number,
  argv: string[],
  envp: string[],
  display: string,
  visible = true,
): number {
  const p = prepare(t, dir, path, flags, argv, display, visible);
  if (typeof p === 'number') return p;
  // An empty vector gets one empty string, as Linux does since 5.18.
  if (p.argv.length === 0) p.argv.push('');
  const creds = execCredentials(t, p.file);
  const ctx = t.kernel.platform.newAddressSpace();
  if (typeof ctx === 'number') {
    release(p);
    return ctx < 0 ? ctx : -ENOMEM;
  }
  const mm = new MemoryManager(t.kernel.platform, ctx.addressSpace);
  mm.limitAs = t.rlimit(RLIMIT_AS);
  mm.limitData = t.rlimit(RLIMIT_DATA);
  const oldCreds = t.creds;
  t.creds = creds.creds;
  const at = build(t, ctx, mm, p, envp, creds.secure);
  if (typeof at === 'number') {
    t.creds = oldCreds;
    mm.unref();
    ctx.exit();
    release(p);
    return at;
  }
  mm.exe = new ExeMapping(p.file);
  mm.exe.ref();
  if (creds.secure || !creds.readable) mm.dumpable = 0;

  // The point of no return.
  endOtherThreads(t);
  const g = t.tg;
  const oldCtx = t.ctx;
  const oldMm = t.mm;
  // A vfork child is one thread of its parent's process, all of whose time it has spent since its birth.
  const spent = g.vforkParent === null ? oldCtx.cpuTimeNs() : 0;
  t.cpuBeforeNs += leaveAddressSpace(g, t, spent);
  if (g.vforkParent !== null) endVfork(g, t);
  oldCtx.owner = null;
  oldMm.unref();
  oldCtx.exit();
  switchTo(t, ctx, mm, at);
  if (g.handlers.refs > 1) {
    g.handlers.refs--;
    g.handlers = g.handlers.copy();
  }
  g.handlers.reset();
  t.altStack = 0;
  t.altStackSize = 0;
  t.altStackFlags = 2;
  t.clearChildTid = 0;
  t.robustList = 0;
  t.keepCaps = false;
  if (creds.secure) t.parentDeathSignal = 0;
  t.name = commOf(p.argv === argv ? path : p.execfn);
  g.execed = true;
  if (g.exitSignal !== 0) g.exitSignal = SIGCHLD;
  if (t.fds.refs > 1) {
    const own = t.fds.copy(() => t.rlimit(RLIMIT_NOFILE));
    t.fds.refs--;
    t.fds = own;
  }
  t.fds.closeOnExec(t);
  for (const hook of t.kernel.groupExeced) hook(g);
  release(p);
  return 0;
}
