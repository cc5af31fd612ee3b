// What a signal carries (sigaction(2), siginfo_t), and the queues where signals wait.

import { SIGCHLD, SIGCONT, SIGURG, SIGWINCH } from '../../abi/signal.ts';

/** One signal on its way. Fields by kind, as siginfo_t's union; unused ones are 0. */
export class SigInfo {
  signo: number;
  code: number;
  errno = 0;
  pid = 0;
  uid = 0;
  /** SIGCHLD: exit code or signal. */
  status = 0;
  utime = 0;
  stime = 0;
  /** Fault address of SIGSEGV and its kin; double. */
  addr = 0;
  /** sigval as two words. */
  valueLo = 0;
  valueHi = 0;
  /** SI_TIMER: timer id and overrun. */
  timerId = 0;
  overrun = 0;
  /** SIGIO: band and fd. */
  band = 0;
  fd = 0;

  /** It came from SigInfo.take() and nobody else keeps it: release() may give it to the next signal. */
  private lent = false;
  private next: SigInfo | null = null;
  private static free: SigInfo | null = null;

  constructor(signo: number, code: number) {
    this.signo = signo;
    this.code = code;
  }

  /** As `new SigInfo`, from those that were released if there is one. */
  static take(signo: number, code: number): SigInfo {
    const info = SigInfo.free;
    if (info === null) {
      const fresh = new SigInfo(signo, code);
      fresh.lent = true;
      return fresh;
    }
    SigInfo.free = info.next;
    info.next = null;
    info.lent = true;
    info.signo = signo;
    info.code = code;
    return info;
  }

  /** The signal was delivered and nobody looks at this any more. What did not come from take() is left to its owner. */
  release(): void {
    if (!this.lent) return;
    this.lent = false;
    this.errno = 0;
    this.pid = 0;
    this.uid = 0;
    this.status = 0;
    this.utime = 0;
    this.stime = 0;
    this.addr = 0;
    this.valueLo = 0;
    this.valueHi = 0;
    this.timerId = 0;
    this.overrun = 0;
    this.band = 0;
    this.fd = 0;
    this.next = SigInfo.free;
    SigInfo.free = this;
  }
}

/** Signal sets are two words; signal n is bit n-1. */
export function sigIn(lo: number, hi: number, sig: number): boolean {
  return sig <= 32 ? ((lo >>> (sig - 1)) & 1) === 1 : ((hi >>> (sig - 33)) & 1) === 1;
}

/** Bit of `sig` in the low word, 0 if it is in the high one; and the reverse. */
export function sigLo(sig: number): number {
  return sig <= 32 ? (1 << (sig - 1)) >>> 0 : 0;
}

export function sigHi(sig: number): number {
  return sig > 32 ? (1 << (sig - 33)) >>> 0 : 0;
}

/** SIGKILL and SIGSTOP: never blocked, caught or ignored. */
export const UNBLOCKABLE_LO: number = ((1 << 8) | (1 << 18)) >>> 0;
/** SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU. */
export const STOP_SIGNALS_LO: number = ((1 << 18) | (1 << 19) | (1 << 20) | (1 << 21)) >>> 0;

const FIRST_RT = 32;
const SIGNAL_COUNT = 64;

/** Signals whose default is to be ignored (signal(7)). */
export function ignoredByDefault(sig: number): boolean {
  return sig === SIGCHLD || sig === SIGURG || sig === SIGWINCH || sig === SIGCONT;
}

/** Pending signals of a task or a thread group: standard signals once each, real-time signals queued in order. */
export class PendingSignals {
  lo = 0;
  hi = 0;
  readonly standard: (SigInfo | null)[] = new Array<SigInfo | null>(FIRST_RT).fill(null);
  realtime: SigInfo[][] | null = null;
  queued = 0;

  /** True if it was queued; false: a standard signal that was pending already. */
  add(info: SigInfo): boolean {
    const sig = info.signo;
    if (sig < FIRST_RT) {
      if (sigIn(this.lo, this.hi, sig)) return false;
      this.standard[sig] = info;
    } else {
      if (this.realtime === null) this.realtime = [];
      let q = this.realtime[sig - FIRST_RT];
      if (q === undefined) {
        q = [];
        this.realtime[sig - FIRST_RT] = q;
      }
      q.push(info);
    }
    this.queued++;
    this.lo = (this.lo | sigLo(sig)) >>> 0;
    this.hi = (this.hi | sigHi(sig)) >>> 0;
    return true;
  }

  /** Takes the first signal out that is in the given set: lowest number first, as Linux does. */
  take(setLo: number, setHi: number): SigInfo | null {
    const lo = (this.lo & setLo) >>> 0;
    const hi = (this.hi & setHi) >>> 0;
    if ((lo | hi) === 0) return null;
    const sig = lo !== 0 ? 32 - Math.clz32(lo & -lo) : 64 - Math.clz32(hi & -hi);
    return this.takeSignal(sig);
  }

  takeSignal(sig: number): SigInfo | null {
    let info: SigInfo | null = null;
    let more = false;
    if (sig < FIRST_RT) {
      info = this.standard[sig] ?? null;
      this.standard[sig] = null;
    } else {
      const q = this.realtime?.[sig - FIRST_RT];
      if (q !== undefined) {
        info = q.shift() ?? null;
        more = q.length > 0;
      }
    }
    if (info !== null) this.queued--;
    if (!more) {
      this.lo = (this.lo & ~sigLo(sig)) >>> 0;
      this.hi = (this.hi & ~sigHi(sig)) >>> 0;
    }
    return info;
  }

  /** Throws away what the set names. */
  discard(setLo: number, setHi: number): void {
    for (let sig = 1; sig <= SIGNAL_COUNT; sig++) {
      if (!sigIn(setLo, setHi, sig)) continue;
      while (sigIn(this.lo, this.hi, sig)) this.takeSignal(sig);
    }
  }
}

/** One disposition, as struct kernel_sigaction. handler: 0 SIG_DFL, 1 SIG_IGN, else an address. */
export interface SigAction {
  handler: number;
  flags: number;
  restorer: number;
  maskLo: number;
  maskHi: number;
}

/** The table of dispositions: shared by threads, copied by fork. */
export class SignalHandlers {
  readonly actions: SigAction[] = [];
  refs = 1;

  constructor() {
    for (let i = 0; i <= SIGNAL_COUNT; i++) this.actions.push({ handler: 0, flags: 0, restorer: 0, maskLo: 0, maskHi: 0 });
  }

  copy(): SignalHandlers {
    const h = new SignalHandlers();
    for (let i = 1; i <= SIGNAL_COUNT; i++) Object.assign(h.actions[i]!, this.actions[i]);
    return h;
  }

  /** execve(2): caught signals go back to the default; ignored ones stay ignored. */
  reset(): void {
    for (const a of this.actions) {
      if (a.handler > 1) a.handler = 0;
      a.flags = 0;
      a.restorer = 0;
      a.maskLo = 0;
      a.maskHi = 0;
    }
  }

  ignores(sig: number): boolean {
    const h = this.actions[sig]!.handler;
    return h === 1 || (h === 0 && ignoredByDefault(sig));
  }
}
