// timerfd_create(2): a timer whose expirations are counted and read.

import { EAGAIN, EINVAL } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { POLLIN, POLLRDNORM } from '../../../abi/poll.ts';
import { putU64 } from '../../../base/bytes.ts';
import { monotonicNs, readClock } from '../../../base/clock.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { Timer } from '../../kernel/timers.ts';
import type { Caller } from '../../vfs/caller.ts';
import { AnonFile } from './anon.ts';

const CLOCK_MONOTONIC = 1;
const clockNow = new Float64Array(2);

/** One setting or reading of a timer, in nanoseconds: until the next expiry (0: disarmed), and between expiries (0: once). */
export class TimerSetting {
  valueSec = 0;
  valueNsec = 0;
  intervalSec = 0;
  intervalNsec = 0;
}

export class TimerFile extends AnonFile {
  readonly clock: number;
  private readonly kernel: Kernel;
  private readonly timer: Timer;
  /** Monotonic ns of the next expiry not yet counted; Infinity: disarmed. */
  private next = Infinity;
  private intervalNs = 0;
  private ticks = 0;
  private settimeFlags = 0;

  constructor(kernel: Kernel, clock: number, flags: number) {
    super(O_RDWR | flags);
    this.kernel = kernel;
    this.clock = clock;
    this.timer = new Timer(() => this.queue.notify(POLLIN | POLLRDNORM));
  }

  /** Counts the expiries up to now. */
  private advance(): void {
    if (this.next === Infinity) return;
    const now = monotonicNs();
    if (now < this.next) return;
    if (this.intervalNs === 0) {
      this.ticks++;
      this.next = Infinity;
      return;
    }
    const n = Math.floor((now - this.next) / this.intervalNs) + 1;
    this.ticks += n;
    this.next += n * this.intervalNs;
  }

  /** timerfd_settime(2). The nanosecond fields are checked already. */
  set(s: TimerSetting, absolute: boolean, flags: number): void {
    this.ticks = 0;
    this.settimeFlags = flags;
    this.intervalNs = s.intervalSec * 1e9 + s.intervalNsec;
    this.kernel.cancelTimer(this.timer);
    if (s.valueSec === 0 && s.valueNsec === 0) {
      this.next = Infinity;
      return;
    }
    const mono = monotonicNs();
    if (!absolute) this.next = mono + s.valueSec * 1e9 + s.valueNsec;
    else if (this.clock === CLOCK_MONOTONIC || readClock(this.clock, clockNow) < 0) this.next = s.valueSec * 1e9 + s.valueNsec;
    else this.next = mono + (s.valueSec - clockNow[0]!) * 1e9 + (s.valueNsec - clockNow[1]!);
    this.kernel.addTimer(this.timer, this.next);
  }

  /** timerfd_gettime(2). */
  get(out: TimerSetting): void {
    this.advance();
    this.rearm();
    const left = this.next === Infinity ? 0 : Math.max(1, this.next - monotonicNs());
    out.valueSec = Math.floor(left / 1e9);
    out.valueNsec = Math.floor(left - out.valueSec * 1e9);
    out.intervalSec = Math.floor(this.intervalNs / 1e9);
    out.intervalNsec = this.intervalNs - out.intervalSec * 1e9;
  }

  /** A periodic timer is armed again only when its expiries are looked at, so that an idle reader costs no wake-ups. */
  private rearm(): void {
    if (this.next !== Infinity && !this.timer.armed) this.kernel.addTimer(this.timer, this.next);
  }

  override read(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (len < 8) return -EINVAL;
    this.advance();
    this.rearm();
    if (this.ticks === 0) return -EAGAIN;
    putU64(buf, off, this.ticks);
    this.ticks = 0;
    return 8;
  }

  override poll(): number {
    return this.ticks > 0 || (this.next !== Infinity && monotonicNs() >= this.next) ? POLLIN | POLLRDNORM : 0;
  }

  override fdinfo(): string {
    const s = new TimerSetting();
    this.get(s);
    return (
      `clockid: ${this.clock}\nticks: ${this.ticks}\nsettime flags: 0${this.settimeFlags.toString(8)}\n` +
      `it_value: (${s.valueSec}, ${s.valueNsec})\nit_interval: (${s.intervalSec}, ${s.intervalNsec})\n`
    );
  }

  override anonName(): string {
    return 'anon_inode:[timerfd]';
  }

  protected override release(): void {
    this.kernel.cancelTimer(this.timer);
  }
}
