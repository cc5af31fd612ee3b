// One row of the system call table. Each family file exports its rows; table.ts puts them together.

import type { Task } from '../kernel/task.ts';

/** A result >= 0, -errno, or one of the sentinels of base/result.ts. */
export type Handler = (t: Task) => number;

export type Support = 'full' | 'partial' | 'none';

/** How strace prints an argument. `dirfd`: AT_FDCWD by name; `out:N`: N is the index of the argument or 'ret' that bounds the bytes shown. */
export type ArgKind =
  | 'int'
  | 'uint'
  | 'hex'
  | 'oct'
  | 'long'
  | 'ptr'
  | 'fd'
  | 'dirfd'
  | 'path'
  | 'str'
  | 'buf'
  | 'outbuf'
  | 'size'
  | 'open'
  | 'prot'
  | 'mmap'
  | 'signal'
  | 'clone'
  | 'whence'
  | 'argv';

export interface Row {
  readonly nr: number;
  readonly name: string;
  readonly handler: Handler;
  readonly support: Support;
  /** What is missing, when support is not full. */
  readonly note: string;
  readonly args: readonly ArgKind[];
}

export function full(nr: number, name: string, handler: Handler, ...args: ArgKind[]): Row {
  return { nr, name, handler, support: 'full', note: '', args };
}

export function partial(nr: number, name: string, handler: Handler, note: string, ...args: ArgKind[]): Row {
  return { nr, name, handler, support: 'partial', note, args };
}
