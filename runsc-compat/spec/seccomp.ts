// linux.seccomp of config.json as one program of classic BPF, which the Sentry runs over the guest's calls. What libseccomp makes of a
// profile, and what runc adds to it, is kept: calls of another ABI end the process, calls newer than the profile answer ENOSYS.

import * as numbers from '../../src/abi/nr.ts';
import { ENOSYS, EPERM } from '../../src/abi/errno.ts';
import {
  AUDIT_ARCH_X86_64,
  BPF_ABS,
  BPF_ALU,
  BPF_AND,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_MAXINSNS,
  BPF_RET,
  BPF_W,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_DATA,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_TRAP,
} from '../../src/abi/seccomp.ts';
import type { SeccompConfig } from '../../src/wire/boot.ts';
import { CliError } from '../errors.ts';
import type { Seccomp, SeccompArg } from './types.ts';

// Offsets in struct seccomp_data.
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_ARGS = 16;
const ARGUMENTS = 6;
const X32_BIT = 0x40000000;
/** Calls of x32 with numbers of their own stand from here on; none is implemented. */
const X32_OWN = 512;
const MOST_JUMP = 255;

const ACTIONS: Record<string, number> = {
  SCMP_ACT_KILL: SECCOMP_RET_KILL_THREAD,
  SCMP_ACT_KILL_THREAD: SECCOMP_RET_KILL_THREAD,
  SCMP_ACT_KILL_PROCESS: SECCOMP_RET_KILL_PROCESS,
  SCMP_ACT_TRAP: SECCOMP_RET_TRAP,
  SCMP_ACT_ERRNO: SECCOMP_RET_ERRNO,
  SCMP_ACT_TRACE: SECCOMP_RET_TRACE,
  SCMP_ACT_LOG: SECCOMP_RET_LOG,
  SCMP_ACT_ALLOW: SECCOMP_RET_ALLOW,
};
/** Names of the actions that a profile may have. */
export const SECCOMP_ACTIONS: readonly string[] = Object.keys(ACTIONS);
/** Actions that let calls through which the profile does not know: for them nobody needs ENOSYS. */
const PERMISSIVE = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'];

/** An instruction: code, jt, jf, k. */
type Insn = [number, number, number, number];

/** What one call gets: under conditions that must all hold, or always. */
interface Rule {
  conditions: SeccompArg[];
  result: number;
}

const load = (offset: number): Insn => [BPF_LD | BPF_W | BPF_ABS, 0, 0, offset];
const ret = (value: number): Insn => [BPF_RET | BPF_K, 0, 0, value >>> 0];
const jump = (n: number): Insn => [BPF_JMP | BPF_JA, 0, 0, n];
const test = (op: number, k: number, jt: number, jf: number): Insn => [BPF_JMP | op | BPF_K, jt, jf, k];

function resultOf(action: string, errno: number | undefined, where: string): number {
  if (action === 'SCMP_ACT_NOTIFY')
    throw new CliError(`${where} is "SCMP_ACT_NOTIFY", which is not supported: there is no user notification`);
  const base = ACTIONS[action];
  if (base === undefined) throw new CliError(`${where} is "${action}", which is no action of seccomp`);
  const takesErrno = action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE';
  return takesErrno ? (base | ((errno ?? EPERM) & SECCOMP_RET_DATA)) >>> 0 : base;
}

/** The two words of a 64-bit number as JSON.parse read it: what it cannot hold exactly is rounded, what is too large is all ones. */
function halves(v: number): [number, number] {
  if (v >= 2 ** 64) return [0xffffffff, 0xffffffff];
  return [v >>> 0, Math.floor(v / 2 ** 32) >>> 0];
}

/** Falls through when the condition holds, else jumps `fail` instructions behind its last one (at most MOST_JUMP less its length). */
function condition(c: SeccompArg, fail: number): Insn[] {
  const at = DATA_ARGS + 8 * c.index;
  const [lo, hi] = halves(c.value);
  switch (c.op) {
    case 'SCMP_CMP_EQ':
      return [load(at + 4), test(BPF_JEQ, hi, 0, fail + 2), load(at), test(BPF_JEQ, lo, 0, fail)];
    case 'SCMP_CMP_NE':
      return [load(at + 4), test(BPF_JEQ, hi, 0, 2), load(at), test(BPF_JEQ, lo, fail, 0)];
    case 'SCMP_CMP_MASKED_EQ': {
      const [wantLo, wantHi] = halves(c.valueTwo ?? 0);
      const and = (k: number): Insn => [BPF_ALU | BPF_AND | BPF_K, 0, 0, k];
      return [load(at + 4), and(hi), test(BPF_JEQ, wantHi, 0, fail + 3), load(at), and(lo), test(BPF_JEQ, wantLo, 0, fail)];
    }
    case 'SCMP_CMP_GT':
    case 'SCMP_CMP_GE':
      return [
        load(at + 4),
        test(BPF_JGT, hi, 3, 0),
        test(BPF_JEQ, hi, 0, fail + 2),
        load(at),
        test(c.op === 'SCMP_CMP_GT' ? BPF_JGT : BPF_JGE, lo, 0, fail),
      ];
    default:
      // LT is not GE, LE is not GT.
      return [
        load(at + 4),
        test(BPF_JGT, hi, fail + 3, 0),
        test(BPF_JEQ, hi, 0, 2),
        load(at),
        test(c.op === 'SCMP_CMP_LT' ? BPF_JGE : BPF_JGT, lo, fail, 0),
      ];
  }
}

/** All instructions of a rule; those that fail a condition go on behind it. */
function ruleCode(r: Rule): Insn[] {
  let code: Insn[] = [ret(r.result)];
  for (const c of [...r.conditions].reverse()) code = [...condition(c, code.length), ...code];
  return code;
}

/** The calls of one `syscalls` entry with the same conditions. Conditions on one argument twice are alternatives, as in runc. */
function alternatives(args: SeccompArg[], where: string): SeccompArg[][] {
  args.forEach((a, i) => {
    if (a.index >= ARGUMENTS) throw new CliError(`${where}/args/${i}/index is ${a.index}, allowed is a number < ${ARGUMENTS}`);
  });
  if (args.length === 0) return [[]];
  const twice = new Set(args.map((a) => a.index)).size < args.length;
  return twice ? args.map((a) => [a]) : [args];
}

interface Rules {
  byNumber: Map<number, Rule[]>;
  /** The highest number that the profile names. */
  last: number;
  unknown: string[];
}

function collect(s: Seccomp, other: number, file: string): Rules {
  const out: Rules = { byNumber: new Map(), last: 0, unknown: [] };
  (s.syscalls ?? []).forEach((entry, i) => {
    const where = `${file}: /linux/seccomp/syscalls/${i}`;
    const result = resultOf(entry.action, entry.errnoRet, `${where}/action`);
    const conditions = alternatives(entry.args ?? [], where);
    for (const name of entry.names) {
      const nr = (numbers as unknown as Record<string, number>)[`SYS_${name}`];
      if (nr === undefined) {
        if (name === '') throw new CliError(`${where}/names has an empty string, which is not a valid syscall`);
        out.unknown.push(name);
        continue;
      }
      if (nr > out.last) out.last = nr;
      // What says the same as the default action is redundant; libseccomp refuses it, runc leaves it out.
      if (result === other) continue;
      const rules = out.byNumber.get(nr) ?? [];
      out.byNumber.set(nr, rules);
      for (const c of conditions) rules.push({ conditions: c, result });
    }
  });
  return out;
}

/** What one call does: the first rule without conditions, if there is one, stands for all; else the alternatives in turn. */
function callCode(rules: Rule[], other: number): Insn[] {
  const always = rules.find((r) => r.conditions.length === 0);
  return always !== undefined ? [ret(always.result)] : [...rules.flatMap(ruleCode), ret(other)];
}

/** Cases by number (in the accumulator), and what all others get. */
function dispatch(rules: Rules, other: number): Insn[] {
  const code: Insn[] = [];
  for (const [nr, of] of rules.byNumber) {
    const body = callCode(of, other);
    if (body.length <= MOST_JUMP) code.push(test(BPF_JEQ, nr, 0, body.length));
    else code.push(test(BPF_JEQ, nr, 1, 0), jump(body.length));
    code.push(...body);
  }
  code.push(ret(other));
  return code;
}

function bytes(code: Insn[]): Buffer {
  const b = Buffer.alloc(8 * code.length);
  code.forEach(([op, jt, jf, k], i) => {
    b.writeUInt16LE(op, 8 * i);
    b.writeUInt8(jt, 8 * i + 2);
    b.writeUInt8(jf, 8 * i + 3);
    b.writeUInt32LE(k >>> 0, 8 * i + 4);
  });
  return b;
}

/**
 * The filter of a profile; undefined for a profile that says nothing. `note` is told of names that are no calls here: runc leaves them out
 * as well. Throws a CliError that names `file` and the place of what cannot be done.
 */
export function convertSeccomp(s: Seccomp | undefined, file: string, note: (line: string) => void): SeccompConfig | undefined {
  if (s === undefined) return undefined;
  if (s.listenerPath !== undefined && s.listenerPath !== '')
    throw new CliError(`${file}: /linux/seccomp/listenerPath is set, which is not supported: there is no user notification`);
  const other = resultOf(s.defaultAction, s.defaultErrnoRet, `${file}: /linux/seccomp/defaultAction`);
  const architectures = s.architectures ?? [];
  const rules = collect(s, other, file);
  if (rules.unknown.length > 0) note(`seccomp: unknown system calls are left out: ${rules.unknown.join(', ')}`);
  const named = architectures.includes('SCMP_ARCH_X86_64');
  const x32 = architectures.includes('SCMP_ARCH_X32');
  const answersNew = named && !PERMISSIVE.includes(s.defaultAction) && other !== (SECCOMP_RET_ERRNO | ENOSYS) && rules.last > 0;
  const enosys = ret(SECCOMP_RET_ERRNO | ENOSYS);
  const foreign = ret(SECCOMP_RET_KILL_THREAD);
  const main = dispatch(rules, other);
  const code: Insn[] = [load(DATA_ARCH), test(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0), foreign, load(DATA_NR)];
  if (!x32) code.push(test(BPF_JGE, X32_BIT, 0, 1), foreign);
  else
    code.push(
      test(BPF_JGE, X32_BIT, 0, 4),
      [BPF_ALU | BPF_AND | BPF_K, 0, 0, X32_BIT - 1],
      test(BPF_JGE, X32_OWN, 0, 1),
      enosys,
      jump(answersNew ? 2 : 0),
    );
  if (answersNew) code.push(test(BPF_JGT, rules.last, 0, 1), enosys);
  code.push(...main);
  if (code.length > BPF_MAXINSNS)
    throw new CliError(`${file}: /linux/seccomp makes a program of ${code.length} instructions, allowed are ${BPF_MAXINSNS}`);
  return { program: bytes(code).toString('base64'), log: (s.flags ?? []).includes('SECCOMP_FILTER_FLAG_LOG') };
}
