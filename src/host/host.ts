// The host as the Sentry, the Gofer and the entrypoint see it: HostIO over the addon, one epoll set, and the addon itself as `native`.

import { EINTR, EMFILE, EMSGSIZE } from '../abi/errno.ts';
import { RLIMIT_NOFILE } from '../abi/resource.ts';
import type { HostIO, HostSockets, HostStat } from '../platform/hostio.ts';
import { loadNative, type Native } from './native.ts';
import { Poller, type Ready } from './poller.ts';

const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MFD_CLOEXEC = 1;
const MAX_FDS = 253;

export class Host implements HostIO, HostSockets {
  readonly native: Native;
  readonly poller: Poller;
  private readonly statBuf = new Float64Array(21);
  private readonly fdBuf = new Int32Array(MAX_FDS);
  private readonly info = new Int32Array(5);
  readonly socketInfo: Int32Array = new Int32Array(6);

  constructor(native: Native) {
    this.native = native;
    this.poller = new Poller(native);
  }

  read(fd: number, buf: Uint8Array, off: number, len: number): number {
    return this.native.read(fd, buf, off, len);
  }

  write(fd: number, buf: Uint8Array, off: number, len: number): number {
    return this.native.write(fd, buf, off, len);
  }

  pread(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number {
    return this.native.pread(fd, buf, off, len, pos);
  }

  pwrite(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number {
    return this.native.pwrite(fd, buf, off, len, pos);
  }

  lseek(fd: number, pos: number, whence: number): number {
    return this.native.lseek(fd, pos, whence);
  }

  fstat(fd: number, out: HostStat): number {
    const b = this.statBuf;
    const r = this.native.fstat(fd, b);
    if (r === 0) putStat(b, out);
    return r;
  }

  ftruncate(fd: number, size: number): number {
    return this.native.ftruncate(fd, size);
  }

  fallocate(fd: number, mode: number, off: number, len: number): number {
    return this.native.fallocate(fd, mode, off, len);
  }

  fsync(fd: number, dataOnly: boolean): number {
    return dataOnly ? this.native.fdatasync(fd) : this.native.fsync(fd);
  }

  close(fd: number): number {
    return this.native.close(fd);
  }

  dup(fd: number): number {
    return this.native.dup(fd);
  }

  descriptorLimit(): number {
    const r = this.native.getrlimit(RLIMIT_NOFILE, this.statBuf);
    if (r < 0) return r;
    const soft = this.statBuf[0] as number;
    return soft < 0 ? Infinity : soft;
  }

  memfd(name: string): number {
    return this.native.memfdCreate(name, MFD_CLOEXEC);
  }

  pollNow(fd: number, events: number): number {
    return this.native.pollNow(fd, events);
  }

  setNonblock(fd: number, on: boolean): number {
    return this.native.setNonblock(fd, on ? 1 : 0);
  }

  ioctl(fd: number, cmd: number, buf: Uint8Array): number {
    return this.native.ioctl(fd, cmd, buf);
  }

  clock(id: number, out: Float64Array): number {
    return this.native.clockGettime(id, out);
  }

  random(buf: Uint8Array): number {
    return this.native.getrandom(buf);
  }

  watch(fd: number, events: number, ready: Ready): number {
    return this.poller.add(fd, events, ready);
  }

  unwatch(fd: number): number {
    return this.poller.remove(fd);
  }

  /** Waits for watched descriptors and calls what is ready. See Poller.wait. */
  wait(timeoutMs: number): number {
    return this.poller.wait(timeoutMs);
  }

  sendFds(fd: number, buf: Uint8Array, off: number, len: number, fds: number[]): number {
    const b = this.fdBuf;
    if (fds.length > b.length) return -EMSGSIZE;
    for (let i = 0; i < fds.length; i++) b[i] = fds[i] as number;
    return this.native.sendmsg(fd, buf, off, len, b, fds.length, MSG_DONTWAIT);
  }

  recvFds(fd: number, buf: Uint8Array, off: number, len: number, fds: number[]): number {
    return this.receive(fd, buf, off, len, fds, MSG_DONTWAIT);
  }

  /** Like recvFds, but waits on a blocking socket. */
  recvFdsBlocking(fd: number, buf: Uint8Array, off: number, len: number, fds: number[]): number {
    return this.receive(fd, buf, off, len, fds, 0);
  }

  /** One message or nothing: a cut message answers -EMSGSIZE, lost descriptors -EMFILE, and what came with it is closed. */
  private receive(fd: number, buf: Uint8Array, off: number, len: number, fds: number[], flags: number): number {
    const { native, fdBuf, info } = this;
    const r = native.recvmsg(fd, buf, off, len, fdBuf, flags, info);
    if (r < 0) return r;
    const n = info[0] as number;
    const cut = (info[1] as number) & (MSG_TRUNC | MSG_CTRUNC);
    if (cut !== 0) {
      for (let i = 0; i < n; i++) native.close(fdBuf[i] as number);
      return (cut & MSG_CTRUNC) !== 0 ? -EMFILE : -EMSGSIZE;
    }
    for (let i = 0; i < n; i++) fds.push(fdBuf[i] as number);
    return r;
  }

  acceptSocket(fd: number): number {
    return this.native.accept(fd, 0);
  }

  sendSocket(
    fd: number,
    buf: Uint8Array,
    off: number,
    len: number,
    fds: readonly number[],
    flags: number,
    name: Uint8Array,
    nameLen: number,
  ): number {
    const b = this.fdBuf;
    if (fds.length > b.length) return -EMSGSIZE;
    for (let i = 0; i < fds.length; i++) b[i] = fds[i] as number;
    return this.native.sendTo(fd, buf, off, len, b, fds.length, flags | MSG_DONTWAIT, name, nameLen);
  }

  receiveSocket(fd: number, buf: Uint8Array, off: number, len: number, fds: number[], flags: number, name: Uint8Array): number {
    const { native, fdBuf, socketInfo } = this;
    const r = native.receiveFrom(fd, buf, off, len, fdBuf, flags | MSG_DONTWAIT, socketInfo, name);
    if (r >= 0) for (let i = 0; i < (socketInfo[0] as number); i++) fds.push(fdBuf[i] as number);
    return r;
  }

  socketName(fd: number, out: Uint8Array, peer: boolean): number {
    return peer ? this.native.getpeername(fd, out) : this.native.getsockname(fd, out);
  }

  shutdownSocket(fd: number, how: number): number {
    return this.native.shutdown(fd, how);
  }

  getSocketOption(fd: number, level: number, name: number, out: Uint8Array): number {
    return this.native.getsockopt(fd, level, name, out);
  }

  setSocketOption(fd: number, level: number, name: number, value: Uint8Array): number {
    return this.native.setsockopt(fd, level, name, value);
  }

  waitFd(fd: number, events: number, ms: number): number {
    const clock = this.statBuf;
    let left = ms;
    for (;;) {
      this.native.clockGettime(1, clock);
      const start = (clock[0] as number) * 1000 + (clock[1] as number) / 1e6;
      const r = this.native.pollOne(fd, events, left);
      if (r !== -EINTR || ms < 0) {
        if (r !== -EINTR) return r;
        continue;
      }
      this.native.clockGettime(1, clock);
      left -= (clock[0] as number) * 1000 + (clock[1] as number) / 1e6 - start;
      if (left <= 0) return 0;
    }
  }
}

/** Copies the 16 doubles of the addon's fstat into a HostStat. */
export function putStat(b: Float64Array, out: HostStat): void {
  out.dev = b[0] as number;
  out.ino = b[1] as number;
  out.mode = b[2] as number;
  out.nlink = b[3] as number;
  out.uid = b[4] as number;
  out.gid = b[5] as number;
  out.rdev = b[6] as number;
  out.size = b[7] as number;
  out.blksize = b[8] as number;
  out.blocks = b[9] as number;
  out.atimeSec = b[10] as number;
  out.atimeNsec = b[11] as number;
  out.mtimeSec = b[12] as number;
  out.mtimeNsec = b[13] as number;
  out.ctimeSec = b[14] as number;
  out.ctimeNsec = b[15] as number;
}

/** Loads dist/native/host.node (an absolute path). Throws when it cannot. */
export function loadHost(path: string): Host {
  return new Host(loadNative(path));
}
