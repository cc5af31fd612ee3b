// ringfence exec: a further process in a running container.

import { closeSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET } from '../../src/abi/socket.ts';
import { hostPath } from '../../src/host/paths.ts';
import type { ProcessConfig } from '../../src/wire/boot.ts';
import { joinFiles } from '../cgroups/cgroup.ts';
import { openConsole, reopened, sendConsole } from '../console.ts';
import { type GlobalOptions, noteWarnings } from '../context.ts';
import { connect, containers } from '../container.ts';
import { donated } from '../donated.ts';
import { CliError } from '../errors.ts';
import { commandError, Foreground } from '../foreground.ts';
import { check, host, lastArguments } from '../host.ts';
import { startStandin } from '../launch.ts';
import { maskOf, parseUser } from '../process.ts';
import { confinedProcess } from '../spec/convert.ts';
import type { Process, Spec } from '../spec/types.ts';
import { loadProcess } from '../spec/validate.ts';
import { type ContainerState, processStart, writeWhole } from '../state.ts';
import { descriptorCount } from './create.ts';

/** Status of an exec that failed before its process ran, as runc has it. */
const EXIT_EXEC = 255;

interface ExecOptions {
  process?: string;
  tty?: boolean;
  cwd?: string;
  env: string[];
  user?: string;
  additionalGids: string[];
  cap: string[];
  /** --no-new-privs, as commander names what `no-` switches off. */
  newPrivs: boolean;
  detach?: boolean;
  pidFile?: string;
  internalPidFile?: string;
  consoleSocket?: string;
  preserveFds: number;
  apparmor?: string;
  processLabel?: string;
  ignorePaused?: boolean;
  cgroup?: string;
}

const list = (value: string, all: string[]): string[] => [...all, value];

/** Defines the command. */
export function defineExec(program: Command, globals: () => GlobalOptions): void {
  program
    .command('exec')
    .summary('run a further process in a container')
    .description(
      "Runs a further process in a container, with the environment, user and limits of the container's own one unless told otherwise.",
    )
    .argument('<id>', 'name of the container')
    .argument('[command...]', 'the command and its arguments')
    .option('-p, --process <file>', 'JSON of the process, as in config.json, in place of a command')
    .option('-t, --tty', 'gives it a terminal')
    .option('--cwd <dir>', 'working folder')
    .option('-e, --env <K=V>', 'sets a variable; repeatable', list, [])
    .option('-u, --user <uid[:gid]>', 'user and group')
    .option('-g, --additional-gids <gid>', 'a further group; repeatable', list, [])
    .option('-c, --cap <name>', 'a further capability; repeatable', list, [])
    .option('--no-new-privs', 'sets no_new_privs')
    .option('-d, --detach', 'do not wait for its end')
    .option('--pid-file <file>', 'where to write the pid that stands for the process')
    .option('--internal-pid-file <file>', 'where to write its pid in the container')
    .option('--console-socket <path>', 'unix socket that receives the master of the terminal')
    .option('--preserve-fds <n>', 'how many descriptors from 3 on the process gets', descriptorCount, 0)
    .option('--ignore-paused', 'also in a paused container: the process waits for resume')
    .option('--apparmor <profile>', 'left out where the host has AppArmor, else refused')
    .option('--process-label <label>', 'left out where the host has SELinux, else refused')
    .option('--cgroup <path>', 'group below those of the container that the stand-in joins: PATH, or CONTROLLER[,...]:PATH')
    .addHelpText(
      'after',
      '\nExamples:\n  ringfence exec web ls /\n  ringfence exec --tty --user 1000 web sh\n  ringfence exec --process process.json --detach --pid-file /run/x.pid web',
    )
    .passThroughOptions()
    .action(async (id: string, words: string[], o: ExecOptions) => {
      try {
        process.exitCode = await exec(id, words, o, globals());
      } catch (e) {
        if (e instanceof CliError && e.exitCode === 1) throw new CliError(e.message, EXIT_EXEC);
        throw e;
      }
    });
}

/** The process from --process, or the container's own one with what the options change. */
async function processOf(words: string[], o: ExecOptions, spec: Spec, note: (line: string) => void): Promise<ProcessConfig> {
  const linux = spec.linux ?? {};
  const labels = {
    ...(o.apparmor === undefined ? {} : { apparmorProfile: o.apparmor }),
    ...(o.processLabel === undefined ? {} : { selinuxLabel: o.processLabel }),
  };
  if (o.process !== undefined) {
    const config = confinedProcess({ ...(await loadProcess(resolve(o.process))), ...labels }, linux, o.process, note);
    if (o.tty === true) config.terminal = true;
    return config;
  }
  if (words.length === 0) throw new CliError('exec needs a command, or --process with one');
  const own: Process = spec.process ?? { cwd: '/' };
  const { consoleSize: _size, ...rest } = own;
  const config = confinedProcess({ ...rest, ...labels, args: words, terminal: o.tty ?? false }, linux, 'config.json', note);
  config.args = lastArguments(words.length);
  if (o.cwd !== undefined) config.cwd = hostPath(o.cwd);
  config.env = [...config.env, ...o.env.map(hostPath)];
  if (o.user !== undefined) {
    const { uid, gid } = parseUser(o.user);
    config.uid = uid;
    config.gid = gid ?? config.gid;
    config.additionalGids = [];
  }
  config.additionalGids = [...config.additionalGids, ...o.additionalGids.map(Number)];
  if (o.cap.length > 0) {
    const [lo, hi] = maskOf(o.cap);
    for (const set of ['bounding', 'effective', 'permitted'] as const) {
      const have = config.capabilities[set];
      config.capabilities[set] = [(have[0] | lo) >>> 0, (have[1] | hi) >>> 0];
    }
  }
  if (!o.newPrivs) config.noNewPrivileges = true;
  return config;
}

async function exec(id: string, words: string[], o: ExecOptions, globals: GlobalOptions): Promise<number> {
  const c = containers(globals).open(id);
  const state = c.load();
  const status = c.statusOf(state);
  if (status === 'stopped') throw new CliError('cannot exec in a stopped container');
  // It would wait for `resume`, and its caller with it.
  if (status === 'paused' && o.ignorePaused !== true)
    throw new CliError('cannot exec in a paused container (use --ignore-paused to override)');
  const notes: string[] = [];
  const config = await processOf(words, o, c.spec(), (line) => notes.push(line));
  noteWarnings(globals, id, 'exec', notes);
  const detach = o.detach === true;
  if (detach && config.terminal && o.consoleSocket === undefined) {
    throw new CliError('cannot allocate tty if ringfence will detach without setting console socket (--console-socket)');
  }
  const terminal = !detach && config.terminal && o.consoleSocket === undefined ? Foreground.terminal() : null;
  if (terminal !== null) config.consoleSize ??= terminal.size();

  const fds: number[] = [];
  const streams: ('in' | 'out' | 'err')[] = [];
  if (config.terminal && o.consoleSocket !== undefined) {
    const { master, slave } = openConsole(config.consoleSize);
    sendConsole(o.consoleSocket, master);
    closeSync(master);
    fds.push(slave, slave);
  } else if (config.terminal) {
    const input = reopened(0, false);
    fds.push(input, terminal === null ? reopened(1, true) : input);
  } else {
    for (const [fd, name] of [
      [0, 'in'],
      [1, 'out'],
      [2, 'err'],
    ] as const) {
      if (host().fcntl(fd, 1, 0) < 0) continue;
      streams.push(name);
      fds.push(reopened(fd, fd !== 0));
    }
  }
  fds.push(...donated(0, o.preserveFds));
  const pair = new Int32Array(2);
  check(host().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 'cannot create a socket pair');
  const [ours, theirs] = pair as unknown as [number, number];
  const tty = terminal === null ? null : { fd: terminal.fd, state: terminal.savedHex };
  const standin = startStandin({
    socket: ours,
    args: config.args,
    lifeline: !detach,
    tty,
    ctty: config.terminal && o.consoleSocket !== undefined ? (fds[0] as number) : -1,
    join: { pid: state.pid, start: state.pidStart },
    cgroups: joinFiles(state.cgroups, o.cgroup),
    oomScoreAdj: null,
  });
  host().close(ours);
  await standin.born();
  const control = connect(c);
  const request = { method: 'exec', id, process: config, streams, console: config.terminal, extra: o.preserveFds, standin: true } as const;
  const answer = await control.request(request, [...fds, theirs]);
  host().close(theirs);
  for (const fd of fds) if (fd > 2 + o.preserveFds) host().close(fd);
  if (!answer.ok) {
    standin.kill('SIGKILL');
    throw new CliError(commandError(answer, config.args[0] ?? '').message, EXIT_EXEC);
  }
  rememberExec(c, standin.pid);
  if (o.pidFile !== undefined) writeWhole(resolve(o.pidFile), String(standin.pid), 0o644);
  if (o.internalPidFile !== undefined) writeWhole(resolve(o.internalPidFile), String(answer.pid ?? 0), 0o644);
  if (detach) {
    standin.release();
    return 0;
  }
  const foreground = new Foreground(id, [control, ...(terminal === null ? [] : [connect(c)])], terminal, answer.pid ?? 0);
  foreground.begin(standin);
  return await foreground.stay(standin, true);
}

/** Notes the stand-in for `ps --format json`, and forgets those that are gone. */
function rememberExec(c: ContainerState, pid: number): void {
  for (const name of readdirSync(c.folder)) {
    const m = /^exec-(\d+)-(\d+)$/.exec(name);
    if (m !== null && processStart(Number(m[1])) !== Number(m[2])) rmSync(c.file(name), { force: true });
  }
  const start = processStart(pid);
  if (start !== 0) writeFileSync(c.file(`exec-${pid}-${start}`), '');
}
