// Seconds and nanoseconds. Durations are doubles in nanoseconds (exact for 104 days); points of CLOCK_REALTIME are pairs.

export const NSEC_PER_SEC = 1000000000;
export const NSEC_PER_MSEC = 1000000;
export const NSEC_PER_USEC = 1000;

/** True if seconds and nanoseconds are what a call may be given as a time to wait: neither negative, nanoseconds below a second. */
export function validTimespec(sec: number, nsec: number): boolean {
  return sec >= 0 && nsec >= 0 && nsec < NSEC_PER_SEC;
}

/** A duration in nanoseconds. */
export function toNs(sec: number, nsec: number): number {
  return sec * NSEC_PER_SEC + nsec;
}

/** Whole seconds of a duration, rounded down. */
export function nsToSec(ns: number): number {
  return Math.floor(ns / NSEC_PER_SEC);
}

/** Nanoseconds within the second of a duration: 0 to 999,999,999 for negative ones too. */
export function nsToNsec(ns: number): number {
  return ns - Math.floor(ns / NSEC_PER_SEC) * NSEC_PER_SEC;
}

/** A duration in whole milliseconds, rounded up, for host calls that count in them. Infinity gives -1. */
export function nsToPollMs(ns: number): number {
  if (ns === Infinity) return -1;
  if (ns <= 0) return 0;
  const ms = Math.ceil(ns / NSEC_PER_MSEC);
  return ms > 0x7fffffff ? 0x7fffffff : ms;
}

/** A point in time or a duration in two numbers; nsec is kept within 0..999,999,999. */
export class Timespec {
  sec: number;
  nsec: number;

  constructor(sec = 0, nsec = 0) {
    this.sec = sec;
    this.nsec = nsec;
  }

  set(sec: number, nsec: number): this {
    this.sec = sec;
    this.nsec = nsec;
    return this.normalize();
  }

  copy(other: Timespec): this {
    this.sec = other.sec;
    this.nsec = other.nsec;
    return this;
  }

  /** Adds a duration in nanoseconds, negative too. */
  addNs(ns: number): this {
    this.sec += nsToSec(ns);
    this.nsec += nsToNsec(ns);
    return this.normalize();
  }

  /** This minus `other`, in nanoseconds. */
  since(other: Timespec): number {
    return (this.sec - other.sec) * NSEC_PER_SEC + (this.nsec - other.nsec);
  }

  /** Negative, 0 or positive as this is earlier, equal or later. */
  compare(other: Timespec): number {
    return this.sec !== other.sec ? this.sec - other.sec : this.nsec - other.nsec;
  }

  toNs(): number {
    return toNs(this.sec, this.nsec);
  }

  normalize(): this {
    const carry = Math.floor(this.nsec / NSEC_PER_SEC);
    if (carry !== 0) {
      this.sec += carry;
      this.nsec -= carry * NSEC_PER_SEC;
    }
    return this;
  }
}
