// Prints system calls as strace(1) does: name, decoded arguments, result (--strace).

import * as errnos from '../../abi/errno.ts';
import * as signals from '../../abi/signal.ts';
import { AT_FDCWD } from '../../abi/fcntl.ts';
import { monotonicNs } from '../../base/clock.ts';
import { latin1Decode } from '../../base/bytes.ts';
import { ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, NO_RESULT, TASK_EXITED } from '../../base/result.ts';
import type { Tracer } from '../kernel/run.ts';
import type { Task } from '../kernel/task.ts';
import { filePath } from '../vfs/path.ts';
import type { ArgKind } from './row.ts';
import { names, table } from './table.ts';

const SHOWN = 48;
const ARGV_SHOWN = 8;

/** Names of a family by value: the first name wins. */
function byValue(family: Record<string, unknown>, prefix: RegExp): Map<number, string> {
  const m = new Map<number, string>();
  for (const [k, v] of Object.entries(family)) if (typeof v === 'number' && prefix.test(k) && !m.has(v)) m.set(v, k);
  return m;
}

const ERRNO = byValue(errnos, /^E[A-Z0-9]+$/);
const SIGNAL = byValue(signals, /^SIG(?!_)(?!EV)(?!RT)(?!STKSZ)[A-Z0-9]+$/);
const RESTART: ReadonlyMap<number, string> = new Map([
  [ERESTARTSYS, 'ERESTARTSYS'],
  [ERESTARTNOINTR, 'ERESTARTNOINTR'],
  [ERESTARTNOHAND, 'ERESTARTNOHAND'],
  [ERESTART_RESTARTBLOCK, 'ERESTART_RESTARTBLOCK'],
]);

/** Name of an errno (positive), for messages. */
export function errnoName(e: number): string {
  return ERRNO.get(e) ?? RESTART.get(e) ?? String(e);
}

function flags(v: number, table: readonly (readonly [number, string])[]): string {
  const out: string[] = [];
  let left = v;
  for (const [bit, name] of table) {
    if (bit !== 0 && (left & bit) === bit) {
      out.push(name);
      left &= ~bit;
    }
  }
  if (left !== 0 || out.length === 0) out.push(`0x${(left >>> 0).toString(16)}`);
  return out.join('|');
}

const OPEN = [
  [0x410000, 'O_TMPFILE'],
  [1, 'O_WRONLY'],
  [2, 'O_RDWR'],
  [0o100, 'O_CREAT'],
  [0o200, 'O_EXCL'],
  [0o400, 'O_NOCTTY'],
  [0o1000, 'O_TRUNC'],
  [0o2000, 'O_APPEND'],
  [0o4000, 'O_NONBLOCK'],
  [0o4010000, 'O_SYNC'],
  [0o10000, 'O_DSYNC'],
  [0o40000, 'O_DIRECT'],
  [0o100000, 'O_LARGEFILE'],
  [0o200000, 'O_DIRECTORY'],
  [0o400000, 'O_NOFOLLOW'],
  [0o1000000, 'O_NOATIME'],
  [0o2000000, 'O_CLOEXEC'],
  [0o10000000, 'O_PATH'],
] as const;
const PROT = [
  [1, 'PROT_READ'],
  [2, 'PROT_WRITE'],
  [4, 'PROT_EXEC'],
] as const;
const MMAP = [
  [1, 'MAP_SHARED'],
  [2, 'MAP_PRIVATE'],
  [0x10, 'MAP_FIXED'],
  [0x20, 'MAP_ANONYMOUS'],
  [0x100, 'MAP_GROWSDOWN'],
  [0x800, 'MAP_DENYWRITE'],
  [0x4000, 'MAP_NORESERVE'],
  [0x8000, 'MAP_POPULATE'],
  [0x20000, 'MAP_STACK'],
  [0x100000, 'MAP_FIXED_NOREPLACE'],
] as const;
const CLONE = [
  [0x100, 'CLONE_VM'],
  [0x200, 'CLONE_FS'],
  [0x400, 'CLONE_FILES'],
  [0x800, 'CLONE_SIGHAND'],
  [0x1000, 'CLONE_PIDFD'],
  [0x4000, 'CLONE_VFORK'],
  [0x8000, 'CLONE_PARENT'],
  [0x10000, 'CLONE_THREAD'],
  [0x40000, 'CLONE_SYSVSEM'],
  [0x80000, 'CLONE_SETTLS'],
  [0x100000, 'CLONE_PARENT_SETTID'],
  [0x200000, 'CLONE_CHILD_CLEARTID'],
  [0x1000000, 'CLONE_CHILD_SETTID'],
] as const;
const WHENCE = ['SEEK_SET', 'SEEK_CUR', 'SEEK_END', 'SEEK_DATA', 'SEEK_HOLE'];

function quote(s: string, more: boolean): string {
  let out = '"';
  for (const c of s) {
    const n = c.charCodeAt(0);
    if (c === '"' || c === '\\') out += `\\${c}`;
    else if (c === '\n') out += '\\n';
    else if (c === '\t') out += '\\t';
    else if (n < 32 || n > 126) out += `\\${n.toString(8)}`;
    else out += c;
  }
  return more ? `${out}"...` : `${out}"`;
}

/** Writes one line per call. */
export class Strace implements Tracer {
  private readonly write: (line: string) => void;
  private readonly pending: Map<Task, { text: string; start: number }> = new Map();
  private readonly buf = new Uint8Array(4096);
  private readonly only: ReadonlySet<string> | null;

  /** `only`: names of the calls that are printed; null: all. */
  constructor(write: (line: string) => void, only: ReadonlySet<string> | null = null) {
    this.write = write;
    this.only = only;
  }

  enter(t: Task): void {
    const row = table[t.nr];
    const name = names.get(t.nr) ?? `syscall_${t.nr}`;
    if (this.only !== null && !this.only.has(name)) return;
    const kinds = row?.args ?? ['hex', 'hex', 'hex', 'hex', 'hex', 'hex'];
    // The arguments as they were; output buffers are shown at the end.
    const args = kinds.map((k, i) => this.argument(t, k, i));
    this.pending.set(t, { text: `${name}(${args.join(', ')})`, start: monotonicNs() });
  }

  wait(): void {}

  again(): void {}

  leave(t: Task, r: number): void {
    const p = this.pending.get(t);
    if (p === undefined) return;
    this.pending.delete(t);
    const us = ((monotonicNs() - p.start) / 1000).toFixed(0);
    let result: string;
    if (r === NO_RESULT || r === TASK_EXITED) result = '?';
    else if (r < 0 && r >= -4095) result = `-1 ${errnoName(-r)}`;
    else result = r > 0xffffffff ? `0x${r.toString(16)}` : String(r);
    let text = p.text;
    if (text.includes('<out:') && r >= 0) text = this.outputs(t, text, r);
    this.write(`[${t.pid.shown}] ${t.name}: ${text} = ${result} <${us}us>\n`);
  }

  private outputs(t: Task, text: string, r: number): string {
    return text.replace(/<out:([0-9a-f]+)>/g, (_m, addr: string) => this.bytes(t, Number.parseInt(addr, 16), r));
  }

  private bytes(t: Task, addr: number, len: number): string {
    const n = t.mm.readUpTo(addr, this.buf, 0, Math.min(len, SHOWN));
    if (n <= 0 && len > 0) return `0x${addr.toString(16)}`;
    return quote(latin1Decode(this.buf, 0, n), len > n);
  }

  private string(t: Task, addr: number): string {
    if (addr === 0) return 'NULL';
    const s = t.copyInString(addr, 4096);
    return typeof s === 'number' ? `0x${addr.toString(16)}` : quote(s, false);
  }

  private argument(t: Task, kind: ArgKind, i: number): string {
    const v = t.arg(i);
    switch (kind) {
      case 'int':
        return String(t.argI(i));
      case 'uint':
        return String(t.argU(i));
      case 'long':
        return String(t.argS(i));
      case 'size':
        return String(v);
      case 'oct':
        return `0${t.argU(i).toString(8)}`;
      case 'fd': {
        const f = t.fds.get(t.argI(i));
        return f === null ? String(t.argI(i)) : `${t.argI(i)}<${filePath(f)}>`;
      }
      case 'dirfd':
        return t.argI(i) === AT_FDCWD ? 'AT_FDCWD' : String(t.argI(i));
      case 'path':
      case 'str':
        return this.string(t, v);
      case 'buf':
        return this.bytes(t, v, t.arg(i + 1));
      case 'outbuf':
        return `<out:${v.toString(16)}>`;
      case 'open':
        return (t.argU(i) & 3) === 0 ? `O_RDONLY${t.argU(i) === 0 ? '' : `|${flags(t.argU(i), OPEN)}`}` : flags(t.argU(i), OPEN);
      case 'prot':
        return v === 0 ? 'PROT_NONE' : flags(t.argU(i), PROT);
      case 'mmap':
        return flags(t.argU(i), MMAP);
      case 'clone':
        return `${flags((t.argU(i) & ~0xff) >>> 0, CLONE)}|${SIGNAL.get(t.argU(i) & 0xff) ?? t.argU(i) & 0xff}`;
      case 'signal':
        return SIGNAL.get(t.argI(i)) ?? String(t.argI(i));
      case 'whence':
        return WHENCE[t.argI(i)] ?? String(t.argI(i));
      case 'argv':
        return this.vector(t, v);
      default:
        return v === 0 ? (kind === 'ptr' ? 'NULL' : '0') : `0x${v.toString(16)}`;
    }
  }

  private vector(t: Task, addr: number): string {
    const out: string[] = [];
    for (let i = 0; i < ARGV_SHOWN; i++) {
      const p = t.readU64(addr + 8 * i);
      if (p <= 0) return `[${out.join(', ')}]`;
      out.push(this.string(t, p));
    }
    return `[${out.join(', ')}, ...]`;
  }
}
