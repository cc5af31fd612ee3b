// A command on a terminal of its own, as a person has it: typing, waiting for what appears, changing the size.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { buildTool } from '../../support/build.ts';

/** The terminal and its command (pty.c). */
export class Terminal {
  /** All that has appeared and was not yet waited for. */
  text = '';
  /** The command's status, when all of its output has come. */
  readonly exit: Promise<number>;
  private readonly child: ChildProcess;
  private ended = false;

  /** `before`: words before the terminal's own program. */
  constructor(before: string[], argv: string[], rows: number, cols: number, cwd: string, env: Record<string, string>) {
    const driver = buildTool(join(import.meta.dirname, 'pty.c'));
    const words = [...before, driver, String(rows), String(cols), ...argv];
    this.child = spawn(words[0] as string, words.slice(1), { cwd, env, stdio: ['pipe', 'pipe', 'inherit', 'pipe'], detached: true });
    this.child.stdout?.on('data', (data: Buffer) => (this.text += data.toString('latin1')));
    this.child.stdin?.on('error', () => undefined);
    this.exit = new Promise((done) => {
      this.child.on('close', (code) => {
        this.ended = true;
        done(code ?? -1);
      });
    });
  }

  /** Types; a newline is the enter key. */
  type(text: string): void {
    this.child.stdin?.write(text, 'latin1');
  }

  resize(rows: number, cols: number): void {
    (this.child.stdio[3] as Writable).write(`${rows} ${cols}\n`);
  }

  /** Waits for output that matches and takes it away; returns what came up to its end. */
  async expect(pattern: RegExp, ms: number = 30_000): Promise<string> {
    const end = Date.now() + ms;
    for (;;) {
      const m = pattern.exec(this.text);
      if (m !== null) {
        const upTo = this.text.slice(0, m.index + m[0].length);
        this.text = this.text.slice(upTo.length);
        return upTo;
      }
      if (this.ended || Date.now() > end)
        throw new Error(`${pattern} did not appear${this.ended ? ' before the end' : ''}; there is: ${JSON.stringify(this.text)}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  /** Ends the command by force, if it has not ended. */
  async close(): Promise<void> {
    try {
      if (!this.ended && this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // it has ended
    }
    await this.exit;
  }
}
