// ptrace(2).

import { EFAULT, EINVAL, EIO, EPERM, ESRCH } from '../../abi/errno.ts';
import { SYS_ptrace } from '../../abi/nr.ts';
import {
  AUDIT_ARCH_X86_64,
  NT_PRFPREG,
  NT_PRSTATUS,
  NT_X86_XSTATE,
  PTRACE_ATTACH,
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_EVENT_STOP,
  PTRACE_GET_SYSCALL_INFO,
  PTRACE_GETEVENTMSG,
  PTRACE_GETFPREGS,
  PTRACE_GETREGS,
  PTRACE_GETREGSET,
  PTRACE_GETSIGINFO,
  PTRACE_GETSIGMASK,
  PTRACE_INTERRUPT,
  PTRACE_KILL,
  PTRACE_LISTEN,
  PTRACE_O_MASK,
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_PEEKDATA,
  PTRACE_PEEKTEXT,
  PTRACE_PEEKUSR,
  PTRACE_POKEDATA,
  PTRACE_POKETEXT,
  PTRACE_POKEUSR,
  PTRACE_SEIZE,
  PTRACE_SETFPREGS,
  PTRACE_SETOPTIONS,
  PTRACE_SETREGS,
  PTRACE_SETREGSET,
  PTRACE_SETSIGINFO,
  PTRACE_SETSIGMASK,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  PTRACE_TRACEME,
} from '../../abi/ptrace.ts';
import { SIGKILL, SIGSTOP } from '../../abi/signal.ts';
import { getI32, getU32, getU64, putU32, putU64 } from '../../base/bytes.ts';
import {
  REG_COUNT,
  REG_CS,
  REG_EFLAGS,
  REG_FS_BASE,
  REG_GS_BASE,
  REG_ORIG_RAX,
  REG_RAX,
  REG_RIP,
  REG_RSP,
  REG_SS,
} from '../../platform/platform.ts';
import {
  adoptStop,
  attach,
  continued,
  detach,
  kick,
  letGo,
  MODE_CONT,
  MODE_SYSCALL,
  mayPtrace,
  type Ptrace,
  peekMemory,
  pokeMemory,
} from '../kernel/ptrace.ts';
import { encodeSigInfo } from '../kernel/sigframe.ts';
import { SigInfo } from '../kernel/siginfo.ts';
import { setMask, signalTask } from '../kernel/signals.ts';
import { TASK_TRACED, type Task } from '../kernel/task.ts';
import { unknownOption } from './options.ts';
import { partial, type Row } from './row.ts';
import { FP_LEGACY, readVectors, writeVectors } from './vectors.ts';

const NSIG = 64;
const SI_KERNEL = 0x80;
/** struct user_regs_struct: 23 registers of the context, then ds, es, fs, gs. */
const REGS_SIZE = 27 * 8;
/** struct user, and its debug registers. */
const USER_SIZE = 928;
const USER_DEBUGREG = 848;
/** CF PF AF ZF SF TF DF OF NT RF AC. */
const FLAGS_SETTABLE = 0x54dd5;
const ADDRESS_END_HIGH = 0x8000;
const USER_CS = 0x33;
const USER_SS = 0x2b;

const block = new Uint8Array(256);

function traceme(t: Task): number {
  const parent = t.tg.parent;
  if (t.ptrace !== null || parent === null) return -EPERM;
  attach(t, parent, false, 0);
  return 0;
}

function begin(t: Task, seize: boolean): number {
  const options = seize ? t.argU(3) : 0;
  if (seize && (t.arg(2) !== 0 || badOptions(t))) return -EIO;
  const o = t.pidns.task(t.argI(1));
  if (o === null) return -ESRCH;
  if (o.tg === t.tg || o.ptrace !== null || o.tg.zombie || mayPtrace(t, o) < 0) return -EPERM;
  attach(o, t.tg, seize, options);
  if (!seize) signalTask(o, new SigInfo(SIGSTOP, SI_KERNEL), true);
  adoptStop(o);
  return 0;
}

function badOptions(t: Task): boolean {
  return t.argHi(3) !== 0 || (t.argU(3) & ~PTRACE_O_MASK) !== 0 || (t.argU(3) & PTRACE_O_SUSPEND_SECCOMP) !== 0;
}

/** The registers as struct user_regs_struct, at the beginning of `b`. */
function putRegs(o: Task, b: Uint8Array): void {
  b.fill(0, 0, REGS_SIZE);
  const r = o.ctx.regs;
  for (let i = 0; i < REG_COUNT; i++) {
    putU32(b, 8 * i, r[2 * i]!);
    putU32(b, 8 * i + 4, r[2 * i + 1]!);
  }
  putU64(b, 8 * REG_CS, USER_CS);
  putU64(b, 8 * REG_SS, USER_SS);
}

/** Sets register `i`. 0 or -EIO. */
function setReg(o: Task, i: number, lo: number, hi: number): number {
  const r = o.ctx.regs;
  if (i >= REG_COUNT || i === REG_CS || i === REG_SS) return 0;
  if ((i === REG_FS_BASE || i === REG_GS_BASE) && hi >= ADDRESS_END_HIGH) return -EIO;
  if (i === REG_EFLAGS) r[2 * i] = ((r[2 * i]! & ~FLAGS_SETTABLE) | (lo & FLAGS_SETTABLE)) >>> 0;
  else {
    r[2 * i] = lo;
    r[2 * i + 1] = hi;
  }
  o.ptrace!.regsSet = true;
  return 0;
}

function setRegs(o: Task, b: Uint8Array, len: number): number {
  let err = 0;
  for (let at = 0; at + 8 <= len && err === 0; at += 8) err = setReg(o, at / 8, getU32(b, at), getU32(b, at + 4));
  return err;
}

function peek(t: Task, o: Task, addr: number, out: number): number {
  if (peekMemory(o, addr, block, 0, 8) < 0) return -EIO;
  return t.copyOut(out, block, 0, 8);
}

function poke(t: Task, o: Task, addr: number): number {
  putU32(block, 0, t.argLo(3));
  putU32(block, 4, t.argHi(3));
  return pokeMemory(o, addr, block, 0, 8) < 0 ? -EIO : 0;
}

function peekUser(t: Task, o: Task, addr: number): number {
  if (addr % 8 !== 0 || addr >= USER_SIZE) return -EIO;
  block.fill(0, 0, 8);
  if (addr < REGS_SIZE) {
    putRegs(o, block);
    return t.copyOut(t.arg(3), block, addr, 8);
  }
  return t.copyOut(t.arg(3), block, 0, 8);
}

function pokeUser(t: Task, o: Task, addr: number): number {
  if (addr % 8 !== 0 || addr >= USER_SIZE) return -EIO;
  if (addr < REGS_SIZE) return setReg(o, addr / 8, t.argLo(3), t.argHi(3));
  // Debug registers hold nothing here.
  return addr >= USER_DEBUGREG && addr < USER_DEBUGREG + 64 && t.arg(3) === 0 ? 0 : -EIO;
}

/** PTRACE_GETREGSET, PTRACE_SETREGSET: arg 2 is the type, arg 3 an iovec whose length comes back. */
function regset(t: Task, o: Task, write: boolean): number {
  const iov = t.arg(3);
  if (t.copyIn(iov, block, 0, 16) < 0) return -EFAULT;
  const base = getU64(block, 0);
  const room = getU64(block, 8);
  const type = t.argU(2);
  if (room % 8 !== 0) return -EINVAL;
  let len: number;
  if (type === NT_PRSTATUS) {
    len = Math.min(room, REGS_SIZE);
    if (write) {
      if (t.copyIn(base, block, 0, len) < 0) return -EFAULT;
      const err = setRegs(o, block, len);
      if (err < 0) return err;
    } else {
      putRegs(o, block);
      if (t.copyOut(base, block, 0, len) < 0) return -EFAULT;
    }
  } else if (type === NT_PRFPREG || type === NT_X86_XSTATE) {
    const r = vectors(t, o, write, base, room, type === NT_PRFPREG);
    if (r < 0) return r;
    len = r;
  } else return -EINVAL;
  return t.writeU64(iov + 8, len);
}

/** Moves the vector state between the tracee and `base` of the tracer. Bytes moved or -errno. */
function vectors(t: Task, o: Task, write: boolean, base: number, room: number, legacy: boolean): number {
  const b = readVectors(o);
  if (b === null) return -EIO;
  const len = Math.min(room, legacy ? FP_LEGACY : b.length);
  if (!write) return t.copyOut(base, b, 0, len) < 0 ? -EFAULT : len;
  if (t.copyIn(base, b, 0, len) < 0) return -EFAULT;
  const err = writeVectors(o, b);
  return err < 0 ? err : len;
}

function readSigInfo(t: Task): SigInfo | number {
  if (t.copyIn(t.arg(3), block, 0, 128) < 0) return -EFAULT;
  const info = new SigInfo(getI32(block, 0), getI32(block, 8));
  info.errno = getI32(block, 4);
  info.pid = getI32(block, 16);
  info.uid = getU32(block, 20);
  info.addr = info.code > 0 ? getU64(block, 16) : 0;
  info.status = getI32(block, 24);
  info.valueLo = getU32(block, 24);
  info.valueHi = getU32(block, 28);
  return info;
}

/** PTRACE_GET_SYSCALL_INFO: the bytes there are. */
function syscallInfo(t: Task, o: Task, p: Ptrace): number {
  const r = o.ctx.regs;
  block.fill(0, 0, 88);
  block[0] = p.syscall;
  putU32(block, 4, AUDIT_ARCH_X86_64);
  const word = (at: number, reg: number): void => {
    putU32(block, at, r[2 * reg]!);
    putU32(block, at + 4, r[2 * reg + 1]!);
  };
  word(8, REG_RIP);
  word(16, REG_RSP);
  let size = 24;
  if (p.syscall === 1 || p.syscall === 3) {
    word(24, REG_ORIG_RAX);
    // rdi rsi rdx r10 r8 r9
    [14, 13, 12, 7, 9, 8].forEach((reg, i) => {
      word(32 + 8 * i, reg);
    });
    size = 80;
    if (p.syscall === 3) {
      putU32(block, 80, p.message);
      size = 84;
    }
  } else if (p.syscall === 2) {
    word(24, REG_RAX);
    const lo = r[2 * REG_RAX]! | 0;
    block[32] = r[2 * REG_RAX + 1] === 0xffffffff && lo < 0 && lo >= -4095 ? 1 : 0;
    size = 33;
  }
  return t.copyOut(t.arg(3), block, 0, Math.min(size, t.arg(2))) < 0 ? -EFAULT : size;
}

/** Lets the tracee go on with the signal in argument 3. */
function go(t: Task, o: Task, p: Ptrace, mode: number, step: boolean): number {
  if (t.arg(3) > NSIG) return -EIO;
  letGo(o, p, t.argI(3), mode, step);
  return 0;
}

function listen(o: Task, p: Ptrace): number {
  if (!p.seized || p.code >> 8 !== PTRACE_EVENT_STOP) return -EIO;
  p.listening = true;
  p.reported = true;
  if (p.trap) continued(o);
  return 0;
}

function interrupt(o: Task, p: Ptrace): number {
  if (!p.seized) return -EIO;
  p.trap = true;
  if (o.state !== TASK_TRACED) kick(o);
  else if (p.listening) continued(o);
  return 0;
}

/** Requests that a stopped tracee answers. */
function request(t: Task, o: Task, p: Ptrace): number {
  switch (t.argI(0)) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
      return peek(t, o, t.arg(2), t.arg(3));
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return poke(t, o, t.arg(2));
    case PTRACE_PEEKUSR:
      return peekUser(t, o, t.arg(2));
    case PTRACE_POKEUSR:
      return pokeUser(t, o, t.arg(2));
    case PTRACE_GETREGS:
      putRegs(o, block);
      return t.copyOut(t.arg(3), block, 0, REGS_SIZE);
    case PTRACE_SETREGS:
      return t.copyIn(t.arg(3), block, 0, REGS_SIZE) < 0 ? -EFAULT : setRegs(o, block, REGS_SIZE);
    case PTRACE_GETFPREGS:
    case PTRACE_SETFPREGS: {
      const r = vectors(t, o, t.argI(0) === PTRACE_SETFPREGS, t.arg(3), FP_LEGACY, true);
      return r < 0 ? r : 0;
    }
    case PTRACE_GETREGSET:
      return regset(t, o, false);
    case PTRACE_SETREGSET:
      return regset(t, o, true);
    case PTRACE_SETOPTIONS:
      if (badOptions(t)) return -EINVAL;
      p.options = t.argU(3);
      return 0;
    case PTRACE_GETEVENTMSG:
      return t.writeU64(t.arg(3), p.message);
    case PTRACE_GETSIGINFO:
      if (p.info === null) return -EINVAL;
      encodeSigInfo(p.info, block, 0);
      return t.copyOut(t.arg(3), block, 0, 128);
    case PTRACE_SETSIGINFO: {
      const info = readSigInfo(t);
      if (typeof info === 'number') return info;
      if (p.info === null) return -EINVAL;
      p.info = info;
      return 0;
    }
    case PTRACE_GETSIGMASK:
      if (t.arg(2) !== 8) return -EINVAL;
      putU32(block, 0, o.maskLo);
      putU32(block, 4, o.maskHi);
      return t.copyOut(t.arg(3), block, 0, 8);
    case PTRACE_SETSIGMASK:
      if (t.arg(2) !== 8) return -EINVAL;
      if (t.copyIn(t.arg(3), block, 0, 8) < 0) return -EFAULT;
      setMask(o, getU32(block, 0), getU32(block, 4));
      return 0;
    case PTRACE_GET_SYSCALL_INFO:
      return syscallInfo(t, o, p);
    case PTRACE_CONT:
      return go(t, o, p, MODE_CONT, false);
    case PTRACE_SYSCALL:
      return go(t, o, p, MODE_SYSCALL, false);
    case PTRACE_SINGLESTEP:
      return go(t, o, p, MODE_CONT, true);
    case PTRACE_LISTEN:
      return listen(o, p);
    case PTRACE_DETACH:
      if (t.arg(3) > NSIG) return -EIO;
      detach(o, t.argI(3));
      return 0;
    default:
      return unknownOption(t, 'ptrace', t.argI(0), EIO);
  }
}

export function sys_ptrace(t: Task): number {
  const what = t.argI(0);
  if (what === PTRACE_TRACEME) return traceme(t);
  if (what === PTRACE_ATTACH || what === PTRACE_SEIZE) return begin(t, what === PTRACE_SEIZE);
  const o = t.pidns.task(t.argI(1));
  const p = o === null ? null : o.ptrace;
  if (o === null || p === null || p.tracer !== t.tg) return -ESRCH;
  if (what === PTRACE_KILL) {
    signalTask(o, new SigInfo(SIGKILL, SI_KERNEL), t.pid.in(o.pidns) === 0);
    return 0;
  }
  if (what === PTRACE_INTERRUPT) return interrupt(o, p);
  return o.state !== TASK_TRACED || p.listening ? -ESRCH : request(t, o, p);
}

export const rows: readonly Row[] = [
  partial(
    SYS_ptrace,
    'ptrace',
    sys_ptrace,
    'the tracer is a process, not a thread; no hardware breakpoints, PTRACE_SYSEMU, PTRACE_PEEKSIGINFO, PTRACE_SECCOMP_GET_FILTER',
    'hex',
    'int',
    'ptr',
    'ptr',
  ),
];
