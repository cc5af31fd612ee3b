// Signal frames of x86-64: struct rt_sigframe (arch/x86/include/asm/sigframe.h) with its ucontext and siginfo.

import { EFAULT } from '../../abi/errno.ts';
import {
  SA_ONSTACK,
  SA_RESTORER,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGIO,
  SIGSEGV,
  SIGSYS,
  SIGTRAP,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
} from '../../abi/signal.ts';
import {
  REG_CS,
  REG_EFLAGS,
  REG_R8,
  REG_R9,
  REG_R10,
  REG_R11,
  REG_R12,
  REG_R13,
  REG_R14,
  REG_R15,
  REG_RAX,
  REG_RBP,
  REG_RBX,
  REG_RCX,
  REG_RDI,
  REG_RDX,
  REG_RIP,
  REG_RSI,
  REG_RSP,
  REG_SS,
} from '../../platform/platform.ts';
import type { SigAction, SigInfo } from './siginfo.ts';
import { UNBLOCKABLE_LO } from './siginfo.ts';
import type { Task } from './task.ts';

// Offsets in struct rt_sigframe.
const UC = 8; // behind pretcode
const UC_STACK = UC + 16;
const MCONTEXT = UC + 40;
const UC_SIGMASK = UC + 296;
const INFO = UC + 304;
const FRAME_SIZE = INFO + 128;
/** Registers in the order of struct sigcontext. */
const ORDER = [
  REG_R8,
  REG_R9,
  REG_R10,
  REG_R11,
  REG_R12,
  REG_R13,
  REG_R14,
  REG_R15,
  REG_RDI,
  REG_RSI,
  REG_RBP,
  REG_RBX,
  REG_RDX,
  REG_RAX,
  REG_RCX,
  REG_RSP,
  REG_RIP,
  REG_EFLAGS,
];
const MC_SEGMENTS = MCONTEXT + 144;
const MC_ERR = MCONTEXT + 152;
const MC_TRAPNO = MCONTEXT + 160;
const MC_OLDMASK = MCONTEXT + 168;
const MC_CR2 = MCONTEXT + 176;
const MC_FPSTATE = MCONTEXT + 184;

const SI_TIMER = -2;
const SI_KERNEL = 0x80;
const AUDIT_ARCH_X86_64 = 0xc000003e;

const UC_FP_XSTATE = 1;
const UC_SIGCONTEXT_SS = 2;
const UC_STRICT_RESTORE_SS = 4;
const RED_ZONE = 128;
const USER_CS = 0x33;
const USER_SS = 0x2b;
/** DF, RF, TF are cleared for the handler. */
const CLEAR_FLAGS = 0x400 | 0x10000 | 0x100;
/** Flags that sigreturn may set: AC OF DF TF SF ZF AF PF CF RF. */
const FIX_EFLAGS = 0x40000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 0x4 | 0x1 | 0x10000;

const frame = new Uint8Array(FRAME_SIZE);
/** The frame by words: all its fields are aligned. */
const words = new Uint32Array(frame.buffer);
const info32 = new Int32Array(32);
const infoBytes = new Uint8Array(info32.buffer);

/** Puts a 64-bit field at byte `at` of the frame. */
function put64(at: number, v: number): void {
  words[at >>> 2] = v;
  words[(at >>> 2) + 1] = Math.floor(v / 4294967296);
}

function get64(at: number): number {
  return words[(at >>> 2) + 1]! * 4294967296 + words[at >>> 2]!;
}

function reg(t: Task, r: number): number {
  return t.ctx.regs[2 * r + 1]! * 4294967296 + t.ctx.regs[2 * r]!;
}

function setReg(t: Task, r: number, v: number): void {
  t.ctx.regs[2 * r] = v;
  t.ctx.regs[2 * r + 1] = Math.floor(v / 4294967296);
}

function onAltStack(t: Task, sp: number): boolean {
  return (t.altStackFlags & (SS_DISABLE | SS_AUTODISARM)) === 0 && sp > t.altStack && sp - t.altStack <= t.altStackSize;
}

/** Flags as sigaltstack(2) shows them for stack pointer sp. */
export function altStackState(t: Task, sp: number): number {
  if (t.altStackSize === 0) return SS_DISABLE;
  return onAltStack(t, sp) ? SS_ONSTACK : 0;
}

/** Writes siginfo_t (128 bytes) at `at` of `b`. */
export function encodeSigInfo(info: SigInfo, b: Uint8Array, at: number): void {
  info32.fill(0);
  putInfo(info, info32, 0);
  b.set(infoBytes, at);
}

/** Writes the fields of siginfo_t from word `at` of `w` on, where 32 words are zero. */
function putInfo(info: SigInfo, w: Int32Array | Uint32Array, at: number): void {
  const s = info.signo;
  const code = info.code;
  w[at] = s;
  w[at + 1] = info.errno;
  w[at + 2] = code;
  if (code > 0 && (s === SIGSEGV || s === SIGBUS || s === SIGFPE || s === SIGILL || s === SIGTRAP || s === SIGSYS)) {
    w[at + 4] = info.addr;
    w[at + 5] = Math.floor(info.addr / 4294967296);
    if (s !== SIGSYS) return;
    w[at + 6] = info.status;
    w[at + 7] = AUDIT_ARCH_X86_64;
  } else if (code === SI_TIMER) {
    w[at + 4] = info.timerId;
    w[at + 5] = info.overrun;
    w[at + 6] = info.valueLo;
    w[at + 7] = info.valueHi;
  } else if (s === SIGCHLD && code > 0) {
    w[at + 4] = info.pid;
    w[at + 5] = info.uid;
    w[at + 6] = info.status;
    w[at + 8] = info.utime;
    w[at + 10] = info.stime;
  } else if (s === SIGIO && code > 0 && code !== SI_KERNEL) {
    w[at + 4] = info.band;
    w[at + 6] = info.fd;
  } else {
    w[at + 4] = info.pid;
    w[at + 5] = info.uid;
    w[at + 6] = info.valueLo;
    w[at + 7] = info.valueHi;
  }
}

/** Builds the frame for `info` on the guest's stack and points the registers at the handler. 0 or -EFAULT. */
export function buildFrame(t: Task, info: SigInfo, a: SigAction, maskLo: number, maskHi: number): number {
  const sp0 = reg(t, REG_RSP);
  let sp = sp0 - RED_ZONE;
  const nested = onAltStack(t, sp0);
  if ((a.flags & SA_ONSTACK) !== 0 && altStackState(t, sp0) === 0) sp = t.altStack + t.altStackSize;
  const fpSize = t.ctx.fpSize;
  const fp = sp - fpSize - ((sp - fpSize) % 64);
  const at = fp - FRAME_SIZE - ((fp - FRAME_SIZE) % 16) - 8;
  if (at < 4096 || (nested && at < t.altStack)) return -EFAULT;
  words.fill(0);
  put64(0, (a.flags & SA_RESTORER) !== 0 ? a.restorer : 0);
  put64(UC, UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
  put64(UC_STACK, t.altStack);
  words[(UC_STACK + 8) >>> 2] = t.altStackSize === 0 ? SS_DISABLE : (t.altStackFlags & SS_AUTODISARM) | (nested ? SS_ONSTACK : 0);
  put64(UC_STACK + 16, t.altStackSize);
  const regs = t.ctx.regs;
  for (let i = 0, to = MCONTEXT >>> 2; i < ORDER.length; i++, to += 2) {
    const r = 2 * ORDER[i]!;
    words[to] = regs[r]!;
    words[to + 1] = regs[r + 1]!;
  }
  // cs, gs, fs and ss, 16 bits each.
  words[MC_SEGMENTS >>> 2] = USER_CS;
  words[(MC_SEGMENTS >>> 2) + 1] = USER_SS << 16;
  if (info.code > 0 && info.addr !== 0) {
    put64(MC_ERR, t.ctx.faultError);
    put64(MC_TRAPNO, t.ctx.faultTrap);
    put64(MC_CR2, info.addr);
  }
  words[MC_OLDMASK >>> 2] = maskLo;
  words[(MC_OLDMASK >>> 2) + 1] = maskHi;
  put64(MC_FPSTATE, fp);
  words[UC_SIGMASK >>> 2] = maskLo;
  words[(UC_SIGMASK >>> 2) + 1] = maskHi;
  putInfo(info, words, INFO >>> 2);
  // Both travel with the registers where the guest may write there; a tracer looks at memory before that.
  if (t.ptrace === null && t.mm.mayWrite(at, fp + fpSize - at)) {
    if (t.ctx.fpSaveLater(fp) < 0 || t.copyOut(at, frame, 0, FRAME_SIZE) < 0) return -EFAULT;
  } else if (t.ctx.fpSave(fp) < 0 || t.copyOutNow(at, frame, 0, FRAME_SIZE) < 0) return -EFAULT;
  if ((t.altStackFlags & SS_AUTODISARM) !== 0) {
    t.altStack = 0;
    t.altStackSize = 0;
    t.altStackFlags = SS_DISABLE;
  }
  setReg(t, REG_RDI, info.signo);
  setReg(t, REG_RSI, at + INFO);
  setReg(t, REG_RDX, at + UC);
  setReg(t, REG_RAX, 0);
  setReg(t, REG_RSP, at);
  setReg(t, REG_RIP, a.handler);
  setReg(t, REG_EFLAGS, (t.ctx.regs[2 * REG_EFLAGS]! & ~CLEAR_FLAGS) >>> 0);
  setReg(t, REG_CS, USER_CS);
  setReg(t, REG_SS, USER_SS);
  return 0;
}

/** What rt_sigreturn found: the mask to set. */
export interface RestoredFrame {
  maskLo: number;
  maskHi: number;
}

/** rt_sigreturn(2): loads registers, vector state and the alternate stack from the frame below rsp. 0 or -EFAULT. */
export function restoreFrame(t: Task, out: RestoredFrame): number {
  const at = reg(t, REG_RSP) - 8;
  if (at < 0 || t.copyIn(at, frame, 0, FRAME_SIZE) < 0) return -EFAULT;
  const regs = t.ctx.regs;
  const eflags = regs[2 * REG_EFLAGS]!;
  for (let i = 0, from = MCONTEXT >>> 2; i < ORDER.length; i++, from += 2) {
    const r = 2 * ORDER[i]!;
    regs[r] = words[from]!;
    regs[r + 1] = words[from + 1]!;
  }
  regs[2 * REG_EFLAGS] = (eflags & ~FIX_EFLAGS) | (regs[2 * REG_EFLAGS]! & FIX_EFLAGS);
  regs[2 * REG_EFLAGS + 1] = 0;
  out.maskLo = (words[UC_SIGMASK >>> 2]! & ~UNBLOCKABLE_LO) >>> 0;
  out.maskHi = words[(UC_SIGMASK >>> 2) + 1]!;
  const flags = words[(UC_STACK + 8) >>> 2]!;
  t.altStack = get64(UC_STACK);
  t.altStackSize = (flags & SS_DISABLE) !== 0 ? 0 : get64(UC_STACK + 16);
  t.altStackFlags = t.altStackSize === 0 ? SS_DISABLE : flags & SS_AUTODISARM;
  const fp = get64(MC_FPSTATE);
  return (t.ptrace === null ? t.ctx.fpLoadLater(fp) : t.ctx.fpLoad(fp)) < 0 ? -EFAULT : 0;
}
