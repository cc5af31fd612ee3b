// Compares every process of a running sandbox, started by root and by an ordinary user, with the written posture (posture.ts, SECURITY.md).

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import nodeFlags from '../../runsc-compat/nodeflags.json' with { type: 'json' };
import { repository } from '../support/build.ts';
import { ringfence, ringfenceIn, testPlatform } from '../support/platform.ts';
import {
  GOFER_FATAL,
  GOFER_REFUSED,
  INIT_FATAL,
  JITLESS_REFUSED,
  POSTURE,
  type Probe,
  SENTRY_FATAL,
  SENTRY_REFUSED,
  STANDIN_FATAL,
} from './posture.ts';
import { all, commandLine, lives, program, type Role, type Sandbox, settled, standinOf, status, until } from './support.ts';

const ORDINARY = 65533; // no account has it
/** An engine's device may be root's alone: then there are no sandboxes of ordinary users on it. */
const ordinaryMay = testPlatform !== 'kvm' || (statSync('/dev/kvm').mode & 0o6) === 0o6;
const SANDBOX_ID = 65534;
const CAPABILITY_SETS = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb', 'CapBnd'];
const KINDS = ['user', 'pid', 'mnt', 'net', 'ipc', 'uts'];

interface Running {
  child: ChildProcess;
  sandbox: Sandbox;
}

async function start(ringfence: string, uid: number, flags: string[] = []): Promise<Running> {
  const script = 'sleep 1000 & sleep 0.2; echo up; wait';
  const child = spawn(ringfence, [...flags, 'do', '--', '/bin/sh', '-c', script], {
    cwd: '/',
    env: { SECRET: 'x' },
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(uid === 0 ? {} : { uid, gid: uid }),
  });
  let text = '';
  child.stdout.on('data', (d: Buffer) => (text += d.toString()));
  if (!(await until(() => text.includes('up'), 20_000))) throw new Error(`the guest does not come up: ${text}`);
  // What the guest has ended, or is made ahead of time, may come and go for a moment.
  return { child, sandbox: await settled(standinOf(child.pid ?? 0)) };
}

function members(s: Sandbox): [Role, number][] {
  const one: [Role, number][] = (['standin', 'init', 'sentry', 'gofer', 'stub'] as const).map((role) => [role, s[role]]);
  return [...one, ...[...s.guests, ...s.copies].map((pid): [Role, number] => ['guest', pid])];
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

function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

function check(name: string, uid: number, running: () => Running): void {
  describe(`a sandbox of ${name}`, () => {
    const each = (f: (role: Role, pid: number) => void): void => {
      for (const [role, pid] of members(running().sandbox)) f(role, pid);
    };

    test('has the processes that are written, and no other', () => {
      const s = running().sandbox;
      expect(all(s).every((p) => p > 0 && lives(p))).toBe(true);
      expect(s.guests.length).toBe(2);
      // On ptrace what they are copies of is a process like them.
      expect(s.copies.length).toBeLessThanOrEqual(testPlatform === 'ptrace' ? 3 : 2);
      expect(commandLine(s.sentry)).toBe(['/bin/node', ...nodeFlags.sentry, '/dist/sentry.cjs'].join(' '));
      expect(commandLine(s.gofer)).toBe(['/bin/node', ...nodeFlags.gofer, '/dist/gofer.cjs'].join(' '));
    });

    test('identities', () => {
      each((role, pid) => {
        const id = POSTURE[role].uid === 'caller' || uid !== 0 ? uid : SANDBOX_ID;
        expect([role, status(pid, 'Uid'), status(pid, 'Gid')]).toEqual([role, `${id} ${id} ${id} ${id}`, `${id} ${id} ${id} ${id}`]);
        if (role !== 'standin' && role !== 'gofer') expect([role, status(pid, 'Groups').trim()]).toEqual([role, '']);
      });
    });

    test('capabilities, no_new_privs and filters of every thread', () => {
      each((role, pid) => {
        const p = POSTURE[role];
        for (const thread of readdirSync(`/proc/${pid}/task`)) {
          const at = Number(thread);
          for (const set of CAPABILITY_SETS) {
            if (set === 'CapBnd' && !p.bounded && uid !== 0) continue;
            const allowed = uid === 0 ? p.capabilities : 0n;
            expect(BigInt(`0x${status(at, set)}`) & ~allowed, `${set} of ${role}`).toBe(0n);
          }
          expect([role, status(at, 'NoNewPrivs'), status(at, 'Seccomp'), status(at, 'Seccomp_filters')]).toEqual([
            role,
            '1',
            '2',
            `${p.filters}`,
          ]);
        }
      });
    });

    test('namespaces', () => {
      const s = running().sandbox;
      each((role, pid) => {
        for (const kind of KINDS) {
          const own = POSTURE[role].namespaces.includes(kind) || (kind === 'user' && role === 'gofer' && uid !== 0);
          expect([role, kind, namespaceOf(pid, kind) !== namespaceOf('self', kind)]).toEqual([role, kind, own]);
          if (['init', 'stub', 'guest'].includes(role)) expect(namespaceOf(pid, kind)).toBe(namespaceOf(s.sentry, kind));
          if (role === 'gofer') expect(namespaceOf(pid, kind)).not.toBe(namespaceOf(s.sentry, kind));
        }
      });
      // No identity but one exists in the sandbox's user namespace.
      const id = uid === 0 ? SANDBOX_ID : uid;
      for (const map of ['uid_map', 'gid_map']) {
        expect(readFileSync(`/proc/${s.sentry}/${map}`, 'utf8').trim().split(/\s+/)).toEqual([`${id}`, `${id}`, '1']);
      }
    });

    test('roots hold what is written, read-only, and the network is empty', () => {
      each((role, pid) => {
        const root = POSTURE[role].root;
        if (root === null) return;
        const names = rootOf(pid);
        expect(
          names.filter((n) => !root.test(n)),
          role,
        ).toEqual([]);
        expect(names).toContain('/bin/node');
        const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
        for (const m of mounts) expect(m.split(' ')[5], `${role}: ${m}`).toMatch(/^ro,nosuid,nodev/);
        if (role !== 'gofer') expect(mounts.filter((m) => m.split(' ')[4]?.startsWith('/attach'))).toEqual([]);
        const devices = readFileSync(`/proc/${pid}/net/dev`, 'utf8').trim().split('\n').slice(2);
        expect(
          devices.every((d) => d.trim().startsWith('lo:')),
          role,
        ).toBe(true);
      });
      const gofer = `/proc/${running().sandbox.gofer}/root/attach/0`;
      expect(statSync(`${gofer}/etc/passwd`).isFile()).toBe(true);
      for (const hidden of ['proc', 'sys']) expect(readdirSync(`${gofer}/${hidden}`), hidden).toEqual([]);
      expect(readdirSync(`${gofer}/dev`).filter((n) => statSync(`${gofer}/dev/${n}`).isBlockDevice())).toEqual([]);
    });

    test('descriptors are those that are written; environment and working folder are empty', () => {
      const s = running().sandbox;
      // Both ends of the sockets of two regions that wait for a fork stay in the Sentry.
      const guests = s.guests.length + s.copies.length + 2 * 2;
      each((role, pid) => {
        const p = POSTURE[role];
        const open = descriptorsOf(pid);
        expect(
          open.filter((d) => !p.descriptors.some((r) => r.test(d))),
          role,
        ).toEqual([]);
        const sockets = open.filter((d) => d.startsWith('socket:')).length;
        const most = p.sockets >= 0 ? p.sockets : p.sockets === -1 ? 5 + 1 + guests : 1 + s.guests.length + s.copies.length;
        expect(sockets, `sockets of ${role}`).toBeLessThanOrEqual(most);
        const others = open.filter((d) => !/^socket:|^anon_inode:kvm-/.test(d)).length;
        if (role === 'stub' || role === 'guest') expect(others).toBe(testPlatform === 'kvm' ? 2 : 1);
        expect([role, readFileSync(`/proc/${pid}/environ`, 'utf8'), readlinkSync(`/proc/${pid}/cwd`)]).toEqual([role, '', '/']);
      });
    });

    test('memory: nothing of the host is mapped but what is written', () => {
      each((role, pid) => {
        const files = readFileSync(`/proc/${pid}/maps`, 'utf8')
          .split('\n')
          .map((l) => ({ rights: l.split(/\s+/)[1] ?? '', path: /\s(\/.*)$/.exec(l)?.[1] ?? '' }))
          .filter((m) => m.path !== '');
        const node = /^\/(bin\/node|lib\/[^/]+|dist\/[^ ]*)$|^\/memfd:/;
        const known =
          role === 'standin' || role === 'init'
            ? /\/launch$/
            : role === 'guest'
              ? /^\/dist\/native\/(stub|tracer|kvmstub)$|^\/memfd:|^\/attach\/0\//
              : node;
        expect(
          files.filter((m) => !known.test(m.path)).map((m) => m.path),
          role,
        ).toEqual([]);
        // What is shared and writable is a region of contexts, never a file.
        expect(
          files.filter((m) => m.rights[1] === 'w' && m.rights[3] === 's' && !m.path.startsWith('/memfd:')),
          role,
        ).toEqual([]);
      });
    });

    test('who may be traced', () => {
      each((role, pid) => {
        if (POSTURE[role].uid === 'caller' && uid === 0) return; // the files of root's processes are root's anyway
        const owner = statSync(`/proc/${pid}/status`).uid;
        expect([role, owner !== 0]).toEqual([role, POSTURE[role].dumpable]);
      });
    });
  });
}

/** What `probes` answer in a process. */
function probe(pid: number, probes: readonly Probe[]): [string, string][] {
  const r = spawnSync(program('inject'), [String(pid), ...probes.map((p) => [p.nr, ...p.args].join(','))], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  const lines = r.stdout.trim().split('\n');
  return probes.map((p, i) => [p.call, lines[i] ?? 'no answer']);
}

const wanted = (probes: readonly Probe[]): [string, string][] => probes.map((p) => [p.call, String(p.answer)]);

describe('posture', () => {
  let root: Running;
  let user: Running;
  let copy: string;
  beforeAll(async () => {
    if (process.getuid?.() !== 0) throw new Error('the posture of sandboxes of root and of others is compared: run this as root');
    // A copy that an ordinary user can reach, wherever the repository is.
    copy = mkdtempSync(join(tmpdir(), 'rf-posture-'));
    chmodSync(copy, 0o755);
    cpSync(join(repository, 'bin'), join(copy, 'bin'), { recursive: true });
    cpSync(join(repository, 'dist'), join(copy, 'dist'), { recursive: true, filter: (path) => !path.includes('/dist/test') });
    root = await start(ringfence, 0);
    if (ordinaryMay) user = await start(ringfenceIn(copy), ORDINARY);
  });
  afterAll(async () => {
    const pids = [root, user].flatMap((r) => (r === undefined ? [] : all(r.sandbox)));
    for (const r of [root, user]) r?.child.kill('SIGKILL');
    await until(() => !pids.some(lives), 5000);
    rmSync(copy, { recursive: true, force: true });
  });

  check('root', 0, () => root);
  if (ordinaryMay) check('an ordinary user', ORDINARY, () => user);

  describe('the filters, asked in the processes themselves', () => {
    const ends: [string, (s: Sandbox) => number, readonly Probe[]][] = [
      ['Sentry', (s) => s.sentry, SENTRY_FATAL],
      ['Gofer', (s) => s.gofer, GOFER_FATAL],
      ['first process', (s) => s.init, INIT_FATAL],
      ['stand-in', (s) => s.standin, STANDIN_FATAL],
    ];
    test('of the Sentry refuse what is not listed', async () => {
      expect(probe(root.sandbox.sentry, SENTRY_REFUSED)).toEqual(wanted(SENTRY_REFUSED));
      expect(lives(root.sandbox.sentry)).toBe(true);
    });

    test('of the Gofer refuse what is not listed', () => {
      expect(probe(root.sandbox.gofer, GOFER_REFUSED)).toEqual(wanted(GOFER_REFUSED));
      expect(lives(root.sandbox.gofer)).toBe(true);
    });

    test('of Sentry and Gofer refuse executable memory with --jitless', async () => {
      const r = await start(ringfence, 0, ['--jitless']);
      for (const pid of [r.sandbox.sentry, r.sandbox.gofer]) {
        expect(commandLine(pid)).toMatch(/^\/bin\/node (--\S+ )*--jitless /);
        expect(probe(pid, JITLESS_REFUSED)).toEqual(wanted(JITLESS_REFUSED));
        const own = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
        // Code comes from files only, and is not writable.
        expect(own.filter((l) => /^\S+ ..x/.test(l) && !/ (\/|\[v)/.test(l))).toEqual([]);
        expect(own.filter((l) => /^\S+ .wx/.test(l))).toEqual([]);
      }
      r.child.kill('SIGKILL');
      expect(await until(() => !all(r.sandbox).some(lives), 2000)).toBe(true);
    });

    for (const [name, victim, probes] of ends) {
      test.each(probes.map((p) => [p.call, p] as const))(`of the ${name} end it, and the sandbox, on %s`, async (_call, p) => {
        const r = await start(ringfence, 0);
        const pids = all(r.sandbox);
        expect(probe(victim(r.sandbox), [p])).toEqual([[p.call, 'gone']]);
        expect(await until(() => !pids.some(lives), 2000)).toBe(true);
      });
    }
  });
});
