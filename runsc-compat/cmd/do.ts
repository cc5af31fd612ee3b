// ringfence do: a command on the host's own file tree, which stays as it is.

import { realpathSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { hostPath } from '../../src/host/paths.ts';
import type { ContainerConfig, MountConfig } from '../../src/wire/boot.ts';
import { engineOptions, type GlobalOptions, networkKind, openLogs } from '../context.ts';
import { privateConnections } from '../control.ts';
import { donated, listenCount, withListenFds } from '../donated.ts';
import { CliError, codeOf, EXIT_OWN } from '../errors.ts';
import { Foreground } from '../foreground.ts';
import { callerEnvironment, check, host, lastArguments } from '../host.ts';
import { type AttachSource, startSandbox } from '../launch.ts';
import { capabilitiesFor, ownRlimits, parseUser } from '../process.ts';

export interface DoOptions {
  root: string;
  cwd?: string;
  env: string[];
  user?: string;
  volume: string[];
  network?: string;
}

/** The command's pid in its sandbox: 1 is nobody's. */
const FIRST_PID = 2;
const EXAMPLES = `
Examples:
  ringfence do -- uname -a
  ringfence do --network none --env LANG=C -- bash
  ringfence do --root /srv/rootfs --user 1000:1000 --volume /data:/data:ro -- /bin/sh -c 'ls /data'

The command sees the host's files (or those below --root); what it writes is kept in memory and forgotten at its end. Only a --volume
without :ro is written through. Standard streams, terminal, signals and the exit status are those of the command itself.`;

const list = (value: string, all: string[]): string[] => [...all, value];

/** Defines the command. */
export function defineDo(program: Command, globals: () => GlobalOptions): void {
  const command = program
    .command('do')
    .summary("run a command in a sandbox on the host's file tree")
    .description("Runs a command in a sandbox on the host's file tree, read-only below an overlay in memory.");
  doOptions(command)
    .addHelpText('after', EXAMPLES)
    .passThroughOptions()
    .action(async (words: string[], options: DoOptions) => {
      process.exitCode = await runDo(words, options, globals());
    });
}

/** Gives a command the arguments and options of `do`. */
export function doOptions(command: Command): Command {
  return command
    .argument('<command...>', 'the command and its arguments')
    .option('--root <dir>', 'the tree that the command sees as /', '/')
    .option('--cwd <dir>', 'working folder in the sandbox (default: the current one)')
    .option('-e, --env <K=V>', "sets a variable on top of the caller's environment; repeatable", list, [])
    .option('-u, --user <uid:gid>', 'user and group in the sandbox (default: the current ones)')
    .option('-v, --volume <src:dst[:ro]>', 'shows a folder or file of the host at another place, written through; repeatable', list, [])
    .option('--network <kind>', 'none or sandbox: a loopback of its own; host is refused');
}

/** Runs a command to its end; its exit status. `countsFd`: see SandboxRequest. */
export async function runDo(words: string[], options: DoOptions, globals: GlobalOptions, countsFd?: number): Promise<number> {
  const chance = Buffer.alloc(3);
  check(host().getrandom(chance), 'no random numbers');
  const id = `do-${process.pid}-${chance.toString('hex')}`;
  const attach: AttachSource[] = [{ source: treeOf(options.root, '--root'), readonly: true, recursive: true }];
  const container = containerOf(id, lastArguments(words.length), options, attach);
  const terminal = Foreground.terminal();
  container.process.terminal = terminal !== null;
  container.process.consoleSize = terminal?.size() ?? null;
  const { ends, clients } = privateConnections(terminal === null ? 1 : 2);
  const logs = openLogs(globals, id, 'do', 2);
  const foreground = new Foreground(id, clients, terminal);
  const standin = startSandbox({
    id,
    container,
    attach,
    prune: ['/attach/0/proc', '/attach/0/sys', '/attach/0/dev'],
    stdio: { ...foreground.stdio(), extra: donated(listenCount(), 0) },
    network: networkKind(options.network ?? globals.network, EXIT_OWN),
    controlFd: -1,
    controlClients: ends,
    logFd: logs.log,
    straceFd: logs.strace,
    straceOnly: logs.only,
    debug: globals.debug === true,
    jitless: globals.jitless === true,
    engine: engineOptions(globals, EXIT_OWN),
    crashFd: 2,
    exitFd: -1,
    lifeline: true,
    tty: foreground.ttyToRestore(),
    ctty: -1,
    namespaces: [],
    uidMappings: [],
    gidMappings: [],
    cgroups: [],
    counters: {},
    ...(countsFd === undefined ? {} : { countsFd }),
    oomScoreAdj: null,
    guestOom: 0,
  });
  for (const fd of ends) host().close(fd);
  if (countsFd !== undefined) host().close(countsFd);
  return await foreground.run(standin, container.process.args[0] ?? '');
}

function treeOf(path: string, option: string): string {
  try {
    const real = realpathSync(path);
    if (!statSync(real).isDirectory()) throw new CliError(`${option} ${path} is not a folder`, EXIT_OWN);
    return real;
  } catch (e) {
    if (e instanceof CliError) throw e;
    throw new CliError(`${option} ${path}: ${codeOf(e)}`, EXIT_OWN);
  }
}

function mount(destination: string, type: MountConfig['type'], source: string, options: string[] = []): MountConfig {
  return {
    destination,
    type,
    source,
    attach: -1,
    readonly: false,
    nosuid: true,
    nodev: type !== 'devtmpfs' && type !== 'devpts',
    noexec: type !== 'tmpfs',
    options,
  };
}

function containerOf(id: string, args: string[], options: DoOptions, attach: AttachSource[]): ContainerConfig {
  const mounts: MountConfig[] = [
    mount('/proc', 'proc', 'proc'),
    mount('/sys', 'sysfs', 'sysfs'),
    mount('/dev', 'devtmpfs', 'devtmpfs', ['mode=755']),
    mount('/dev/pts', 'devpts', 'devpts', ['gid=5', 'mode=620', 'ptmxmode=666']),
    mount('/dev/shm', 'tmpfs', 'tmpfs', ['mode=1777']),
    mount('/dev/mqueue', 'mqueue', 'mqueue'),
  ];
  for (const v of options.volume) mounts.push(volumeOf(v, attach));
  const user = options.user === undefined ? undefined : parseUser(options.user);
  const uid = user?.uid ?? process.geteuid?.() ?? 0;
  const gid = user === undefined ? (process.getegid?.() ?? 0) : (user.gid ?? user.uid);
  return {
    id,
    hostname: hostPath(hostname()),
    domainname: '',
    rootReadonly: false,
    overlay: true,
    mounts,
    maskedPaths: [],
    readonlyPaths: [],
    sysctl: {},
    devices: [],
    annotations: {},
    jobControl: true,
    process: {
      args,
      env: withListenFds(environmentOf(options.env), listenCount(), FIRST_PID),
      cwd: hostPath(workingFolder(options)),
      uid,
      gid,
      additionalGids: user === undefined ? (process.getgroups?.() ?? []).filter((g) => g !== gid) : [],
      umask: process.umask(),
      capabilities: capabilitiesFor(uid),
      noNewPrivileges: false,
      rlimits: ownRlimits(),
      oomScoreAdj: 0,
      terminal: false,
      consoleSize: null,
    },
  };
}

function workingFolder(options: DoOptions): string {
  if (options.cwd !== undefined) return resolve('/', options.cwd);
  if (options.root !== '/') return '/';
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}

function environmentOf(extra: string[]): string[] {
  const env = [...callerEnvironment()];
  for (const e of extra) {
    const entry = hostPath(e);
    const equals = entry.indexOf('=');
    if (equals <= 0) throw new CliError(`--env takes NAME=VALUE, not "${e}"`, EXIT_OWN);
    const at = env.findIndex((x) => x.startsWith(entry.slice(0, equals + 1)));
    if (at >= 0) env[at] = entry;
    else env.push(entry);
  }
  return env;
}

function volumeOf(text: string, attach: AttachSource[]): MountConfig {
  const m = /^([^:]+):(\/[^:]*)(?::(ro|rw))?$/.exec(text);
  if (m === null) throw new CliError(`--volume takes SRC:DST or SRC:DST:ro with an absolute DST, not "${text}"`, EXIT_OWN);
  let source: string;
  try {
    source = realpathSync(m[1] as string);
  } catch (e) {
    throw new CliError(`--volume ${text}: ${codeOf(e)} for ${m[1]}`, EXIT_OWN);
  }
  const readonly = m[3] === 'ro';
  attach.push({ source, readonly, recursive: true });
  return {
    destination: hostPath(m[2] as string),
    type: 'bind',
    source: hostPath(source),
    attach: attach.length - 1,
    readonly,
    nosuid: false,
    nodev: true,
    noexec: false,
    options: ['rbind'],
  };
}
