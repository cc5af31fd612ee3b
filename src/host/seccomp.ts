// Seccomp filters as data (seccomp(2), bpf(2)): an allow-list of system calls, some only with certain argument values.

import { EPERM } from '../abi/errno.ts';
import { PR_SET_NO_NEW_PRIVS } from '../abi/prctl.ts';
import {
  AUDIT_ARCH_X86_64,
  BPF_ABS,
  BPF_ALU,
  BPF_AND,
  BPF_JEQ,
  BPF_JGE,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  BPF_W,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
} from '../abi/seccomp.ts';
import type { Native } from './native.ts';

/** A call that is allowed only if (low 32 bits of argument `arg`) & `mask` is one of `values`. */
export interface ArgumentRule {
  nr: number;
  arg: number;
  mask: number;
  values: readonly number[];
}

export interface FilterPlan {
  /** The most frequent first. */
  allow: readonly number[];
  /** Calls with a check; several rules for one call must all hold only by being written as one. */
  rules?: readonly ArgumentRule[];
  /** Calls that end the process: nobody but an attacker makes them. */
  kill?: readonly number[];
  /** What all other calls answer. Default EPERM. */
  errno?: number;
}

/** Offsets in struct seccomp_data. */
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_ARGS = 16;
const X32_BIT = 0x40000000;

class Program {
  private readonly words: [number, number, number, number][] = [];

  add(code: number, k: number, jt = 0, jf = 0): void {
    this.words.push([code, jt, jf, k]);
  }

  bytes(): Uint8Array {
    const b = Buffer.alloc(8 * this.words.length);
    this.words.forEach(([code, jt, jf, k], i) => {
      b.writeUInt16LE(code, 8 * i);
      b.writeUInt8(jt, 8 * i + 2);
      b.writeUInt8(jf, 8 * i + 3);
      b.writeUInt32LE(k >>> 0, 8 * i + 4);
    });
    return b;
  }
}

/** The filter as an array of struct sock_filter, for Native.seccomp. */
export function compileFilter(plan: FilterPlan): Uint8Array {
  const p = new Program();
  const load = BPF_LD | BPF_W | BPF_ABS;
  const equal = BPF_JMP | BPF_JEQ | BPF_K;
  const ret = BPF_RET | BPF_K;
  p.add(load, DATA_ARCH);
  p.add(equal, AUDIT_ARCH_X86_64, 1, 0);
  p.add(ret, SECCOMP_RET_KILL_PROCESS);
  p.add(load, DATA_NR);
  p.add(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
  p.add(ret, SECCOMP_RET_KILL_PROCESS);
  for (const nr of plan.allow) {
    p.add(equal, nr, 0, 1);
    p.add(ret, SECCOMP_RET_ALLOW);
  }
  for (const nr of plan.kill ?? []) {
    p.add(equal, nr, 0, 1);
    p.add(ret, SECCOMP_RET_KILL_PROCESS);
  }
  for (const r of plan.rules ?? []) {
    // Load, mask, two words a value, and the number again for the rules that follow.
    p.add(equal, r.nr, 0, 3 + 2 * r.values.length);
    p.add(load, DATA_ARGS + 8 * r.arg);
    p.add(BPF_ALU | BPF_AND | BPF_K, r.mask);
    for (const v of r.values) {
      p.add(equal, v, 0, 1);
      p.add(ret, SECCOMP_RET_ALLOW);
    }
    p.add(load, DATA_NR);
  }
  p.add(ret, SECCOMP_RET_ERRNO | (plan.errno ?? EPERM));
  return p.bytes();
}

/** Puts a filter onto all threads of this process, for ever, after no_new_privs. 0 or -errno. */
export function installFilter(native: Native, plan: FilterPlan): number {
  const err = native.prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
  if (err < 0) return err;
  const r = native.seccomp(compileFilter(plan), SECCOMP_FILTER_FLAG_TSYNC);
  return r > 0 ? -EPERM : r;
}
