// Classic BPF over struct seccomp_data: the check that a program must pass (net/core/filter.c, kernel/seccomp.c: seccomp_check_filter),
// and its interpreter.

import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_AND,
  BPF_DIV,
  BPF_IMM,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JMP,
  BPF_JSET,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LEN,
  BPF_LSH,
  BPF_MAXINSNS,
  BPF_MEM,
  BPF_MEMWORDS,
  BPF_MISC,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RET,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_TAX,
  BPF_TXA,
  BPF_W,
  BPF_X,
  BPF_A,
  BPF_XOR,
} from '../../abi/seccomp.ts';
import { SECCOMP_DATA } from '../../abi/layouts.ts';
import { getU32 } from '../../base/bytes.ts';

/** sizeof(struct sock_filter). */
export const INSN_SIZE = 8;
/** What run() answers when the program looks at a word that it was not given. */
export const UNDECIDED = -1;
/** Words of struct seccomp_data. */
export const DATA_WORDS: number = SECCOMP_DATA.size / 4;
/** Those that are known without arguments: the call's number and the architecture. */
export const CONSTANT_WORDS = 2;

// Instructions of the interpreter: LD_LEN has become LD_IMM.
const LD_ABS = BPF_LD | BPF_W | BPF_ABS;
const LD_IMM = BPF_LD | BPF_IMM;
const LD_MEM = BPF_LD | BPF_MEM;
const LDX_IMM = BPF_LDX | BPF_IMM;
const LDX_MEM = BPF_LDX | BPF_MEM;
const RET_K = BPF_RET | BPF_K;
const RET_A = BPF_RET | BPF_A;
const TAX = BPF_MISC | BPF_TAX;
const TXA = BPF_MISC | BPF_TXA;
const NEG = BPF_ALU | BPF_NEG;
const JA = BPF_JMP | BPF_JA;
const ALU_OPS = [BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH];
const JUMP_OPS = [BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET];
const ALLOWED: ReadonlySet<number> = new Set([
  LD_ABS,
  LD_IMM,
  LD_MEM,
  LDX_IMM,
  LDX_MEM,
  BPF_ST,
  BPF_STX,
  RET_K,
  RET_A,
  TAX,
  TXA,
  NEG,
  JA,
  ...ALU_OPS.flatMap((op) => [BPF_ALU | op | BPF_K, BPF_ALU | op | BPF_X]),
  ...JUMP_OPS.flatMap((op) => [BPF_JMP | op | BPF_K, BPF_JMP | op | BPF_X]),
]);

/** Instructions that Linux puts before a translated program. */
const PROLOGUE = 3;

const memory = new Uint32Array(BPF_MEMWORDS);

/** A checked program. Instruction i is four words: code, jt, jf, k. */
export class BpfProgram {
  /** Instructions of the form that Linux translates it to (bpf_convert_filter), which is what it limits. */
  readonly length: number;
  private readonly w: Uint32Array;

  private constructor(w: Uint32Array) {
    this.w = w;
    this.length = translatedLength(w);
  }

  /** Takes `count` instructions (struct sock_filter) from `b`; null when Linux would refuse them (EINVAL). */
  static check(b: Uint8Array, count: number): BpfProgram | null {
    if (count < 1 || count > BPF_MAXINSNS || b.length < count * INSN_SIZE) return null;
    const w = new Uint32Array(4 * count);
    for (let i = 0; i < count; i++) {
      const at = i * INSN_SIZE;
      let code = b[at]! | (b[at + 1]! << 8);
      let k = getU32(b, at + 4);
      if (code === (BPF_LD | BPF_W | BPF_LEN) || code === (BPF_LDX | BPF_W | BPF_LEN)) {
        code = code & 7;
        k = SECCOMP_DATA.size;
      }
      if (!ALLOWED.has(code)) return null;
      w[4 * i] = code;
      w[4 * i + 1] = b[at + 2]!;
      w[4 * i + 2] = b[at + 3]!;
      w[4 * i + 3] = k;
      if (!validOperand(code, b[at + 2]!, b[at + 3]!, k, i, count)) return null;
    }
    const last = w[4 * (count - 1)]!;
    if (last !== RET_K && last !== RET_A) return null;
    return loadsWhatWasStored(w, count) ? new BpfProgram(w) : null;
  }

  /** What it returns for `data`, of which the first `known` words may be looked at: an unsigned word, or UNDECIDED. */
  run(data: Uint32Array, known: number): number {
    const w = this.w;
    const m = memory;
    let a = 0;
    let x = 0;
    for (let at = 0; ; at += 4) {
      const k = w[at + 3]!;
      switch (w[at]!) {
        case LD_ABS:
          if (k >>> 2 >= known) return UNDECIDED;
          a = data[k >>> 2]!;
          break;
        case BPF_JMP | BPF_JEQ | BPF_K:
          at += 4 * (a === k ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JGE | BPF_K:
          at += 4 * (a >= k ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JGT | BPF_K:
          at += 4 * (a > k ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JSET | BPF_K:
          at += 4 * ((a & k) !== 0 ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JEQ | BPF_X:
          at += 4 * (a === x ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JGE | BPF_X:
          at += 4 * (a >= x ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JGT | BPF_X:
          at += 4 * (a > x ? w[at + 1]! : w[at + 2]!);
          break;
        case BPF_JMP | BPF_JSET | BPF_X:
          at += 4 * ((a & x) !== 0 ? w[at + 1]! : w[at + 2]!);
          break;
        case JA:
          at += 4 * k;
          break;
        case RET_K:
          return k;
        case RET_A:
          return a;
        case LD_IMM:
          a = k;
          break;
        case LD_MEM:
          a = m[k]!;
          break;
        case LDX_IMM:
          x = k;
          break;
        case LDX_MEM:
          x = m[k]!;
          break;
        case BPF_ST:
          m[k] = a;
          break;
        case BPF_STX:
          m[k] = x;
          break;
        case TAX:
          x = a;
          break;
        case TXA:
          a = x;
          break;
        case NEG:
          a = -a >>> 0;
          break;
        default: {
          const code = w[at]!;
          const operand = (code & BPF_X) !== 0 ? x : k;
          // A division by X of 0 ends the program with 0.
          if ((code & 0xf0) === BPF_DIV && operand === 0) return 0;
          a = arithmetic(code & 0xf0, a, operand);
        }
      }
    }
  }
}

function translatedLength(w: Uint32Array): number {
  let n = PROLOGUE;
  for (let at = 0; at < w.length; at += 4) {
    const code = w[at]!;
    const twoWays = (code & 7) === BPF_JMP && code !== JA && w[at + 1] !== 0 && w[at + 2] !== 0;
    n += code === RET_K || twoWays ? 2 : 1;
  }
  return n;
}

function arithmetic(op: number, a: number, b: number): number {
  switch (op) {
    case BPF_ADD:
      return (a + b) >>> 0;
    case BPF_SUB:
      return (a - b) >>> 0;
    case BPF_MUL:
      return Math.imul(a, b) >>> 0;
    case BPF_DIV:
      return Math.floor(a / b);
    case BPF_AND:
      return (a & b) >>> 0;
    case BPF_OR:
      return (a | b) >>> 0;
    case BPF_XOR:
      return (a ^ b) >>> 0;
    case BPF_LSH:
      return (a << b) >>> 0;
    default:
      return a >>> b;
  }
}

function validOperand(code: number, jt: number, jf: number, k: number, at: number, count: number): boolean {
  switch (code) {
    case LD_ABS:
      return k < SECCOMP_DATA.size && (k & 3) === 0;
    case LD_MEM:
    case LDX_MEM:
    case BPF_ST:
    case BPF_STX:
      return k < BPF_MEMWORDS;
    case BPF_ALU | BPF_DIV | BPF_K:
      return k !== 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      return k < 32;
    case JA:
      return k < count - at - 1;
    default:
      return (code & 7) !== BPF_JMP || (at + jt + 1 < count && at + jf + 1 < count);
  }
}

/** No path may load a memory word that it has not stored (check_load_and_stores). */
function loadsWhatWasStored(w: Uint32Array, count: number): boolean {
  const masks = new Uint16Array(count).fill(0xffff);
  let stored = 0;
  for (let i = 0; i < count; i++) {
    stored &= masks[i]!;
    const code = w[4 * i]!;
    const k = w[4 * i + 3]!;
    if (code === BPF_ST || code === BPF_STX) stored |= 1 << k;
    else if (code === LD_MEM || code === LDX_MEM) {
      if ((stored & (1 << k)) === 0) return false;
    } else if (code === JA) {
      masks[i + 1 + k] = masks[i + 1 + k]! & stored;
      stored = 0xffff;
    } else if ((code & 7) === BPF_JMP) {
      const t = i + 1 + w[4 * i + 1]!;
      const f = i + 1 + w[4 * i + 2]!;
      masks[t] = masks[t]! & stored;
      masks[f] = masks[f]! & stored;
      stored = 0xffff;
    }
  }
  return true;
}
