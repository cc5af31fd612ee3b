// The life of a container: create, start, signal, destroy. The commands in cmd/ are thin faces of this.

import { closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ContainerConfig } from '../src/wire/boot.ts';
import type { ControlRequest, ControlResponse } from '../src/wire/control.ts';
import { cgroupMode, joinFiles, makeCgroup, oomKills, planCgroup, removeCgroup } from './cgroups/cgroup.ts';
import { oomLead, openCounters, sentryLimits } from './cgroups/limits.ts';
import { openConsole, reopened, sendConsole } from './console.ts';
import { engineOptions, type GlobalOptions, namedPath, networkKind, openLogs, overlayKind, stateRoot, writeWarnings } from './context.ts';
import { CONTROL_NAME, type Control, connectIn, listenIn, SandboxGone } from './control.ts';
import { donated, listenCount, withListenFds } from './donated.ts';
import { CliError, EXIT_OWN } from './errors.ts';
import { Foreground, type HostTerminal } from './foreground.ts';
import { hasEarlyHooks, runHooks, runHooksWarning } from './hooks.ts';
import { check, host } from './host.ts';
import { type AttachSource, type ContainerRequest, type HostStdio, type StartedContainer, startContainer, startSandbox } from './launch.ts';
import { addNotifySocket } from './notify.ts';
import { adaptToPod, enterPod, namespaceWords, podOf } from './pod.ts';
import { spacesOf } from './spaces.ts';
import { convertProcess, convertSpec } from './spec/convert.ts';
import { checkCommand } from './spec/lookup.ts';
import type { Spec } from './spec/types.ts';
import { loadSpec } from './spec/validate.ts';
import { type Standin, startFailure } from './standin.ts';
import { type ContainerState, newState, processStart, type State, StateRoot, writeWhole } from './state.ts';

const O_CLOEXEC = 0o2000000;
const SIGKILL = 9;
/** How long the end of a killed container may take, in milliseconds. */
const END_MS = 5000;
const FOREVER_MS = 2 ** 31 - 1;
const ANSWER_MS = 2000;

export interface CreateOptions {
  bundle: string;
  pidFile?: string;
  consoleSocket?: string;
  preserveFds: number;
  /** The command stays until the end of the container (run without --detach). */
  foreground: boolean;
}

export interface Created {
  state: State;
  container: ContainerState;
  spec: Spec;
  standin: Standin;
  terminal: HostTerminal | null;
}

export function containers(globals: GlobalOptions): StateRoot {
  return new StateRoot(stateRoot(globals));
}

/** The streams of a container's first process: a terminal of its own, or ours. */
function streams(spec: Spec, o: CreateOptions, terminal: HostTerminal | null, listen: number): { stdio: HostStdio; close: number[] } {
  const extra = donated(listen, o.preserveFds);
  const none = { consoleIn: -1, consoleOut: -1, extra };
  if (spec.process?.terminal !== true) {
    if (o.consoleSocket !== undefined) throw new CliError('cannot use console socket if the process has no terminal (/process/terminal)');
    const fds: [number, number, number] = [standard(0), standard(1), standard(2)];
    return { stdio: { ...none, fds }, close: fds.filter((fd) => fd > 2) };
  }
  if (o.consoleSocket !== undefined) {
    const size = spec.process.consoleSize;
    const { master, slave } = openConsole(size === undefined ? null : { rows: size.height, cols: size.width });
    sendConsole(o.consoleSocket, master);
    closeSync(master);
    return { stdio: { fds: [-1, -1, -1], consoleIn: slave, consoleOut: slave, extra }, close: [slave] };
  }
  if (!o.foreground) throw new CliError('cannot allocate tty if ringfence will detach without setting console socket (--console-socket)');
  const input = reopened(0, false);
  const output = terminal === null ? reopened(1, true) : input;
  return { stdio: { fds: [-1, -1, -1], consoleIn: input, consoleOut: output, extra }, close: [input, output].filter((fd) => fd > 2) };
}

/** Our own stream for the container; /dev/null where we have none. */
function standard(fd: number): number {
  try {
    return reopened(fd, fd !== 0);
  } catch {
    return openSync('/dev/null', 'r+');
  }
}

/** What --overlay2 and --file-access say. */
function useOverlay(config: ContainerConfig, attach: AttachSource[], globals: GlobalOptions): void {
  const kind = overlayKind(globals);
  config.overlay ||= kind.root;
  config.overlayMounts = kind.mounts;
  if (kind.size !== null) config.overlaySize = kind.size;
  config.rootExclusive = globals.fileAccess === 'exclusive';
  config.mountsExclusive = globals.fileAccessMounts === 'exclusive';
  // What lies below a layer in memory is never written to, so the Gofer need not be able to.
  for (const [i, a] of attach.entries()) if (i === 0 ? kind.root : kind.mounts && statSync(a.source).isDirectory()) a.readonly = true;
}

/** Makes a container up to the point where `start` runs its process. On a failure nothing is left behind. */
export async function createContainer(id: string, o: CreateOptions, globals: GlobalOptions): Promise<Created> {
  const bundle = resolve(o.bundle);
  const root = containers(globals);
  const spec = await loadSpec(`${bundle}/config.json`);
  const { container: config, attach, rootfs, notes } = convertSpec(spec, id, bundle);
  checkCommand(config, attach);
  useOverlay(config, attach, globals);
  addNotifySocket(config);
  const pod = podOf(root, spec, id);
  config.namespaces = namespaceWords(root, pod, spec, id);
  if (pod !== null) adaptToPod(config, spec, id);
  const engine = pod === null ? engineOptions(globals) : null;
  const container = root.claim(id);
  const closing: number[] = [];
  let standin: Standin | undefined;
  const state = newState(id, spec, bundle, rootfs);
  state.namespaces = config.namespaces;
  if (pod !== null) state.sandbox = pod.id;
  state.platform = engine?.parts.name ?? pod?.container.read()?.platform;
  try {
    const groups = await planCgroup(spec, id, cgroupMode(globals));
    // On record before they are there, so that a delete finds them whenever this command is cut off.
    if (groups !== null) state.cgroups = groups;
    container.write(state);
    container.saveSpec(spec);
    const leaveGroups = groups === null ? null : await makeCgroup(groups, id, spec.linux?.resources ?? {});
    const listen = listenCount();
    config.process.env = withListenFds(config.process.env, listen, 1);
    config.limits = sentryLimits(spec.linux?.resources ?? {}, state.cgroups);
    const counters = openCounters(state.cgroups);
    closing.push(...Object.values(counters));
    const terminal = o.foreground && config.process.terminal && o.consoleSocket === undefined ? Foreground.terminal() : null;
    const { stdio, close } = streams(spec, o, terminal, listen);
    closing.push(...close);
    if (terminal !== null) config.process.consoleSize ??= terminal.size();
    const crash = openSync(crashLog(container, globals), 'a', 0o600);
    const exit = openSync(container.file('exit'), constants.O_WRONLY | constants.O_CREAT, 0o600);
    const logs = openLogs(globals, id, pod === null ? 'boot' : 'gofer', -1);
    writeWarnings(logs.log, notes);
    closing.push(crash, exit);
    const request: ContainerRequest = {
      container: config,
      attach,
      prune: [],
      logFd: logs.log,
      jitless: globals.jitless === true,
      crashFd: crash,
      exitFd: exit,
      lifeline: o.foreground,
      tty: terminal === null ? null : { fd: terminal.fd, state: terminal.savedHex },
      ...spacesOf(spec),
      hooks: hasEarlyHooks(spec),
      ctty: o.consoleSocket === undefined ? -1 : stdio.consoleIn,
      cgroups: joinFiles(state.cgroups),
      oomScoreAdj: spec.process?.oomScoreAdj ?? null,
      guestOom: oomLead(config.limits),
    };
    let started: StartedContainer | undefined;
    if (engine !== null) {
      const listener = listenIn(container.folder, CONTROL_NAME);
      closing.push(listener);
      standin = startSandbox({
        ...request,
        id,
        stdio,
        counters,
        network: networkKind(globals.network),
        controlFd: listener,
        controlClients: [],
        straceFd: logs.strace,
        straceOnly: logs.only,
        debug: globals.debug === true,
        engine,
      });
      for (const fd of closing.splice(0)) host().close(fd);
    } else {
      started = startContainer(request);
      standin = started.standin;
      closing.push(started.goferFd, started.standinFd);
    }
    state.pid = await standin.born();
    leaveGroups?.();
    state.pidStart = processStart(standin.pid);
    container.write(state);
    if (!o.foreground) standin.recorded();
    if (hasEarlyHooks(spec)) await earlyHooks(spec, container, state, standin);
    if (pod !== null && started !== undefined) {
      await standin.inPlace();
      await enterPod(pod, started, config, stdio, request.cgroups, counters);
      for (const fd of closing.splice(0)) host().close(fd);
    } else if (!(await standin.ready)) throw await bootFailure(standin, crashLog(container, globals), state);
    await standin.inRoot();
    state.status = 'created';
    container.write(state);
    if (o.pidFile !== undefined) writeWhole(resolve(o.pidFile), String(standin.pid), 0o644);
    return { state, container, spec, standin, terminal };
  } catch (e) {
    for (const fd of closing) host().close(fd);
    if (standin !== undefined) await end(container, id, standin);
    const starved = pod !== null && oomKills(state.cgroups) > 0;
    await removeCgroup(state.cgroups).catch(() => undefined); // the first failure is the one to tell
    container.remove();
    throw starved ? tooSmall('container') : e;
  }
}

/** Hooks that run while the container's namespaces are there and its root is not yet that of its stand-in. */
async function earlyHooks(spec: Spec, container: ContainerState, state: State, standin: Standin): Promise<void> {
  await standin.inPlace();
  try {
    await runHooks(spec, 'prestart', container.oci(state));
    await runHooks(spec, 'createRuntime', container.oci(state));
    await runHooks(spec, 'createContainer', container.oci(state), { pid: state.pid, start: state.pidStart });
  } catch (e) {
    await end(container, state.id, standin);
    await runHooksWarning(spec, 'poststop', container.oci(state));
    throw e;
  }
  standin.enter();
}

/** Where the sandbox's own standard error goes. */
function crashLog(container: ContainerState, globals: GlobalOptions): string {
  if (globals.panicLog === undefined || globals.panicLog === '') return container.file('crash.log');
  const id = container.folder.slice(container.folder.lastIndexOf('/') + 1);
  const path = resolve(namedPath(globals.panicLog, id, 'panic'));
  return globals.panicLog.endsWith('/') ? `${path}/ringfence.${id}.panic.log` : path;
}

function tooSmall(what: string): CliError {
  return new CliError(`the memory limit is too small: the ${what} ran out of memory while it started (OOM-killed)`, EXIT_OWN);
}

/** The error of a sandbox that did not come up, with the last line that it said. */
async function bootFailure(standin: Standin, crash: string, state: State): Promise<CliError> {
  const code = await standin.exit;
  if (oomKills(state.cgroups) > 0) return tooSmall('sandbox');
  if (standin.problem() !== '') return startFailure(standin);
  const lines = readFileSync(crash, 'utf8').trim().split('\n');
  const said = lines.find((l) => l.startsWith('Error: '));
  if (said !== undefined) return new CliError(`cannot make the container: ${said.slice('Error: '.length)}`, EXIT_OWN);
  const cause = lines.find((l) => /^\w*Error\b/.test(l)) ?? lines[0] ?? '';
  return new CliError(`the sandbox ended before it was ready (status ${code})${cause === '' ? '' : `: ${cause}`}`, EXIT_OWN);
}

/** Kills the stand-in of a container that runs, and with it everything else. */
function killStandin(c: ContainerState, state: State): void {
  if (c.alive(state)) host().kill(state.pid, SIGKILL);
}

/** Ends a sandbox that this process has just made: politely, so that its stand-in can reap it, then by force. */
async function end(c: ContainerState, id: string, standin: Standin): Promise<void> {
  if (processStart(standin.pid) !== 0) {
    try {
      await within(ANSWER_MS, ask(c, { method: 'destroy', id }));
      await within(ANSWER_MS, standin.exit);
    } catch {}
  }
  standin.kill('SIGKILL');
  await standin.bury();
}

/** A connection to the Sentry of the container's sandbox. */
export function connect(c: ContainerState): Control {
  return connectIn(c.controlFolder, CONTROL_NAME);
}

/** One request on a connection of its own. */
export async function ask(c: ContainerState, request: ControlRequest): Promise<ControlResponse> {
  const control = connect(c);
  try {
    return await control.request(request);
  } finally {
    control.close();
  }
}

/** One request that must succeed. */
export async function demand(c: ContainerState, request: ControlRequest, what: string): Promise<Extract<ControlResponse, { ok: true }>> {
  const answer = await ask(c, request);
  if (!answer.ok) throw new CliError(`${what}: ${answer.error}`);
  return answer;
}

/** Runs the startContainer hooks: programs of the container, in the container, that are told its state on their standard input. */
export async function beforeStart(c: ContainerState, state: State, spec: Spec): Promise<void> {
  for (const hook of spec.hooks?.startContainer ?? []) {
    const fail = (why: string): never => {
      throw new CliError(`error running startContainer hook ${hook.path}: ${why}`);
    };
    const own = spec.process ?? { cwd: '/' };
    const { consoleSize: _size, ...rest } = own;
    const args = [hook.path, ...(hook.args ?? []).slice(1)];
    const config = convertProcess({ ...rest, args, env: hook.env ?? [], terminal: false }, 'config.json');
    const pipe = new Int32Array(2);
    check(host().pipe2(pipe, O_CLOEXEC), 'cannot create a pipe');
    const [input, feed] = pipe as unknown as [number, number];
    // In a pid namespace of its own it is told of the container as that namespace has it.
    const alone = spec.linux?.namespaces?.some((n) => n.type === 'pid' && (n.path ?? '') === '') === true;
    const text = Buffer.from(JSON.stringify(alone ? { ...c.oci(state), pid: 1 } : c.oci(state)));
    host().write(feed, text, 0, text.length);
    host().close(feed);
    const control = connect(c);
    const what = { process: config, streams: ['in' as const], console: false, extra: 0, standin: false };
    const answer = await control.request({ method: 'exec', id: state.id, ...what }, [input]);
    host().close(input);
    if (!answer.ok) return fail(answer.error);
    const pid = answer.pid ?? 0;
    const ms = hook.timeout === undefined ? FOREVER_MS : hook.timeout * 1000;
    const ended = await within(ms, control.request({ method: 'wait', id: state.id, pid }));
    control.abort();
    if (ended === undefined) {
      await ask(c, { method: 'signal', id: state.id, signal: SIGKILL, pid, all: false });
      fail(`it took longer than ${hook.timeout} s`);
    } else if (!ended.ok) fail(ended.error);
    else if (ended.status !== 0) fail(`wait status ${ended.status}`);
  }
}

export async function afterStart(c: ContainerState, state: State, spec: Spec): Promise<void> {
  state.status = 'running';
  c.write(state);
  await runHooksWarning(spec, 'poststart', c.oci(state));
}

async function within<T>(ms: number, p: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), ms);
  });
  try {
    return await Promise.race([p, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Sends a signal to the container's first process, or to all of them. A Sentry that does not answer a SIGKILL is killed with everything in it. */
export async function signalContainer(c: ContainerState, state: State, signal: number, all: boolean): Promise<void> {
  const status = c.statusOf(state);
  if (status === 'stopped') {
    if (all) return;
    throw new CliError('container not running');
  }
  if (signal === 0) return;
  try {
    const control = connect(c);
    const answer = await within(ANSWER_MS, control.request({ method: 'signal', id: state.id, signal, pid: 0, all }));
    control.abort();
    if (answer?.ok === true) {
      if (signal === SIGKILL) await waitForEnd(c, state, ANSWER_MS);
      if (signal !== SIGKILL || !c.alive(state)) return;
    } else if (answer !== undefined && signal !== SIGKILL) {
      throw new CliError(`cannot signal the container: ${answer.error}`);
    } else if (signal !== SIGKILL) {
      throw new CliError('the sandbox does not answer; `ringfence kill ID KILL` ends it');
    }
  } catch (e) {
    if (!(e instanceof SandboxGone)) throw e;
  }
  if (signal === SIGKILL) killStandin(c, state);
  else if (!c.alive(state) && !all) throw new CliError('container not running');
}

/** Waits until the stand-in is gone. False when it took too long. */
export async function waitForEnd(c: ContainerState, state: State, ms: number = END_MS): Promise<boolean> {
  const until = Date.now() + ms;
  let pause = 1;
  while (c.alive(state)) {
    if (Date.now() > until) return false;
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 50);
  }
  return true;
}

/** Kills what still runs and removes the state, hooks included. */
export async function destroyContainer(c: ContainerState, state: State | null): Promise<void> {
  let spec: Spec | undefined;
  try {
    spec = c.spec();
  } catch {
    spec = undefined; // a create that was cut off
  }
  if (state !== null) {
    if (c.alive(state)) {
      try {
        await within(ANSWER_MS, ask(c, { method: 'destroy', id: state.id }));
        await waitForEnd(c, state, ANSWER_MS);
      } catch {}
      if (c.alive(state)) killStandin(c, state);
      if (!(await waitForEnd(c, state))) throw new CliError(`the container's process ${state.pid} does not end`);
    } else if (state.sandbox !== undefined) {
      // The Sentry, if it lives, keeps how the container ended until it is told that nobody will ask.
      await within(ANSWER_MS, ask(c, { method: 'destroy', id: state.id })).catch(() => undefined);
    }
  }
  try {
    await removeCgroup(state?.cgroups);
  } finally {
    if (state !== null && spec !== undefined) await runHooksWarning(spec, 'poststop', c.oci(state));
    c.remove();
  }
}
