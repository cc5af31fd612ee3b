// Sockets that a caller donates: as preserved descriptors, by LISTEN_FDS, and as standard streams. The same assertions on runc.

import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/abi/socket.ts';
import { loadNative, type Native } from '../../src/host/native.ts';
import { unixAddress } from '../../src/host/paths.ts';
import { repository } from '../support/build.ts';
import { Bench, type Result, ringfence } from './support.ts';

let bench: Bench;
let work: string;
let guest: string;
let native: Native;
let open: number[] = [];
let serial = 0;

beforeAll(() => {
  bench = new Bench();
  work = mkdtempSync(join(tmpdir(), 'rf-sockets-'));
  guest = join(work, 'sockets');
  native = loadNative(join(repository, 'dist/native/host.node'));
  const source = join(repository, 'test/oci/guests/sockets.c');
  const r = spawnSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', guest, source], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(r.stderr);
});
afterEach(() => {
  for (const fd of open.splice(0)) native.close(fd);
});
afterAll(() => {
  bench.close();
  rmSync(work, { recursive: true, force: true });
});

function own(fd: number): number {
  if (fd < 0) throw new Error(`errno ${-fd}`);
  open.push(fd);
  return fd;
}

function pair(type: number): [number, number] {
  const fds = new Int32Array(2);
  own(native.socketpair(AF_UNIX, type, 0, fds) < 0 ? -1 : (fds[0] as number));
  own(fds[1] as number);
  return [fds[0] as number, fds[1] as number];
}

/** 127.0.0.1 and a port. */
function loopback(port: number): Uint8Array {
  return new Uint8Array([AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
}

function inetListener(): { fd: number; address: Uint8Array } {
  const fd = own(native.socket(AF_INET, SOCK_STREAM, 0));
  const address = loopback(0);
  if (native.bind(fd, address) < 0 || native.listen(fd, 5) < 0) throw new Error('no listener');
  native.getsockname(fd, address);
  return { fd, address };
}

function connected(family: number, address: Uint8Array, text: string): number {
  const fd = own(native.socket(family, SOCK_STREAM, 0));
  const r = native.connect(fd, address);
  if (r < 0) throw new Error(`connect: ${-r}`);
  say(fd, text);
  return fd;
}

function say(fd: number, text: string): void {
  const b = Buffer.from(text);
  native.write(fd, b, 0, b.length);
}

function hear(fd: number): string {
  const b = Buffer.alloc(256);
  const n = native.read(fd, b, 0, b.length);
  return n < 0 ? `errno ${-n}` : b.toString('latin1', 0, n);
}

interface Call {
  /** Descriptors for 3, 4, ... */
  fds?: number[];
  stdin?: number;
  preserve?: number;
  /** LISTEN_FDS; LISTEN_PID is that of the runtime. */
  listen?: number;
}

const RUNTIMES = [
  { name: 'runc', argv: (): string[] => ['runc', '--root', join(work, 'runc')] },
  { name: 'ringfence', argv: (): string[] => [ringfence, '--root', join(work, 'ringfence')] },
];

/** Runs the guest with these words, by a runtime. */
function run(argv: string[], words: string[], call: Call): Result {
  const bundle = bench.bundle(['/bin/sockets', ...words], (s) => {
    // A network of its own makes no difference to sockets that exist.
    s.linux = { ...s.linux, namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }] };
  });
  copyFileSync(guest, join(bundle, 'rootfs/bin/sockets'));
  const preserve = call.preserve === undefined ? [] : ['--preserve-fds', String(call.preserve)];
  const listen = call.listen === undefined ? '' : `LISTEN_FDS=${call.listen} LISTEN_PID=$$ `;
  const args = [...argv, 'run', ...preserve, '--bundle', bundle, `sockets-${process.pid}-${serial++}`];
  const r = spawnSync('/bin/sh', ['-c', `${listen}exec "$@"`, 'sh', ...args], {
    encoding: 'utf8',
    stdio: [call.stdin ?? 'ignore', 'pipe', 'pipe', ...(call.fds ?? [])],
    timeout: 60_000,
  });
  return { status: r.status ?? -1, stdout: r.stdout, stderr: r.stderr };
}

describe.each(RUNTIMES)('$name', ({ name, argv }) => {
  test('a listener of LISTEN_FDS is one inside, and serves', () => {
    const { fd, address } = inetListener();
    const client = connected(AF_INET, address, 'hello from outside');
    // shutdown: the guest sees the end.
    native.shutdown(client, 1);
    const r = run(argv(), ['env', 'show:3', 'listen:3', 'serve:3', 'open:4'], { fds: [fd], listen: 1 });
    expect([r.stdout, r.stderr]).toEqual([
      [
        'LISTEN_FDS=1 LISTEN_PID=1 pid=1',
        'fd 3: socket=1 domain=2 type=1 protocol=6 listening=1 error=0 name=2/ok peer=ENOTCONN',
        'listen: ok',
        'accepted family 2, nodelay 0: hello from outside',
        'then 0',
        'F_GETFD 4: EBADF',
        '',
      ].join('\n'),
      '',
    ]);
    expect(hear(client)).toBe('you said 18 bytes');
  }, 60_000);

  test('a unix listener, behind it a preserved descriptor', () => {
    const listener = own(native.socket(AF_UNIX, SOCK_STREAM, 0));
    const address = unixAddress(join(work, `${name}.sock`));
    if (address === null) throw new Error('the path of the socket is too long');
    expect(native.bind(listener, address)).toBe(0);
    native.listen(listener, 5);
    const client = connected(AF_UNIX, address, 'abc');
    native.shutdown(client, 1);
    const [ours, theirs] = pair(SOCK_STREAM);
    const r = run(argv(), ['show:3', 'show:4', 'serve:3', 'send:4'], { fds: [listener, theirs], listen: 1, preserve: 1 });
    expect([r.stdout, r.stderr]).toEqual([
      [
        'fd 3: socket=1 domain=1 type=1 protocol=0 listening=1 error=0 name=1/ok peer=ENOTCONN',
        'fd 4: socket=1 domain=1 type=1 protocol=0 listening=0 error=0 name=1/ok peer=ok',
        'accepted family 1, nodelay 0: abc',
        'then 0',
        'sent: ok',
        '',
      ].join('\n'),
      '',
    ]);
    expect(hear(ours)).toBe('from the guest');
    expect(hear(client)).toBe('you said 3 bytes');
  }, 60_000);

  test('datagrams and sequenced packets keep their bounds', () => {
    const [oursD, theirsD] = pair(SOCK_DGRAM);
    const [oursS, theirsS] = pair(SOCK_SEQPACKET);
    say(oursD, 'one');
    say(oursD, 'x'.repeat(100));
    say(oursS, 'two');
    const r = run(argv(), ['wait:3', 'receive:3', 'receive:3', 'receive:4', 'send:3', 'send:4', 'show:4'], {
      fds: [theirsD, theirsS],
      preserve: 2,
    });
    expect([r.stdout, r.stderr]).toEqual([
      [
        'received 3: one',
        `received 63: ${'x'.repeat(63)} (cut)`,
        'received 3: two',
        'sent: ok',
        'sent: ok',
        'fd 4: socket=1 domain=1 type=5 protocol=0 listening=0 error=0 name=1/ok peer=ok',
        '',
      ].join('\n'),
      '',
    ]);
    expect([hear(oursD), hear(oursS)]).toEqual(['from the guest', 'from the guest']);
  }, 60_000);

  test('descriptors come with messages, and donated ones go', () => {
    const [ours, theirs] = pair(SOCK_STREAM);
    const file = join(work, 'inner');
    writeFileSync(file, 'file content');
    const sent = openSync(file, 'r');
    native.sendmsg(ours, Buffer.from('take'), 0, 4, new Int32Array([sent]), 1, 0);
    closeSync(sent);
    const r = run(argv(), ['receive:3', 'give:3'], { fds: [theirs], preserve: 1 });
    expect([r.stdout, r.stderr]).toEqual(['received 4: take\nwith a descriptor that reads 12: file content\ngave: ok\n', '']);
    const fds = new Int32Array(4);
    const info = new Int32Array(5);
    expect(native.recvmsg(ours, Buffer.alloc(16), 0, 16, fds, 0, info)).toBe(2);
    expect(info[0]).toBe(1);
    own(fds[0] as number);
  }, 60_000);

  test('LISTEN_FDS for another process means nothing', () => {
    const { fd } = inetListener();
    const r = run([...argv()], ['env', 'open:3'], { fds: [fd] });
    expect(r.stdout).toBe('LISTEN_FDS=(null) LISTEN_PID=(null) pid=1\nF_GETFD 3: EBADF\n');
  }, 60_000);

  test('a preserved descriptor that is not open is an error', () => {
    const [, theirs] = pair(SOCK_STREAM);
    const r = run(argv(), ['env'], { fds: [theirs], preserve: 40 });
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(/unable to stat preserved-fd \d+ \(of 40\): stat \/proc\/self\/fd\/\d+: no such file or directory/);
  }, 60_000);
});

test('the sandbox gives away no file of its own, and its sockets reach nobody else', () => {
  const [ours, theirs] = pair(SOCK_STREAM);
  const udp = own(native.socket(AF_INET, SOCK_DGRAM, 0));
  const r = run(RUNTIMES[1]!.argv(), ['giveown:3', 'connect:4'], { fds: [theirs, udp], preserve: 2 });
  expect([r.stdout, r.stderr]).toEqual(['gave: EPERM\nconnect: EPERM\n', '']);
  native.close(theirs);
  open = open.filter((fd) => fd !== theirs);
  expect(hear(ours)).toBe('');
}, 60_000);

// runc's foreground puts pipes between; by create it is the same there.
test('a socket as standard input is one', () => {
  const [ours, theirs] = pair(SOCK_STREAM);
  say(ours, 'by stdin');
  const r = run(RUNTIMES[1]!.argv(), ['show:0', 'receive:0', 'send:0', 'shut:0', 'send:0'], { stdin: theirs });
  expect([r.stdout, r.stderr]).toEqual([
    'fd 0: socket=1 domain=1 type=1 protocol=0 listening=0 error=0 name=1/ok peer=ok\nreceived 8: by stdin\nsent: ok\nshutdown: ok\nsent: EPIPE\n',
    '',
  ]);
  expect(hear(ours)).toBe('from the guest');
}, 60_000);

test('do hands sockets on as well', () => {
  const { fd, address } = inetListener();
  const client = connected(AF_INET, address, 'hi');
  native.shutdown(client, 1);
  const r = spawnSync('/bin/sh', ['-c', 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', 'sh', ringfence, 'do', '--', guest, 'env', 'serve:3'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', fd],
    timeout: 60_000,
  });
  const lines = r.stdout.split('\n');
  expect(lines[0]).toMatch(/^LISTEN_FDS=1 LISTEN_PID=(\d+) pid=\1$/);
  expect(lines[1]).toBe('accepted family 2, nodelay 0: hi');
  expect(hear(client)).toBe('you said 2 bytes');
}, 60_000);
