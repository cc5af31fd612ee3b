// The command line: versions, help, errors, and commands that need no sandbox.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rawState } from '../../runsc-compat/console.ts';
import { maskOf } from '../../runsc-compat/process.ts';
import { parseSignal } from '../../runsc-compat/signals.ts';
import { Bench } from './support.ts';

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.close());

describe('what is printed', () => {
  test('--version has two lines', () => {
    expect(bench.run(['--version']).stdout).toMatch(/^ringfence version \d+\.\d+\.\d+\nspec: 1\.2\.0\n$/);
  });

  test('every command has help with an example', () => {
    const names = [
      'do',
      'run',
      'create',
      'start',
      'state',
      'kill',
      'delete',
      'exec',
      'list',
      'ps',
      'debug',
      'pause',
      'resume',
      'wait',
      'spec',
      'features',
      'doctor',
      'compat',
      'completion',
    ];
    const all = bench.run(['--help']).stdout;
    for (const name of names) expect(all).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    for (const name of names) {
      const r = bench.run([name, '--help']);
      expect(r.status).toBe(0);
      expect(r.stdout).toMatch(/Examples?:\n {2}(ringfence|mkdir|source)/);
    }
  });

  test('features', () => {
    const f = JSON.parse(bench.run(['features']).stdout);
    expect(f.ociVersionMin).toBe('1.0.0');
    expect(f.ociVersionMax).toBe('1.2.0');
    expect(f.hooks).toHaveLength(6);
    expect(f.linux.capabilities).toContain('CAP_CHECKPOINT_RESTORE');
    expect(f.linux.capabilities[0]).toBe('CAP_CHOWN');
    expect(f.linux.capabilities).toHaveLength(41);
  });

  test('spec writes a file once', () => {
    const dir = join(bench.dir, 'spec');
    mkdirSync(dir);
    expect(bench.run(['spec', '--bundle', dir]).status).toBe(0);
    expect(JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')).process.args).toEqual(['sh']);
    const again = bench.run(['spec', '-b', dir]);
    expect(again.status).toBe(1);
    expect(again.stderr).toMatch(/config\.json exists\. Remove it first/);
  });

  test('doctor finds nothing missing here, in aligned columns without colour', () => {
    const r = bench.run(['doctor']);
    expect(r.stdout).not.toContain('\u001b');
    expect(r.stdout).not.toMatch(/^missing/m);
    expect(r.status).toBe(0);
    const columns = new Set(
      r.stdout
        .trimEnd()
        .split('\n')
        .map((l) => /^\S+\s+/.exec(l)?.[0].length),
    );
    expect(columns.size).toBe(1);
  });

  test('completion is a script that bash understands', () => {
    const script = bench.run(['completion', 'bash']).stdout;
    expect(script).toContain('complete -F _ringfence ringfence');
    expect(bench.run(['completion', 'fish']).status).toBe(1);
    const completed = (...words: string[]): string =>
      spawnSync(
        'bash',
        ['-c', `${script}\nCOMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _ringfence; echo "\${COMPREPLY[*]}"`, 'bash', 'ringfence', ...words],
        {
          encoding: 'utf8',
        },
      ).stdout.trim();
    expect(completed('--platform', '')).toBe('systrap ptrace kvm auto');
    expect(completed('--platform', 'p')).toBe('ptrace');
    expect(completed('--platf')).toContain('--platform');
    expect(completed('--platform', 'kvm', 'doc')).toBe('doctor');
    expect(completed('--log-format', 'json-')).toBe('json-k8s');
  });
});

describe('errors', () => {
  test('options of the engine', () => {
    const option = bench.run(['--platform-option', 'patch=maybe', 'do', '--', 'true']);
    expect(option).toEqual({
      status: 125,
      stdout: '',
      stderr: 'ringfence: unknown platform option "patch=maybe": there is patch=on and patch=off\n',
    });
    const mode = bench.run(['--cpu-mode', 'eager', 'list']);
    expect(mode.status).toBe(1);
    expect(mode.stderr).toContain('latency, balanced, density');
  });

  test('a container that does not exist', () => {
    for (const c of [
      ['state', 'x'],
      ['start', 'x'],
      ['kill', 'x'],
      ['delete', 'x'],
      ['exec', 'x', 'true'],
      ['ps', 'x'],
      ['debug', 'x'],
      ['pause', 'x'],
      ['wait', 'x'],
    ]) {
      const r = bench.run(c);
      expect(r.stderr, c[0]).toMatch(/^ringfence: container does not exist: x\n$/);
      expect(r.status, c[0]).toBe(c[0] === 'exec' ? 255 : 1);
    }
    expect(bench.run(['delete', '--force', 'x'])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('ids, signals, options and commands that are wrong', () => {
    expect(bench.run(['state', 'a/b']).stderr).toMatch(/invalid container ID format/);
    expect(bench.run(['create', '..']).status).toBe(1);
    expect(bench.run(['kill', 'x', 'NOSUCH']).stderr).toMatch(/unknown signal "NOSUCH"/);
    expect(bench.run(['--nonsense', 'list']).stderr).toMatch(/^ringfence: unknown option '--nonsense'/);
    expect(bench.run(['lst']).stderr).toMatch(/^ringfence: unknown command 'lst' \(Did you mean list\?\)\n$/);
    expect(bench.run(['do']).status).toBe(125);
    expect(bench.run(['list', '--format', 'xml']).stderr).toMatch(/invalid format option/);
  });

  test('flags of other runtimes and Go spellings are taken', () => {
    const r = bench.run(['list', '-q'], {
      global: ['--systemd-cgroup=true', '--debug=false', '--criu', '/x', '--cgroup-manager', 'disabled', '--rootless=true'],
    });
    expect(r).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('a state folder that was left half made can be listed and deleted', () => {
    mkdirSync(join(bench.states, 'half'), { recursive: true });
    expect(bench.run(['list', '-q']).stdout).toBe('');
    expect(bench.run(['state', 'half']).stderr).toMatch(/delete --force/);
    expect(bench.run(['delete', '--force', 'half']).status).toBe(0);
    expect(existsSync(join(bench.states, 'half'))).toBe(false);
  });

  test('a state folder that cannot be written', () => {
    const file = join(bench.dir, 'file');
    writeFileSync(file, '');
    chmodSync(file, 0o600);
    const r = bench.run(['create', '--bundle', bench.bundle(['true']), 'x'], { global: ['--root', join(file, 'sub')] });
    expect(r.status).toBe(1);
    expect(r.stderr).toMatch(/cannot create .*ENOTDIR/);
  });
});

describe('small parts', () => {
  test('signals by number and name', () => {
    expect(['9', 'KILL', 'SIGKILL', 'sigkill', 'RTMIN+1', 'SIGRTMAX', '0'].map(parseSignal)).toEqual([9, 9, 9, 9, 35, 64, 0]);
    for (const wrong of ['65', 'KILLX', '-1', '', 'RTMIN+99']) expect(() => parseSignal(wrong)).toThrow('unknown signal');
  });

  test('capability masks', () => {
    expect(maskOf(['CAP_CHOWN', 'sys_admin', 'CAP_BPF'])).toEqual([(1 | (1 << 21)) >>> 0, 1 << 7]);
  });

  test('raw terminal settings are those of cfmakeraw(3)', () => {
    const state = Buffer.alloc(36, 0xff);
    const raw = rawState(state);
    expect(raw.readUInt32LE(0)).toBe((0xffffffff & ~0o2753) >>> 0);
    expect(raw.readUInt32LE(4)).toBe((0xffffffff & ~1) >>> 0);
    expect(raw.readUInt32LE(8)).toBe((0xffffffff & ~0o400) >>> 0);
    expect(raw.readUInt32LE(12)).toBe((0xffffffff & ~0o100113) >>> 0);
    expect([raw[17 + 5], raw[17 + 6]]).toEqual([0, 1]);
  });
});
