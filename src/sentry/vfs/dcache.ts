// The table of cached names (Linux: dentry_hashtable): one hash table of all dentries, by directory and name.
//
// A name is looked up as the bytes of a path, where they lie: hashing, finding and comparing make no string and no other object.

import { S_IFDIR, S_IFLNK, S_IFMT } from '../../abi/stat.ts';
import type { Dentry } from './dentry.ts';
import { changed } from './pathcache.ts';

const PRIME = 0x01000193;
const GOLDEN = 0x9e3779b1;
const FIRST_SIZE = 1 << 12;

/** Where hashing a name begins. Not known to guests, so that they cannot choose names that collide. */
export const HASH_SEED: number = (Math.random() * 0x40000000) | 0;

let table: (Dentry | null)[] = new Array<Dentry | null>(FIRST_SIZE).fill(null);
let mask = FIRST_SIZE - 1;
let count = 0;
let salt = HASH_SEED;
let stamps = 0;

/** The hash of a name with one byte more. */
export function hashByte(h: number, byte: number): number {
  return Math.imul(h ^ byte, PRIME);
}

/** A number for a new dentry that spreads its children's names. */
export function nextSalt(): number {
  salt = (salt + GOLDEN) | 0;
  return salt;
}

/** How many names are cached. */
export function cachedNames(): number {
  return count;
}

function hashName(name: string): number {
  let h = HASH_SEED;
  for (let i = 0; i < name.length; i++) h = hashByte(h, name.charCodeAt(i));
  return h;
}

/** The high bits of a product hold what all bytes gave; the low ones alone would not. */
function slot(h: number, dir: Dentry): number {
  const x = h ^ dir.salt;
  return (x ^ (x >>> 15)) & mask;
}

/** The dentry of the name buf[from..to), whose hash is `h`, in `dir`; null: not cached. */
export function findBytes(dir: Dentry, buf: Uint8Array, from: number, to: number, h: number): Dentry | null {
  for (let d = table[slot(h, dir)]!; d !== null; d = d.chain!) {
    if (d.hash !== h || d.parent !== dir) continue;
    const name = d.name;
    const n = to - from;
    if (name.length !== n) continue;
    let i = 0;
    while (i < n && name.charCodeAt(i) === buf[from + i]) i++;
    if (i === n) return d;
  }
  return null;
}

/** As findBytes() for a string. */
export function findName(dir: Dentry, name: string): Dentry | null {
  const h = hashName(name);
  for (let d = table[slot(h, dir)]!; d !== null; d = d.chain!) if (d.hash === h && d.parent === dir && d.name === name) return d;
  return null;
}

function grow(): void {
  const old = table;
  mask = old.length * 2 - 1;
  table = new Array<Dentry | null>(old.length * 2).fill(null);
  for (let i = 0; i < old.length; i++) {
    for (let d = old[i]!; d !== null; ) {
      const next: Dentry | null = d.chain;
      const at = slot(d.hash, d.parent);
      d.chain = table[at]!;
      table[at] = d;
      d = next!;
    }
  }
}

/** Puts `d` under its name among its parent's children. There must be no other of that name. */
export function hook(d: Dentry): void {
  const parent = d.parent;
  if (count >= table.length) grow();
  d.hash = hashName(d.name);
  const at = slot(d.hash, parent);
  d.chain = table[at]!;
  table[at] = d;
  d.hooked = true;
  d.stamp = ++stamps;
  const first = parent.firstChild;
  d.prevSibling = null;
  d.nextSibling = first;
  if (first !== null) first.prevSibling = d;
  parent.firstChild = d;
  count++;
}

/** True for what paths lead through. */
function onTheWay(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === S_IFDIR || type === S_IFLNK;
}

/** Takes `d` out again: it is no longer found. */
export function unhook(d: Dentry): void {
  const parent = d.parent;
  const at = slot(d.hash, parent);
  let e = table[at]!;
  if (e === d) {
    table[at] = d.chain;
  } else {
    while (e.chain !== d) e = e.chain!;
    e.chain = d.chain;
  }
  d.chain = null;
  d.hooked = false;
  d.stamp = -1;
  if (d.inode !== null && onTheWay(d.inode.mode)) changed();
  if (d.prevSibling === null) parent.firstChild = d.nextSibling;
  else d.prevSibling.nextSibling = d.nextSibling;
  if (d.nextSibling !== null) d.nextSibling.prevSibling = d.prevSibling;
  d.prevSibling = null;
  d.nextSibling = null;
  count--;
}
