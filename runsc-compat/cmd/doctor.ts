// ringfence doctor: what this host has of what a sandbox needs.

import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { availableParallelism, freemem, release, tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import { isTerminal } from '../console.ts';
import { type GlobalOptions, stateRoot } from '../context.ts';
import { distFile, host } from '../host.ts';
import { print } from '../output.ts';
import { AUTOMATIC, ENGINES, whyNot } from '../platforms.ts';
import { table } from '../table.ts';

type Verdict = 'ok' | 'note' | 'missing';

interface Finding {
  what: string;
  verdict: Verdict;
  detail: string;
}

const NODE_MAJOR = 20;
const KERNEL: [number, number] = [5, 12];
const CAP_SYS_ADMIN = 21;
const CAP_SYS_RESOURCE = 24;
const MIN_MEMORY = 256 * 2 ** 20;

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function ok(what: string, detail: string): Finding {
  return { what, verdict: 'ok', detail };
}

function finding(what: string, good: boolean, detail: string, otherwise: string, verdict: Verdict = 'missing'): Finding {
  return good ? ok(what, detail) : { what, verdict, detail: otherwise };
}

function kernel(): Finding {
  const [major, minor] = release()
    .split('.')
    .map((p) => Number.parseInt(p, 10)) as [number, number];
  const good = major > KERNEL[0] || (major === KERNEL[0] && minor >= KERNEL[1]);
  return finding('kernel', good, release(), `${release()}: Linux ${KERNEL.join('.')} or newer is needed`);
}

function hasCapability(n: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(text('/proc/self/status'))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(n)) & 1n) === 1n;
}

function userNamespaces(privileged: boolean): Finding {
  const what = 'user namespaces';
  if (!existsSync('/proc/self/ns/user')) return { what, verdict: 'missing', detail: 'the kernel has none (CONFIG_USER_NS)' };
  if (text('/proc/sys/user/max_user_namespaces') === '0') {
    return { what, verdict: 'missing', detail: 'switched off: sysctl -w user.max_user_namespaces=10000' };
  }
  if (privileged) return ok(what, 'available');
  if (text('/proc/sys/kernel/unprivileged_userns_clone') === '0') {
    return { what, verdict: 'missing', detail: 'for root only: sysctl -w kernel.unprivileged_userns_clone=1, or run as root' };
  }
  if (text('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return {
      what,
      verdict: 'missing',
      detail: 'restricted by AppArmor: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root',
    };
  }
  return ok(what, 'available to ordinary users');
}

function namespaces(): Finding {
  const lacking = ['mnt', 'pid', 'net', 'ipc', 'uts'].filter((n) => !existsSync(`/proc/self/ns/${n}`));
  return finding('other namespaces', lacking.length === 0, 'mount, pid, net, ipc, uts', `the kernel lacks: ${lacking.join(', ')}`);
}

/** The processes of a sandbox are confined by filters whatever traps its system calls. */
function seccomp(): Finding {
  const actions = text('/proc/sys/kernel/seccomp/actions_avail');
  return finding('seccomp filters', actions !== '', actions, 'the kernel has none (CONFIG_SECCOMP_FILTER)');
}

/** One line an engine: usable, or why not. Something is missing only when none is left that `auto` may take. */
function engines(device: string): Finding[] {
  const reasons = ENGINES.map((e) => whyNot(e, e.device === '' || device === '' ? e.device : device));
  const automatic = ENGINES.findIndex((e, i) => AUTOMATIC.includes(e.name) && reasons[i] === null);
  return ENGINES.map((e, i) => {
    const what = `platform ${e.name}`;
    const reason = reasons[i] ?? null;
    if (reason === null) return ok(what, i === automatic ? 'usable, taken by auto' : 'usable');
    return { what, verdict: automatic < 0 && AUTOMATIC.includes(e.name) ? 'missing' : 'note', detail: reason };
  });
}

function yama(): Finding {
  const scope = text('/proc/sys/kernel/yama/ptrace_scope') || '0';
  return finding(
    'memory of guests',
    scope !== '3',
    scope === '0' ? 'unrestricted' : `yama ptrace_scope is ${scope}`,
    'forbidden by yama: sysctl -w kernel.yama.ptrace_scope=1 (after a restart)',
  );
}

function installation(): Finding[] {
  const files = [
    'native/host.node',
    'native/platform.node',
    'native/stub',
    'native/launch',
    'sentry.cjs',
    'gofer.cjs',
    'ringfence.cjs',
    'validator.cjs',
    'pino.cjs',
  ];
  const lacking = files.filter((f) => !existsSync(distFile(f)));
  const found = [finding('installation', lacking.length === 0, dirname(distFile('.')), `not built: ${lacking.join(', ')} (npm run build)`)];
  try {
    host();
    found.push(ok('host addon', 'loads'));
  } catch (e) {
    found.push({ what: 'host addon', verdict: 'missing', detail: e instanceof Error ? e.message : String(e) });
  }
  return found;
}

function writable(what: string, path: string, otherwise: string): Finding {
  let at = path;
  while (at !== '/' && !existsSync(at)) at = dirname(at);
  try {
    accessSync(at, constants.W_OK);
    return ok(what, path);
  } catch {
    return { what, verdict: 'missing', detail: `${path} is not writable: ${otherwise}` };
  }
}

/** All checks, in the order of the table. */
export function examine(globals: GlobalOptions): Finding[] {
  const privileged = process.geteuid?.() === 0 && hasCapability(CAP_SYS_ADMIN);
  const node = Number.parseInt(process.versions.node, 10);
  const memory = freemem();
  const cpus = availableParallelism();
  return [
    finding('architecture', process.arch === 'x64', process.arch, `${process.arch}: x86-64 is needed`),
    kernel(),
    finding('/proc', existsSync('/proc/self/status'), 'mounted', 'not mounted: mount -t proc proc /proc'),
    finding(
      'node',
      node >= NODE_MAJOR,
      `${process.version} (${process.execPath})`,
      `${process.version}: Node ${NODE_MAJOR} or newer is needed`,
    ),
    ...installation(),
    userNamespaces(privileged),
    namespaces(),
    seccomp(),
    ...engines(globals.platform_device_path ?? ''),
    yama(),
    writable('state folder', stateRoot(globals), 'name another with --root'),
    writable('temporary folder', tmpdir(), 'set TMPDIR'),
    finding('privileges', privileged, 'root', 'ordinary user: files of others show as theirs, no devices', 'note'),
    finding(
      'resource limits',
      !privileged || hasCapability(CAP_SYS_RESOURCE),
      'can be raised',
      'cannot be raised (no CAP_SYS_RESOURCE): kept inside the sandbox',
      'note',
    ),
    finding('processors', cpus > 1, String(cpus), '1: works, but the Sentry and the guest take turns', 'note'),
    finding(
      'free memory',
      memory >= MIN_MEMORY,
      `${Math.round(memory / 2 ** 20)} MiB`,
      `${Math.round(memory / 2 ** 20)} MiB is little`,
      'note',
    ),
  ];
}

const COLOURS = { ok: 'green', note: 'yellow', missing: 'red' } as const;

/** Defines the command. */
export function defineDoctor(program: Command, globals: () => GlobalOptions): void {
  program
    .command('doctor')
    .summary('check this host')
    .description('Checks what this host has of what a sandbox needs. Exit status 1 when something is missing.')
    .addHelpText('after', '\nExample:\n  ringfence doctor')
    .action(() => {
      const found = examine(globals());
      const lines = table(found.map((f) => [f.verdict, f.what, f.detail]));
      const colour = isTerminal(1);
      print(colour ? lines.replace(/^(ok|note|missing)\b/gm, (v) => styleText(COLOURS[v as Verdict], v)) : lines);
      if (found.some((f) => f.verdict === 'missing')) process.exitCode = 1;
    });
}
