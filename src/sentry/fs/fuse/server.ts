// A file system of the Sentry's served to the host's kernel by FUSE (fuse(4)), for reading: the container's proc, which its stand-in shows
// to those who look at the container from outside. Who reads there waits for us and for nobody else: each request is answered at once.
//
// Readers are processes of the host, and none of them is in the container: /proc/self is the container's first process as far as that is no
// secret and leads nowhere, and so is a reader's own number if nobody else has it. That is enough for ps(1). Links of processes are text; the mount follows none.

import { EIO, ENFILE, ENOENT, ENOSYS, ENOTDIR, EROFS, ESTALE } from '../../../abi/errno.ts';
import { O_RDONLY } from '../../../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../../abi/stat.ts';
import { SEEK_SET } from '../../../abi/uio.ts';
import { latin1Decode, latin1Encode } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { type Dentry, rootDentry } from '../../vfs/dentry.ts';
import type { DirSink, File } from '../../vfs/file.ts';
import type { FileSystem, StatFs } from '../../vfs/filesystem.ts';
import type { Inode } from '../../vfs/inode.ts';
import { internalMount, type Mount } from '../../vfs/mount.ts';
import { SynthText } from '../synthetic.ts';
import type { OutsideIds } from './ids.ts';
import {
  ATTR_OUT_BYTES,
  DIRENT_BYTES,
  ENTRY_BYTES,
  FOPEN_DIRECT_IO,
  FUSE_BATCH_FORGET,
  FUSE_CHANGES,
  FUSE_DESTROY,
  FUSE_FORGET,
  FUSE_GETATTR,
  FUSE_INIT,
  FUSE_INTERRUPT,
  FUSE_LOOKUP,
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_OPEN,
  FUSE_OPENDIR,
  FUSE_READ,
  FUSE_READDIR,
  FUSE_READLINK,
  FUSE_RELEASE,
  FUSE_RELEASEDIR,
  FUSE_ROOT_ID,
  FUSE_STATFS,
  IN_HEADER,
  INIT_OUT_BYTES,
  OPEN_OUT_BYTES,
  OUT_HEADER,
  STATFS_OUT_BYTES,
} from './protocol.ts';

/** Most bytes of one answer's data: what the host's kernel asks for at most. */
export const MAX_DATA = 128 * 1024;
/** Where a request has the number of who makes it, as the stand-in's pid namespace has it; 0: it is not in there. */
const READER = 32;
const MAX_WRITE = 4096;
/** What the host's kernel may remember, and hold open, at once. */
const MAX_NODES = 65536;
const MAX_FILES = 4096;
const HIGH = 2 ** 32;
/** Errors that the protocol can carry. */
const LAST_ERROR = 511;
const DT_DIR = S_IFDIR >> 12;
const DT_REG = S_IFREG >> 12;

/** What of the first process a reader sees as /proc/self. */
const SELF_FILES: ReadonlySet<string> = new Set([
  'stat',
  'statm',
  'status',
  'cmdline',
  'comm',
  'cgroup',
  'mounts',
  'mountinfo',
  'limits',
  'net',
]);
/** Links of the root that are shown as what they lead to; 0: not at all. */
const ROOT_LINKS: ReadonlyMap<string, number> = new Map([
  ['self', DT_DIR],
  ['thread-self', 0],
  ['mounts', DT_REG],
  ['net', DT_DIR],
]);

/** Files whose size is not looked for: they are much work, or no text. */
const UNMEASURED: ReadonlySet<string> = new Set(['maps', 'smaps', 'mem']);

interface Node {
  readonly id: number;
  readonly key: string;
  readonly inode: Inode;
  /** The names that are shown, where not all are. */
  readonly only: ReadonlySet<string> | null;
  /** Bytes, when it was last looked up: sendfile(2) reads no further, though read(2) does. */
  size: number;
  /** How often the host's kernel was told of it and has not said to forget it. */
  lookups: number;
}

export class FuseServer {
  private readonly fs: FileSystem;
  private readonly first: () => Inode | number;
  private readonly caller: Caller;
  private readonly mount: Mount;
  private readonly top: Dentry;
  private readonly nodes: Map<number, Node> = new Map();
  private readonly named: Map<string, Node> = new Map();
  private readonly files: Map<number, File> = new Map();
  private nextNode = FUSE_ROOT_ID + 1;
  private nextFile = 1;
  /** The request, and its answer. */
  private req: DataView = new DataView(new ArrayBuffer(0));
  private readonly out: Uint8Array;
  private readonly ids: OutsideIds;
  private readonly view: DataView;

  /**
   * Serves a proc. `first`: the directory of its first process, or -errno. `out` gets the answers: OUT_HEADER + MAX_DATA bytes, which several
   * servers may use in turn.
   */
  constructor(fs: FileSystem, first: () => Inode | number, caller: Caller, out: Uint8Array, ids: OutsideIds) {
    this.ids = ids;
    this.fs = fs;
    this.first = first;
    this.caller = caller;
    this.mount = internalMount(fs);
    this.top = rootDentry(fs);
    this.out = out;
    this.view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    this.nodes.set(FUSE_ROOT_ID, { id: FUSE_ROOT_ID, key: '', inode: fs.root, only: null, size: 0, lookups: 1 });
  }

  /** How many nodes and open files it keeps for the host's kernel. */
  get kept(): { nodes: number; files: number } {
    return { nodes: this.nodes.size, files: this.files.size };
  }

  /** Works on the request in buf[0..n). The length of the answer in `out`; 0: it gets none. */
  handle(buf: Uint8Array, n: number): number {
    if (n < IN_HEADER) return 0;
    this.req = new DataView(buf.buffer, buf.byteOffset, n);
    const r = this.req;
    const op = r.getUint32(4, true);
    let result: number;
    try {
      result = this.answer(op, this.double(16), buf.subarray(IN_HEADER, n));
    } catch {
      result = -EIO;
    }
    if (op === FUSE_FORGET || op === FUSE_BATCH_FORGET || op === FUSE_INTERRUPT) return 0;
    const bytes = result < 0 ? 0 : result;
    this.view.setUint32(0, OUT_HEADER + bytes, true);
    this.view.setInt32(4, result >= 0 ? 0 : result < -LAST_ERROR ? -EIO : result, true);
    this.view.setUint32(8, r.getUint32(8, true), true);
    this.view.setUint32(12, r.getUint32(12, true), true);
    return OUT_HEADER + bytes;
  }

  /** The connection is over. */
  close(): void {
    for (const f of this.files.values()) f.unref();
    this.files.clear();
    this.nodes.clear();
    this.named.clear();
  }

  /** A 64-bit number of the request. What is beyond 2^53 is none of ours anyway. */
  private double(at: number): number {
    return this.req.getUint32(at, true) + this.req.getUint32(at + 4, true) * HIGH;
  }

  private put64(at: number, v: number): void {
    this.view.setUint32(at, v % HIGH, true);
    this.view.setUint32(at + 4, Math.floor(v / HIGH), true);
  }

  /** Bytes of the answer behind its header, or -errno. */
  private answer(op: number, id: number, body: Uint8Array): number {
    if (FUSE_CHANGES.has(op)) return -EROFS;
    switch (op) {
      case FUSE_INIT:
        return this.init();
      case FUSE_FORGET:
        this.forget(id, this.double(IN_HEADER));
        return 0;
      case FUSE_BATCH_FORGET: {
        const count = this.req.getUint32(IN_HEADER, true);
        for (let i = 0, at = IN_HEADER + 8; i < count && at + 16 <= this.req.byteLength; i++, at += 16)
          this.forget(this.double(at), this.double(at + 8));
        return 0;
      }
      case FUSE_STATFS:
        return this.statfs();
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
        return this.release(this.double(IN_HEADER));
      case FUSE_READ:
        return this.read(this.double(IN_HEADER), this.double(IN_HEADER + 8), this.req.getUint32(IN_HEADER + 16, true));
      case FUSE_INTERRUPT: // what it is about has been answered
      case FUSE_DESTROY:
        return 0;
    }
    const node = this.nodes.get(id);
    if (node === undefined) return -ESTALE;
    switch (op) {
      case FUSE_LOOKUP:
        return this.lookup(node, latin1Decode(body, 0, Math.max(0, body.indexOf(0))));
      case FUSE_GETATTR:
        this.out.fill(0, OUT_HEADER, OUT_HEADER + 16);
        this.attributes(node, OUT_HEADER + 16);
        return ATTR_OUT_BYTES;
      case FUSE_READLINK:
        return this.readlink(node);
      case FUSE_OPEN:
      case FUSE_OPENDIR:
        return this.open(node, op === FUSE_OPENDIR);
      case FUSE_READDIR:
        return this.readdir(node, this.double(IN_HEADER), this.double(IN_HEADER + 8), this.req.getUint32(IN_HEADER + 16, true));
      default:
        return -ENOSYS;
    }
  }

  private init(): number {
    const v = this.view;
    const o = OUT_HEADER;
    this.out.fill(0, o, o + INIT_OUT_BYTES);
    v.setUint32(o, FUSE_MAJOR, true);
    v.setUint32(o + 4, Math.min(FUSE_MINOR, this.req.getUint32(IN_HEADER + 4, true)), true);
    v.setUint16(o + 16, 16, true); // max_background
    v.setUint16(o + 18, 12, true); // congestion_threshold
    v.setUint32(o + 20, MAX_WRITE, true);
    v.setUint32(o + 24, 1, true); // time_gran
    return INIT_OUT_BYTES;
  }

  private forget(id: number, times: number): void {
    const node = this.nodes.get(id);
    if (node === undefined || id === FUSE_ROOT_ID) return;
    node.lookups -= times;
    if (node.lookups > 0) return;
    this.nodes.delete(id);
    if (this.named.get(node.key) === node) this.named.delete(node.key);
  }

  private statfs(): number {
    const s: StatFs = { type: 0, bsize: 0, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0, namelen: 0, flags: 0 };
    this.fs.statfs(s);
    const o = OUT_HEADER;
    this.out.fill(0, o, o + STATFS_OUT_BYTES);
    this.view.setUint32(o + 40, s.bsize, true);
    this.view.setUint32(o + 44, s.namelen, true);
    this.view.setUint32(o + 48, s.bsize, true);
    return STATFS_OUT_BYTES;
  }

  private find(dir: Node, name: string): Inode | number {
    if (name === '' || (dir.only !== null && !dir.only.has(name))) return -ENOENT;
    const shown = dir.id === FUSE_ROOT_ID ? ROOT_LINKS.get(name) : undefined;
    if (shown === undefined) return dir.inode.lookup(this.caller, name);
    const first = shown === 0 ? -ENOENT : this.first();
    return typeof first === 'number' || name === 'self' ? first : first.lookup(this.caller, name);
  }

  private lookup(dir: Node, name: string): number {
    if ((dir.inode.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
    let inode = this.find(dir, name);
    // ps(1) wants to know of itself before it looks at others.
    const own = dir.id === FUSE_ROOT_ID && (name === 'self' || (inode === -ENOENT && name === String(this.req.getUint32(READER, true))));
    if (own) inode = this.first();
    if (typeof inode === 'number') return inode;
    const key = `${dir.id}/${name}`;
    let node = this.named.get(key);
    if (node === undefined || node.inode !== inode) {
      if (this.nodes.size >= MAX_NODES) return -ENFILE;
      const only = own ? SELF_FILES : null;
      node = { id: this.nextNode++, key, inode, only, size: 0, lookups: 0 };
      this.nodes.set(node.id, node);
      this.named.set(key, node);
    }
    node.lookups++;
    node.size = this.measure(inode, name);
    const o = OUT_HEADER;
    // Names, attributes: believed for no time.
    this.out.fill(0, o, o + ENTRY_BYTES);
    this.put64(o, node.id);
    this.attributes(node, o + 40);
    return ENTRY_BYTES;
  }

  private measure(i: Inode, name: string): number {
    if ((i.mode & S_IFMT) === S_IFLNK) return i.size;
    if (!(i instanceof SynthText) || UNMEASURED.has(name)) return 0;
    const s = i.shows(this.caller);
    return typeof s === 'number' ? 0 : s.length;
  }

  /** struct fuse_attr. */
  private attributes(node: Node, at: number): void {
    const v = this.view;
    const i = node.inode;
    this.put64(at, i.ino);
    this.put64(at + 8, node.size);
    this.put64(at + 16, i.blocks);
    this.put64(at + 24, i.atimeSec);
    this.put64(at + 32, i.mtimeSec);
    this.put64(at + 40, i.ctimeSec);
    v.setUint32(at + 48, i.atimeNsec, true);
    v.setUint32(at + 52, i.mtimeNsec, true);
    v.setUint32(at + 56, i.ctimeNsec, true);
    v.setUint32(at + 60, i.mode, true);
    v.setUint32(at + 64, i.nlink, true);
    v.setUint32(at + 68, this.ids.uid(i.uid), true);
    v.setUint32(at + 72, this.ids.gid(i.gid), true);
    v.setUint32(at + 76, 0, true);
    v.setUint32(at + 80, i.blksize, true);
    v.setUint32(at + 84, 0, true);
  }

  private readlink(node: Node): number {
    if ((node.inode.mode & S_IFMT) !== S_IFLNK) return -ENOENT;
    const target = node.inode.readlink(this.caller);
    if (typeof target === 'number') return target;
    const b = latin1Encode(target).subarray(0, 4095);
    this.out.set(b, OUT_HEADER);
    return b.length;
  }

  private open(node: Node, dir: boolean): number {
    if ((node.inode.mode & S_IFMT) !== (dir ? S_IFDIR : S_IFREG)) return -ENOTDIR;
    if (this.files.size >= MAX_FILES) return -ENFILE;
    const f = node.inode.open(this.caller, O_RDONLY, this.mount, this.top);
    if (typeof f === 'number') return f;
    const fh = this.nextFile++;
    this.files.set(fh, f);
    this.out.fill(0, OUT_HEADER, OUT_HEADER + OPEN_OUT_BYTES);
    this.put64(OUT_HEADER, fh);
    this.view.setUint32(OUT_HEADER + 8, dir ? 0 : FOPEN_DIRECT_IO, true);
    return OPEN_OUT_BYTES;
  }

  private release(fh: number): number {
    this.files.get(fh)?.unref();
    this.files.delete(fh);
    return 0;
  }

  private read(fh: number, pos: number, size: number): number {
    const f = this.files.get(fh);
    if (f === undefined) return -ESTALE;
    return f.pread(this.caller, this.out, OUT_HEADER, Math.min(size, MAX_DATA), pos);
  }

  private readdir(node: Node, fh: number, pos: number, size: number): number {
    const f = this.files.get(fh);
    if (f === undefined) return -ESTALE;
    let at = OUT_HEADER;
    const end = OUT_HEADER + Math.min(size, MAX_DATA);
    const sink: DirSink = {
      add: (name, ino, type, next) => {
        const dots = name === '.' || name === '..';
        const shown = node.id === FUSE_ROOT_ID ? ROOT_LINKS.get(name) : undefined;
        if (shown === 0 || (node.only !== null && !dots && !node.only.has(name))) return true;
        const b = latin1Encode(name);
        const bytes = (DIRENT_BYTES + b.length + 7) & ~7;
        if (at + bytes > end) return false;
        this.put64(at, ino);
        this.put64(at + 8, next);
        this.view.setUint32(at + 16, b.length, true);
        this.view.setUint32(at + 20, shown ?? type, true);
        this.out.set(b, at + DIRENT_BYTES);
        this.out.fill(0, at + DIRENT_BYTES + b.length, at + bytes);
        at += bytes;
        return true;
      },
    };
    let err = f.pos === pos ? 0 : f.seek(this.caller, pos, SEEK_SET);
    if (err >= 0) err = f.readdir(this.caller, sink);
    return err < 0 ? err : at - OUT_HEADER;
  }
}
