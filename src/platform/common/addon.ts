// The typed face of dist/native/platform.node (native/platform/addon.c). All results are >= 0 or -errno; nothing throws.

export interface PlatformAddon {
  /** Reserves `bytes` of address space as an ArrayBuffer, whose address goes to out[0]; a number on failure. */
  arena(bytes: number, out: Float64Array): ArrayBuffer | number;
  /** Maps the control page at `address`; a descriptor through which nobody else can write it. */
  control(address: number): number;
  /** Maps a new context region at `address`; out: descriptors of the region, of our end of its socket, of the stub's end. */
  space(address: number, out: Int32Array): number;
  unmapSpace(address: number): number;
  /** Sends a message with one descriptor, or two (fd2 >= 0). */
  send(socket: number, kind: number, fd1: number, fd2: number): number;
  /** Sends the first `length` bytes of `body` with the first `count` descriptors of `fds`. */
  sendMaps(socket: number, body: Uint8Array, length: number, fds: Int32Array, count: number): number;
  /** Waits for a message that fills `body`; its sender's pid as the kernel knows it (0: without credentials). */
  receive(socket: number, milliseconds: number, body: Uint8Array): number;
  pidfdOpen(pid: number): number;
  /** SIGKILL. */
  pidfdKill(pidfd: number): number;
  /** The interrupt signal to one thread. */
  interrupt(tgid: number, tid: number): number;
  close(fd: number): number;
  /** sched_yield(2): lets whoever waits for this processor go first. */
  yieldCpu(): number;
  /** Goes on on another processor, where there is one. */
  moveAway(): number;
  /** Wakes the stub that sleeps on the state word of the block at this address. */
  wake(block: number): number;
  /** Wakes the process that the block names as the one that sleeps in its thread's place. */
  wakeTracer(block: number): number;
  /** Waits for the end of a block's command: the new state, -ESRCH (process died) or -ETIMEDOUT. */
  settle(block: number, pidfd: number, spins: number, milliseconds: number): number;
  /** process_vm_readv(2), process_vm_writev(2): bytes copied. */
  vmRead(pid: number, address: number, buf: Uint8Array, off: number, len: number): number;
  vmWrite(pid: number, address: number, buf: Uint8Array, off: number, len: number): number;
  /** Processor time of a process and its threads, ns. */
  cpuTime(pid: number): number;
  epollCreate(): number;
  epollAdd(epoll: number, fd: number, data: number): number;
  /** The data words of ready descriptors but the doorbell's (data 0), which is reset. */
  epollDrain(epoll: number, doorbell: number, out: Int32Array): number;
  /** poll(2) for input on one descriptor: 1, or 0 on timeout. For a loop that has nothing but guests to wait for. */
  waitReady(fd: number, milliseconds: number): number;
  eventfd(): number;
  /** Processors that this process may run on. */
  cpus(): number;
  /** A SOCK_SEQPACKET pair, the first with SO_PASSCRED: for whoever starts a stub. */
  socketpair(out: Int32Array): number;
}
