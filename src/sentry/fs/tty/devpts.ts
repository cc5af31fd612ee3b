// devpts (Documentation/filesystems/devpts): one file a pseudoterminal, and ptmx, which makes them. Every mount is an instance of its own.

import { EINVAL, EIO, ENOENT, ENOSPC } from '../../../abi/errno.ts';
import { O_NOCTTY } from '../../../abi/fcntl.ts';
import { S_IFCHR, S_IFDIR, S_IFMT } from '../../../abi/stat.ts';
import { IdAllocator } from '../../../base/idalloc.ts';
import type { Caller } from '../../vfs/caller.ts';
import { addChild, cachedChild, type Dentry, dropDentry, rootDentry } from '../../vfs/dentry.ts';
import { makedev } from '../../vfs/devices.ts';
import { type DirSink, File } from '../../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { ATTR_ATIME, ATTR_CTIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_UID, Inode, type SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { MasterFile, openSlave, type PtyHome } from './pty.ts';
import { Tty } from './tty.ts';

const DEVPTS_SUPER_MAGIC = 0x1cd1;
const PTS_MAJOR = 136;
const TTYAUX_MAJOR = 5;
const PTMX_MINOR = 2;
const ROOT_INO = 1;
const PTMX_INO = 2;
const FIRST_PTS_INO = 3;
const DEFAULT_MAX = 4096;
const DT_CHR = 2;
const DT_DIR = 4;

/** Mount options; NaN: not given. */
interface Options {
  uid: number;
  gid: number;
  mode: number;
  ptmxmode: number;
  max: number;
}

/** Parses "gid=5,mode=620,ptmxmode=666,newinstance"; -EINVAL for what is not known. */
function parseOptions(text: string): Options | number {
  const o: Options = { uid: Number.NaN, gid: Number.NaN, mode: 0o600, ptmxmode: 0, max: DEFAULT_MAX };
  for (const word of text.split(',')) {
    if (word === '' || word === 'newinstance' || word === 'rw' || word === 'ro') continue;
    const eq = word.indexOf('=');
    const key = eq < 0 ? word : word.slice(0, eq);
    const value = eq < 0 ? '' : word.slice(eq + 1);
    const octal = key === 'mode' || key === 'ptmxmode';
    if (!(octal ? /^[0-7]+$/ : /^[0-9]+$/).test(value)) return -EINVAL;
    const n = Number.parseInt(value, octal ? 8 : 10);
    if (key === 'uid') o.uid = n;
    else if (key === 'gid') o.gid = n;
    else if (key === 'mode') o.mode = n & 0o7777;
    else if (key === 'ptmxmode') o.ptmxmode = n & 0o7777;
    else if (key === 'max') o.max = n;
    else return -EINVAL;
  }
  return o;
}

/** Attributes that chmod(2) and chown(2) may change on any node of devpts. */
abstract class PtsNode extends Inode {
  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | (a.mode & 0o7777);
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    if ((a.mask & ATTR_ATIME) !== 0) {
      this.atimeSec = a.atimeSec;
      this.atimeNsec = a.atimeNsec;
    }
    if ((a.mask & ATTR_MTIME) !== 0) {
      this.mtimeSec = a.mtimeSec;
      this.mtimeNsec = a.mtimeNsec;
    }
    this.touch(ATTR_CTIME);
    return 0;
  }
}

class SlaveInode extends PtsNode {
  readonly tty: Tty;

  constructor(fs: DevPts, index: number, tty: Tty) {
    super(fs, FIRST_PTS_INO + index, S_IFCHR | fs.mode);
    this.tty = tty;
    this.rdev = tty.dev;
    this.blksize = 1024;
    this.opensItself = true;
    this.touch(ATTR_ATIME | ATTR_MTIME | ATTR_CTIME);
  }

  override open(c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return openSlave(c, this.tty, this, flags, mount, dentry);
  }
}

class PtmxInode extends PtsNode {
  constructor(fs: DevPts, mode: number) {
    super(fs, PTMX_INO, S_IFCHR | mode);
    this.rdev = makedev(TTYAUX_MAJOR, PTMX_MINOR);
    this.opensItself = true;
    this.touch(ATTR_ATIME | ATTR_MTIME | ATTR_CTIME);
  }

  override open(c: Caller, flags: number, mount: Mount, _dentry: Dentry): File | number {
    return (this.fs as DevPts).openMaster(c.creds.fsuid, c.creds.fsgid, this, flags, mount);
  }
}

class PtsRoot extends PtsNode {
  constructor(fs: DevPts) {
    super(fs, ROOT_INO, S_IFDIR | 0o755);
    this.nlink = 2;
    this.touch(ATTR_ATIME | ATTR_MTIME | ATTR_CTIME);
  }

  override lookup(_c: Caller, name: string): Inode | number {
    return (this.fs as DevPts).find(name) ?? -ENOENT;
  }

  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return new PtsDirFile(this, flags, mount, dentry);
  }
}

/** Positions: 0 and 1 are the dots, 2 is ptmx, 3 + n is terminal n. */
class PtsDirFile extends File {
  override seek(_c: Caller, offset: number, whence: number): number {
    const pos = whence === 0 ? offset : whence === 1 ? this.pos + offset : -1;
    if (pos < 0) return -EINVAL;
    this.pos = pos;
    return pos;
  }

  override readdir(_c: Caller, sink: DirSink): number {
    const fs = this.inode.fs as DevPts;
    if (this.pos === 0) {
      if (!sink.add('.', ROOT_INO, DT_DIR, 1)) return 0;
      this.pos = 1;
    }
    if (this.pos === 1) {
      const up = this.mount?.point?.parent.inode ?? null;
      if (!sink.add('..', up === null ? ROOT_INO : up.ino, DT_DIR, 2)) return 0;
      this.pos = 2;
    }
    if (this.pos === 2) {
      if (!sink.add('ptmx', PTMX_INO, DT_CHR, 3)) return 0;
      this.pos = 3;
    }
    for (const index of fs.indices()) {
      const at = FIRST_PTS_INO + index;
      if (at < this.pos) continue;
      if (!sink.add(String(index), at, DT_CHR, at + 1)) return 0;
      this.pos = at + 1;
    }
    return 0;
  }
}

export class DevPts extends FileSystem implements PtyHome {
  readonly root: Inode;
  /** Permission bits of new terminals. */
  readonly mode: number;
  private readonly text: string;
  private readonly uid: number;
  private readonly gid: number;
  private readonly ids: IdAllocator;
  private readonly slaves: Map<number, SlaveInode> = new Map();
  private readonly ptmx: PtmxInode;

  constructor(o: Options) {
    super('devpts', anonDev());
    this.volatileNames = true;
    this.mode = o.mode;
    this.uid = o.uid;
    this.gid = o.gid;
    this.ids = new IdAllocator(o.max);
    const owner = (Number.isNaN(o.uid) ? '' : `,uid=${o.uid}`) + (Number.isNaN(o.gid) ? '' : `,gid=${o.gid}`);
    const max = o.max === DEFAULT_MAX ? '' : `,max=${o.max}`;
    this.text = `rw${owner},mode=${o.mode.toString(8).padStart(3, '0')},ptmxmode=${o.ptmxmode.toString(8).padStart(3, '0')}${max}`;
    this.root = new PtsRoot(this);
    this.ptmx = new PtmxInode(this, o.ptmxmode);
  }

  override statfs(out: StatFs): number {
    out.type = DEVPTS_SUPER_MAGIC;
    out.bsize = 4096;
    out.blocks = 0;
    out.bfree = 0;
    out.bavail = 0;
    out.files = 0;
    out.ffree = 0;
    out.namelen = 255;
    out.flags = 0;
    return 0;
  }

  override options(): string {
    return this.text;
  }

  /** The inode of a name below the root. */
  find(name: string): Inode | undefined {
    if (name === 'ptmx') return this.ptmx;
    if (!/^(0|[1-9][0-9]*)$/.test(name)) return undefined;
    return this.slaves.get(Number(name));
  }

  /** Numbers in use, rising. */
  indices(): number[] {
    return [...this.slaves.keys()].sort((a, b) => a - b);
  }

  /** A new pseudoterminal of owner (uid, gid): its master, whose slave is locked until TIOCSPTLCK. -ENOSPC: none left. */
  openMaster(uid: number, gid: number, inode: Inode, flags: number, mount: Mount): MasterFile | number {
    const index = this.ids.alloc();
    if (index < 0) return -ENOSPC;
    const tty = new Tty(`pts/${index}`, makedev(PTS_MAJOR, index));
    tty.locked = true;
    const slave = new SlaveInode(this, index, tty);
    slave.uid = Number.isNaN(this.uid) ? uid : this.uid;
    slave.gid = Number.isNaN(this.gid) ? gid : this.gid;
    this.slaves.set(index, slave);
    return new MasterFile(tty, index, this, inode, flags, mount);
  }

  /** A master that the kernel holds itself: the terminal side of a console. Unlocked. */
  newConsole(uid: number, gid: number, flags: number, mount: Mount): MasterFile | number {
    const m = this.openMaster(uid, gid, this.ptmx, flags, mount);
    if (typeof m !== 'number') m.tty.locked = false;
    return m;
  }

  openPeer(index: number, flags: number, mount: Mount): File | number {
    const inode = this.slaves.get(index);
    if (inode === undefined) return -EIO;
    const f = openSlave(null, inode.tty, inode, flags | O_NOCTTY, mount, null);
    if (typeof f === 'number') return f;
    // The name that ttyname(3) finds: /proc/self/fd/N leads to it.
    const name = String(index);
    const dir = rootDentry(this);
    let d = cachedChild(dir, name);
    if (d === null || d.inode !== inode) {
      if (d !== null) dropDentry(d);
      d = addChild(dir, name, inode);
    }
    f.mount = mount;
    f.dentry = d;
    f.named = true;
    mount.refs++;
    d.refs++;
    return f;
  }

  freed(index: number): void {
    const inode = this.slaves.get(index);
    if (inode === undefined) return;
    inode.nlink = 0;
    this.slaves.delete(index);
    this.ids.free(index);
    const d = cachedChild(rootDentry(this), String(index));
    if (d !== null && d.inode === inode) dropDentry(d);
  }
}

/** A new instance for mount(2) with these options, or -EINVAL. */
export function createDevpts(options: string): DevPts | number {
  const o = parseOptions(options);
  return typeof o === 'number' ? o : new DevPts(o);
}
