// Seccomp filters as data (seccomp(2), bpf(2)): an allow-list of system calls, some only with certain argument values.

import { EPERM } from '../abi/errno.ts';
import { PR_SET_NO_NEW_PRIVS } from '../abi/prctl.ts';
import {
  AUDIT_ARCH_X86_64,
  BPF_ABS,
  BPF_ALU,
  BPF_AND,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  BPF_W,
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
} from '../abi/seccomp.ts';
import type { Native } from './native.ts';

/** True if (low 32 bits of argument `arg`) & `mask` is one of `values`. */
export interface ArgumentCheck {
  arg: number;
  mask: number;
  values: readonly number[];
}

/** A call that is allowed only if its check and all those of `and` hold. */
export interface ArgumentRule extends ArgumentCheck {
  nr: number;
  and?: readonly ArgumentCheck[];
}

export interface FilterPlan {
  allow: readonly number[];
  /** Calls with checks, the most frequent first. Of several rules for one call one must hold. */
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

/** The filter as an array of struct sock_filter. tools/gen-filters.mjs does it for Sentry and Gofer when they are built. */
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
  // Rules stand first: what is allowed whatever its arguments costs nothing anyway, the kernel keeps those calls in a bitmap (seccomp(2)).
  for (const r of plan.rules ?? []) {
    const checks = [r, ...(r.and ?? [])];
    // For each check: load, mask, a comparison for each value, a jump to the next rule. Then: allow, and the number again.
    let left = checks.reduce((n, c) => n + 3 + c.values.length, 1);
    p.add(equal, r.nr, 0, left + 1);
    for (const c of checks) {
      p.add(load, DATA_ARGS + 8 * c.arg);
      p.add(BPF_ALU | BPF_AND | BPF_K, c.mask);
      c.values.forEach((v, i) => {
        p.add(equal, v, c.values.length - i, 0);
      });
      left -= 3 + c.values.length;
      p.add(BPF_JMP | BPF_JA, left);
    }
    p.add(ret, SECCOMP_RET_ALLOW);
    p.add(load, DATA_NR);
  }
  for (const nr of plan.allow) {
    p.add(equal, nr, 0, 1);
    p.add(ret, SECCOMP_RET_ALLOW);
  }
  for (const nr of plan.kill ?? []) {
    p.add(equal, nr, 0, 1);
    p.add(ret, SECCOMP_RET_KILL_PROCESS);
  }
  p.add(ret, SECCOMP_RET_ERRNO | (plan.errno ?? EPERM));
  return p.bytes();
}

/**
 * Puts a filter (an array of struct sock_filter) onto all threads of this process, for ever, after no_new_privs. `log`: the host's kernel
 * logs refused calls (audit). 0 or -errno.
 */
export function installFilter(native: Native, program: Uint8Array, log: boolean = false): number {
  const err = native.prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
  if (err < 0) return err;
  const r = native.seccomp(program, SECCOMP_FILTER_FLAG_TSYNC | (log ? SECCOMP_FILTER_FLAG_LOG : 0));
  return r > 0 ? -EPERM : r;
}
