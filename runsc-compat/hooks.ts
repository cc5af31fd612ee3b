// Hooks of config.json: programs of the host that are told the container's state on their standard input.

import { spawn } from 'node:child_process';
import { CliError } from './errors.ts';
import type { Hook, HookPoint, Spec } from './spec/types.ts';
import type { OciState } from './state.ts';
import { complain } from './output.ts';

const STDERR_SHOWN = 2000;

/** Runs one hook to its end. Its environment is exactly what the configuration says. */
function runHook(hook: Hook, point: HookPoint, state: OciState): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = hook.args ?? [hook.path];
    const fail = (why: string): void => reject(new CliError(`error running ${point} hook ${hook.path}: ${why}`));
    const child = spawn(hook.path, args.slice(1), {
      argv0: args[0] ?? hook.path,
      cwd: state.bundle,
      env: Object.fromEntries((hook.env ?? []).map((e) => [e.split('=', 1)[0] as string, e.slice(e.indexOf('=') + 1)])),
      stdio: ['pipe', 'ignore', 'pipe'],
      detached: true,
    });
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
      child.stderr?.destroy();
      if (late) fail(`it took longer than ${hook.timeout} s`);
      else if (code !== 0)
        fail(`${signal === null ? `exit status ${code}` : `signal ${signal}`}${said === '' ? '' : `, stderr: ${said.trim()}`}`);
      else resolve();
    });
    child.stdin?.on('error', () => undefined); // a hook need not read
    child.stdin?.end(JSON.stringify(state));
  });
}

/** Runs the hooks of one place in order; the first that fails ends it. */
export async function runHooks(spec: Spec, point: HookPoint, state: OciState): Promise<void> {
  for (const hook of spec.hooks?.[point] ?? []) await runHook(hook, point, state);
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
