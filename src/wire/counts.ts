// What a Sentry that counts system calls says at its end, as JSON on a descriptor that it was given.

export interface CallCount {
  /** -1: numbers that no system call has, once there are too many different ones. */
  nr: number;
  calls: number;
  /** How many calls failed with which error, by its name. */
  errors: Record<string, number>;
  /** Nanoseconds in the Sentry. */
  ns: number;
  /** Nanoseconds until something happened that the call waited for. */
  waited: number;
}

export interface CallCounts {
  calls: CallCount[];
  /** System calls and options that are not supported. */
  unsupported: string[];
}
