// Starts the native launcher (native/launch) with a plan.
//
// Numbers of a Sentry's descriptors: 0 /dev/null, 1 and 2 where crash reports go, 3 configuration, 4 control listener, 5 stub, 6 Gofer,
// 7 stand-in, 8 ready, 9 log, 10 strace, 11 to 13 the container's standard streams, 14 and 15 console in and out, 16.. further ones, then
// connections of the control protocol.
// A Gofer's: 0 to 3 the same, 4 its socket to the Sentry, 5 log. native/launch/launch.h names those that the launcher makes itself.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { displayName } from '../src/host/paths.ts';
import type { BootConfig, ContainerConfig, GoferConfig, StdioFds } from '../src/wire/boot.ts';
import type { Network } from './context.ts';
import { CliError, EXIT_OWN } from './errors.ts';
import { distFile } from './host.ts';
import { DIST_IN_ROOT, NODE_IN_ROOT, nodeRootPlan } from './nodefiles.ts';

const SENTRY = {
  control: 4,
  stub: 5,
  gofer: 6,
  standin: 7,
  ready: 8,
  log: 9,
  strace: 10,
  stdio: 11,
  consoleIn: 14,
  consoleOut: 15,
  extra: 16,
};
const GOFER = { socket: 4, log: 5 };
/** First number of a descriptor that the launcher inherits from us by number; below are /dev/null, crash reports and the plan's socket. */
const FIRST_PASSED = 4;
const LAST_WORDS_MS = 200;

/** A host tree that the Gofer serves as attach point of the same index. */
export interface AttachSource {
  source: string;
  readonly: boolean;
  recursive: boolean;
}

/** A container's streams as this process holds them; -1: none. */
export interface HostStdio {
  fds: [number, number, number];
  consoleIn: number;
  consoleOut: number;
  extra: number[];
}

export interface SandboxRequest {
  id: string;
  container: ContainerConfig;
  attach: AttachSource[];
  /** Paths below the attach points that are not shown: the host's /proc and the like. */
  prune: string[];
  stdio: HostStdio;
  network: Network;
  /** Listening control socket. */
  controlFd: number;
  /** Far ends of connections that exist already. */
  controlClients: number[];
  logFd: number;
  straceFd: number;
  debug: boolean;
  /** V8 interprets only. */
  jitless: boolean;
  /** Where the programs' own standard error goes. */
  crashFd: number;
  /** The exit status is written here; -1: nowhere. */
  exitFd: number;
  /** The end of this process ends the sandbox. */
  lifeline: boolean;
  /** Terminal whose state (struct termios, hexadecimal) the stand-in restores at its end. */
  tty: { fd: number; state: string } | null;
  /** Slave of a terminal whose window size and hang-up the stand-in is told of by signals; -1: none. */
  ctty: number;
  /** Namespaces of the stand-in: new ones, or those at a path. Only root's are made. */
  namespaces: { type: string; path?: string }[];
  /** Files that the launcher writes its pid to: cgroup.procs. */
  cgroups: string[];
  oomScoreAdj: number | null;
}

/** A running launcher: the container's stand-in. */
export class Standin {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Lines that tell what went wrong before the guest ran. */
  readonly errors: string[] = [];
  /** Lines that tell what went wrong later. */
  readonly warnings: string[] = [];
  /** Resolves with true when the Sentry answers, false when it never will. */
  readonly ready: Promise<boolean>;
  /** Resolves with the exit status as a shell has it. */
  readonly exit: Promise<number>;
  private readonly socket: Socket;
  /** The stand-in is in the namespaces that the plan names. */
  private placed = false;
  private onLine: () => void = () => {};

  constructor(child: ChildProcess) {
    this.child = child;
    this.pid = child.pid ?? -1;
    this.socket = child.stdio[3] as Socket;
    this.ready = new Promise((resolve) => {
      let pending = '';
      this.socket.on('data', (d: Buffer) => {
        pending += d.toString('utf8');
        while (pending !== '' && 'EWP'.includes(pending.charAt(0))) {
          const end = pending.indexOf('\n');
          if (end < 0) return;
          if (pending.startsWith('P')) this.placed = true;
          else (pending.startsWith('E') ? this.errors : this.warnings).push(pending.slice(1, end));
          this.onLine();
          pending = pending.slice(end + 1);
        }
        if (pending !== '') resolve(true);
        pending = '';
      });
      this.socket.on('error', () => resolve(false));
      this.socket.on('close', () => resolve(false));
    });
    this.exit = new Promise((resolve) => {
      child.on('error', (e) => {
        this.errors.push(`cannot start ${distFile('native/launch')}: ${e.message}`);
        resolve(EXIT_OWN);
      });
      // What it said last is still on its way when it ends.
      child.on('exit', (code, signal) => {
        // A stand-in ends by itself, with its container's status: a signal that ends it is somebody else's.
        if (signal !== null) this.warnings.push(`the sandbox was killed (its stand-in, process ${this.pid}, by ${signal})`);
        const done = () => resolve(code ?? 128 + signalNumber(signal));
        if (this.socket.destroyed) done();
        else {
          const timer = setTimeout(done, LAST_WORDS_MS);
          this.socket.once('close', () => {
            clearTimeout(timer);
            done();
          });
        }
      });
    });
  }

  /** Waits until the stand-in is in its namespaces, or will never be. */
  async inPlace(): Promise<void> {
    if (this.placed) return;
    const line = new Promise<void>((done) => {
      this.onLine = () => {
        if (this.placed) done();
      };
    });
    await Promise.race([line, this.ready.then((r) => (r ? line : undefined)), this.exit]);
    if (this.errors.length > 0) throw startFailure(this);
  }

  /** What failed, for a message; '' when nothing is known. */
  problem(): string {
    return this.errors.join('; ');
  }

  /** Ends everything at once: the launcher sees the end of its socket and leaves nothing behind. Only with a lifeline. */
  async abandon(): Promise<void> {
    this.socket.destroy();
    await this.exit;
  }

  /** The sandbox is on record: from now on it lives without this process. For one without a lifeline. */
  recorded(): void {
    this.socket.write('R');
  }

  /** Lets go of the launcher, so that this process can end before it. */
  release(): void {
    this.child.removeAllListeners();
    this.child.unref();
    this.socket.destroy();
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === 'SIGKILL' ? 9 : signal === 'SIGSEGV' ? 11 : 15;
}

/** Numbers the descriptors that the launcher inherits. */
class Passed {
  readonly fds: number[] = [];

  /** The number in the launcher of our descriptor `fd`. */
  number(fd: number): string {
    const known = this.fds.indexOf(fd);
    if (known >= 0) return String(FIRST_PASSED + known);
    this.fds.push(fd);
    return String(FIRST_PASSED + this.fds.length - 1);
  }
}

function start(mode: string, plan: string[], passed: Passed, crashFd: number): Standin {
  const child = spawn(distFile('native/launch'), [mode], {
    stdio: ['ignore', 'ignore', crashFd, 'pipe', ...passed.fds],
    argv0: 'ringfence-launch',
    env: {},
    detached: true,
  });
  const standin = new Standin(child);
  const body = Buffer.from(plan.map((w) => `${w}\0`).join(''), 'utf8');
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  const socket = child.stdio[3] as Socket;
  socket.write(Buffer.concat([head, body]));
  return standin;
}

/** Starts a Gofer, a sandbox with its Sentry, and the stand-in of the first container. */
export function startSandbox(r: SandboxRequest): Standin {
  const passed = new Passed();
  const plan = nodeRootPlan();
  const sentryFd = (fd: number, to: number): number => {
    if (fd < 0) return -1;
    plan.push('sentry-fd', passed.number(fd), String(to));
    return to;
  };
  const stdio: StdioFds = {
    fds: [sentryFd(r.stdio.fds[0], SENTRY.stdio), sentryFd(r.stdio.fds[1], SENTRY.stdio + 1), sentryFd(r.stdio.fds[2], SENTRY.stdio + 2)],
    consoleIn: sentryFd(r.stdio.consoleIn, SENTRY.consoleIn),
    consoleOut: sentryFd(r.stdio.consoleOut, SENTRY.consoleOut),
    extra: r.stdio.extra.map((fd, i) => sentryFd(fd, SENTRY.extra + i)),
  };
  const boot: BootConfig = {
    sandboxId: r.id,
    platform: 'systrap',
    network: r.network,
    controlFd: sentryFd(r.controlFd, SENTRY.control),
    controlClients: r.controlClients.map((fd, i) => sentryFd(fd, SENTRY.extra + r.stdio.extra.length + i)),
    stubFd: SENTRY.stub,
    goferFd: SENTRY.gofer,
    logFd: sentryFd(r.logFd, SENTRY.log),
    debug: r.debug,
    straceFd: sentryFd(r.straceFd, SENTRY.strace),
    readyFd: SENTRY.ready,
    standinFd: SENTRY.standin,
    container: r.container,
    stdio,
  };
  if (r.logFd >= 0) plan.push('gofer-fd', passed.number(r.logFd), String(GOFER.log));
  const gofer: GoferConfig = {
    socketFd: GOFER.socket,
    logFd: r.logFd >= 0 ? GOFER.log : -1,
    attach: r.attach.map((a, i) => ({ path: `/attach/${i}`, readonly: a.readonly })),
  };
  for (const a of r.attach) plan.push('attach', a.source, `${a.readonly ? 'o' : ''}${a.recursive ? 'r' : ''}`);
  for (const p of r.prune) plan.push('prune', p);
  for (const c of r.cgroups) plan.push('cgroup', c);
  for (const n of r.namespaces) plan.push('namespace', n.type, n.path ?? '');
  plan.push('hostname', displayName(r.container.hostname));
  plan.push('stub', `${DIST_IN_ROOT}/native/stub`);
  // Up to Node 22 V8 warns that WebAssembly goes with the compiler, unless it is told so.
  const quiet = Number.parseInt(process.versions.node, 10) <= 22 ? ['--no-expose-wasm'] : [];
  const flags = r.jitless ? ['--jitless', ...quiet] : [];
  for (const a of [NODE_IN_ROOT, ...flags, `${DIST_IN_ROOT}/sentry.cjs`]) plan.push('sentry-arg', a);
  for (const a of [NODE_IN_ROOT, ...flags, `${DIST_IN_ROOT}/gofer.cjs`]) plan.push('gofer-arg', a);
  plan.push('sentry-config', JSON.stringify(boot), 'gofer-config', JSON.stringify(gofer));
  if (r.lifeline) plan.push('lifeline');
  if (r.exitFd >= 0) plan.push('exit-fd', passed.number(r.exitFd));
  if (r.tty !== null) plan.push('tty', passed.number(r.tty.fd), r.tty.state);
  if (r.ctty >= 0) plan.push('ctty', passed.number(r.ctty));
  if (r.oomScoreAdj !== null) plan.push('oom-score-adj', String(r.oomScoreAdj));
  return start('sandbox', plan, passed, r.crashFd);
}

/** Starts a stand-in for a process of a running sandbox. `socket` is its end of the pair whose other end the Sentry gets. */
export function startStandin(socket: number, lifeline: boolean, tty: { fd: number; state: string } | null, ctty: number): Standin {
  const passed = new Passed();
  const plan = ['socket', passed.number(socket)];
  if (lifeline) plan.push('lifeline');
  if (tty !== null) plan.push('tty', passed.number(tty.fd), tty.state);
  if (ctty >= 0) plan.push('ctty', passed.number(ctty));
  return start('standin', plan, passed, 2);
}

/** The error of a sandbox that ended before it was ready. */
export function startFailure(standin: Standin): CliError {
  return new CliError(standin.problem() || 'the sandbox ended before it was ready', EXIT_OWN);
}
