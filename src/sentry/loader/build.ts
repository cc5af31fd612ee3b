// Filling a fresh address space with a program: where its parts go, its stack with arguments, environment and auxiliary vector.

import { E2BIG, EPERM } from '../../abi/errno.ts';
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
import { RLIMIT_STACK } from '../../abi/resource.ts';
import { latin1Write, putU64 } from '../../base/bytes.ts';
import { MapBatch } from '../../platform/mapbatch.ts';
import type { Context } from '../../platform/platform.ts';
import { FileMapping } from '../kernel/filemapping.ts';
import type { Task } from '../kernel/task.ts';
import { type MemoryManager, PAGE, pageDown, pageUp } from '../mm/memory.ts';
import type { File } from '../vfs/file.ts';
import type { ElfImage } from './elf.ts';
import type { Program } from './program.ts';

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC;
const STACK_DEFAULT = 8 << 20;
const STACK_MOST = 64 << 20;
const STACK_LEAST = 256 << 10;
/** Where position-independent programs go that are too large to stand near the end of the address range (ELF_ET_DYN_BASE). */
const PIE_BASE = 0x555555554000;
const PIE_NEAR_MOST = 256 << 20;
/** What stays free behind the program for brk(2). */
const HEAP_ROOM = 512 << 20;

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

/** Chance for one program: words for its places, and AT_RANDOM. */
const RANDOM_WORDS = 4;
const chance = new Uint32Array(RANDOM_WORDS + 4);
const chanceBytes = new Uint8Array(chance.buffer);
let chanceTaken = 0;

function randomPages(count: number): number {
  return (chance[chanceTaken++]! % count) * PAGE;
}

/** Where a position-independent program of `size` bytes goes: at the lower end of what reaches the end of the address range. */
function pieBase(mm: MemoryManager, size: number, align: number): number {
  const base = (size <= PIE_NEAR_MOST ? mm.nearFloor + align : PIE_BASE) + randomPages(0x4000);
  return base - (base % align);
}

/** Where the program begins. */
export interface Layout {
  entry: number;
  sp: number;
}

/** Fills a fresh address space with the program. The entry point and stack pointer, or -errno. */
export function build(t: Task, ctx: Context, mm: MemoryManager, p: Program, envp: string[], secure: boolean): Layout | number {
  const platform = t.kernel.platform;
  const limit = t.rlimit(RLIMIT_STACK);
  const stackSize = pageUp(Math.max(STACK_LEAST, Math.min(STACK_MOST, limit === Infinity ? STACK_DEFAULT : limit)));
  t.kernel.host.random(chanceBytes);
  chanceTaken = 0;
  const stackTop = platform.maxAddress - PAGE - randomPages(0x1000);
  const mmapTop = stackTop - Math.max(stackSize, 128 << 20) - (1 << 20) - randomPages(0x1000);

  const own = span(p.image);
  let bias = 0;
  if (p.image.type !== ET_EXEC) {
    bias = own.low !== 0 && p.interp === null ? 0 : pieBase(mm, own.high - own.low, p.image.align);
  } else if (own.low < platform.minAddress) return -EPERM;
  const batch = new MapBatch();
  let r = mapImage(t, batch, mm, p.file, p.image, bias);
  if (r < 0) return r;
  mm.brkStart = own.high + bias + randomPages(0x100);
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
  b.set(chanceBytes.subarray(RANDOM_WORDS * 4), randomAt - sp);
  chance.fill(0);
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
