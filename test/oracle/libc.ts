// The host's C library as a second opinion in tests. ffi-napi is an optional dependency: it installs only where its prebuilt binary loads
// without an install script, and costs microseconds a call, so nothing of the product uses it.

import { createRequire } from 'node:module';

export interface Libc {
  getpid(): number;
  getpagesize(): number;
  /** "ENOENT" for 2; null for a number that is no error (glibc 2.32). */
  strerrorname_np(errnum: number): string | null;
  /** "HUP" for 1; null for a number that is no signal (glibc 2.32). */
  sigabbrev_np(signum: number): string | null;
}

/** The C library, or null with the reason where ffi-napi is not installed or does not load. */
export function loadLibc(): { libc: Libc | null; reason: string } {
  try {
    const ffi = createRequire(import.meta.url)('ffi-napi') as { Library(name: string | null, table: object): Libc };
    const libc = ffi.Library(null, {
      getpid: ['int', []],
      getpagesize: ['int', []],
      strerrorname_np: ['string', ['int']],
      sigabbrev_np: ['string', ['int']],
    });
    return { libc, reason: '' };
  } catch (e) {
    return { libc: null, reason: e instanceof Error ? e.message : String(e) };
  }
}
