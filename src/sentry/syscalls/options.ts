// Options that Linux has and the Sentry does not are named in the log. What Linux does not know either (a test may ask for it) has no name
// here and is not told of.

import * as fcntl from '../../abi/fcntl.ts';
import * as futex from '../../abi/futex.ts';
import * as mman from '../../abi/mman.ts';
import * as prctl from '../../abi/prctl.ts';
import * as ptrace from '../../abi/ptrace.ts';
import * as socket from '../../abi/socket.ts';
import type { Task } from '../kernel/task.ts';
import { noteOption } from '../kernel/unsupported.ts';

/** Where the names of a call's options are, and what they begin with. */
const FAMILIES = {
  prctl: [prctl, /^PR_(?!.*_(?:MASK|SHIFT)$)/],
  arch_prctl: [prctl, /^ARCH_/],
  fcntl: [fcntl, /^F_(?!SEAL_)/],
  futex: [futex, /^FUTEX_/],
  madvise: [mman, /^MADV_/],
  ptrace: [ptrace, /^PTRACE_(?!O_|EVENT_)/],
  socket: [socket, /^AF_/],
  'SOL_SOCKET option': [socket, /^SO_/],
  'SOL_IP option': [socket, /^IP_/],
  'SOL_IPV6 option': [socket, /^IPV6_/],
  'SOL_TCP option': [socket, /^TCP_/],
  'SOL_UDP option': [socket, /^UDP_/],
} as const;

const LEVELS: ReadonlyMap<number, keyof typeof FAMILIES> = new Map([
  [socket.SOL_SOCKET, 'SOL_SOCKET option'],
  [socket.SOL_IP, 'SOL_IP option'],
  [socket.SOL_IPV6, 'SOL_IPV6 option'],
  [socket.SOL_TCP, 'SOL_TCP option'],
  [socket.SOL_UDP, 'SOL_UDP option'],
]);

/** The name of an option that a call was given; null: Linux knows none with this value. */
function nameOf(family: keyof typeof FAMILIES, value: number): string | null {
  const [constants, form] = FAMILIES[family];
  for (const [name, v] of Object.entries(constants)) if (v === value && form.test(name)) return name;
  return null;
}

/** The call was given a value that it does not know: answers `error`, and names the option if Linux has it. */
export function unknownOption(t: Task, call: keyof typeof FAMILIES, value: number, error: number): number {
  const name = nameOf(call, value);
  if (name !== null) noteOption(t, call, name);
  return -error;
}

/** A socket does not have an option. `call`: getsockopt or setsockopt. */
export function unknownSocketOption(t: Task, call: string, level: number, option: number, error: number): number {
  const family = LEVELS.get(level);
  const name = family === undefined ? null : nameOf(family, option);
  if (name !== null) noteOption(t, call, name);
  return -error;
}
