// Starts the native launcher (native/launch) with a plan.
//
// Numbers of a Sentry's descriptors: 0 /dev/null, 1 and 2 where crash reports go, 3 configuration, 4 control listener, 5 stub, 6 Gofer,
// 7 stand-in, 8 ready, 9 log, 10 strace, 11 to 13 the container's standard streams, 14 and 15 console in and out, 16.. further ones, then
// connections of the control protocol, then the counters of the container's groups.
// A Gofer's: 0 to 3 the same, 4 its socket to the Sentry, 5 log. native/launch/launch.h names those that the launcher makes itself.

import { openSync } from 'node:fs';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, SOCK_STREAM } from '../src/abi/socket.ts';
import { displayName } from '../src/host/paths.ts';
import type { BootConfig, ContainerConfig, GoferConfig, StdioFds } from '../src/wire/boot.ts';
import type { EngineOptions, Network } from './context.ts';
import { check, distFile, host } from './host.ts';
import { DIST_IN_ROOT, NODE_IN_ROOT, nodeRootPlan } from './nodefiles.ts';
import nodeFlags from './nodeflags.json' with { type: 'json' };
import { rootPlan } from './spaces.ts';
import { Standin } from './standin.ts';

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

/** One line of a user namespace's maps, as in config.json. */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/** A container as its stand-in and its Gofer are started. */
export interface ContainerRequest {
  container: ContainerConfig;
  attach: AttachSource[];
  /** Paths below the attach points that are not shown: the host's /proc and the like. */
  prune: string[];
  logFd: number;
  /** V8 interprets only. */
  jitless: boolean;
  /** Where the programs' own standard error goes. */
  crashFd: number;
  /** The exit status is written here; -1: nowhere. */
  exitFd: number;
  /** The end of this process ends the container. */
  lifeline: boolean;
  /** Terminal whose state (struct termios, hexadecimal) the stand-in restores at its end. */
  tty: { fd: number; state: string } | null;
  /** Slave of a terminal whose window size and hang-up the stand-in is told of by signals; -1: none. */
  ctty: number;
  /** Namespaces of the stand-in: new ones, or those at a path. */
  namespaces: { type: string; path?: string }[];
  /** linux.rootfsPropagation. */
  rootPropagation?: string | undefined;
  /** The root is not entered before `enter`: hooks come first. */
  hooks?: boolean;
  /** Ids of a new user namespace. */
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
  /** Files that the launcher writes its pid to before anything else: cgroup.procs. */
  cgroups: string[];
  oomScoreAdj: number | null;
  /** How much sooner than Sentry and Gofer guests are killed when memory runs out: added to oom_score_adj. */
  guestOom: number;
}

/** The first container of a sandbox, and the sandbox. */
export interface SandboxRequest extends ContainerRequest {
  id: string;
  stdio: HostStdio;
  network: Network;
  /** Listening control socket. */
  controlFd: number;
  /** Far ends of connections that exist already. */
  controlClients: number[];
  straceFd: number;
  /** Names of the calls that are printed there; none: all. */
  straceOnly?: string[];
  debug: boolean;
  engine: EngineOptions;
  /** Open files that say what the container uses, by name (BootConfig.counters). */
  counters: Record<string, number>;
  /** A pipe for what was counted of system calls (BootConfig.countsFd); absent: they are not counted. */
  countsFd?: number;
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

/** How many bytes of the guest's command lists of processes show at most; the kernel takes 128 KiB in one word. */
const MAX_TITLE = 64 * 1024;

/** The guest's command as the arguments of its stand-in: words that each end in a NUL. */
function title(args: string[]): Buffer {
  const words: Buffer[] = [];
  let room = MAX_TITLE;
  for (const a of args) {
    const word = Buffer.from(`${a.replaceAll('\0', '')}\0`, 'latin1');
    if (word.length > room) break;
    room -= word.length;
    words.push(word);
  }
  return words.length === 0 ? Buffer.from('ringfence-launch\0') : Buffer.concat(words);
}

function start(mode: string, args: string[], plan: string[], passed: Passed, crashFd: number, kept: boolean): Standin {
  const pair = new Int32Array(2);
  check(host().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 'cannot create a pair of sockets');
  const [ours, theirs] = pair as unknown as [number, number];
  const none = openSync('/dev/null', 'r+');
  const fds = Int32Array.from([none, none, crashFd, theirs, ...passed.fds]);
  const pid = host().spawn(distFile('native/launch'), title(args), fds);
  host().close(theirs);
  host().close(none);
  const standin = new Standin(pid, ours, kept);
  standin.send(planMessage(['mode', mode, 'passed', String(fds.length), ...plan]));
  return standin;
}

/** A plan as the launcher reads it: its length, and words that each end in a NUL. */
export function planMessage(words: string[]): Buffer {
  const body = Buffer.from(words.map((w) => `${w}\0`).join(''), 'utf8');
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

/** What a container's stand-in and Gofer are made of. */
function containerPlan(r: ContainerRequest, passed: Passed, plan: string[]): void {
  const gofer: GoferConfig = {
    socketFd: GOFER.socket,
    logFd: r.logFd >= 0 ? GOFER.log : -1,
    attach: r.attach.map((a, i) => ({ path: `/attach/${i}`, readonly: a.readonly })),
  };
  if (r.logFd >= 0) plan.push('gofer-fd', passed.number(r.logFd), String(GOFER.log));
  for (const a of r.attach) plan.push('attach', a.source, `${a.readonly ? 'o' : ''}${a.recursive ? 'r' : ''}`);
  for (const p of r.prune) plan.push('prune', p);
  for (const c of r.cgroups) plan.push('cgroup', c);
  for (const n of r.namespaces) plan.push('namespace', n.type, n.path ?? '');
  plan.push(...rootPlan(r));
  if (r.hooks === true) plan.push('hooks');
  for (const m of r.uidMappings) plan.push('uid-map', String(m.containerID), String(m.hostID), String(m.size));
  for (const m of r.gidMappings) plan.push('gid-map', String(m.containerID), String(m.hostID), String(m.size));
  plan.push('hostname', displayName(r.container.hostname), 'domainname', displayName(r.container.domainname));
  for (const a of [NODE_IN_ROOT, ...nodeFlags.gofer, ...engineFlags(r.jitless), `${DIST_IN_ROOT}/gofer.cjs`]) plan.push('gofer-arg', a);
  plan.push('gofer-config', JSON.stringify(gofer));
  if (r.lifeline) plan.push('lifeline');
  if (r.exitFd >= 0) plan.push('exit-fd', passed.number(r.exitFd));
  if (r.tty !== null) plan.push('tty', passed.number(r.tty.fd), r.tty.state);
  if (r.ctty >= 0) plan.push('ctty', passed.number(r.ctty));
  if (r.oomScoreAdj !== null) plan.push('oom-score-adj', String(r.oomScoreAdj));
  if (r.guestOom > 0) plan.push('guest-oom', String(r.guestOom));
}

/** Options of node that a program's configuration asks for. */
function engineFlags(jitless: boolean): string[] {
  // Up to Node 22 V8 warns that WebAssembly goes with the compiler, unless it is told so.
  const quiet = Number.parseInt(process.versions.node, 10) <= 22 ? ['--no-expose-wasm'] : [];
  return jitless ? ['--jitless', ...quiet] : [];
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
  const counter = SENTRY.extra + r.stdio.extra.length + r.controlClients.length;
  const boot: BootConfig = {
    sandboxId: r.id,
    platform: r.engine.parts.name,
    network: r.network,
    controlFd: sentryFd(r.controlFd, SENTRY.control),
    controlClients: r.controlClients.map((fd, i) => sentryFd(fd, SENTRY.extra + r.stdio.extra.length + i)),
    stubFd: SENTRY.stub,
    goferFd: SENTRY.gofer,
    logFd: sentryFd(r.logFd, SENTRY.log),
    debug: r.debug,
    straceFd: sentryFd(r.straceFd, SENTRY.strace),
    straceOnly: r.straceOnly ?? [],
    cpuMode: r.engine.cpuMode,
    patch: r.engine.patch,
    readyFd: SENTRY.ready,
    standinFd: SENTRY.standin,
    counters: Object.fromEntries(Object.entries(r.counters).map(([name, fd], i) => [name, sentryFd(fd, counter + i)])),
    ...(r.countsFd === undefined ? {} : { countsFd: sentryFd(r.countsFd, counter + Object.keys(r.counters).length) }),
    container: r.container,
    stdio,
  };
  containerPlan(r, passed, plan);
  const { program, device } = r.engine.parts;
  plan.push('stub', `${DIST_IN_ROOT}/native/${program}`);
  if (device !== '') plan.push('stub-device', device);
  for (const a of [NODE_IN_ROOT, ...nodeFlags.sentry, ...engineFlags(r.jitless), `${DIST_IN_ROOT}/sentry.cjs`]) plan.push('sentry-arg', a);
  plan.push('sentry-config', JSON.stringify(boot));
  return start('sandbox', r.container.process.args, plan, passed, r.crashFd, r.lifeline);
}

/** A further container of a running sandbox: what the Sentry needs of it. The caller sends the descriptors there and closes them. */
export interface StartedContainer {
  standin: Standin;
  /** The Sentry's end of the Gofer's socket (SOCK_SEQPACKET). */
  goferFd: number;
  /** The Sentry's end of the stand-in's. */
  standinFd: number;
}

/** Starts the Gofer and the stand-in of a further container. Its stand-in is `inPlace` when the Sentry may be told. */
export function startContainer(r: ContainerRequest): StartedContainer {
  const passed = new Passed();
  const plan = nodeRootPlan();
  const pairs = [new Int32Array(2), new Int32Array(2)] as const;
  for (const p of pairs) check(host().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p), 'cannot create a pair of sockets');
  const [[goferFd, goferEnd], [standinFd, standinEnd]] = pairs as unknown as [[number, number], [number, number]];
  containerPlan(r, passed, plan);
  plan.push('gofer-socket', passed.number(goferEnd), 'socket', passed.number(standinEnd));
  const standin = start('container', r.container.process.args, plan, passed, r.crashFd, r.lifeline);
  host().close(goferEnd);
  host().close(standinEnd);
  return { standin, goferFd, standinFd };
}

/** A further process of a container, as its stand-in needs it. */
export interface StandinRequest {
  /** Its end of the pair whose other end the Sentry gets. */
  socket: number;
  args: string[];
  lifeline: boolean;
  tty: { fd: number; state: string } | null;
  ctty: number;
  /** The container's stand-in, whose namespaces it joins, and its start time in clock ticks. */
  join: { pid: number; start: number };
  cgroups: string[];
  oomScoreAdj: number | null;
}

/** Starts a stand-in for a process of a running sandbox. */
export function startStandin(r: StandinRequest): Standin {
  const passed = new Passed();
  const plan = ['socket', passed.number(r.socket), 'join', String(r.join.pid), String(r.join.start)];
  for (const c of r.cgroups) plan.push('cgroup', c);
  if (r.lifeline) plan.push('lifeline');
  if (r.tty !== null) plan.push('tty', passed.number(r.tty.fd), r.tty.state);
  if (r.ctty >= 0) plan.push('ctty', passed.number(r.ctty));
  if (r.oomScoreAdj !== null) plan.push('oom-score-adj', String(r.oomScoreAdj));
  return start('standin', r.args, plan, passed, 2, r.lifeline);
}
