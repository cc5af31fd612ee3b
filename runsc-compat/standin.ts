// The stand-in of a container's process (native/launch/standin.c) as its parent has it: its socket, its words, its end.

import { read } from 'node:fs';
import { constants } from 'node:os';
import { CliError, EXIT_OWN } from './errors.ts';
import { distFile, errnoName, host } from './host.ts';

const MSG_NOSIGNAL = 0x4000;
const SHUT_RDWR = 2;
const WNOHANG = 1;
const WNOWAIT = 0x1000000;
/** What a Sentry says when it answers. */
const READY = '\x01';
const LAST_WORDS_MS = 200;
/** The longest that a timer can take. */
const FOREVER_MS = 2 ** 31 - 1;

/** A container's stand-in, and the launcher that makes it. */
export class Standin {
  /** Lines that tell what went wrong before the guest ran. */
  readonly errors: string[] = [];
  /** Lines that tell what went wrong later. */
  readonly warnings: string[] = [];
  /** Resolves with true when the Sentry answers, false when it never will. */
  readonly ready: Promise<boolean>;
  /** Resolves with the exit status as a shell has it. */
  readonly exit: Promise<number>;
  private readonly socket: number;
  /** Its end is for this process to collect; else whoever this process leaves it to is told of it, even if it ends before. */
  private readonly kept: boolean;
  /** Resolves at the end of the socket. */
  private readonly silent: Promise<void>;
  private readonly buffer = Buffer.allocUnsafe(4096);
  /** The stand-in's pid, a child of this process; 0 as long as the launcher has not made it. */
  private own = 0;
  /** The stand-in is in the namespaces that the plan names. */
  private placed = false;
  /** It has the container's root. */
  private rooted = false;
  private reaped = false;
  private pending = '';
  private early: NodeJS.Signals[] = [];
  private isReady: (ready: boolean) => void = () => {};
  private onLine: () => void = () => {};
  private stopWaiting: () => void = () => {};

  /**
   * `launcher`: a child of this process, or the negative errno of its start. `socket`: our end of the launcher's.
   * `kept`: this process stays until the stand-in's end.
   */
  constructor(launcher: number, socket: number, kept: boolean) {
    this.kept = kept;
    this.socket = socket;
    this.ready = new Promise((resolve) => {
      this.isReady = resolve;
    });
    this.silent = new Promise((resolve) => this.listen(resolve));
    if (launcher < 0) this.errors.push(`cannot start ${distFile('native/launch')}: ${errnoName(launcher)}`);
    this.exit = launcher < 0 ? Promise.resolve(EXIT_OWN) : this.end(launcher);
  }

  /** Its pid; -1 before it is born. */
  get pid(): number {
    return this.own > 0 ? this.own : -1;
  }

  /** read(2) on the thread pool, until the end. */
  private listen(done: () => void): void {
    read(this.socket, this.buffer, 0, this.buffer.length, null, (error, n) => {
      if (error !== null || n === 0) {
        this.isReady(false);
        host().close(this.socket);
        done();
        return;
      }
      this.heard(this.buffer.toString('utf8', 0, n));
      this.listen(done);
    });
  }

  private heard(text: string): void {
    this.pending += text;
    while (this.pending !== '') {
      if (this.pending.startsWith(READY)) {
        this.isReady(true);
        this.pending = this.pending.slice(READY.length);
        continue;
      }
      const end = this.pending.indexOf('\n');
      if (end < 0) return;
      this.understood(this.pending.charAt(0), this.pending.slice(1, end));
      this.pending = this.pending.slice(end + 1);
      this.onLine();
    }
  }

  private understood(kind: string, text: string): void {
    if (kind === 'C') this.isBorn(Number(text));
    else if (kind === 'P') this.placed = true;
    else if (kind === 'R') this.rooted = true;
    else (kind === 'W' ? this.warnings : this.errors).push(text);
  }

  private isBorn(pid: number): void {
    this.own = pid;
    for (const signal of this.early.splice(0)) this.kill(signal);
  }

  /** Waits for its end; what it said last is still on its way then. */
  private async end(launcher: number): Promise<number> {
    let status = await this.reap(launcher);
    if (status === 0) {
      await this.heardOf(() => this.own > 0);
      if (this.own > 0) {
        status = await this.reap(this.own, this.kept ? 0 : WNOWAIT);
        this.reaped = this.kept;
      }
    }
    const signal = status & 0x7f;
    // A stand-in ends by itself, with its container's status: a signal that ends it is somebody else's.
    if (signal !== 0) this.warnings.push(`the sandbox was killed (its stand-in, process ${this.own}, by ${signalName(signal)})`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((done) => {
      timer = setTimeout(done, LAST_WORDS_MS);
    });
    await Promise.race([this.silent, late]);
    clearTimeout(timer);
    return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
  }

  private reap(pid: number, options: number = 0): Promise<number> {
    const status = new Int32Array(1);
    return new Promise((resolve) => {
      // Nobody else may keep this process alive.
      const alive = setInterval(() => undefined, FOREVER_MS);
      const look = (): void => {
        if (host().waitpid(pid, WNOHANG | options, status) !== pid) return;
        this.stopWaiting();
        resolve(status[0] as number);
      };
      this.stopWaiting = () => {
        clearInterval(alive);
        process.removeListener('SIGCHLD', look);
      };
      process.on('SIGCHLD', look);
      look(); // it may have ended before we listened
    });
  }

  /** Waits until the launcher has said something, or will say nothing more. */
  private async heardOf(what: () => boolean): Promise<void> {
    if (what()) return;
    const before = this.onLine;
    const line = new Promise<void>((done) => {
      this.onLine = () => {
        before();
        if (what()) done();
      };
    });
    await Promise.race([line, this.silent]);
  }

  /** Sends words to the launcher. It is seen at the end of the socket when nobody reads them. */
  send(bytes: Uint8Array): void {
    const none = new Int32Array(0);
    for (let at = 0; at < bytes.length; ) {
      const n = host().sendmsg(this.socket, bytes, at, bytes.length - at, none, 0, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += n;
    }
  }

  /** A signal for it, as long as it is there. */
  kill(signal: NodeJS.Signals): void {
    if (this.own === 0) this.early.push(signal);
    else if (!this.reaped) host().kill(this.own, constants.signals[signal]);
  }

  /** Waits until there is a stand-in; its pid. */
  async born(): Promise<number> {
    await Promise.race([this.heardOf(() => this.own > 0), this.exit]);
    if (this.own === 0) throw startFailure(this);
    return this.own;
  }

  /** Waits until the stand-in is in its namespaces, or will never be. */
  async inPlace(): Promise<void> {
    await Promise.race([this.heardOf(() => this.placed), this.exit]);
    if (this.errors.length > 0 || !this.placed) throw startFailure(this);
  }

  /** Hooks have run: it may enter the container's root. */
  enter(): void {
    this.send(Buffer.from('G'));
  }

  /** Waits until the stand-in is in the container's root, or will never be. */
  async inRoot(): Promise<void> {
    await Promise.race([this.heardOf(() => this.rooted), this.exit]);
    if (this.errors.length > 0 || !this.rooted) throw startFailure(this);
  }

  /** What failed, for a message; '' when nothing is known. */
  problem(): string {
    return this.errors.join('; ');
  }

  /** Ends everything at once: the launcher sees the end of its socket and leaves nothing behind. Only with a lifeline. */
  async abandon(): Promise<void> {
    host().shutdown(this.socket, SHUT_RDWR);
    await this.exit;
  }

  /** The sandbox is on record: from now on it lives without this process. For one without a lifeline. */
  recorded(): void {
    this.send(Buffer.from('R'));
  }

  /** Collects a stand-in that nobody is to be told of: what it was made for has failed. */
  async bury(): Promise<void> {
    await this.exit;
    if (this.own > 0 && !this.reaped) host().waitpid(this.own, WNOHANG, new Int32Array(1));
    this.reaped = true;
  }

  /** Lets go of the launcher, so that this process can end before it. */
  release(): void {
    this.stopWaiting();
    host().shutdown(this.socket, SHUT_RDWR);
  }
}

function signalName(signal: number): string {
  for (const [name, value] of Object.entries(constants.signals)) if (value === signal) return name;
  return `signal ${signal}`;
}

/** The error of a sandbox that ended before it was ready. */
export function startFailure(standin: Standin): CliError {
  return new CliError(standin.problem() || 'the sandbox ended before it was ready', EXIT_OWN);
}
