// The seam of the house: what an engine (systrap, ptrace, KVM) offers to the Sentry.
//
// A Platform makes AddressSpaces; an AddressSpace is one host process whose memory is a guest's memory; a Context is one guest
// thread in it. The Sentry never learns which engine runs. Every number that comes out of a Context was written where a hostile guest
// can write too: the engine reads each word once and checks it; the Sentry treats registers as the guest's own claim.
//
// Numbers: guest addresses and lengths are doubles (user addresses are below 2^47). Registers are 64 bits as two unsigned 32-bit halves.

import type { MapBatch } from './mapbatch.ts';

/** What a stopped thread shows. See Context.event. */
export const EVENT_NONE = 0; // running, or resumed and not yet stopped
export const EVENT_SYSCALL = 1; // registers hold number and arguments; rip is behind the syscall instruction
export const EVENT_FAULT = 2; // fault* fields are valid; rip is at the faulting instruction
export const EVENT_INTERRUPTED = 3; // Context.interrupt() arrived while guest code ran
export const EVENT_GONE = 4; // the thread or its whole host process died without being told to
export const EVENT_RESTART = 5; // as EVENT_SYSCALL, but the engine carried the call out itself and was interrupted: ERESTARTSYS

/** Calls that an engine may carry out itself, in the guest thread that makes them. See AddressSpace.setNative. */
export const NATIVE_FUTEX = 1; // operations on private futexes
export const NATIVE_MADVISE = 2; // advice that changes pages alone

export * from '../abi/registers.ts';

/** What a thread or a process has used (getrusage(2)). The guest could forge it. */
export interface HostUsage {
  /** Processor time, ns; `userNs` and `systemNs` are the host's division of it. */
  cpuNs: number;
  userNs: number;
  systemNs: number;
  /** Peak of resident memory, KiB. */
  maxRssKb: number;
  minorFaults: number;
  majorFaults: number;
}

/** With which registers a new thread goes on by itself, as soon as the host has made it: rax is 0, the others are its maker's. */
export interface ThreadStart {
  /** Stack pointer; 0: the maker's. */
  stack: number;
  /** FS base; -1: the maker's. */
  tls: number;
  /** For fork(): where in its own memory the child first stores `tid` (32 bits); 0: nowhere. */
  tidAddress: number;
  tid: number;
}

/** One guest thread as the engine holds it. All methods are called from the Sentry's one thread. */
export interface Context {
  /** Free for the Sentry: the task that runs in this context. */
  owner: unknown;
  readonly addressSpace: AddressSpace;
  /** Registers as the guest left them, 2 words each (low, high), REG_* * 2. Valid while stopped. Shared with the guest: read once. */
  readonly regs: Uint32Array;
  /** EVENT_*: why it stopped; EVENT_NONE while it runs. */
  event: number;
  /** For EVENT_FAULT: host signal number, si_code, address (a double: those of the kernel's half are negative, so that they are exact),
   * trap number and page-fault error code (bit 1: write). */
  faultSignal: number;
  faultCode: number;
  faultAddress: number;
  faultTrap: number;
  faultError: number;

  /** Takes the six arguments of the call that EVENT_SYSCALL or EVENT_RESTART shows, as 12 words; its number, an int (the
   * upper half of rax does not count). To be called before anything else is asked of the context: commands use the same words. */
  takeCall(args: Uint32Array): number;
  /** The call site of this EVENT_SYSCALL traps again and again: patch() may make it cheap. */
  readonly wantsPatch: boolean;
  /**
   * Rewrites the call site in front of rip, whose private pages have protection `prot` (executable, not writable). 0, or -errno when it
   * cannot be done safely; the site then goes on trapping.
   */
  patch(prot: number): number;

  /**
   * Bytes that travel between guest memory and the Sentry with the event and with the resume, at no extra cost. Shared with the guest: what
   * is read there is read once. Empty where the engine offers none.
   */
  readonly window: Uint8Array;
  /** The same as words; what reserve() answers begins at one. */
  readonly windowWords: Uint32Array;
  /** Copies the guest bytes [addr, addr + len) of this call to dst if they travelled; false: they did not. */
  receive(addr: number, dst: Uint8Array, off: number, len: number): boolean;
  /** src[off, off + len) travels to guest memory at `addr` as with deliver(). False: there is no room. */
  send(addr: number, src: Uint8Array, off: number, len: number): boolean;
  /** Where in `window` the guest bytes [addr, addr + len) of this call stand, -1 if they did not travel. */
  fetched(addr: number, len: number): number;
  /** The same for bytes from `addr` on; how many there are goes to fetchedLength. */
  fetchedFrom(addr: number): number;
  fetchedLength: number;
  /** What travelled counts no more: somebody may have changed guest memory since. */
  forgetFetched(): void;
  /** Room in `window` for `len` bytes that deliver() will send; -1: none, or no event is being answered. */
  reserve(len: number): number;
  /**
   * Sends window[at, at + len) to guest memory at `addr`, which the guest may write, when resumeSyscall or resumeFull comes. A guest that
   * unmaps it meanwhile gets -EFAULT for its call, or dies.
   */
  deliver(addr: number, at: number, len: number): void;
  /** Bytes are on their way: flush() before anything but a resume lets somebody look at guest memory. */
  readonly delivering: boolean;
  /** Sends what is on its way at once. 0 or -EFAULT. */
  flush(): number;
  /** Puts all rewritten call sites of the address space back and rewrites no more: for debuggers, who read and write code. */
  unpatch(): void;
  /** The thread waits in a call that the engine carries out. The guest's claim. */
  readonly waitsNatively: boolean;
  /** The call will take a while: the thread need not burn a processor waiting for its answer. */
  waits(): void;

  /** Lets the thread go on; `result` (int64 as a double, -4095..2^53) lands in rax; other registers are untouched. */
  resumeSyscall(result: number): void;
  /** Lets the thread go on with all registers as `regs` holds them (rip, rsp, eflags masked to user bits, fs base included). */
  resumeFull(): void;
  /** Makes a running thread stop soon with EVENT_INTERRUPTED (or another event that was under way). Harmless when stopped. */
  interrupt(): void;
  /** Ends the host thread for ever; the Context must not be used afterwards. Never answers. */
  exit(): void;

  /** Bytes that fpSave needs (XSAVE area with its trailer), a multiple of 64. */
  readonly fpSize: number;
  /** Copies this stopped thread's vector state to guest memory at `address` (64-byte aligned). 0 or -EFAULT. */
  fpSave(address: number): number;
  /** fpSave when resumeFull comes, to memory that the guest may write. -EFAULT: no guest memory at all. */
  fpSaveLater(address: number): number;
  /** fpLoad when resumeFull comes; where it fails there, EVENT_FAULT shows a SIGSEGV of the kernel's. -EFAULT: no guest memory at all. */
  fpLoadLater(address: number): number;
  /** Loads vector state from guest memory as rt_sigreturn would; address 0 resets it. 0, -EFAULT or -EINVAL. */
  fpLoad(address: number): number;

  /** What this stopped thread, or with `process` its address space, has used. 0 or -errno (it runs, or is gone). */
  usage(process: boolean, out: HostUsage): number;
  /** Processor time of this thread, ns. Of a running thread among others it is an estimate. */
  cpuTimeNs(): number;

  /** Runs one host system call in this stopped thread's address space and waits for it. Result or -errno (double).
   * Only calls that the engine's filter admits (mmap family, madvise, arch_prctl). */
  hostcall(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number;
  /** mmap(2) of a Sentry-held descriptor into the guest; always MAP_FIXED at `addr`. fd -1 for anonymous. 0 or -errno. */
  mmap(addr: number, len: number, prot: number, flags: number, fd: number, offset: number): number;

  /** Does all that the batch says before this stopped thread, the only one of its address space, next goes on with resumeFull(); whoever
   * looks at its memory sooner finds it done. 0, or -errno if it is known by now that it cannot be done. What fails later ends the
   * process. */
  mapAll(batch: MapBatch): number;

  /** Makes a new stopped thread in the same address space with a copy of this thread's registers and vector state
   * (CLONE_VM of any kind: threads, vfork, and posix_spawn alike). The caller sets rax/rsp/fs and resumes it fully. With `start` it may
   * run already when this returns, and the caller's resumeFull(), which must be the next thing that is done with it, only takes note.
   * null: no room. */
  cloneThread(start?: ThreadStart): Context | null;
  /** Copies the address space (fork(2)); the answer is the child's one stopped thread, a copy of this one; `start` as for
   * cloneThread. Negative: -errno. */
  fork(start?: ThreadStart): Context | number;
}

/** One host process that holds a guest's memory. */
export interface AddressSpace {
  /** True once the host process is gone; every Context of it then shows EVENT_GONE. */
  readonly dead: boolean;
  /** Copies guest memory [addr, addr+len) to buf[off..]. 0, or -EFAULT if any byte is not readable (earlier bytes may be copied). */
  read(addr: number, buf: Uint8Array, off: number, len: number): number;
  /** Copies buf[off..off+len) to guest memory. 0 or -EFAULT. Respects protections. */
  write(addr: number, buf: Uint8Array, off: number, len: number): number;
  /** Like read, but stops at what is readable: the count of bytes copied, 0 up. For strings. */
  readUpTo(addr: number, buf: Uint8Array, off: number, len: number): number;
  /** Processor time of all threads that ever were in it, ns, as the host counts. -1 once it is dead. */
  cpuTimeNs(): number;
  /** NATIVE_*: what threads may carry out on their own. Those that wait in such a call are interrupted when it is taken from them. */
  setNative(calls: number): void;
  /** Ends the host process at once. Idempotent. */
  kill(): void;
}

/** What new address spaces are copied from: the processes that hold them begin in the control groups that it is in. */
export interface Origin {
  /** Its process, as the Sentry's pid namespace has it. */
  readonly pid: number;
  /** Ends it, with what is in waiting. Address spaces that came of it must be gone. */
  close(): void;
}

export interface Platform {
  readonly name: string;
  /** First and last+1 address that guests may map. */
  readonly minAddress: number;
  readonly maxAddress: number;
  /** Where the host's vDSO stands in every address space (0: none), with its size in bytes. */
  readonly vdsoAddress: number;
  readonly vdsoSize: number;
  /** A fresh address space with nothing mapped, and its one stopped thread, whose vector state is the initial one (for exec and the first
   * program). Negative: -errno. */
  newAddressSpace(origin?: Origin | null): Context | number;
  /** A further origin of address spaces, for a container with control groups of its own. Negative: -errno. */
  newOrigin(): Origin | number;
  /** A descriptor that polls readable when any context may have stopped while the Sentry slept. Boot adds it to its epoll set. */
  readonly doorbell: number;
  /** Collects contexts that stopped since the last call: calls `stopped` for each, with event set. Returns how many. Never blocks. */
  poll(): number;
  /** Set by the kernel: called from poll() for each stopped context. */
  stopped: (c: Context) => void;
  /** Whether a loop that found nothing should look again for a while: guests run that called lately. */
  readonly spinAdvised: boolean;
  /** How long such a search may last, ns. */
  readonly spinNs: number;
  /** Announces that the Sentry is about to block (true) or is awake (false). After prepareSleep(true), call poll() once more before
   * blocking: an event between the two rings the doorbell. */
  prepareSleep(asleep: boolean): void;
  /** What the engine has done so far, by name: for people. */
  statistics(): Readonly<Record<string, number>>;
  /** Kills every address space and releases host resources. */
  shutdown(): void;
}
