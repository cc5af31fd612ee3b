// A client of the control protocol (src/wire/control.ts).

import { closeSync, constants as fsConstants, openSync, read } from 'node:fs';
import { constants } from 'node:os';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET } from '../src/abi/socket.ts';
import { unixAddress } from '../src/host/paths.ts';
import { type ControlRequest, type ControlResponse, MAX_LONG, MAX_PACKET } from '../src/wire/control.ts';
import { CliError } from './errors.ts';
import { check, errnoName, host } from './host.ts';

/** The Sentry's socket in the folder of the sandbox's first container. */
export const CONTROL_NAME = 'control.sock';
const MSG_NOSIGNAL = 0x4000;
const MFD_CLOEXEC = 1;
const SHUT_RDWR = 2;
const BACKLOG = 128;

/** The sandbox ended while a request was under way. */
export class SandboxGone extends CliError {}

export class Control {
  private readonly fd: number;
  private buffer: Buffer | undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  close(): void {
    host().close(this.fd);
  }

  /** Ends the connection, and with it a request that waits: nothing may hold up the end of this process. */
  abort(): void {
    host().shutdown(this.fd, SHUT_RDWR);
  }

  /** Sends a request, with descriptors, and waits for its answer. One at a time per connection. */
  async request(r: ControlRequest, fds: number[] = []): Promise<ControlResponse> {
    this.send(r, fds);
    return await this.receive();
  }

  send(r: ControlRequest, fds: number[] = []): void {
    const packet = Buffer.from(JSON.stringify(r), 'utf8');
    if (packet.length <= MAX_PACKET) {
      this.sendPacket(packet, fds);
      return;
    }
    if (packet.length > MAX_LONG) throw new CliError(`the request is too long: ${packet.length} bytes, ${MAX_LONG} are allowed`);
    const memory = check(host().memfdCreate('ringfence-request', MFD_CLOEXEC), 'cannot create a memfd');
    try {
      for (let at = 0; at < packet.length; ) {
        at += check(host().write(memory, packet, at, packet.length - at), 'cannot write to a memfd');
      }
      this.sendPacket(Buffer.from('{"method":"long"}'), [memory, ...fds]);
    } finally {
      host().close(memory);
    }
  }

  private sendPacket(packet: Buffer, fds: number[]): void {
    const n = host().sendmsg(this.fd, packet, 0, packet.length, Int32Array.from(fds), fds.length, MSG_NOSIGNAL);
    if (n < 0) throw new SandboxGone(`the sandbox does not answer (${errnoName(n)})`);
  }

  private receive(): Promise<ControlResponse> {
    this.buffer ??= Buffer.allocUnsafe(MAX_PACKET);
    const b = this.buffer;
    return new Promise((resolve, reject) => {
      // read(2) on the thread pool: libuv knows no sequenced packets.
      read(this.fd, b, 0, b.length, null, (error, n) => {
        if (error !== null || n === 0) reject(new SandboxGone('the sandbox ended'));
        else resolve(JSON.parse(b.toString('utf8', 0, n)) as ControlResponse);
      });
    });
  }
}

function newSocket(): number {
  return check(host().socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), 'cannot create a socket');
}

/** The address of a socket in an open folder: short, however long the folder's path is (unix(7) allows 107 bytes). */
function addressIn(dirFd: number, name: string): Uint8Array {
  const address = unixAddress(`/proc/self/fd/${dirFd}/${name}`);
  if (address === null) throw new CliError(`the socket's name is too long: ${name}`);
  return address;
}

function withFolder<T>(folder: string, f: (fd: number) => T): T {
  const fd = openSync(folder, fsConstants.O_RDONLY | fsConstants.O_DIRECTORY);
  try {
    return f(fd);
  } finally {
    closeSync(fd);
  }
}

/** Creates the listening socket `name` in a folder; the descriptor goes to the Sentry. */
export function listenIn(folder: string, name: string): number {
  return withFolder(folder, (dir) => {
    const fd = newSocket();
    // Whoever may connect commands the sandbox: its owner, whatever the caller's umask is.
    const mask = host().umask(0o177);
    const bound = host().bind(fd, addressIn(dir, name));
    host().umask(mask);
    check(bound, `cannot bind ${folder}/${name}`);
    check(host().listen(fd, BACKLOG), `cannot listen on ${folder}/${name}`);
    return fd;
  });
}

/** Connects to the control socket `name` in a folder. Throws SandboxGone when nobody listens there any more. */
export function connectIn(folder: string, name: string): Control {
  return withFolder(folder, (dir) => {
    const fd = newSocket();
    const r = host().connect(fd, addressIn(dir, name));
    if (r < 0) {
      host().close(fd);
      throw new SandboxGone(`the sandbox is not running (${errnoName(r)})`);
    }
    return new Control(fd);
  });
}

/** `count` connections without a name in any file system, and their far ends for the Sentry: nothing to remove whenever we are killed. */
export function privateConnections(count: number): { ends: number[]; clients: Control[] } {
  const ends: number[] = [];
  const clients: Control[] = [];
  const pair = new Int32Array(2);
  for (let i = 0; i < count; i++) {
    check(host().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 'cannot create a pair of sockets');
    clients.push(new Control(pair[0] as number));
    ends.push(pair[1] as number);
  }
  return { ends, clients };
}

/** The negative errno of an answer as a name, for messages. */
export function answerErrno(r: ControlResponse): string {
  if (r.ok || r.errno === undefined) return '';
  for (const [name, value] of Object.entries(constants.errno)) if (value === -r.errno) return name;
  return String(r.errno);
}
