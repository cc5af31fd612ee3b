// Hooks of config.json: programs of the host that are told the container's state on their standard input.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from '../src/abi/socket.ts';
import { CliError } from './errors.ts';
import { check, distFile, host } from './host.ts';
import { planMessage } from './launch.ts';
import { complain } from './output.ts';
import type { Hook, HookPoint, Spec } from './spec/types.ts';
import type { OciState } from './state.ts';

const STDERR_SHOWN = 2000;
/** How long the last words of a hook that has failed may take. */
const LAST_WORDS_MS = 1000;

/** The stand-in whose namespaces a hook runs in, and its start time in clock ticks. */
export interface HookPlace {
  pid: number;
  start: number;
}

/** Starts a hook here, in a process group of its own. Its environment is exactly what the configuration says. */
function spawnHere(hook: Hook, state: OciState): ChildProcess {
  const args = hook.args ?? [hook.path];
  return spawn(hook.path, args.slice(1), {
    argv0: args[0] ?? hook.path,
    cwd: state.bundle,
    env: Object.fromEntries((hook.env ?? []).map((e) => [e.split('=', 1)[0] as string, e.slice(e.indexOf('=') + 1)])),
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true,
  });
}

/** Starts a hook in the namespaces of a stand-in (native/launch/hook.c). */
function spawnInside(hook: Hook, state: OciState, place: HookPlace): ChildProcess {
  const pair = new Int32Array(2);
  check(host().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 'cannot create a pair of sockets');
  const [ours, theirs] = pair as unknown as [number, number];
  const plan = [
    'mode',
    'hook',
    'passed',
    '4',
    'join',
    String(place.pid),
    String(place.start),
    'hook-cwd',
    state.bundle,
    'hook-arg',
    hook.path,
  ];
  for (const a of hook.args ?? [hook.path]) plan.push('hook-arg', a);
  for (const e of hook.env ?? []) plan.push('hook-env', e);
  const message = planMessage(plan);
  try {
    const none = new Int32Array(0);
    for (let at = 0; at < message.length; ) {
      at += check(host().sendmsg(ours, message, at, message.length - at, none, 0, 0), `cannot tell the launcher of the hook ${hook.path}`);
    }
    return spawn(distFile('native/launch'), [], { env: {}, stdio: ['pipe', 'ignore', 'pipe', theirs], detached: true });
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** Runs one hook to its end. */
function runHook(hook: Hook, point: HookPoint, state: OciState, place?: HookPlace): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new CliError(`error running ${point} hook ${hook.path}: ${why}`));
    const child = place === undefined ? spawnHere(hook, state) : spawnInside(hook, state, place);
    let said = '';
    let late = false;
    const timer =
      hook.timeout === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            try {
              if (child.pid !== undefined && child.pid > 1) process.kill(-child.pid, 'SIGKILL');
            } catch {
              child.kill('SIGKILL');
            }
          }, hook.timeout * 1000);
    child.stderr?.on('data', (d: Buffer) => {
      if (said.length < STDERR_SHOWN) said += d.toString();
    });
    child.on('error', (e) => {
      clearTimeout(timer);
      fail(e.message);
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      // What it said is on its way; somebody whom it has left behind may keep the pipe open.
      let ended = false;
      const end = (): void => {
        if (ended) return;
        ended = true;
        clearTimeout(patience);
        child.stderr?.destroy();
        if (late) fail(`it took longer than ${hook.timeout} s`);
        else if (code !== 0)
          fail(`${signal === null ? `exit status ${code}` : `signal ${signal}`}${said === '' ? '' : `, stderr: ${said.trim()}`}`);
        else resolve();
      };
      const patience = setTimeout(end, LAST_WORDS_MS);
      child.stderr?.on('end', end);
      if (code === 0 || child.stderr?.readableEnded !== false) end();
    });
    child.stdin?.on('error', () => undefined); // a hook need not read
    child.stdin?.end(JSON.stringify(state));
  });
}

/** The pid that a process has in its own pid namespace. */
function innerPid(pid: number): number {
  const m = /^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return m === null ? pid : Number(m[1]);
}

/** Runs the hooks of one place in order; the first that fails ends it. With `place` they run in those namespaces, to which their state's pid belongs. */
export async function runHooks(spec: Spec, point: HookPoint, state: OciState, place?: HookPlace): Promise<void> {
  const hooks = spec.hooks?.[point] ?? [];
  if (hooks.length === 0) return;
  const told = place === undefined ? state : { ...state, pid: innerPid(place.pid) };
  for (const hook of hooks) await runHook(hook, point, told, place);
}

/** Are there hooks that run before the container's root is entered? */
export function hasEarlyHooks(spec: Spec): boolean {
  return (['prestart', 'createRuntime', 'createContainer'] as const).some((point) => (spec.hooks?.[point] ?? []).length > 0);
}

/** As runHooks, where a failure only deserves a warning (poststart, poststop). */
export async function runHooksWarning(spec: Spec, point: HookPoint, state: OciState): Promise<void> {
  for (const hook of spec.hooks?.[point] ?? []) {
    try {
      await runHook(hook, point, state);
    } catch (e) {
      complain(`warning: ${e instanceof Error ? e.message : String(e)}`);
    }
  }
}
