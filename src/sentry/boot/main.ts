// The Sentry's first code: reads its configuration, puts the kernel together and runs the loop. Nothing returns to Node's event loop
// until the sandbox is over.

import { dirname, join } from 'node:path';
import { EPOLLIN } from '../../abi/epoll.ts';
import { PR_SET_DUMPABLE } from '../../abi/prctl.ts';
import { SOCK_CLOEXEC } from '../../abi/socket.ts';
import { installLatin1 } from '../../base/bytes.ts';
import { installClock, monotonicNs } from '../../base/clock.ts';
import { loadHost } from '../../host/host.ts';
import { Shrinker } from '../../host/idle.ts';
import { installFilter } from '../../host/seccomp.ts';
import type { PlatformAddon } from '../../platform/common/addon.ts';
import { CPU_MODES, type CpuMode } from '../../platform/common/engine.ts';
import { NATIVE_FUTEX, NATIVE_MADVISE } from '../../platform/platform.ts';
import type { BootConfig } from '../../wire/boot.ts';
import { Donated } from '../control/process.ts';
import { Sandbox, type SandboxParts } from '../control/sandbox.ts';
import { ControlServer } from '../control/server.ts';
import { installEvents } from '../fs/event/install.ts';
import { registerTtyDevices } from '../fs/tty/devices.ts';
import { Kernel } from '../kernel/kernel.ts';
import { installDeviceRules, Limits, quotaCpus } from '../kernel/limits.ts';
import { Loop } from '../kernel/run.ts';
import { installSignals } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import { Counter } from '../syscalls/counts.ts';
import { Strace } from '../syscalls/strace.ts';
import { handlers, names } from '../syscalls/table.ts';
import { installTimers } from '../syscalls/timers.ts';
import { donatedFiles } from './donated.ts';
import { makePlatform } from './engines.ts';
import { SENTRY_PROGRAMS } from './filter.gen.ts';
import { openLog } from './log.ts';
import { buildFiles, registerParts } from './mounts.ts';

const CONFIG_FD = 3;
/** Numbers without a name that the log tells of. */
const WILD_NUMBERS = 32;
const IGNORED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGPIPE', 'SIGUSR1', 'SIGUSR2', 'SIGTSTP'] as const;

function loadAddon(path: string): PlatformAddon {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  return module.exports as PlatformAddon;
}

function readAll(host: ReturnType<typeof loadHost>, fd: number): string {
  const parts: Buffer[] = [];
  for (;;) {
    const b = Buffer.allocUnsafe(65536);
    const n = host.read(fd, b, 0, b.length);
    if (n <= 0) break;
    parts.push(b.subarray(0, n));
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Writes to a pipe until all is there or nobody reads. */
function writeAll(fd: number, b: Uint8Array): void {
  for (let at = 0; at < b.length; ) {
    const n = host.write(fd, b, at, b.length - at);
    if (n <= 0) return;
    at += n;
  }
}

/** From here on this process can do no more than its filter says. */
function confine(host: ReturnType<typeof loadHost>, config: BootConfig): void {
  // No core file, and nobody of the same uid on the host reads or traces it.
  host.native.prctl(PR_SET_DUMPABLE, 0, 0);
  const jit = !process.execArgv.includes('--jitless');
  const r = installFilter(host.native, Buffer.from(SENTRY_PROGRAMS[jit ? 'jit' : 'jitless'], 'base64'), config.debug);
  if (r < 0) throw new Error(`the host's kernel refuses the seccomp filter (errno ${-r})`);
}

const native = join(dirname(process.argv[1] ?? ''), 'native');
const host = loadHost(join(native, 'host.node'));

let booted = false;

/** The sandbox's first container cannot be made: says so while there is time. The end of its Gofer ends this process as well. */
function lastWords(e: unknown): never {
  const text = Buffer.from(`Error: ${e instanceof Error ? e.message : String(e)}\n`, 'latin1');
  host.write(2, text, 0, text.length);
  return host.native.exit(1) as never;
}

function boot(): number {
  installClock((id, out) => host.clock(id, out));
  installLatin1(Buffer.prototype.latin1Slice as never, Buffer.prototype.latin1Write as never);
  const config = JSON.parse(readAll(host, CONFIG_FD)) as BootConfig;
  host.close(CONFIG_FD);
  // Nobody but the stand-in and the control socket tells the Sentry what to do.
  for (const s of IGNORED_SIGNALS) process.on(s, () => {});

  const log = openLog(host, config.logFd, config.debug);
  const addon = loadAddon(join(native, 'platform.node'));
  const platform = makePlatform(config.platform, {
    addon,
    stubFd: config.stubFd,
    mode: CPU_MODES[config.cpuMode ?? 'balanced'] as CpuMode,
    patch: config.patch ?? true,
    // Looking for each other would only use up a quota.
    cpus: Math.min(addon.cpus(), config.container.limits === undefined ? Infinity : quotaCpus(config.container.limits)),
    native: config.straceFd < 0 && config.countsFd === undefined ? NATIVE_FUTEX | NATIVE_MADVISE : 0,
  });
  const kernel = new Kernel(host, platform, log);
  kernel.bootNs = monotonicNs();
  kernel.cpus = native === '' ? 1 : host.native.cpuCount();
  if (config.container.limits !== undefined) {
    kernel.limits.set(config.container.id, new Limits(kernel, config.container.id, config.container.limits, config.counters ?? {}));
  }
  host.random(kernel.bootId);
  installSignals(kernel);
  installDeviceRules(kernel);
  installEvents(kernel);
  installTimers(kernel);
  registerTtyDevices();
  registerParts(kernel);

  const shrinker = new Shrinker(host.native);
  const wait = (ms: number): number => {
    const limit = shrinker.limit(ms);
    const n = host.wait(limit === Infinity ? -1 : limit);
    shrinker.waited(limit, n !== 0);
    return n;
  };
  const loop = new Loop(kernel, { wait }, handlers);
  loop.nameOf = (nr) => names.get(nr) ?? String(nr);
  let wild = 0;
  kernel.unsupportedCall = (t: Task, nr: number): void => {
    const name = names.get(nr) ?? String(nr);
    if (kernel.unsupported.has(name)) return;
    // Linux has no call of this number: a few are told of, not as many as a guest thinks up.
    if (!names.has(nr) && ++wild > WILD_NUMBERS) return;
    kernel.unsupported.add(name);
    log.warn('unsupported system call', { call: name, program: t.name });
  };
  loop.unknown = kernel.unsupportedCall;
  if (config.straceFd >= 0) {
    const only = (config.straceOnly ?? []).length === 0 ? null : new Set(config.straceOnly);
    loop.tracer = new Strace((line) => {
      const b = Buffer.from(line, 'latin1');
      host.write(config.straceFd, b, 0, b.length);
    }, only);
  }
  const counter = config.countsFd === undefined ? null : new Counter();
  if (counter !== null) loop.tracer = counter;
  const parts: SandboxParts = {
    hostFile: donatedFiles(kernel, host),
    files: (c, goferFd, ns) => buildFiles(kernel, c, goferFd, ns, (e) => booted || lastWords(e)),
    pause: (id) => loop.pause(id),
    resume: (id) => loop.resume(id),
  };
  const sandbox = new Sandbox(kernel, parts, config.container, config.goferFd, new Donated(config.stdio), config.standinFd);
  host.watch(platform.doorbell, EPOLLIN, () => {});
  const utf8 = {
    decode: (b: Uint8Array) => Buffer.from(b.buffer, b.byteOffset, b.length).toString('utf8'),
    encode: (s: string) => Buffer.from(s, 'utf8'),
  };
  new ControlServer(kernel, sandbox, config.controlFd, config.controlClients, (fd) => host.native.accept(fd, SOCK_CLOEXEC), utf8);
  booted = true;
  confine(host, config);
  if (config.readyFd >= 0) {
    host.write(config.readyFd, new Uint8Array([1]), 0, 1);
    host.close(config.readyFd);
  }
  loop.run();
  if (counter !== null) writeAll(config.countsFd as number, Buffer.from(JSON.stringify(counter.total(kernel.unsupported))));
  sandbox.finish();
  platform.shutdown();
  return 0;
}

host.native.exit(boot());
