// The system call table: every family's rows by number. The documentation and `ringfence compat` print it; the loop dispatches from it.

import * as nr from '../../abi/nr.ts';
import type { SyscallHandler } from '../kernel/run.ts';
import { rows as attr } from './attr.ts';
import { rows as clock } from './clock.ts';
import { rows as creds } from './creds.ts';
import { rows as dir } from './dir.ts';
import { rows as epoll } from './epoll.ts';
import { rows as eventfd } from './eventfd.ts';
import { rows as fcntl } from './fcntl.ts';
import { rows as futex } from './futex.ts';
import { rows as ids } from './ids.ts';
import { rows as inotify } from './inotify.ts';
import { rows as ipc } from './ipc.ts';
import { rows as memfd } from './memfd.ts';
import { rows as memory } from './memory.ts';
import { rows as misc } from './misc.ts';
import { rows as mount } from './mount.ts';
import { rows as mq } from './mq.ts';
import { rows as namespaces } from './namespaces.ts';
import { rows as open } from './open.ts';
import { rows as pidfd } from './pidfd.ts';
import { rows as pipe } from './pipe.ts';
import { rows as poll } from './poll.ts';
import { rows as prctl } from './prctl.ts';
import { rows as privileged } from './privileged.ts';
import { rows as processes } from './process.ts';
import { rows as ptrace } from './ptrace.ts';
import { rows as read } from './read.ts';
import type { Row } from './row.ts';
import { rows as sched } from './sched.ts';
import { rows as seccomp } from './seccomp.ts';
import { rows as signal } from './signal.ts';
import { rows as socket } from './socket.ts';
import { rows as sockmsg } from './sockmsg.ts';
import { rows as sockopt } from './sockopt.ts';
import { rows as splice } from './splice.ts';
import { rows as stat } from './stat.ts';
import { rows as timers } from './timers.ts';
import { rows as wait } from './wait.ts';
import { rows as xattr } from './xattr.ts';

const FAMILIES: readonly (readonly Row[])[] = [
  attr,
  clock,
  creds,
  dir,
  epoll,
  eventfd,
  fcntl,
  futex,
  ids,
  inotify,
  ipc,
  memfd,
  memory,
  misc,
  mount,
  mq,
  namespaces,
  open,
  pidfd,
  pipe,
  poll,
  prctl,
  privileged,
  processes,
  ptrace,
  read,
  sched,
  seccomp,
  signal,
  socket,
  sockmsg,
  sockopt,
  splice,
  stat,
  timers,
  wait,
  xattr,
];

/** Rows by number; undefined where there is no handler (ENOSYS). */
export const table: readonly (Row | undefined)[] = build();

/** Handlers by number, for the loop. */
export const handlers: readonly (SyscallHandler | undefined)[] = table.map((r) => r?.handler);

/** Names of all numbers that the host's headers know, handled or not. */
export const names: ReadonlyMap<number, string> = new Map(Object.entries(nr).map(([k, v]) => [v, k.slice('SYS_'.length)]));

function build(): (Row | undefined)[] {
  const out: (Row | undefined)[] = new Array(512).fill(undefined);
  for (const family of FAMILIES) {
    for (const row of family) {
      if (out[row.nr] !== undefined) throw new Error(`system call ${row.name} has two rows`);
      out[row.nr] = row;
    }
  }
  return out;
}
