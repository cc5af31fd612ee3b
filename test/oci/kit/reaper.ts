// The subreaper that commands of the OCI tests run under (reaper.c), and the files that their output goes to.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../../support/build.ts';
import type { Result } from '../support.ts';

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: string;
  /** Standard streams that the command does not have at all. */
  closed?: (0 | 1 | 2)[];
  /** Milliseconds. */
  timeout?: number;
}

/** The compiled reaper. */
function program(): string {
  const source = join(repository, 'test/oci/kit/reaper.c');
  const output = join(repository, 'dist/test/oci-reaper');
  if (existsSync(output) && statSync(output).mtimeMs > statSync(source).mtimeMs) return output;
  mkdirSync(join(repository, 'dist/test'), { recursive: true });
  const temporary = `${output}.${process.pid}`;
  const r = spawnSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', temporary, source], { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`gcc ${source}: ${r.error?.message ?? r.stderr}`);
  const moved = spawnSync('mv', ['-f', temporary, output], { encoding: 'utf8' });
  if (moved.status !== 0) throw new Error(moved.stderr);
  return output;
}

/** A status of wait(2) as a shell has it. */
function shellStatus(status: number): number {
  return (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
}

export class Reaper {
  private readonly child: ChildProcess;
  private readonly dir: string;
  private readonly waiting = new Map<string, (status: number) => void>();
  private readonly ended = new Map<number, number>();
  private readonly onEnd = new Map<number, (status: number) => void>();
  private serial = 0;
  private pending = '';

  /** `dir`: where the output of commands is kept until it is read. */
  constructor(dir: string) {
    this.dir = dir;
    this.child = spawn(program(), [], { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
    this.child.stdin?.on('error', () => undefined);
    this.child.stdout?.on('data', (d: Buffer) => this.heard(d.toString()));
  }

  /** The process that adopts what commands leave behind. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  private heard(text: string): void {
    const lines = (this.pending + text).split('\n');
    this.pending = lines.pop() as string;
    for (const line of lines) {
      const [kind, who, status] = line.split(' ') as [string, string, string];
      if (kind === 'd') {
        this.waiting.get(who)?.(shellStatus(Number(status)));
        this.waiting.delete(who);
      } else {
        this.ended.set(Number(who), shellStatus(Number(status)));
        this.onEnd.get(Number(who))?.(shellStatus(Number(status)));
      }
    }
  }

  /** Runs a command to its end, as a child of the reaper that dies with it. */
  async run(argv: string[], o: CommandOptions = {}): Promise<Result> {
    const token = String(this.serial++);
    const file = (name: string): string => join(this.dir, `${name}-${token}`);
    const names = ['in', 'out', 'err'].map(file);
    writeFileSync(names[0] as string, o.input ?? '');
    const streams = names.map((name, fd) =>
      (o.closed ?? []).includes(fd as 0) ? '-' : fd === 0 && o.input === undefined ? '/dev/null' : name,
    );
    const env = Object.entries(o.env ?? {}).map(([k, v]) => `${k}=${v}`);
    const words = [token, o.cwd ?? this.dir, ...streams, String(env.length), ...env, ...argv];
    const body = Buffer.from(words.map((w) => `${w}\0`).join(''));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(body.length);
    const status = await new Promise<number>((done, reject) => {
      const timer = setTimeout(() => reject(new Error(`${argv.join(' ')} takes too long`)), o.timeout ?? 60_000);
      this.waiting.set(token, (s) => {
        clearTimeout(timer);
        done(s);
      });
      this.child.stdin?.write(Buffer.concat([head, body]));
    });
    const read = (i: number): string => (existsSync(names[i] as string) ? readFileSync(names[i] as string, 'utf8') : '');
    return { status, stdout: read(1), stderr: read(2) };
  }

  /** What has been written so far by a command that left somebody behind: the output of the last command. */
  lastOutput(): string {
    const file = join(this.dir, `out-${this.serial - 1}`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** The exit status of a process that was reparented to the reaper, when it has one. */
  async exitOf(pid: number, ms = 30_000): Promise<number> {
    const known = this.ended.get(pid);
    if (known !== undefined) return known;
    return await new Promise((done, reject) => {
      const timer = setTimeout(() => reject(new Error(`process ${pid} does not end, or is no child of the reaper`)), ms);
      this.onEnd.set(pid, (s) => {
        clearTimeout(timer);
        done(s);
      });
    });
  }

  /** Kills what is left of the commands' descendants. */
  async close(): Promise<void> {
    const gone = new Promise((done) => this.child.on('exit', done));
    this.child.stdin?.end();
    await gone;
    for (let i = 0; i < this.serial; i++) for (const name of ['in', 'out', 'err']) rmSync(join(this.dir, `${name}-${i}`), { force: true });
  }
}
