// Files over host descriptors that were donated to the sandbox: standard streams and preserved descriptors. Regular files are read and
// written at once; pipes, sockets and devices are made non-blocking and watched for readiness.

import { EFAULT, EINVAL, ENODEV, ENOTTY, ENXIO, EPIPE, ESPIPE } from '../../../abi/errno.ts';
import { O_ACCMODE, O_APPEND, O_RDWR } from '../../../abi/fcntl.ts';
import { FIONREAD, TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGWINSZ } from '../../../abi/ioctl.ts';
import { TERMIOS, WINSIZE } from '../../../abi/layouts.ts';
import { POLLERR, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM } from '../../../abi/poll.ts';
import { SIGPIPE } from '../../../abi/signal.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from '../../../abi/stat.ts';
import { SEEK_CUR } from '../../../abi/uio.ts';
import { type HostIO, newHostStat } from '../../../platform/hostio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { File, MapBacking } from '../../vfs/file.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, Inode, type SetAttr } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { RegularFile } from '../../vfs/regular.ts';

/** EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP, edge triggered: the numbers are those of poll. */
const WATCHED = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | -2147483648;
/** Device number 1:3. */
const NULL_DEVICE = 0x103;
const ANON_INODE_FS_MAGIC = 0x09041934;

const st = newHostStat();

const TERMIOS_CALLS: readonly number[] = [TCGETS, TCSETS, TCSETSW, TCSETSF];

/** The file system that all donated descriptors belong to. */
export class HostFdFs extends FileSystem {
  readonly host: HostIO;
  readonly root: Inode;
  nextIno = 2;

  constructor(host: HostIO) {
    super('hostfd', anonDev());
    this.host = host;
    this.root = new HostFdInode(this, -1, S_IFDIR | 0o500);
  }

  statfs(out: StatFs): number {
    out.type = ANON_INODE_FS_MAGIC;
    out.bsize = 4096;
    out.blocks = 0;
    out.bfree = 0;
    out.bavail = 0;
    out.files = 0;
    out.ffree = 0;
    return 0;
  }
}

export class HostFdInode extends Inode {
  readonly host: HostIO;
  readonly fd: number;
  /** Descriptions that watch it; the host descriptor is closed with the last. */
  users = 0;
  readonly stream: boolean;
  /** The descriptions to be told of readiness. */
  readonly files: Set<HostFile> = new Set();
  private watching = false;
  /** The type that the host says, for names. */
  readonly #kind: number;

  constructor(fs: HostFdFs, fd: number, mode: number) {
    super(fs, fs.nextIno++, mode);
    this.host = fs.host;
    this.fd = fd;
    this.opensItself = true;
    const type = mode & S_IFMT;
    this.#kind = type;
    this.stream = type === S_IFIFO || type === S_IFSOCK || type === S_IFCHR;
    this.refresh();
  }

  get kind(): number {
    return this.#kind;
  }

  override refresh(): number {
    if (this.fd < 0) return 0;
    const err = this.host.fstat(this.fd, st);
    if (err < 0) return err;
    // Owners are the host's: the guest sees the ids that boot gave.
    this.mode = this.kind | (st.mode & 0o7777);
    this.nlink = st.nlink;
    this.size = st.size;
    this.blocks = st.blocks;
    this.blksize = st.blksize;
    this.atimeSec = st.atimeSec;
    this.atimeNsec = st.atimeNsec;
    this.mtimeSec = st.mtimeSec;
    this.mtimeNsec = st.mtimeNsec;
    this.ctimeSec = st.ctimeSec;
    this.ctimeNsec = st.ctimeNsec;
    if (this.kind === S_IFCHR || this.kind === S_IFBLK) this.rdev = st.rdev;
    return 0;
  }

  /** Reopened by way of /proc/PID/fd: another description of the same host object. */
  override open(_c: Caller, flags: number, mount: Mount, dentry: Dentry): File | number {
    return this.fd < 0 ? -ENXIO : new HostFile(this, flags, mount, dentry);
  }

  override setattr(_c: Caller, a: SetAttr): number {
    if ((a.mask & ATTR_SIZE) !== 0) {
      const err = this.host.ftruncate(this.fd, a.size);
      if (err < 0) return err;
      this.size = a.size;
    }
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & S_IFMT) | a.mode;
    if ((a.mask & ATTR_MTIME) !== 0) this.mtimeSec = a.mtimeSec;
    return 0;
  }

  /** Begins to watch a stream, once. */
  watch(): void {
    if (this.watching || !this.stream) return;
    this.watching = true;
    this.host.setNonblock(this.fd, true);
    this.host.watch(this.fd, WATCHED, (events) => {
      const mask = events | ((events & POLLIN) !== 0 ? POLLRDNORM : 0) | ((events & POLLOUT) !== 0 ? POLLWRNORM : 0);
      for (const f of this.files) f.queue.notify(mask);
    });
  }

  drop(f: HostFile): void {
    this.files.delete(f);
    if (--this.users > 0) return;
    if (this.watching) {
      this.host.unwatch(this.fd);
      this.host.setNonblock(this.fd, false);
    }
    this.host.close(this.fd);
  }
}

export class HostFile extends RegularFile {
  readonly node: HostFdInode;
  /** The donated description itself: its position is shared with whoever else holds it (a shell that appends to one output file). */
  donated = false;

  constructor(inode: HostFdInode, flags: number, mount: Mount | null, dentry: Dentry | null) {
    super(inode, flags, mount, dentry);
    this.node = inode;
    inode.users++;
    inode.files.add(this);
    inode.watch();
  }

  override get stream(): boolean {
    return this.node.stream;
  }

  protected override release(): void {
    this.node.drop(this);
  }

  override read(c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (!this.node.stream && !this.donated) return super.read(c, buf, off, len);
    const r = this.node.host.read(this.node.fd, buf, off, len);
    if (this.donated && r > 0) this.pos += r;
    return r;
  }

  override write(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    const n = this.node;
    if (!n.stream && !this.donated && (this.flags & O_APPEND) === 0) {
      const r = this.pwrite(_c, buf, off, len, this.pos);
      if (r > 0) this.pos += r;
      return r;
    }
    const r = n.host.write(n.fd, buf, off, len);
    if (r === -EPIPE) _c.raise(SIGPIPE);
    if (r > 0 && !n.stream) {
      n.refresh();
      this.pos = n.host.lseek(n.fd, 0, SEEK_CUR);
    }
    return r;
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    return this.node.stream ? -ESPIPE : this.node.host.pread(this.node.fd, buf, off, len, pos);
  }

  override pwrite(_c: Caller, buf: Uint8Array, off: number, len: number, pos: number): number {
    const n = this.node;
    if (n.stream) return -ESPIPE;
    const r = n.host.pwrite(n.fd, buf, off, len, pos);
    if (r > 0 && pos + r > n.size) n.size = pos + r;
    return r;
  }

  override seek(c: Caller, offset: number, whence: number): number {
    if (this.node.stream) return -ESPIPE;
    this.node.refresh();
    if (!this.donated) return super.seek(c, offset, whence);
    const at = this.node.host.lseek(this.node.fd, offset, whence);
    if (at >= 0) this.pos = at;
    return at;
  }

  override poll(): number {
    const n = this.node;
    if (!n.stream) return super.poll();
    const want = (this.readable ? POLLIN | POLLRDHUP | POLLPRI : 0) | (this.writable ? POLLOUT : 0);
    const r = n.host.pollNow(n.fd, want);
    if (r < 0) return POLLERR;
    return r | ((r & POLLIN) !== 0 ? POLLRDNORM : 0) | ((r & POLLOUT) !== 0 ? POLLWRNORM : 0);
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    const { host, fd, stream, kind } = this.node;
    if (cmd === FIONREAD && stream) {
      const word = new Uint8Array(4);
      const r = host.ioctl(fd, cmd, word);
      return r < 0 ? r : c.copyOut(arg, word, 0, 4);
    }
    // A terminal of the caller's among redirected streams: what it is set to may be asked and set, job control is not ours to give.
    const size = kind !== S_IFCHR ? 0 : cmd === TIOCGWINSZ ? WINSIZE.size : TERMIOS_CALLS.includes(cmd) ? TERMIOS.size : 0;
    if (size === 0) return -ENOTTY;
    const b = new Uint8Array(size);
    const sets = cmd === TCSETS || cmd === TCSETSW || cmd === TCSETSF;
    if (sets && c.copyIn(arg, b, 0, size) < 0) return -EFAULT;
    const r = host.ioctl(fd, cmd, b);
    return r < 0 || sets ? r : c.copyOut(arg, b, 0, size);
  }

  override mapping(_c: Caller, offset: number, _len: number, _shared: boolean, _write: boolean): MapBacking | number {
    return this.node.kind === S_IFREG ? { fd: this.node.fd, offset } : -ENODEV;
  }

  override fsync(dataOnly: boolean): number {
    return this.node.stream ? -EINVAL : this.node.host.fsync(this.node.fd, dataOnly);
  }

  override truncate(_c: Caller, size: number): number {
    const r = this.node.host.ftruncate(this.node.fd, size);
    if (r === 0) this.node.size = size;
    return r;
  }

  override anonName(): string {
    const kind = this.node.kind;
    if (kind === S_IFIFO) return `pipe:[${this.inode.ino}]`;
    if (kind === S_IFSOCK) return `socket:[${this.inode.ino}]`;
    if (kind === S_IFCHR) return this.inode.rdev === NULL_DEVICE ? '/dev/null' : `host:[${this.inode.ino}]`;
    return `host:[${this.inode.ino}]`;
  }
}

/**
 * A description over host descriptor `fd`, which it owns from now on. `access`: O_RDONLY, O_WRONLY or O_RDWR with O_APPEND as the host
 * descriptor was opened; -1: both ways. The file (one reference) or -errno.
 */
export function openHostFd(fs: HostFdFs, fd: number, access: number, uid: number, gid: number): File | number {
  const err = fs.host.fstat(fd, st);
  if (err < 0) return err;
  // Sockets of families that are not given to guests (net/host) are shown as pipes: bytes go through, nothing else.
  const mode = (st.mode & S_IFMT) === S_IFSOCK ? S_IFIFO | (st.mode & 0o7777) : st.mode;
  const inode = new HostFdInode(fs, fd, mode);
  inode.uid = uid;
  inode.gid = gid;
  const f = new HostFile(inode, access < 0 ? O_RDWR : access & (O_ACCMODE | O_APPEND), null, null);
  if (!inode.stream) {
    f.donated = true;
    const pos = fs.host.lseek(fd, 0, SEEK_CUR);
    if (pos > 0) f.pos = pos;
  }
  return f;
}
