// What the processes of a sandbox are: identities, capabilities, namespaces, roots and descriptors, as the host's kernel sees them.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { childrenOf, ringfence } from './support.ts';

const NAMESPACES = ['user', 'pid', 'mnt', 'net', 'ipc', 'uts'];
// CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, MKNOD, SETFCAP
const FILE_CAPABILITIES = 0b11111n | (1n << 9n) | (1n << 27n) | (1n << 31n);

let child: ChildProcess;
let standin = 0;
let init = 0;
let sentry = 0;
let stub = 0;
let gofer = 0;

function status(pid: number, field: string): string {
  return new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}

function namespaceOf(pid: number | 'self', kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

/** Names below a process's root, dist and attach points left closed. */
function rootOf(pid: number): string[] {
  const root = `/proc/${pid}/root`;
  const walk = (dir: string): string[] =>
    readdirSync(root + dir, { withFileTypes: true }).flatMap((e) => {
      const path = `${dir}${e.name}`;
      return e.isDirectory() && path !== '/dist' && !/^\/attach\/\d+$/.test(path) ? [path, ...walk(`${path}/`)] : [path];
    });
  return walk('/').sort();
}

beforeAll(async () => {
  child = spawn(ringfence, ['do', '--', '/bin/sh', '-c', 'echo up; sleep 1000'], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { SECRET: 'x' },
  });
  await new Promise((done) => child.stdout?.once('data', done));
  standin = childrenOf(child.pid ?? 0).find((c) => c.args.startsWith('ringfence-launch'))?.pid ?? 0;
  for (const c of childrenOf(standin)) {
    if (c.args.includes('gofer.cjs')) gofer = c.pid;
    else init = c.pid;
  }
  for (const c of childrenOf(init)) {
    if (c.args.includes('sentry.cjs')) sentry = c.pid;
    else stub = c.pid;
  }
});
afterAll(() => {
  child.kill('SIGKILL');
});

describe('the processes of a sandbox run by root', () => {
  test('are all there', () => {
    expect([standin, init, sentry, stub, gofer].every((p) => p > 0)).toBe(true);
  });

  test('Sentry, stub and guests are an ordinary user without any capability', () => {
    const guests = childrenOf(stub).map((c) => c.pid);
    expect(guests.length).toBeGreaterThan(1);
    for (const pid of [init, sentry, stub, ...guests]) {
      expect(status(pid, 'Uid')).toBe('65534\t65534\t65534\t65534');
      expect(status(pid, 'Gid')).toBe('65534\t65534\t65534\t65534');
      expect(status(pid, 'Groups').trim()).toBe('');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(BigInt(`0x${status(pid, set)}`), set).toBe(0n);
      expect(status(pid, 'NoNewPrivs')).toBe('1');
    }
  });

  test('the Gofer has file capabilities only, the stand-in none', () => {
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(BigInt(`0x${status(gofer, set)}`) & ~FILE_CAPABILITIES).toBe(0n);
    expect(BigInt(`0x${status(standin, 'CapEff')}`)).toBe(0n);
    for (const pid of [gofer, standin]) expect(status(pid, 'NoNewPrivs')).toBe('1');
  });

  test('Sentry and Gofer have namespaces of their own', () => {
    for (const kind of NAMESPACES) {
      expect(namespaceOf(sentry, kind), kind).not.toBe(namespaceOf('self', kind));
      if (kind !== 'user') expect(namespaceOf(gofer, kind), kind).not.toBe(namespaceOf('self', kind));
      expect(namespaceOf(gofer, kind) === namespaceOf(sentry, kind), kind).toBe(false);
      expect(namespaceOf(stub, kind), kind).toBe(namespaceOf(sentry, kind));
    }
  });

  test("the Sentry's root holds node's own files and nothing can be written there", () => {
    const names = rootOf(sentry);
    expect(names.filter((n) => !/^\/(bin(\/node)?|dist|lib(64)?|lib\/[^/]*|usr(\/lib(64)?)?)$/.test(n))).toEqual([]);
    expect(names).toContain('/bin/node');
    const mounts = readFileSync(`/proc/${sentry}/mountinfo`, 'utf8').trim().split('\n');
    for (const m of mounts) expect(m.split(' ')[5], m).toMatch(/^ro,nosuid,nodev/);
    expect(mounts.length).toBeLessThan(20);
  });

  test("the Gofer's root holds the container's tree too, read-only for do, without the host's kernel file systems", () => {
    const names = rootOf(gofer).filter((n) => n.startsWith('/attach'));
    expect(names).toEqual(['/attach', '/attach/0']);
    expect(existsSync(`/proc/${gofer}/root/attach/0/etc/passwd`)).toBe(true);
    expect(readdirSync(`/proc/${gofer}/root/attach/0/proc`)).toEqual([]);
    const mounts = readFileSync(`/proc/${gofer}/mountinfo`, 'utf8').trim().split('\n');
    for (const m of mounts) expect(m.split(' ')[5], m).toMatch(/^ro,nosuid,nodev/);
  });

  test('nothing of the caller reaches them: environment, working folder, descriptors', () => {
    for (const pid of [sentry, gofer]) {
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toBe('');
      expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
    }
    const open = (pid: number): string[] => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    for (const pid of [sentry, gofer]) {
      const files = open(pid).filter((f) => f.startsWith('/') && !f.startsWith('/memfd:') && !['/dev/null', '/null'].includes(f)); // the host's, as seen from here
      expect(files.filter((f) => !f.startsWith('/attach/0') && !statSync(f, { throwIfNoEntry: false })?.isFile() && f !== '/')).toEqual([]);
    }
    for (const guest of [stub, ...childrenOf(stub).map((c) => c.pid)])
      expect(open(guest).filter((f) => f.startsWith('/') && !f.startsWith('/memfd:'))).toEqual([]);
  });

  test('end together when the command ends', async () => {
    const pids = [standin, init, sentry, stub, gofer];
    child.kill('SIGTERM');
    await new Promise((done) => child.on('exit', done));
    const end = Date.now() + 2000;
    const alive = (): number[] => pids.filter((p) => existsSync(`/proc/${p}`) && !['Z', 'X'].includes(status(p, 'State')[0] ?? 'X'));
    while (alive().length > 0 && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
    expect(alive()).toEqual([]);
    expect(readdirSync(tmpdir()).filter((n) => n.startsWith('ringfence-') && existsSync(join(tmpdir(), n, 'control')))).toEqual([]);
  });
});
