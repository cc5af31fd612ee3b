// The gofer program: node gofer.cjs [ADDON], with its configuration (GoferConfig as JSON) in descriptor 3.
//
// One thread, one loop: receive, do, answer; it ends when the Sentry's end of the socket is closed.

import { closeSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { EPOLLIN } from '../abi/epoll.ts';
import { PR_SET_DUMPABLE } from '../abi/prctl.ts';
import { RLIMIT_NOFILE } from '../abi/resource.ts';
import { installLatin1 } from '../base/bytes.ts';
import { Host } from '../host/host.ts';
import { loadNative } from '../host/native.ts';
import { hostPath } from '../host/paths.ts';
import { Shrinker } from '../host/idle.ts';
import { installFilter } from '../host/seccomp.ts';
import type { GoferConfig } from '../wire/boot.ts';
import { MAX_MESSAGE } from '../wire/gofer.ts';
import { GOFER_PROGRAMS } from './filter.gen.ts';
import { GoferServer } from './server.ts';

const CONFIG_FD = 3;
/** Descriptors that are not O_PATH ones of nodes: node's own, the socket, a listing, one being donated. */
const RESERVED_FDS = 64;
const MAX_PATH_FDS = 16384;

function readConfig(): GoferConfig {
  const config = JSON.parse(readFileSync(CONFIG_FD, 'utf8')) as GoferConfig;
  closeSync(CONFIG_FD);
  if (!Number.isInteger(config.socketFd) || !Array.isArray(config.attach)) throw new Error('bad configuration');
  return config;
}

/** How many O_PATH descriptors the limits of this process allow; the soft limit is raised to the hard one. */
function pathDescriptors(host: Host): number {
  const limit = new Float64Array(2);
  if (host.native.getrlimit(RLIMIT_NOFILE, limit) < 0) return 512;
  const hard = limit[1] as number;
  if ((limit[0] as number) !== hard && host.native.setrlimit(RLIMIT_NOFILE, hard, hard) === 0) limit[0] = hard;
  const soft = limit[0] as number;
  const n = soft < 0 ? MAX_PATH_FDS : Math.floor((soft - RESERVED_FDS) / 2);
  return n < 32 ? 32 : n > MAX_PATH_FDS ? MAX_PATH_FDS : n;
}

function log(fd: number, level: string, msg: string): void {
  if (fd < 0) return;
  try {
    writeSync(fd, `${JSON.stringify({ level, time: Date.now(), name: 'gofer', msg })}\n`);
  } catch {
    // A log that cannot be written must not end the gofer.
  }
}

/** Serves requests on `socket` until its end. 0, or -errno of the socket. */
export function serve(host: Host, server: GoferServer, socket: number): number {
  const buf = Buffer.alloc(MAX_MESSAGE);
  const received: number[] = [];
  const donate = new Int32Array(1);
  const shrinker = new Shrinker(host.native);
  for (;;) {
    const limit = shrinker.limit(-1);
    if (limit >= 0) shrinker.waited(limit, host.waitFd(socket, EPOLLIN, limit) !== 0);
    const n = host.recvFdsBlocking(socket, buf, 0, buf.length, received);
    // Nobody may give us descriptors.
    while (received.length > 0) host.close(received.pop() as number);
    if (n <= 0) return n;
    const len = server.handle(buf, n);
    const fd = server.donated;
    donate[0] = fd;
    const sent = host.native.sendmsg(socket, server.encoder.buf, 0, len, donate, fd >= 0 ? 1 : 0, 0);
    if (fd >= 0) host.close(fd);
    if (sent < 0) return sent;
  }
}

function main(): void {
  const host = new Host(loadNative(process.argv[2] ?? join(__dirname, 'native', 'host.node')));
  const b = Buffer.prototype as unknown as {
    latin1Slice: Parameters<typeof installLatin1>[0];
    latin1Write: Parameters<typeof installLatin1>[1];
  };
  installLatin1(b.latin1Slice, b.latin1Write);
  const config = readConfig();
  host.native.setName('ringfence-gofer');
  host.setNonblock(config.socketFd, false);
  const server = new GoferServer(host.native, {
    attach: config.attach.map((a) => ({ path: hostPath(a.path), readonly: a.readonly })),
    fdLimit: pathDescriptors(host),
  });
  server.attachErrors.forEach((e, i) => {
    if (e < 0) log(config.logFd, 'error', `attach point ${config.attach[i]?.path}: errno ${-e}`);
  });
  log(config.logFd, 'debug', `serving ${config.attach.length} attach points`);
  // No core file, and nobody of the same uid on the host reads or traces it.
  host.native.prctl(PR_SET_DUMPABLE, 0, 0);
  const program = GOFER_PROGRAMS[process.execArgv.includes('--jitless') ? 'jitless' : 'jit'];
  const filtered = installFilter(host.native, Buffer.from(program, 'base64'));
  if (filtered < 0) {
    log(config.logFd, 'error', `no seccomp filter: errno ${-filtered}`);
    process.exit(1);
  }
  const r = serve(host, server, config.socketFd);
  if (r < 0) log(config.logFd, 'warn', `socket: errno ${-r}`);
  host.native.exit(r < 0 ? 1 : 0);
}

main();
