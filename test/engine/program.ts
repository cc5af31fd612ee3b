// Programs of the engine's tests in guest memory: loading them, and what is known about their code.
import { readFileSync } from 'node:fs';
import type { HostPlatform } from '../../src/platform/common/platform.ts';
import { type Context, REG_EFLAGS, REG_RIP, REG_RSP } from '../../src/platform/platform.ts';
import type { Process } from './kernel.ts';

const PROT_RW = 3;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 2;
export const STACK_TOP = 0x7fe000000000;
const STACK_SIZE = 1 << 20;
/** What the engine looks at around a call site: bytes in front of rip, and in all. */
const SITE_BEFORE = 7;
const SITE_BYTES = 23;

/** Maps a program into a fresh address space and lets it run. */
export function load(platform: HostPlatform, c: Context, process: Process, file: string, args: string[]): void {
  const image = readFileSync(file);
  const phoff = Number(image.readBigUInt64LE(32));
  for (let i = 0; i < image.readUInt16LE(56); i++) {
    const p = phoff + i * 56;
    if (image.readUInt32LE(p) !== 1) continue;
    const [offset, vaddr, , filesz, memsz] = [8, 16, 24, 32, 40].map((o) => Number(image.readBigUInt64LE(p + o))) as number[];
    const first = (vaddr as number) & ~4095;
    const end = ((vaddr as number) + (memsz as number) + 4095) & ~4095;
    let r = c.mmap(first, end - first, PROT_RW, MAP_PRIVATE, -1, 0);
    if (r < 0 || c.addressSpace.write(vaddr as number, image, offset as number, filesz as number) < 0) throw new Error(`load: ${r}`);
    const flags = image.readUInt32LE(p + 4); // PF_X, PF_W, PF_R
    r = protect(c, process, first, end - first, ((flags & 1) << 2) | (flags & 2) | ((flags >> 2) & 1));
    if (r < 0) throw new Error(`load: ${r}`);
    process.brk = Math.max(process.brk, end);
  }
  process.brk = (process.brk + 0xffffff) & ~0xffffff;
  if (c.mmap(STACK_TOP - STACK_SIZE, STACK_SIZE, 3, MAP_PRIVATE, -1, 0) < 0) throw new Error('stack');
  const strings = [file, ...args].map((s) => Buffer.from(`${s}\0`, 'latin1'));
  let at = STACK_TOP - 4096;
  const words = [strings.length];
  for (const s of strings) {
    c.addressSpace.write(at, s, 0, s.length);
    words.push(at);
    at += s.length;
  }
  const vdso = platform.vdsoAddress;
  words.push(0, 0, 3, 0x400000 + phoff, 4, 56, 5, image.readUInt16LE(56), 6, 4096, 25, STACK_TOP - 64, 33, vdso, 0, 0);
  const stack = new Float64Array(words);
  const bytes = Buffer.alloc(words.length * 8);
  stack.forEach((w, i) => bytes.writeBigUInt64LE(BigInt(w), i * 8));
  const sp = STACK_TOP - 8192;
  c.addressSpace.write(sp, bytes, 0, bytes.length);
  setReg(c, REG_RIP, Number(image.readBigUInt64LE(24)));
  setReg(c, REG_RSP, sp);
  setReg(c, REG_EFLAGS, 0x202);
  c.fpLoad(0);
  c.resumeFull();
}

/** mprotect(2), remembered for codeProtection(). */
export function protect(c: Context, process: Process, start: number, length: number, prot: number): number {
  const r = c.hostcall(10, start, length, prot, 0, 0, 0);
  if (r === 0) process.code.push({ start, end: start + length, prot });
  return r;
}

/** The protection of the call site in front of `rip`, whose bytes may be changed, or -1. All that is executable here is private. */
export function codeProtection(process: Process, rip: number): number {
  const start = rip - SITE_BEFORE;
  const end = start + SITE_BYTES;
  const last = process.code.findLast((m) => m.start < end && start < m.end);
  if (last === undefined || start < last.start || end > last.end) return -1;
  return (last.prot & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC ? last.prot : -1;
}

/** A register as a double. */
export function reg(c: Context, i: number): number {
  return (c.regs[2 * i + 1] as number) * 4294967296 + (c.regs[2 * i] as number);
}

export function setReg(c: Context, i: number, value: number): void {
  c.regs[2 * i] = value;
  c.regs[2 * i + 1] = Math.floor(value / 4294967296);
}
