// Programs that need a terminal, in a sandbox that stands in a tmux window: vim, top, job control, line editing, resizing.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ringfence } from '../support/platform.ts';
import { plainEnvironment } from '../support/run.ts';

/** A detached tmux server of our own with one window, 80 by 24. */
class Terminal {
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
  }

  tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.socket, '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      env: { ...plainEnvironment, TERM: 'xterm' },
    });
  }

  start(command: string, cwd: string): void {
    this.tmux('new-session', '-d', '-x', '80', '-y', '24', '-c', cwd, command, ';', 'set', '-g', 'status', 'off');
  }

  /** Sends keys by tmux's names: `Enter`, `C-c`, or text. */
  keys(...keys: string[]): void {
    this.tmux('send-keys', ...keys);
  }

  screen(): string {
    return this.tmux('capture-pane', '-p').trimEnd();
  }

  /** Waits until the screen matches, at most 20 seconds. */
  async shows(pattern: RegExp): Promise<string> {
    const end = Date.now() + 20_000;
    for (;;) {
      const screen = this.screen();
      if (pattern.test(screen)) return screen;
      if (Date.now() > end) throw new Error(`the terminal never showed ${pattern}; it shows:\n${screen}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  stop(): void {
    try {
      this.tmux('kill-server');
    } catch {
      // it ended with its window
    }
  }
}

const places: [string, string][] = [
  ['host', ''],
  ['sandbox', `${ringfence} do -- `],
];

describe.each(places)('in a terminal on the %s', (_place, prefix) => {
  let directory = '';
  let terminal: Terminal;
  beforeEach(() => {
    directory = join(tmpdir(), `rf-terminal-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
    mkdirSync(directory);
    terminal = new Terminal(join(directory, 'tmux'));
  });
  afterEach(() => {
    terminal.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const shell = (): void => terminal.start(`sh -c '${prefix}env PS1="> " HISTFILE= bash --norc -i; echo ended $?; sleep 100'`, directory);

  test('vim edits and saves a file', { timeout: 60_000 }, async () => {
    shell();
    await terminal.shows(/^>$/m);
    terminal.keys('vim.tiny -u NONE f', 'Enter');
    await terminal.shows(/~\n~/);
    terminal.keys('i', 'first line', 'Enter', 'second line', 'Escape');
    await terminal.shows(/first line\nsecond line\n~/);
    terminal.keys('k', 'd', 'd', 'p', ':wq', 'Enter');
    await terminal.shows(/^>$/m);
    terminal.keys('clear; cat f; stty size', 'Enter');
    await terminal.shows(/^second line\nfirst line\n24 80\n>/m);
  });

  test('top shows processes and leaves on q', { timeout: 60_000 }, async () => {
    shell();
    await terminal.shows(/^>$/m);
    terminal.keys('top', 'Enter');
    await terminal.shows(/Tasks: +\d+ total[\s\S]*%Cpu\(s\)[\s\S]*MiB Mem[\s\S]*PID USER/);
    terminal.keys('q');
    await terminal.shows(/^>$/m);
    terminal.keys('echo after', 'Enter');
    await terminal.shows(/^after$/m);
  });

  test('job control: ^C, ^Z, fg, bg, jobs', { timeout: 60_000 }, async () => {
    shell();
    await terminal.shows(/^>$/m);
    terminal.keys("sh -c 'echo started; exec sleep 1000'", 'Enter');
    await terminal.shows(/^started$/m);
    terminal.keys('C-c');
    await terminal.shows(/\^C\n>$/);
    terminal.keys('echo status $?', 'Enter');
    await terminal.shows(/^status 130$/m);
    terminal.keys("sh -c 'echo again; exec sleep 2000'", 'Enter');
    await terminal.shows(/^again$/m);
    terminal.keys('C-z');
    await terminal.shows(/Stopped +sh -c/);
    terminal.keys('bg', 'Enter');
    await terminal.shows(/\[1\]\+ sh -c .* &/);
    terminal.keys('jobs', 'Enter');
    await terminal.shows(/Running +sh -c/);
    terminal.keys('fg', 'Enter');
    await terminal.shows(/fg\nsh -c .*\n?$/);
    terminal.keys('C-c');
    await terminal.shows(/\^C\n>$/);
    terminal.keys('echo go; cat > f', 'Enter');
    await terminal.shows(/^go$/m);
    terminal.keys('typed', 'Enter', 'C-d');
    await terminal.shows(/typed\n>$/);
    terminal.keys('wc -c f', 'Enter');
    await terminal.shows(/^6 f$/m);
  });

  test('line editing, resizing, exit status', { timeout: 60_000 }, async () => {
    shell();
    await terminal.shows(/^>$/m);
    terminal.keys('echo wrong', 'C-u', 'echo riht', 'Left', 'Left', 'g', 'Enter');
    await terminal.shows(/^right$/m);
    terminal.keys('stty size; tput cols', 'Enter');
    await terminal.shows(/^24 80\n80$/m);
    terminal.tmux('resize-window', '-x', '100', '-y', '30');
    terminal.keys('clear', 'Enter', 'stty size; tty', 'Enter');
    await terminal.shows(/^30 100\n\/dev\/pts\/\d+$/m);
    terminal.keys('exit 9', 'Enter');
    await terminal.shows(/^ended 9$/m);
  });

  test('raw mode is undone at the end', { timeout: 60_000 }, async () => {
    terminal.start(
      `sh -c '${prefix}sh -c "stty -a | head -1" > out; stty -a | grep -o " [-]*icanon\\| [-]*echo " | tr -d "\\n"; sleep 100'`,
      directory,
    );
    await terminal.shows(/icanon.*echo/);
    expect(terminal.screen()).not.toMatch(/-icanon|-echo/);
    expect(readFileSync(join(directory, 'out'), 'utf8')).toMatch(/^speed \d+ baud; rows 24; columns 80;/);
  });
});
