// A toolkit for file systems whose files are made up on reading: proc, sysfs, cgroup (Linux: fs/kernfs, fs/seq_file.c).

import { EACCES, EINVAL, ENOENT, EPERM } from '../../abi/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { SEEK_CUR, SEEK_SET } from '../../abi/uio.ts';
import { latin1Decode, latin1Encode } from '../../base/bytes.ts';
import type { Caller } from '../vfs/caller.ts';
import type { Dentry } from '../vfs/dentry.ts';
import { type DirSink, File } from '../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../vfs/filesystem.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, Inode, type SetAttr } from '../vfs/inode.ts';
import type { Mount } from '../vfs/mount.ts';
import { RegularFile } from '../vfs/regular.ts';

const TIMES = ATTR_ATIME | ATTR_MTIME | ATTR_CTIME;
const DT_DIR = 4;

/** What a file shows: latin1 text (or bytes), or -errno. */
export type Shows = (c: Caller) => string | Uint8Array | number;
/** Takes what was written in one write(2). 0 or -errno. */
export type Takes = (c: Caller, text: string) => number;

export abstract class SynthFs extends FileSystem {
  readonly magic: number;
  /** What making a name answers: proc knows no absent names that could be filled. */
  makingFails = EPERM;
  #nextIno = 1;

  constructor(name: string, magic: number) {
    super(name, anonDev());
    this.magic = magic;
  }

  ino(): number {
    return this.#nextIno++;
  }

  statfs(out: StatFs): number {
    out.type = this.magic;
    out.bsize = 4096;
    out.blocks = 0;
    out.bfree = 0;
    out.bavail = 0;
    out.files = 0;
    out.ffree = 0;
    out.namelen = 255;
    return 0;
  }
}

/** Attributes that may be changed on made-up files: size (without effect) and times; owners and modes where the file system says so. */
abstract class SynthInode extends Inode {
  constructor(fs: SynthFs, mode: number) {
    super(fs, fs.ino(), mode);
    this.touch(TIMES);
    this.blksize = 1024;
  }

  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & (ATTR_MODE | ATTR_UID | ATTR_GID)) !== 0) {
      if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | (a.mode & 0o7777);
      if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
      if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    }
    if ((a.mask & ATTR_SIZE) !== 0) this.touch(ATTR_MTIME);
    return 0;
  }
}

export interface SynthEntry {
  name: string;
  ino: number;
  /** DT_*. */
  type: number;
}

/** A directory of fixed names; subclasses add names that come and go. */
export class SynthDir extends SynthInode {
  readonly synth: SynthFs;
  readonly fixed: Map<string, Inode> = new Map();

  constructor(fs: SynthFs, mode = 0o555) {
    super(fs, S_IFDIR | mode);
    this.synth = fs;
    this.nlink = 2;
  }

  add<T extends Inode>(name: string, inode: T): T {
    this.fixed.set(name, inode);
    if ((inode.mode & S_IFMT) === S_IFDIR) this.nlink++;
    return inode;
  }

  /** A subdirectory, made when absent. */
  dir(name: string, mode = 0o555): SynthDir {
    const have = this.fixed.get(name);
    return have instanceof SynthDir ? have : this.add(name, new SynthDir(this.synth, mode));
  }

  text(name: string, shows: Shows, takes: Takes | null = null, mode = takes === null ? 0o444 : 0o644): SynthText {
    return this.add(name, new SynthText(this.synth, mode, shows, takes));
  }

  symbolic(name: string, target: (c: Caller) => string | number): SynthLink {
    return this.add(name, new SynthLink(this.synth, target));
  }

  override lookup(c: Caller, name: string): Inode | number {
    return this.fixed.get(name) ?? this.find(c, name);
  }

  /** A name that is not fixed. */
  protected find(_c: Caller, _name: string): Inode | number {
    return -ENOENT;
  }

  /** The names that are not fixed. */
  protected others(_c: Caller): SynthEntry[] {
    return [];
  }

  list(c: Caller): SynthEntry[] {
    const out: SynthEntry[] = [];
    for (const [name, i] of this.fixed) out.push({ name, ino: i.ino, type: (i.mode & S_IFMT) >> 12 });
    return out.concat(this.others(c));
  }

  override create(_c: Caller, _name: string, mode: number, _rdev: number): Inode | number {
    return this.synth.makingFails === EPERM && (mode & S_IFMT) === S_IFREG ? -EACCES : -this.synth.makingFails;
  }

  override mkdir(): Inode | number {
    return -this.synth.makingFails;
  }

  override symlink(): Inode | number {
    return -this.synth.makingFails;
  }

  override link(): number {
    return -this.synth.makingFails;
  }

  override unlink(): number {
    return -EPERM;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return new SynthDirFile(this, flags, mount, dentry);
  }
}

class SynthDirFile extends File {
  readonly node: SynthDir;
  #list: SynthEntry[] | null = null;

  constructor(inode: SynthDir, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry);
    this.node = inode;
  }

  override seek(_c: Caller, offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.pos + offset : -1;
    if (to < 0) return -EINVAL;
    this.pos = to;
    return to;
  }

  override readdir(c: Caller, sink: DirSink): number {
    if (this.pos === 0) {
      this.#list = null;
      if (!sink.add('.', this.node.ino, DT_DIR, 1)) return 0;
      this.pos = 1;
    }
    if (this.pos === 1) {
      if (!sink.add('..', this.dentry?.parent.inode?.ino ?? this.node.ino, DT_DIR, 2)) return 0;
      this.pos = 2;
    }
    if (this.#list === null) this.#list = this.node.list(c);
    while (this.pos - 2 < this.#list.length) {
      const e = this.#list[this.pos - 2]!;
      if (!sink.add(e.name, e.ino, e.type, this.pos + 1)) return 0;
      this.pos++;
    }
    return 0;
  }
}

/** A file made up at the first read, and again at each read from position 0. */
export class SynthText extends SynthInode {
  readonly shows: Shows;
  readonly takes: Takes | null;

  constructor(fs: SynthFs, mode: number, shows: Shows, takes: Takes | null = null) {
    super(fs, S_IFREG | mode);
    this.shows = shows;
    this.takes = takes;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return new SynthTextFile(this, flags, mount, dentry);
  }
}

class SynthTextFile extends RegularFile {
  readonly node: SynthText;
  #data: Uint8Array | null = null;

  constructor(inode: SynthText, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry);
    this.node = inode;
  }

  override pread(c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    if (this.#data === null || pos === 0) {
      const s = this.node.shows(c);
      if (typeof s === 'number') return s;
      this.#data = typeof s === 'string' ? latin1Encode(s) : s;
    }
    const n = Math.min(len, this.#data.length - pos);
    if (n <= 0) return 0;
    buf.set(this.#data.subarray(pos, pos + n), off);
    return n;
  }

  override pwrite(c: Caller, buf: Uint8Array, off: number, len: number, _pos: number): number {
    if (this.node.takes === null) return -EINVAL;
    const err = this.node.takes(c, latin1Decode(buf, off, off + len));
    return err < 0 ? err : len;
  }

  override truncate(_c: Caller, _size: number): number {
    return 0;
  }
}

/** A symbolic link whose target is asked at each use. */
export class SynthLink extends SynthInode {
  readonly target: (c: Caller) => string | number;

  constructor(fs: SynthFs, target: (c: Caller) => string | number) {
    super(fs, S_IFLNK | 0o777);
    this.target = target;
  }

  override readlink(c: Caller): string | number {
    return this.target(c);
  }
}

/** A link that leads to a place without a walk (proc(5): fd, exe, cwd, root, ns). */
export class SynthMagicLink extends SynthLink {
  readonly leads: (c: Caller) => { mount: Mount; dentry: Dentry } | number;

  constructor(fs: SynthFs, target: (c: Caller) => string | number, leads: (c: Caller) => { mount: Mount; dentry: Dentry } | number) {
    super(fs, target);
    this.leads = leads;
  }

  override jump(c: Caller): { mount: Mount; dentry: Dentry } | number | null {
    return this.leads(c);
  }
}
