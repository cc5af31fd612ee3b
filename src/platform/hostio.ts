// What the Sentry may ask of the host about descriptors that it already holds. No call here takes a path.
//
// All results are >= 0 or -errno; nothing throws. Offsets and sizes are doubles. Boot passes the real thing (src/host); unit tests pass
// a double. Calls that could block are only made on descriptors that are non-blocking or regular files.

export interface HostStat {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

/** A fresh HostStat of zeros. */
export function newHostStat(): HostStat {
  return {
    dev: 0,
    ino: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blksize: 0,
    blocks: 0,
    atimeSec: 0,
    atimeNsec: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
  };
}

/** What the Sentry may ask about sockets that were donated to it. Nothing here waits. */
export interface HostSockets {
  /** accept4(2) of a non-blocking listener: the new descriptor. */
  acceptSocket(fd: number): number;
  /** sendmsg(2) with MSG_DONTWAIT; `fds` ride on it (SCM_RIGHTS), name[0, nameLen) is the address (0: none). */
  sendSocket(
    fd: number,
    buf: Uint8Array,
    off: number,
    len: number,
    fds: readonly number[],
    flags: number,
    name: Uint8Array,
    nameLen: number,
  ): number;
  /** recvmsg(2) with MSG_DONTWAIT; descriptors (close-on-exec) are appended to `fds`, the sender's address goes to `name`. */
  receiveSocket(fd: number, buf: Uint8Array, off: number, len: number, fds: number[], flags: number, name: Uint8Array): number;
  /** Of the last receiveSocket(): [1] msg_flags, [2..4] pid, uid, gid of SCM_CREDENTIALS (pid -1: none), [5] length of the address. */
  readonly socketInfo: Int32Array;
  /** getsockname(2), or getpeername(2): the address's length. */
  socketName(fd: number, out: Uint8Array, peer: boolean): number;
  shutdownSocket(fd: number, how: number): number;
  /** The length of the option's value. */
  getSocketOption(fd: number, level: number, name: number, out: Uint8Array): number;
  setSocketOption(fd: number, level: number, name: number, value: Uint8Array): number;
}

export interface HostIO {
  read(fd: number, buf: Uint8Array, off: number, len: number): number;
  write(fd: number, buf: Uint8Array, off: number, len: number): number;
  pread(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number;
  pwrite(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number;
  lseek(fd: number, pos: number, whence: number): number;
  fstat(fd: number, out: HostStat): number;
  ftruncate(fd: number, size: number): number;
  fallocate(fd: number, mode: number, off: number, len: number): number;
  fsync(fd: number, dataOnly: boolean): number;
  close(fd: number): number;
  dup(fd: number): number;
  /** Most descriptors that this process may have (RLIMIT_NOFILE); asked before it is confined. */
  descriptorLimit(): number;
  /** memfd_create(2) with MFD_CLOEXEC. */
  memfd(name: string): number;
  /** poll(2) with timeout 0 of one descriptor: the POLL* bits that are ready now. */
  pollNow(fd: number, events: number): number;
  /** Non-blocking mode on or off (F_SETFL). */
  setNonblock(fd: number, on: boolean): number;
  /** ioctl(2) with a buffer argument (window size, termios of a donated terminal). */
  ioctl(fd: number, cmd: number, buf: Uint8Array): number;
  /** clock_gettime(2) of CLOCK_MONOTONIC, CLOCK_REALTIME, in nanoseconds split as [seconds, nanoseconds] into out[0], out[1]. */
  clock(id: number, out: Float64Array): number;
  /** Fills buf with random bytes (getrandom(2)). */
  random(buf: Uint8Array): number;
  /** Registers a descriptor with the Sentry's epoll set (edge-triggered, EPOLL* bits); `ready` is called from the loop with the bits. */
  watch(fd: number, events: number, ready: (events: number) => void): number;
  unwatch(fd: number): number;
  /** One message on a unix socket: sends bytes with descriptors (SCM_RIGHTS), never blocks. Count or -errno. */
  sendFds(fd: number, buf: Uint8Array, off: number, len: number, fds: number[]): number;
  /** One message: returns bytes read (0: end) or -errno; received descriptors (CLOEXEC) are appended to `fds`. */
  recvFds(fd: number, buf: Uint8Array, off: number, len: number, fds: number[]): number;
  /** poll(2) that waits up to `ms` for one descriptor; for synchronous gofer calls only. Ready bits, 0 on timeout, or -errno. */
  waitFd(fd: number, events: number, ms: number): number;
}
