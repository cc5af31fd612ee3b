// Finding what execve(2) runs: the program, behind it the interpreter of a #! line, and the ELF interpreter that it asks for.

import { ELIBBAD, ELOOP, ENOENT, ENOEXEC } from '../../abi/errno.ts';
import { latin1Decode } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import { openExec } from '../vfs/open.ts';
import { LOOKUP_FOLLOW } from '../vfs/walk.ts';
import { type ElfImage, parseElf } from './elf.ts';

const HEAD = 4096;
/** BINPRM_BUF_SIZE: how far a #! line may reach. */
const SCRIPT_LINE = 256;
const SCRIPT_DEPTH = 5;

const head = new Uint8Array(HEAD);

/** What was found in a file that began with `head`. */
interface Loaded {
  image: ElfImage;
  /** Path of the interpreter; '' for none. */
  interp: string;
  head: Uint8Array;
}

/** By inode: a file that begins as it did last time is not looked through again. */
const loaded = new WeakMap<object, Loaded>();

/** Reads up to `len` bytes at `pos`; the count or -errno. */
function readAt(t: Task, f: File, buf: Uint8Array, pos: number, len: number): number {
  let done = 0;
  while (done < len) {
    const n = f.pread(t, buf, done, len - done, pos + done);
    if (n < 0) return n;
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** A program that can be run, with all that it needs. */
export interface Program {
  file: File;
  image: ElfImage;
  interpFile: File | null;
  interp: ElfImage | null;
  argv: string[];
  /** AT_EXECFN. */
  execfn: string;
}

function parseScript(n: number): { interp: string; arg: string | null } | number {
  const limit = Math.min(n, SCRIPT_LINE);
  let end = head.indexOf(10, 2);
  if (end < 0 || end > limit) {
    if (n >= SCRIPT_LINE) {
      // Too long a line is fine as long as the interpreter's path is whole.
      const text = latin1Decode(head, 2, SCRIPT_LINE).replace(/^[ \t]+/, '');
      if (!/[ \t\0]/.test(text)) return -ENOEXEC;
    }
    end = limit;
  }
  const line = latin1Decode(head, 2, end)
    .replace(/\0.*$/s, '')
    .replace(/^[ \t]+|[ \t]+$/g, '');
  if (line.length === 0) return -ENOEXEC;
  const space = line.search(/[ \t]/);
  if (space < 0) return { interp: line, arg: null };
  return { interp: line.slice(0, space), arg: line.slice(space).replace(/^[ \t]+/, '') };
}

/** The image of a file whose first `n` bytes stand in `head`, or -errno. */
function loadImage(t: Task, f: File, n: number): Loaded | number {
  const old = loaded.get(f.inode);
  if (old !== undefined && sameHead(old.head, n)) return old;
  const image = parseElf(head, n, (buf, off, len) => readAt(t, f, buf, off, len) === len);
  if (typeof image === 'number') return image;
  let interp = '';
  if (image.interpLength > 0) {
    const b = new Uint8Array(image.interpLength);
    const got = readAt(t, f, b, image.interpOffset, b.length);
    if (got < 0) return got;
    if (got < b.length || b[got - 1] !== 0) return -ENOEXEC;
    interp = latin1Decode(b, 0, b.indexOf(0));
  }
  const used = Math.max(image.headEnd, image.interpOffset + image.interpLength);
  const l = { image, interp, head: head.slice(0, used) };
  // What does not depend on the file's beginning alone may change unseen.
  if (used <= n) loaded.set(f.inode, l);
  return l;
}

function sameHead(old: Uint8Array, n: number): boolean {
  if (old.length > n) return false;
  for (let i = 0; i < old.length; i++) if (old[i] !== head[i]) return false;
  return true;
}

/** Opens everything that the program needs, following #! lines. Files are the caller's to release. */
export function prepare(
  t: Task,
  dir: File | null,
  path: string,
  flags: number,
  argv: string[],
  display: string,
  visible: boolean,
): Program | number {
  let file = openExec(t, dir, path, flags);
  let args = argv;
  let name = display;
  let have = 0;
  for (let depth = 0; ; depth++) {
    if (typeof file === 'number') return file;
    const n = readAt(t, file, head, 0, HEAD);
    if (n < 0) {
      file.unref();
      return n;
    }
    have = n;
    if (n < 2 || head[0] !== 0x23 || head[1] !== 0x21) break;
    const s = parseScript(n);
    file.unref();
    if (typeof s === 'number') return s;
    // The interpreter could not open a name that goes away with this very call.
    if (!visible) return -ENOENT;
    if (depth >= SCRIPT_DEPTH) return -ELOOP;
    args = s.arg === null ? [s.interp, name, ...args.slice(1)] : [s.interp, s.arg, name, ...args.slice(1)];
    name = s.interp;
    file = openExec(t, null, s.interp, LOOKUP_FOLLOW);
  }
  const l = loadImage(t, file, have);
  if (typeof l === 'number') {
    file.unref();
    return l;
  }
  const p: Program = { file, image: l.image, interpFile: null, interp: null, argv: args, execfn: display };
  if (l.image.interpLength > 0) {
    const r = prepareInterp(t, p, l.interp);
    if (r < 0) {
      file.unref();
      return r;
    }
  }
  return p;
}

function prepareInterp(t: Task, p: Program, path: string): number {
  const f = openExec(t, null, path, LOOKUP_FOLLOW);
  if (typeof f === 'number') return f;
  const n = readAt(t, f, head, 0, HEAD);
  const l = n < 0 ? n : loadImage(t, f, n);
  if (typeof l === 'number') {
    f.unref();
    return l === -ENOEXEC ? -ELIBBAD : l;
  }
  p.interpFile = f;
  p.interp = l.image;
  return 0;
}

/** Drops the files. */
export function release(p: Program): void {
  p.file.unref();
  if (p.interpFile !== null) p.interpFile.unref();
}
