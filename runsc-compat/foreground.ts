// A guest process in the foreground of this command: streams, terminal, signals, job control and the exit status.

import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { displayName } from '../src/host/paths.ts';
import type { ControlResponse } from '../src/wire/control.ts';
import { inForeground, isTerminal, rawState, reopened, setTerminalState, terminalState, type WindowSize, windowSize } from './console.ts';
import { answerErrno, type Control, SandboxGone } from './control.ts';
import { CliError, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN } from './errors.ts';
import type { HostStdio } from './launch.ts';
import { FORWARDED } from './signals.ts';
import type { Standin } from './standin.ts';
import { complain } from './output.ts';

/** How long an answer may take that was sent before the sandbox ended. */
const LATE_MS = 1000;

/** The host's terminal, saved once and put back in every case. */
export class HostTerminal {
  readonly fd: number;
  private readonly saved: Buffer;
  private raw = false;

  constructor(fd: number) {
    this.fd = fd;
    this.saved = terminalState(fd);
  }

  size(): WindowSize | null {
    return windowSize(this.fd);
  }

  get savedHex(): string {
    return this.saved.toString('hex');
  }

  makeRaw(): void {
    setTerminalState(this.fd, rawState(this.saved));
    this.raw = true;
  }

  restore(): void {
    if (this.raw) setTerminalState(this.fd, this.saved);
    this.raw = false;
  }
}

export class Foreground {
  private readonly id: string;
  private readonly pid: number;
  private readonly calls: Control;
  private readonly events: Control | undefined;
  private readonly terminal: HostTerminal | null;

  /** `pid`: the process in the sandbox, 0 for the container's first. `clients`: one connection, and with a terminal a second one for what happens while the first waits. */
  constructor(id: string, clients: Control[], terminal: HostTerminal | null, pid: number = 0) {
    this.id = id;
    this.pid = pid;
    this.calls = clients[0] as Control;
    this.events = clients[1];
    this.terminal = terminal;
  }

  /** The terminal to make raw: standard input and output are one, and we are in its foreground. Else streams pass as they are. */
  static terminal(): HostTerminal | null {
    return isTerminal(0) && isTerminal(1) && inForeground() ? new HostTerminal(0) : null;
  }

  /** The streams for the container, opened anew where our flags would reach others. */
  stdio(): HostStdio {
    const raw = this.terminal !== null;
    const console = raw ? reopened(0, false) : -1;
    const stream = (fd: number): number => {
      if (raw && isTerminal(fd)) return -1;
      try {
        return reopened(fd, fd !== 0);
      } catch {
        return openSync('/dev/null', 'r+');
      }
    };
    return { fds: [stream(0), stream(1), stream(2)], consoleIn: console, consoleOut: console, extra: [] };
  }

  ttyToRestore(): { fd: number; state: string } | null {
    return this.terminal === null ? null : { fd: this.terminal.fd, state: this.terminal.savedHex };
  }

  /** Starts the root container of a new sandbox and stays until its end. */
  async run(standin: Standin, command: string): Promise<number> {
    this.begin(standin);
    let answer: ControlResponse | undefined;
    try {
      const start = this.calls.request({ method: 'start', id: this.id });
      // The answer about a command that has ended already may come to our notice after that end.
      const late = standin.exit.then(() =>
        Promise.race([start, new Promise<undefined>((done) => setTimeout(() => done(undefined), LATE_MS).unref())]),
      );
      answer = await Promise.race([start, late]);
    } catch (e) {
      if (!(e instanceof SandboxGone)) throw e;
    }
    if (answer !== undefined && !answer.ok) {
      this.end();
      await standin.abandon();
      throw commandError(answer, command);
    }
    return await this.stay(standin, answer !== undefined);
  }

  /** Signals, window size and terminal from now on. */
  begin(standin: Standin): void {
    for (const s of FORWARDED) process.on(s, () => standin.kill(s));
    process.on('exit', () => this.terminal?.restore());
    if (this.terminal !== null) {
      process.on('SIGWINCH', () => this.resize());
      this.terminal.makeRaw();
    } else {
      process.on('SIGTSTP', () => {
        standin.kill('SIGTSTP');
        process.kill(process.pid, 'SIGSTOP');
      });
      process.on('SIGCONT', () => standin.kill('SIGCONT'));
    }
  }

  /** Waits for the end; returns the exit status. */
  async stay(standin: Standin, started: boolean): Promise<number> {
    if (this.terminal !== null && started) this.followStops().catch(() => undefined);
    const code = await standin.exit;
    this.end();
    for (const w of standin.warnings) complain(w);
    if (standin.errors.length > 0) {
      complain(standin.problem());
      return EXIT_OWN;
    }
    if (!started) {
      complain('the sandbox ended before the command started');
      return EXIT_OWN;
    }
    return code;
  }

  /** Puts the terminal back and ends the connections. */
  end(): void {
    this.terminal?.restore();
    this.calls.abort();
    this.events?.abort();
  }

  private resize(): void {
    const size = this.terminal?.size();
    if (size === null || size === undefined) return;
    this.events?.request({ method: 'resize', id: this.id, pid: this.pid, rows: size.rows, cols: size.cols }).catch(() => undefined);
  }

  /** The guest's foreground was stopped from its terminal (Ctrl-Z): this command stops too, and both go on together. */
  private async followStops(): Promise<void> {
    for (;;) {
      const answer = await this.calls.request({ method: 'wait', id: this.id, pid: this.pid });
      if (!answer.ok || answer.stopped === undefined) return;
      this.terminal?.restore();
      process.kill(process.pid, 'SIGSTOP');
      this.terminal?.makeRaw();
      this.resize();
      await this.calls.request({ method: 'signal', id: this.id, signal: constants.signals.SIGCONT, pid: this.pid, all: true });
    }
  }
}

/** Why a command could not be started, with the status of a shell for it. */
export function commandError(answer: Extract<ControlResponse, { ok: false }>, command: string): CliError {
  const name = displayName(command);
  // Not the program: what was to be done before it could run.
  if (answer.error.startsWith('chdir')) return new CliError(`${answer.error}: ${errnoText(answerErrno(answer))}`, EXIT_NOT_FOUND);
  switch (answerErrno(answer)) {
    case 'ENOENT':
      return new CliError(
        `exec: "${name}": ${name.includes('/') ? 'no such file or directory' : 'executable file not found in $PATH'}`,
        EXIT_NOT_FOUND,
      );
    case 'EACCES':
      return new CliError(`exec: "${name}": permission denied`, EXIT_NOT_EXECUTABLE);
    case 'EPERM':
      return new CliError(`exec: "${name}": operation not permitted`, EXIT_NOT_EXECUTABLE);
    case '':
      return new CliError(`exec: "${name}": ${answer.error}`, EXIT_OWN);
    default:
      return new CliError(`exec: "${name}": ${answer.error}`, EXIT_NOT_EXECUTABLE);
  }
}

function errnoText(name: string): string {
  const texts: Record<string, string> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    ENOTDIR: 'not a directory',
    ELOOP: 'too many levels of symbolic links',
  };
  return texts[name] ?? name;
}
