// Terminals: raw mode of the host's, pseudo-terminals for --console-socket, and streams opened anew so that our flags stay ours.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { TCGETS, TCSETS, TIOCGWINSZ, TIOCSPTLCK, TIOCSWINSZ } from '../src/abi/ioctl.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from '../src/abi/socket.ts';
import { hostPath, unixAddress } from '../src/host/paths.ts';
import { CliError } from './errors.ts';
import { check, host } from './host.ts';

/** sizeof(struct termios) of the kernel: four flag words, the line discipline, 19 control characters. */
const TERMIOS_SIZE = 36;
const VTIME = 5;
const VMIN = 6;
const CC_OFFSET = 17;
// c_iflag, c_oflag, c_cflag, c_lflag bits that raw mode clears (termios(3), cfmakeraw)
const IN_CLEARED = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
const OUT_CLEARED = 0o1;
const LOCAL_CLEARED = 0o1 | 0o2 | 0o10 | 0o100 | 0o100000;
const CONTROL_CLEARED = 0o60 | 0o400;
const CS8 = 0o60;

export interface WindowSize {
  rows: number;
  cols: number;
}

export function isTerminal(fd: number): boolean {
  return host().isatty(fd) === 1;
}

/** The terminal's settings (struct termios). */
export function terminalState(fd: number): Buffer {
  const b = Buffer.alloc(TERMIOS_SIZE);
  check(host().ioctl(fd, TCGETS, b), 'cannot read the settings of the terminal');
  return b;
}

export function setTerminalState(fd: number, state: Buffer): void {
  host().ioctl(fd, TCSETS, state);
}

/** `state` as cfmakeraw(3) leaves it: every byte comes and goes as it is. */
export function rawState(state: Buffer): Buffer {
  const b = Buffer.from(state);
  b.writeUInt32LE((b.readUInt32LE(0) & ~IN_CLEARED) >>> 0, 0);
  b.writeUInt32LE((b.readUInt32LE(4) & ~OUT_CLEARED) >>> 0, 4);
  b.writeUInt32LE(((b.readUInt32LE(8) & ~CONTROL_CLEARED) | CS8) >>> 0, 8);
  b.writeUInt32LE((b.readUInt32LE(12) & ~LOCAL_CLEARED) >>> 0, 12);
  b[CC_OFFSET + VMIN] = 1;
  b[CC_OFFSET + VTIME] = 0;
  return b;
}

export function windowSize(fd: number): WindowSize | null {
  const b = Buffer.alloc(8);
  if (host().ioctl(fd, TIOCGWINSZ, b) < 0) return null;
  return { rows: b.readUInt16LE(0), cols: b.readUInt16LE(2) };
}

export function setWindowSize(fd: number, size: WindowSize): void {
  const b = Buffer.alloc(8);
  b.writeUInt16LE(size.rows, 0);
  b.writeUInt16LE(size.cols, 2);
  host().ioctl(fd, TIOCSWINSZ, b);
}

/** True when this process is in the foreground of its controlling terminal, that is, may read from it and change it. */
export function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return f[2] === f[5]; // pgrp, tpgid (proc(5))
}

/** A pipe or terminal opened anew, non-blocking: the flag must not reach the others who share our descriptor. Other files are what they are. */
export function reopened(fd: number, write: boolean): number {
  const st = fstatSync(fd);
  if (!st.isFIFO() && !isTerminal(fd)) return fd;
  const access = isTerminal(fd) ? constants.O_RDWR : write ? constants.O_WRONLY : constants.O_RDONLY;
  try {
    return openSync(`/proc/self/fd/${fd}`, access | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}

/** A new pseudo-terminal: the slave is raw, because the Sentry's own terminal does all the work. */
export function openConsole(size: WindowSize | null): { master: number; slave: number } {
  const h = host();
  const master = check(h.openpt(constants.O_RDWR | constants.O_NOCTTY), 'cannot create a pseudo-terminal');
  const unlock = Buffer.alloc(4);
  check(h.ioctl(master, TIOCSPTLCK, unlock), 'cannot unlock the pseudo-terminal');
  const slave = check(h.ptyPeer(master, constants.O_RDWR | constants.O_NOCTTY), 'cannot open the pseudo-terminal');
  setTerminalState(slave, rawState(terminalState(slave)));
  if (size !== null) setWindowSize(master, size);
  return { master, slave };
}

/** Sends a pseudo-terminal's master to the client that listens on `path`. */
export function sendConsole(path: string, master: number): void {
  const h = host();
  const fd = check(h.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), 'cannot create a socket');
  let folder = -1;
  try {
    let address = unixAddress(hostPath(path));
    if (address === null) {
      const slash = path.lastIndexOf('/');
      folder = openSync(slash <= 0 ? '/' : path.slice(0, slash), constants.O_RDONLY | constants.O_DIRECTORY);
      address = unixAddress(hostPath(`/proc/self/fd/${folder}/${path.slice(slash + 1)}`));
    }
    if (address === null) throw new CliError(`the path of the console socket is too long: ${path}`);
    check(h.connect(fd, address), `cannot connect to the console socket ${path}`);
    const name = Buffer.from('/dev/ptmx');
    check(h.sendmsg(fd, name, 0, name.length, Int32Array.of(master), 1, 0), `cannot send the console to ${path}`);
  } finally {
    h.close(fd);
    if (folder >= 0) closeSync(folder);
  }
}
