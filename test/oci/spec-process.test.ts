// config.json, /process: every MUST of the runtime specification about the process of a container, on runc, crun and ringfence.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUNTIMES, Rig } from './kit/runtimes.ts';

/** Bits of a capability mask in /proc/PID/status. */
const mask = (...bits: number[]): string => {
  let m = 0n;
  for (const b of bits) m |= 1n << BigInt(b);
  return m.toString(16).padStart(16, '0');
};
const [CHOWN, DAC_OVERRIDE, KILL, SETGID, NET_BIND_SERVICE] = [0, 1, 5, 6, 10];

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  test('cwd: the process starts there', async () => {
    const r = await rig.script('pwd', (s) => (s.process.cwd = '/tmp'));
    expect(r).toEqual({ status: 0, stdout: '/tmp\n', stderr: '' });
  });

  test('cwd: a folder that does not exist is made', async () => {
    let root = '';
    const r = await rig.script('pwd', (s, bundle) => {
      s.process.cwd = '/made/for/it';
      root = join(bundle, 'rootfs');
    });
    expect(r).toEqual({ status: 0, stdout: '/made/for/it\n', stderr: '' });
    expect(existsSync(join(root, 'made/for/it'))).toBe(true);
  });

  test('cwd: a path that is not absolute is an error', async () => {
    const r = await rig.script('pwd', (s) => (s.process.cwd = 'tmp'));
    // crun starts below /.
    if (name === 'crun') return expect(r.stdout).toBe('/tmp\n');
    expect(r.status).not.toBe(0);
    expect(r.stdout).toBe('');
    expect(r.stderr).toMatch(/cwd/i);
  });

  test('cwd: a folder that only root may enter is entered all the same', async () => {
    const r = await rig.script('pwd', (s, bundle) => {
      mkdirSync(join(bundle, 'rootfs/closed'), { mode: 0o700 });
      s.process.cwd = '/closed';
      s.process.user = { uid: 1000, gid: 1000 };
      s.process.capabilities = {};
    });
    expect(r).toEqual({ status: 0, stdout: '/closed\n', stderr: '' });
  });

  test('env: exactly these variables, in their order', async () => {
    const bundle = rig.bundle(['/bin/cat', '/proc/self/environ'], (s) => {
      s.process.env = ['B=1', 'A=a b', 'EMPTY=', 'U=\u00e4\u4e2d', 'EQ=a=b'];
    });
    const r = await rig.run(['run', '--bundle', bundle, rig.id()]);
    expect(r.stdout.split('\0').filter((v) => v !== '' && !v.startsWith('HOME='))).toEqual([
      'B=1',
      'A=a b',
      'EMPTY=',
      'U=\u00e4\u4e2d',
      'EQ=a=b',
    ]);
  });

  test('env: HOME is that of the user where it is not given', async () => {
    const script = 'echo $HOME';
    const passwd = 'root:x:0:0::/root:/bin/sh\nown:x:1000:1000::/home/own:/bin/sh\n';
    const of = async (uid: number, env: string[] = []): Promise<string> => {
      const r = await rig.script(script, (s, bundle) => {
        writeFileSync(join(bundle, 'rootfs/etc/passwd'), passwd);
        s.process.user = { uid, gid: uid };
        s.process.env?.push(...env);
      });
      return r.stdout.trim();
    };
    expect(await of(0)).toBe('/root');
    expect(await of(1000)).toBe('/home/own');
    expect(await of(4711)).toBe(name === 'crun' ? '' : '/');
    expect(await of(1000, ['HOME=/mine'])).toBe('/mine');
  });

  test('args: passed as they are; the first is looked up in the PATH of env', async () => {
    const bundle = rig.bundle(['prog', 'a b', '', '*', "it's"], (s, b) => {
      mkdirSync(join(b, 'rootfs/own'));
      writeFileSync(join(b, 'rootfs/own/prog'), '#!/bin/sh\nfor a; do echo "[$a]"; done\n', { mode: 0o755 });
      s.process.env = ['PATH=/bin:/own'];
    });
    const r = await rig.run(['run', '--bundle', bundle, rig.id()]);
    expect(r).toEqual({ status: 0, stdout: "[a b]\n[]\n[*]\n[it's]\n", stderr: '' });
  });

  test('args: empty or missing is an error', async () => {
    for (const args of [[], undefined]) {
      const bundle = rig.bundle(['true'], (s) => {
        if (args === undefined) delete s.process.args;
        else s.process.args = args;
      });
      const r = await rig.run(['run', '--bundle', bundle, rig.id()]);
      expect(r.status).not.toBe(0);
      expect(r.stderr).not.toBe('');
    }
  });

  test('args: a program that cannot be run fails at create, and nothing is left', async () => {
    const cases: [string, RegExp][] = [
      ['/no/such', /no such file or directory/i],
      ['nosuch', /executable file .*not found in \$PATH/],
      ['/etc', /permission denied|not permitted|is a directory/i],
    ];
    for (const [program, text] of cases) {
      const id = rig.id();
      const r = await rig.run(['create', '--bundle', rig.bundle([program]), id]);
      expect(r.status, program).not.toBe(0);
      expect(r.stderr).toMatch(text);
      expect((await rig.run(['state', id])).status).not.toBe(0);
    }
  });

  test('terminal: false leaves the streams as they are, and consoleSize without meaning', async () => {
    const r = await rig.script('tty; cat', (s) => (s.process.consoleSize = { height: 10, width: 20 }), { input: 'in\n' });
    expect(r).toEqual({ status: 0, stdout: 'not a tty\nin\n', stderr: '' });
  });

  test('user: uid, gid, additional groups and umask', async () => {
    const r = await rig.script("id; umask; grep -E '^(Uid|Gid|Groups)' /proc/self/status", (s) => {
      s.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 7, 1001], umask: 0o027 };
    });
    expect(r.stdout).toMatch(/^uid=1000 gid=1001 groups=5,7,1001\n0027\nUid:\t1000\t1000\t1000\t1000\nGid:\t1001\t1001\t1001\t1001\n/);
    expect(r.stdout).toMatch(/Groups:\t5 7 1001 ?\n$/);
  });

  test('user: no further groups and umask 022 where nothing is said', async () => {
    const r = await rig.script('umask; grep Groups /proc/self/status');
    expect(r.stdout).toMatch(/^0022\nGroups:\t ?0? ?\n$/);
  });

  test('capabilities: each set is what it says', async () => {
    const r = await rig.script("grep -E '^Cap' /proc/self/status", (s) => {
      const all = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE', 'CAP_SETGID'];
      s.process.capabilities = {
        bounding: all,
        permitted: ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],
        effective: ['CAP_CHOWN', 'CAP_KILL'],
        inheritable: ['CAP_KILL', 'CAP_NET_BIND_SERVICE'],
        ambient: ['CAP_NET_BIND_SERVICE'],
      };
      s.process.user = { uid: 1000, gid: 1000 };
    });
    // execve(2) as an ordinary user: what remains is ambient; that of the first execve is what config.json says.
    expect(r.stdout.split('\n')).toEqual([
      `CapInh:\t${mask(KILL, NET_BIND_SERVICE)}`,
      `CapPrm:\t${mask(NET_BIND_SERVICE)}`,
      `CapEff:\t${mask(NET_BIND_SERVICE)}`,
      `CapBnd:\t${mask(CHOWN, DAC_OVERRIDE, KILL, SETGID, NET_BIND_SERVICE)}`,
      `CapAmb:\t${mask(NET_BIND_SERVICE)}`,
      '',
    ]);
  });

  test('capabilities: root keeps the bounding set over execve', async () => {
    const r = await rig.script("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status", (s) => {
      const some = ['CAP_CHOWN', 'CAP_KILL'];
      s.process.capabilities = { bounding: some, permitted: some, effective: some };
    });
    expect(r.stdout).toBe(['CapPrm', 'CapEff', 'CapBnd'].map((n) => `${n}:\t${mask(CHOWN, KILL)}\n`).join(''));
  });

  test('capabilities: none at all without the field', async () => {
    const r = await rig.script("grep -E '^Cap' /proc/self/status; touch /x && echo wrong", (s, bundle) => {
      s.process.capabilities = {};
      s.process.user = { uid: 0, gid: 0 };
      writeFileSync(join(bundle, 'rootfs/etc/x'), '');
    });
    for (const n of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(r.stdout).toContain(`${n}:\t${mask()}\n`);
  });

  test('capabilities: a name that does not exist is no error', async () => {
    const r = await rig.script('grep CapBnd /proc/self/status', (s) => {
      s.process.capabilities = { bounding: ['CAP_KILL', 'CAP_NO_SUCH_THING'], permitted: ['CAP_KILL'], effective: ['CAP_KILL'] };
    });
    expect(r.stdout).toBe(`CapBnd:\t${mask(KILL)}\n`);
  });

  test('rlimits: soft and hard are set', async () => {
    const r = await rig.script("grep -E 'msgqueue|core file|stack size' /proc/self/limits", (s) => {
      s.process.rlimits = [
        { type: 'RLIMIT_MSGQUEUE', soft: 1000, hard: 2000 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 4096 },
        { type: 'RLIMIT_STACK', soft: 4194304, hard: 8388608 },
      ];
    });
    const rows = r.stdout
      .trim()
      .split('\n')
      .map((l) => l.replace(/\s+/g, ' ').trim());
    expect(rows).toEqual(['Max stack size 4194304 8388608 bytes', 'Max core file size 0 4096 bytes', 'Max msgqueue size 1000 2000 bytes']);
  });

  test('rlimits: a type twice is an error', async () => {
    const r = await rig.script('true', (s) => {
      s.process.rlimits = [
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 200 },
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 150 },
      ];
    });
    // The others set both, one after the other.
    if (name !== 'ringfence') return expect(r.status).toBe(0);
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(/RLIMIT_NOFILE/);
  });

  test('rlimits: a type that does not exist is an error', async () => {
    const r = await rig.script('true', (s) => (s.process.rlimits = [{ type: 'RLIMIT_NOSUCH', soft: 1, hard: 1 }]));
    expect(r.status).not.toBe(0);
    expect(r.stderr).toMatch(/RLIMIT_NOSUCH|rlimit/i);
  });

  test('noNewPrivileges', async () => {
    for (const on of [true, false]) {
      const r = await rig.script('grep NoNewPrivs /proc/self/status', (s) => (s.process.noNewPrivileges = on));
      expect(r.stdout).toBe(`NoNewPrivs:\t${Number(on)}\n`);
    }
  });

  test('oomScoreAdj', async () => {
    const r = await rig.script('cat /proc/self/oom_score_adj', (s) => (s.process.oomScoreAdj = 100));
    expect(r).toEqual({ status: 0, stdout: '100\n', stderr: '' });
  });

  test('exit status and signals of the process are those of run', async () => {
    expect((await rig.script('exit 42')).status).toBe(42);
    expect((await rig.script('exit 0')).status).toBe(0);
    expect((await rig.script("sh -c 'kill -TERM $$'; exit $?")).status).toBe(143);
  });

  test('no descriptor but the standard streams', async () => {
    const r = await rig.script('ls /proc/self/fd');
    // 3 is the folder that ls reads.
    expect(r.stdout.split('\n')).toEqual(['0', '1', '2', '3', '']);
  });
});
