// src/abi beside the names that the host's C library gives to its numbers.

import { expect, test } from 'vitest';
import * as errno from '../../src/abi/errno.ts';
import * as signal from '../../src/abi/signal.ts';
import { loadLibc } from '../oracle/libc.ts';

const { libc, reason } = loadLibc();

/** Second names of numbers that have two. */
const aliases = new Set(['EWOULDBLOCK', 'EDEADLOCK', 'ENOTSUP', 'SIGIOT', 'SIGIO', 'SIGCLD', 'SIGUNUSED']);

test('the oracle is the C library of this process, or says why it is not', () => {
  if (libc === null) expect(reason).toMatch(/ffi-napi|prebuild|native/);
  else {
    expect(libc.getpid()).toBe(process.pid);
    expect(libc.getpagesize()).toBe(4096);
  }
});

if (libc !== null) {
  test('errors have the names that strerrorname_np(3) gives', () => {
    for (const [name, value] of Object.entries(errno)) {
      if (/^E[A-Z0-9]+$/.test(name) && !aliases.has(name)) expect(libc.strerrorname_np(value)).toBe(name);
    }
  });

  test('signals have the names that sigabbrev_np(3) gives', () => {
    for (const [name, value] of Object.entries(signal)) {
      if (/^SIG[A-Z0-9]+$/.test(name) && typeof value === 'number' && value > 0 && value < 32 && !aliases.has(name)) {
        const abbreviation = libc.sigabbrev_np(value);
        if (abbreviation !== null && !/SIG(RTM|STK|EV)/.test(name)) expect(`SIG${abbreviation}`).toBe(name);
      }
    }
  });
}
