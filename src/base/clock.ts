// The Sentry's clocks, set up once by boot. Reading them allocates nothing.

/** Fills out[0] with seconds and out[1] with nanoseconds of clock `id` (CLOCK_*). */
export type ClockReader = (id: number, out: Float64Array) => number;

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const pair = new Float64Array(2);
let reader: ClockReader = (_id, out) => {
  out[0] = 0;
  out[1] = 0;
  return 0;
};

export function installClock(r: ClockReader): void {
  reader = r;
}

/** Nanoseconds of CLOCK_MONOTONIC as a double (exact for 104 days of host uptime, within 2 ns for a year). */
export function monotonicNs(): number {
  reader(CLOCK_MONOTONIC, pair);
  return pair[0]! * 1e9 + pair[1]!;
}

/** CLOCK_REALTIME: out[0] seconds, out[1] nanoseconds. */
export function realtime(out: Float64Array): void {
  reader(CLOCK_REALTIME, out);
}

/** Any clock by number, as realtime(). 0 or -errno. */
export function readClock(id: number, out: Float64Array): number {
  return reader(id, out);
}
