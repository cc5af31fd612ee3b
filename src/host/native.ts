// The typed face of dist/native/host.node (native/host/*.c). Everything answers >= 0 or -errno; nothing throws.
//
// Strings are latin1: one char per byte (see hostPath in paths.ts for names that come from the command line). Typed arrays are read and
// written in place. `off`, `len` pairs must lie within the buffer.

export interface Native {
  // io.c: one descriptor
  read(fd: number, buf: Uint8Array, off: number, len: number): number;
  write(fd: number, buf: Uint8Array, off: number, len: number): number;
  pread(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number;
  pwrite(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number;
  /** preadv2(2) of one buffer; pos -1: the descriptor's own. Flags: RWF_*. */
  preadv2(fd: number, buf: Uint8Array, off: number, len: number, pos: number, flags: number): number;
  pwritev2(fd: number, buf: Uint8Array, off: number, len: number, pos: number, flags: number): number;
  lseek(fd: number, pos: number, whence: number): number;
  ftruncate(fd: number, size: number): number;
  fallocate(fd: number, mode: number, off: number, len: number): number;
  fsync(fd: number): number;
  fdatasync(fd: number): number;
  syncfs(fd: number): number;
  /** copy_file_range(2); a position of -1: the descriptor's own. */
  copyFileRange(fdIn: number, posIn: number, fdOut: number, posOut: number, len: number): number;
  ficlone(dst: number, src: number): number;
  close(fd: number): number;
  /** F_DUPFD_CLOEXEC, at 3 or above. */
  dup(fd: number): number;
  dup3(from: number, to: number, flags: number): number;
  /** fcntl(2) for commands with an int argument: F_DUPFD(_CLOEXEC), F_GETFD/SETFD, F_GETFL/SETFL, F_GET/SETPIPE_SZ, seals, owner. */
  fcntl(fd: number, cmd: number, arg: number): number;
  setNonblock(fd: number, on: number): number;
  flock(fd: number, op: number): number;
  /** F_OFD_SETLK, F_OFD_SETLKW; F_OFD_GETLK answers the type of the lock in the way, or F_UNLCK. */
  ofdLock(fd: number, cmd: number, type: number, start: number, len: number): number;
  pipe2(out: Int32Array, flags: number): number;
  eventfd(init: number, flags: number): number;
  memfdCreate(name: string, flags: number): number;
  pollNow(fd: number, events: number): number;
  /** Ready bits; 0 at the time limit (ms, negative: none); -EINTR after a signal. */
  pollOne(fd: number, events: number, ms: number): number;
  /** Triples fd, events, revents (at most 256). */
  poll(triples: Int32Array, ms: number): number;
  epollCreate(): number;
  epollCtl(ep: number, op: number, fd: number, events: number): number;
  /** Pairs fd, events; ms may be fractional, negative: for ever. 0 also after a signal. */
  epollWait(ep: number, pairs: Int32Array, ms: number): number;
  /** ioctl(2) with a buffer of at most 16 KiB. */
  ioctl(fd: number, cmd: number, buf: Uint8Array): number;
  ioctlInt(fd: number, cmd: number, arg: number): number;
  /** A new, unlocked pseudo-terminal master. */
  openpt(flags: number): number;
  /** TIOCGPTPEER: opens the slave without a path. */
  ptyPeer(master: number, flags: number): number;
  /** 1 or 0. */
  isatty(fd: number): number;
  signalfd(fd: number, maskLo: number, maskHi: number, flags: number): number;
  inotifyInit(flags: number): number;
  inotifyAdd(fd: number, path: string, mask: number): number;
  inotifyRemove(fd: number, wd: number): number;
  /** Seconds and nanoseconds into out[0], out[1]. */
  clockGettime(id: number, out: Float64Array): number;
  getrandom(buf: Uint8Array): number;

  // fs.c: names below a directory descriptor. O_CLOEXEC is always set.
  openat(dir: number, path: string, flags: number, mode: number): number;
  openat2(dir: number, path: string, flags: number, mode: number, resolve: number): number;
  /** 16 doubles: dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atime s, ns, mtime s, ns, ctime s, ns. */
  fstat(fd: number, out: Float64Array): number;
  fstatat(dir: number, path: string, out: Float64Array, flags: number): number;
  /** 21 doubles: as fstat, then birth time s, ns, mount id, stx_mask, stx_attributes. */
  statx(dir: number, path: string, out: Float64Array, flags: number, mask: number): number;
  readlinkat(dir: number, path: string, out: Uint8Array): number;
  mkdirat(dir: number, path: string, mode: number): number;
  mknodat(dir: number, path: string, mode: number, major: number, minor: number): number;
  symlinkat(target: string, dir: number, path: string): number;
  linkat(fromDir: number, from: string, toDir: number, to: string, flags: number): number;
  unlinkat(dir: number, path: string, flags: number): number;
  renameat2(fromDir: number, from: string, toDir: number, to: string, flags: number): number;
  faccessat(dir: number, path: string, mode: number, flags: number): number;
  fchownat(dir: number, path: string, uid: number, gid: number, flags: number): number;
  fchmod(fd: number, mode: number): number;
  /** chmod of what an O_PATH descriptor stands for. */
  chmodAt(fd: number, mode: number): number;
  /** times: atime s, ns, mtime s, ns; ns may be UTIME_NOW or UTIME_OMIT. */
  utimensat(dir: number, path: string, times: Float64Array, flags: number): number;
  getdents(fd: number, out: Uint8Array): number;
  /** 12 doubles: type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags, fsid (two). */
  fstatfs(fd: number, out: Float64Array): number;
  getxattrAt(fd: number, name: string, out: Uint8Array): number;
  setxattrAt(fd: number, name: string, value: Uint8Array, flags: number): number;
  listxattrAt(fd: number, out: Uint8Array): number;
  removexattrAt(fd: number, name: string): number;
  umask(mask: number): number;

  // sock.c: addresses are the bytes of a struct sockaddr (see unixAddress in paths.ts)
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, out: Int32Array): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  accept(fd: number, flags: number): number;
  getsockname(fd: number, out: Uint8Array): number;
  getpeername(fd: number, out: Uint8Array): number;
  /** The length of the option's value. */
  getsockopt(fd: number, level: number, name: number, out: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  sendto(fd: number, buf: Uint8Array, off: number, len: number, flags: number, to: Uint8Array): number;
  /** info[0]: length of the address. */
  recvfrom(fd: number, buf: Uint8Array, off: number, len: number, flags: number, from: Uint8Array, info: Int32Array): number;
  sendmsg(fd: number, buf: Uint8Array, off: number, len: number, fds: Int32Array, nfds: number, flags: number): number;
  /** info (5): count of descriptors, msg_flags, pid, uid, gid of SCM_CREDENTIALS (-1 without). */
  recvmsg(fd: number, buf: Uint8Array, off: number, len: number, fds: Int32Array, flags: number, info: Int32Array): number;
  /** sendmsg with the address name[0, nameLen); 0: none. */
  sendTo(
    fd: number,
    buf: Uint8Array,
    off: number,
    len: number,
    fds: Int32Array,
    nfds: number,
    flags: number,
    name: Uint8Array,
    nameLen: number,
  ): number;
  /** recvmsg whose info has a sixth word: length of the sender's address, which goes to `name`. With MSG_TRUNC a datagram's whole length. */
  receiveFrom(
    fd: number,
    buf: Uint8Array,
    off: number,
    len: number,
    fds: Int32Array,
    flags: number,
    info: Int32Array,
    name: Uint8Array,
  ): number;
  /** pid, uid, gid of SO_PEERCRED. */
  peerCredentials(fd: number, out: Int32Array): number;

  // proc.c: this process and others
  kill(pid: number, sig: number): number;
  pidfdOpen(pid: number, flags: number): number;
  pidfdSendSignal(fd: number, sig: number): number;
  /** status[0]: wait(2) status. With WNOWAIT the child stays to be reaped. */
  waitpid(pid: number, options: number, status: Int32Array): number;
  /** prctl(2) for operations with plain numbers. */
  prctl(op: number, x: number, y: number): number;
  setName(name: string): number;
  /** The host name in the UTS namespace that the file `path` of nsfs stands for: bytes to `out`, their count. */
  hostNameOf(path: string, out: Uint8Array): number;
  /**
   * V8 collects all that it can and gives its memory back to the host, malloc does, and code is mapped again when it is needed.
   * Some 10 ms. 1, or 0 where V8 cannot be asked.
   */
  shrink(): number;
  /** Calling thread: effective, permitted, inheritable low words, then the high ones. */
  capget(words: Int32Array): number;
  capset(words: Int32Array): number;
  /** SECCOMP_SET_MODE_FILTER with an array of struct sock_filter. */
  seccomp(filter: Uint8Array, flags: number): number;
  setresuid(r: number, e: number, s: number): number;
  setresgid(r: number, e: number, s: number): number;
  setgroups(gids: Int32Array): number;
  /** Soft and hard limit; -1 is RLIM_INFINITY. */
  getrlimit(what: number, out: Float64Array): number;
  setrlimit(what: number, soft: number, hard: number): number;
  sigmask(how: number, lo: number, hi: number): number;
  /** Mask of the first 32 CPUs for the calling thread. */
  getaffinity(): number;
  setaffinity(mask: number): number;
  cpuCount(): number;
  uvBackendFd(): number;
  /**
   * spawn.c: starts the program `path` in a session of its own, with an empty environment and `fds` as its descriptors 0, 1, 2, ...
   * `words`: its arguments, each ended by NUL. The pid, or -errno. The caller reaps it by waitpid.
   */
  spawn(path: string, words: Uint8Array, fds: Int32Array): number;
  /** exit_group(2): ends this process now, without handlers. */
  exit(status: number): never;
  /** mmap(2) MAP_SHARED; a number is -errno. Node 20 takes at most 4 GiB. */
  mapShared(fd: number, off: number, len: number, writable: number): ArrayBuffer | number;
}

/** Loads the addon. Throws when the file is missing or not ours: nothing can run without it. */
export function loadNative(path: string): Native {
  const module: { exports: Partial<Native> } = { exports: {} };
  process.dlopen(module, path);
  if (typeof module.exports.mapShared !== 'function') throw new Error(`${path} is not the host addon`);
  return module.exports as Native;
}
