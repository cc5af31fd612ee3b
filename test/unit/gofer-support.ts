// Starts a real gofer process on temporary trees, and what tests of its file system need of a task.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { installClock } from '../../src/base/clock.ts';
import { type Host, loadHost } from '../../src/host/host.ts';
import { GoferClient } from '../../src/sentry/fs/gofer/client.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import { Credentials } from '../../src/sentry/vfs/creds.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const root = resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'gofer-test-'));
const addon = existsSync(join(root, 'dist/native/host.node')) ? join(root, 'dist/native/host.node') : buildAddon();
const bundle = join(scratch, 'gofer.cjs');

process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function buildAddon(): string {
  const r = spawnSync('sh', [join(root, 'native/host/build.sh'), scratch], { stdio: 'inherit' });
  if (r.status !== 0) throw new Error('the host addon does not build');
  return join(scratch, 'host.node');
}

buildSync({
  entryPoints: [join(root, 'src/gofer/main.ts')],
  bundle: true,
  platform: 'node',
  format: 'cjs',
  outfile: bundle,
  logLevel: 'error',
});

export const host: Host = loadHost(addon);
installClock((id, out) => host.clock(id, out));

export interface Running {
  child: ChildProcess;
  socket: number;
  client: GoferClient;
  /** Closes the socket and waits for the gofer's end: its exit status. */
  stop(): Promise<number | null>;
}

/** True if a gofer can be started in a mount namespace of its own. */
export const canHideProc = spawnSync('unshare', ['-m', 'umount', '-l', '/proc']).status === 0;

export interface StartOptions {
  /** Its limit of descriptors. */
  nofile?: number;
  /** Runs as that user. */
  uid?: number;
  /** It sees no /proc, as in its sandbox. */
  noProc?: boolean;
}

/** A gofer on `attach`. */
export function startGofer(attach: { path: string; readonly: boolean }[], options: StartOptions = {}): Running {
  const { nofile = 0, uid = 0, noProc = false } = options;
  const pair = new Int32Array(2);
  if (host.native.socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) throw new Error('socketpair');
  const config = join(scratch, `config-${pair[0]}.json`);
  writeFileSync(config, JSON.stringify({ socketFd: 4, logFd: 2, attach }));
  const fd = openSync(config, 'r');
  const command = [process.execPath, bundle, addon];
  const before = `${noProc ? 'umount -l /proc; ' : ''}${nofile > 0 ? `ulimit -n ${nofile}; ` : ''}`;
  const shell = before === '' ? command : ['sh', '-c', `${before}exec "$@"`, 'sh', ...command];
  const argv = noProc ? ['unshare', '-m', ...shell] : shell;
  const child = spawn(argv[0] as string, argv.slice(1), {
    stdio: ['ignore', 'ignore', 'ignore', fd, pair[1] as number],
    ...(uid !== 0 ? { uid, gid: uid } : {}),
  });
  closeSync(fd);
  host.close(pair[1] as number);
  const exit = new Promise<number | null>((done) => child.on('exit', (code) => done(code)));
  const socket = pair[0] as number;
  const client = new GoferClient(host, socket);
  return {
    child,
    socket,
    client,
    stop: () => {
      host.close(socket);
      return exit;
    },
  };
}

/** A task of root that has all capabilities. */
export function caller(): Caller {
  const creds = new Credentials();
  creds.effective = { lo: 0xffffffff, hi: 0x1ff };
  return {
    creds,
    fs: null as unknown as Caller['fs'],
    tid: 1,
    tgid: 1,
    copyIn: () => -14,
    copyOut: () => -14,
    rlimit: () => Number.POSITIVE_INFINITY,
    raise: () => {},
  };
}

/** A fresh directory that disappears with the process. */
export function freshDir(): string {
  return mkdtempSync(join(scratch, 'tree-'));
}
