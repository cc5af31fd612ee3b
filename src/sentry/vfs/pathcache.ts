// Whole paths that were walked lately, and where they led: a known path costs one hash over its words and one comparison.
//
// An entry holds for the place that the walk began at, the root it would not leave, and its flags. It is believed while
//   - nothing happened that could lead the same path elsewhere (changed()): a directory or symbolic link lost its name, a mount came
//     or went or got other flags, a directory got another owner or mode;
//   - the name that it ends at is the one that was found (Dentry.stamp), still absent or still there;
//   - all directories on the way may be searched by anyone, or the credentials are the very ones that walked.
// Paths with "..", or through file systems whose names come and go by themselves, are not kept.

import type { Credentials } from './creds.ts';
import type { Dentry } from './dentry.ts';
import type { Mount } from './mount.ts';

/** Entries; a power of two. */
const ENTRIES = 2048;
/** Words of the longest path that is kept. */
const WORDS = 32;
/** Its bytes. */
export const MAX_KEPT = WORDS * 4 - 1;

class Entry {
  generation = -1;
  length = 0;
  flags = 0;
  startMount: Mount | null = null;
  startDentry: Dentry | null = null;
  rootMount: Mount | null = null;
  rootDentry: Dentry | null = null;
  /** Who walked; null: the way is open to all. */
  creds: Credentials | null = null;
  mount: Mount | null = null;
  dentry: Dentry | null = null;
  stamp = 0;
  absent = false;
}

const entries: (Entry | null)[] = new Array<Entry | null>(ENTRIES).fill(null);
const slab = new Uint32Array(ENTRIES * WORDS);
/** The words of the path that was asked last, and where its entry is: for keep(). */
const asked = new Uint32Array(WORDS);
let slot = 0;
let generation = 0;

let viewed: Uint8Array = new Uint8Array(0);
let words: Uint32Array = new Uint32Array(0);

/** Something happened after which known paths may lead elsewhere. */
export function changed(): void {
  generation++;
}

/** Lets go of all that is kept: something large was taken down, and entries would keep it in memory. */
export function forgetPaths(): void {
  entries.fill(null);
  generation++;
}

/**
 * The entry for the path buf[0..len), len at most MAX_KEPT, from (mount, dentry); null: not known. `buf` begins at a word. After null the
 * same path may be given to keep().
 */
export function findPath(
  buf: Uint8Array,
  len: number,
  flags: number,
  mount: Mount,
  dentry: Dentry,
  rootMount: Mount,
  rootDentry: Dentry,
  creds: Credentials,
): Entry | null {
  if (buf !== viewed) {
    words = new Uint32Array(buf.buffer, buf.byteOffset, buf.length >>> 2);
    viewed = buf;
  }
  const full = len >>> 2;
  let h = dentry.salt ^ flags;
  for (let i = 0; i < full; i++) {
    const w = words[i]! | 0;
    asked[i] = w;
    h = Math.imul(h ^ w, 0x9e3779b1);
    h ^= h >>> 15;
  }
  let tail = 0;
  if (full < words.length) tail = words[full]! & ((1 << ((len & 3) << 3)) - 1);
  else for (let i = len & ~3; i < len; i++) tail |= buf[i]! << ((i & 3) << 3);
  asked[full] = tail;
  h = Math.imul(h ^ tail, 0x9e3779b1);
  slot = (h ^ (h >>> 15)) & (ENTRIES - 1);
  const e = entries[slot]!;
  if (e === null || e.generation !== generation || e.length !== len || e.flags !== flags) return null;
  if (e.startDentry !== dentry || e.startMount !== mount || e.rootDentry !== rootDentry || e.rootMount !== rootMount) return null;
  if (e.creds !== null && e.creds !== creds) return null;
  const found = e.dentry!;
  if (found.stamp !== e.stamp || (found.inode === null) !== e.absent) return null;
  const at = slot * WORDS;
  for (let i = 0; i <= full; i++) if (slab[at + i] !== asked[i]) return null;
  return e;
}

/** Keeps where the path that findPath() did not know led: `dentry` without an inode when a name on the way is absent. */
export function keepPath(
  len: number,
  flags: number,
  startMount: Mount,
  startDentry: Dentry,
  rootMount: Mount,
  rootDentry: Dentry,
  creds: Credentials | null,
  mount: Mount,
  dentry: Dentry,
): void {
  let e = entries[slot]!;
  if (e === null) {
    e = new Entry();
    entries[slot] = e;
  }
  e.generation = generation;
  e.length = len;
  e.flags = flags;
  e.startMount = startMount;
  e.startDentry = startDentry;
  e.rootMount = rootMount;
  e.rootDentry = rootDentry;
  e.creds = creds;
  e.mount = mount;
  e.dentry = dentry;
  e.stamp = dentry.stamp;
  e.absent = dentry.inode === null;
  const at = slot * WORDS;
  for (let i = len >>> 2; i >= 0; i--) slab[at + i] = asked[i]!;
}
