// Descriptors from 3 on that a caller hands on to the container: the sockets of LISTEN_FDS (sd_listen_fds(3)), then those of --preserve-fds.

import { CliError } from './errors.ts';
import { callerVariable } from './host.ts';

const FIRST = 3;

/** How many descriptors from 3 on were open when this program was called, without a gap. Node opens some of its own later. */
function inherited(): number {
  const n = Number(process.env.RINGFENCE_INHERITED ?? '0');
  return Number.isSafeInteger(n) && n > 0 ? n : 0;
}

/** How many sockets a service manager has given to this process. */
export function listenCount(): number {
  const text = callerVariable('LISTEN_FDS') ?? '';
  if (!/^[0-9]{1,3}$/.test(text) || callerVariable('LISTEN_PID') !== String(process.pid)) return 0;
  return Number(text);
}

/** The descriptors: `listen` sockets and `preserve` others behind them. Throws when one of them is not open. */
export function donated(listen: number, preserve: number): number[] {
  const open = inherited();
  const left = open - listen;
  if (listen > open) throw new CliError(`LISTEN_FDS is ${listen}, but of the descriptors from ${FIRST} on only ${open} are open`);
  if (preserve > left) {
    const fd = FIRST + open;
    throw new CliError(`unable to stat preserved-fd ${left} (of ${preserve}): stat /proc/self/fd/${fd}: no such file or directory`);
  }
  return Array.from({ length: listen + preserve }, (_, i) => FIRST + i);
}

/** The environment of a process that gets `count` sockets and will be `pid`; as it is when there are none. */
export function withListenFds(env: readonly string[], count: number, pid: number): string[] {
  if (count === 0) return [...env];
  return [...env.filter((e) => !/^LISTEN_(FDS|PID)=/.test(e)), `LISTEN_FDS=${count}`, `LISTEN_PID=${pid}`];
}
