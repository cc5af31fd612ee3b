// The engines that trap system calls: which there are, whether they work on this host, and which one is taken. docs/platforms.md has the reasons.

import { accessSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { O_CLOEXEC } from '../src/abi/fcntl.ts';
import { POLLIN } from '../src/abi/poll.ts';
import { SIGKILL } from '../src/abi/signal.ts';
import { WNOHANG } from '../src/abi/wait.ts';
import type { PlatformName } from '../src/wire/boot.ts';
import { CliError, codeOf } from './errors.ts';
import { check, distFile, host } from './host.ts';

/** How long the self-test of an engine may sleep, ms: a call that hangs in the kernel does so for ever. */
const PATIENCE = 1000;
/** How often it is looked at meanwhile. */
const LOOK = 250;
/** And how long it may take if it is seen to run, or to wait for a processor. */
const LIMIT = 20_000;
const MAX_LINE = 300;

/** What an engine is made of and what it asks of a host. */
export interface EngineParts {
  readonly name: PlatformName;
  /** Its program below dist/native, which the launcher starts. */
  readonly program: string;
  /** The device that this program gets; '': none. */
  readonly device: string;
  /** What is known to be in its way without trying; null: nothing. */
  readonly obstacle: (device: string) => string | null;
  /** Its program tries by itself when it is told `--check`: what it prints is in its way. */
  readonly selfTest: boolean;
}

/** A small file's text, '' if it cannot be read. */
function text(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function noTraps(): string | null {
  if (text('/proc/sys/kernel/seccomp/actions_avail').split(' ').includes('trap')) return null;
  return 'the kernel cannot trap system calls (CONFIG_SECCOMP_FILTER)';
}

/** Nobody in a sandbox has a capability: a scope that asks for one closes ptrace(2) (Documentation/admin-guide/LSM/Yama.rst). */
function noTracing(): string | null {
  const scope = Number(text('/proc/sys/kernel/yama/ptrace_scope') || '0');
  if (scope === 3) return 'ptrace is forbidden by yama: sysctl -w kernel.yama.ptrace_scope=1 (after a restart)';
  return scope === 2 ? 'ptrace is for administrators only: sysctl -w kernel.yama.ptrace_scope=1' : null;
}

function noDevice(device: string): string | null {
  if (!existsSync(device)) return `${device} is not there: modprobe kvm_intel or kvm_amd, or switch on nested virtualisation`;
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return null;
  } catch (e) {
    return `${device} cannot be opened (${codeOf(e)}): join the group kvm`;
  }
}

/** All engines, in the order in which `auto` looks at them. */
export const ENGINES: readonly EngineParts[] = [
  { name: 'systrap', program: 'stub', device: '', obstacle: noTraps, selfTest: false },
  { name: 'ptrace', program: 'tracer', device: '', obstacle: noTracing, selfTest: true },
  { name: 'kvm', program: 'kvmstub', device: '/dev/kvm', obstacle: noDevice, selfTest: true },
];

/** What `auto` chooses from. A descriptor of /dev/kvm opens more of the host's kernel to guests: nobody gets that without asking for it. */
export const AUTOMATIC: readonly PlatformName[] = ['systrap', 'ptrace'];

/** --platform, checked. */
export function platformName(wish: string): PlatformName | 'auto' {
  if (wish === '' || wish === 'auto') return 'auto';
  const engine = ENGINES.find((e) => e.name === wish);
  if (engine === undefined) throw new CliError(`unknown platform "${wish}": there are ${ENGINES.map((e) => e.name).join(', ')} and auto`);
  return engine.name;
}

/** Why an engine cannot be used on this host, in one line; null if it can. */
export function whyNot(engine: EngineParts, device: string = engine.device): string | null {
  if (!existsSync(distFile(`native/${engine.program}`))) return `dist/native/${engine.program} was not built (npm run build)`;
  return engine.obstacle(device) ?? (engine.selfTest ? selfTest(engine, device) : null);
}

/** The engine that is wished for, or for `auto` the first that works here. Throws one line when there is none. */
export function chooseEngine(wish: PlatformName | 'auto', device: string, status: number): EngineParts {
  const reasons: string[] = [];
  for (const engine of ENGINES) {
    if (wish === 'auto' ? !AUTOMATIC.includes(engine.name) : engine.name !== wish) continue;
    const chosen = device === '' || engine.device === '' ? engine : { ...engine, device };
    const reason = whyNot(chosen);
    if (reason === null) return chosen;
    reasons.push(`${engine.name}: ${reason}`);
  }
  throw new CliError(wish === 'auto' ? `no platform works here; ${reasons.join('; ')}` : `--platform ${reasons[0]}`, status);
}

/** Has an engine's program try whether it can work here. */
function selfTest(engine: EngineParts, device: string): string | null {
  const ends = new Int32Array(2);
  check(host().pipe2(ends, O_CLOEXEC), 'cannot create a pipe');
  const [from, to] = ends as unknown as [number, number];
  const none = openSync('/dev/null', 'r');
  const words = [engine.program, '--check', ...(device === '' ? [] : [device])].map((w) => `${w}\0`).join('');
  const pid = host().spawn(distFile(`native/${engine.program}`), Buffer.from(words), Int32Array.of(none, to, to));
  host().close(to);
  host().close(none);
  if (pid < 0) {
    host().close(from);
    return `dist/native/${engine.program} cannot be started`;
  }
  const said = patientRead(from, pid);
  host().close(from);
  if (said === null) {
    host().kill(pid, SIGKILL);
    host().waitpid(pid, WNOHANG, new Int32Array(1)); // one that hangs in the kernel is not waited for
    return `its self-test hangs${device === '' ? '' : ` (${device})`}`;
  }
  const ended = new Int32Array(1);
  host().waitpid(pid, 0, ended);
  const line = said.trim().split('\n')[0]?.slice(0, MAX_LINE) ?? '';
  if (ended[0] === 0) return null;
  return line === '' ? `its self-test ended with wait status ${ended[0]}` : line;
}

/** What can be seen of a process's progress: '' while it or a child of its runs or waits for a processor, else how often they slept. */
function signOf(pid: number): string {
  const family = [pid, ...text(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number)].filter((p) => p > 0);
  const all = family.map((p) => text(`/proc/${p}/status`));
  if (all.some((s) => /^State:\s*R/m.test(s))) return '';
  return all.map((s) => /^voluntary_ctxt_switches:\s*(\d+)/m.exec(s)?.[1] ?? '').join(' ');
}

/** All that the process writes until it ends; null if it hangs. */
function patientRead(fd: number, pid: number): string | null {
  const part = Buffer.alloc(4096);
  let all = '';
  let last = '';
  for (let still = 0, waited = 0; still < PATIENCE && waited < LIMIT; waited += LOOK) {
    if (host().pollOne(fd, POLLIN, LOOK) > 0) {
      const n = host().read(fd, part, 0, part.length);
      if (n <= 0) return all;
      if (all.length < part.length) all += part.toString('latin1', 0, n);
      continue;
    }
    const sign = signOf(pid);
    still = sign !== '' && sign === last ? still + LOOK : 0;
    last = sign;
  }
  return null;
}
