// runtime.md and the hooks of config.md: states, operations, lifecycle and hooks, on runc, crun and ringfence.

import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HookPoint } from '../../runsc-compat/spec/types.ts';
import { RUNTIMES, Rig } from './kit/runtimes.ts';

/** A hook of the host that appends a line to a file: its name, and of the state that it is told the status, id, bundle and pid. */
function noting(file: string, point: string): { path: string; args: string[]; env: string[] } {
  const pick = ['status', 'id', 'bundle', 'pid']
    .map((f) => `$(echo "$s" | tr -d '\\n' | sed -n 's/.*"${f}": *"\\{0,1\\}\\([^",}]*\\).*/\\1/p' | tr -d ' ')`)
    .join(' ');
  return { path: '/bin/sh', args: ['sh', '-c', `s=$(cat); echo "${point} ${pick}" >> ${file}`], env: ['PATH=/usr/bin:/bin'] };
}

describe.each(RUNTIMES)('%s', (name) => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig(name);
  });
  afterAll(() => rig.close());

  const must = async (...words: string[]): Promise<void> => {
    const r = await rig.run(words);
    expect(r, words.join(' ')).toEqual({ status: 0, stdout: '', stderr: '' });
  };

  describe('state', () => {
    test('ociVersion, id, status, pid, bundle, annotations', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000'], (s) => (s.annotations = { 'com.example.key': 'value', empty: '' }));
      await must('create', '--bundle', bundle, id);
      const state = await rig.state(id);
      expect(state).toMatchObject({ id, status: 'created', bundle, annotations: { 'com.example.key': 'value', empty: '' } });
      expect(state['ociVersion']).toMatch(/^1\.\d+\.\d+/);
      expect(state.pid).toBeGreaterThan(0);
      expect(existsSync(`/proc/${state.pid}`)).toBe(true);
      expect(state['created']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
      await must('start', id);
      expect(await rig.state(id)).toMatchObject({ status: 'running', pid: state.pid });
      await must('kill', id, 'KILL');
      await rig.reaches(id, 'stopped');
      expect((await rig.state(id)).pid).toBe(0);
      await must('delete', id);
    });

    test('bundle is absolute, however it was given', async () => {
      const bundle = rig.bundle(['sleep', '1000']);
      const id = rig.id();
      const r = await rig.run(['create', id], { cwd: bundle });
      expect(r.status, r.stderr).toBe(0);
      expect((await rig.state(id))['bundle']).toBe(bundle);
      await must('delete', '--force', id);
    });
  });

  describe('create', () => {
    test('does not run the process', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['touch', '/ran']);
      await must('create', '--bundle', bundle, id);
      await new Promise((done) => setTimeout(done, 100));
      expect(existsSync(join(bundle, 'rootfs/ran'))).toBe(false);
      const { pid } = await rig.state(id);
      await must('start', id);
      expect(await rig.reaper.exitOf(pid)).toBe(0);
      expect(existsSync(join(bundle, 'rootfs/ran'))).toBe(true);
      await must('delete', id);
    });

    test('a change of config.json afterwards has no effect', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['touch', '/before']);
      await must('create', '--bundle', bundle, id);
      rig.configure(bundle, { ociVersion: '1.0.2', root: { path: 'nowhere' }, process: { cwd: '/', args: ['touch', '/after'] } });
      const { pid } = await rig.state(id);
      await must('start', id);
      expect(await rig.reaper.exitOf(pid)).toBe(0);
      expect(existsSync(join(bundle, 'rootfs/before'))).toBe(true);
      expect(existsSync(join(bundle, 'rootfs/after'))).toBe(false);
      await must('delete', id);
    });

    test('needs a bundle with a configuration, and an id', async () => {
      const empty = join(rig.dir, 'empty');
      mkdirSync(empty, { recursive: true });
      expect((await rig.run(['create', '--bundle', empty, rig.id()])).status).not.toBe(0);
      expect((await rig.run(['create', '--bundle', '/no/such/bundle', rig.id()])).status).not.toBe(0);
      expect((await rig.run(['create', '--bundle', rig.bundle(['true'])])).status).not.toBe(0);
      expect((await rig.run(['create', '--bundle', rig.bundle(['true']), 'a/b'])).status).not.toBe(0);
    });

    test('one that fails leaves nothing', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['true'], (s) => s.mounts.push({ destination: '/x', type: 'bind', source: '/no/such', options: ['bind'] }));
      expect((await rig.run(['create', '--bundle', bundle, id])).status).not.toBe(0);
      expect((await rig.run(['state', id])).status).not.toBe(0);
      expect(existsSync(join(rig.states, id))).toBe(false);
    });

    test('the pid file names the process of state', async () => {
      const id = rig.id();
      const file = join(rig.dir, `pid-${id}`);
      await must('create', '--bundle', rig.bundle(['sleep', '1000']), '--pid-file', file, id);
      expect(readFileSync(file, 'utf8')).toBe(String((await rig.state(id)).pid));
      await must('delete', '--force', id);
    });
  });

  describe('start, kill, delete', () => {
    test('the exit status of the process is that of the pid', async () => {
      for (const [script, status] of [
        ['exit 7', 7],
        ['kill -USR1 $$; sh -c "kill -TERM \\$\\$"; exit $?', 143],
      ] as const) {
        const id = rig.id();
        await must('create', '--bundle', rig.bundle(['sh', '-c', script]), id);
        const { pid } = await rig.state(id);
        await must('start', id);
        expect(await rig.reaper.exitOf(pid)).toBe(status);
        await rig.reaches(id, 'stopped');
        await must('delete', id);
      }
    });

    test('kill sends the signal to the process, by number or name', async () => {
      for (const signal of ['USR1', 'SIGUSR1', '10']) {
        const id = rig.id();
        const bundle = rig.bundle(['sh', '-c', 'trap "exit 33" USR1; touch /ready; while :; do sleep 0.05; done']);
        await must('create', '--bundle', bundle, id);
        const { pid } = await rig.state(id);
        await must('start', id);
        while (!existsSync(join(bundle, 'rootfs/ready'))) await new Promise((done) => setTimeout(done, 20));
        await must('kill', id, signal);
        expect(await rig.reaper.exitOf(pid)).toBe(33);
        await must('delete', id);
      }
    });

    test('SIGKILL of the pid ends all of the container', async () => {
      const id = rig.id();
      await must('create', '--bundle', rig.bundle(['sh', '-c', 'sleep 1000 & sleep 1001']), id);
      const { pid } = await rig.state(id);
      await must('start', id);
      process.kill(pid, 'SIGKILL');
      expect(await rig.reaper.exitOf(pid)).toBe(137);
      await rig.reaches(id, 'stopped');
      await must('delete', id);
    });

    test('delete removes what create made, and nothing else; the id can be used again', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['touch', '/made']);
      for (let i = 0; i < 2; i++) {
        await must('create', '--bundle', bundle, id);
        const { pid } = await rig.state(id);
        await must('start', id);
        await rig.reaper.exitOf(pid);
        await must('delete', id);
        expect((await rig.run(['state', id])).status).not.toBe(0);
        expect(existsSync(join(rig.states, id))).toBe(false);
        expect(existsSync(join(bundle, 'rootfs/made'))).toBe(true);
        expect(existsSync(join(bundle, 'config.json'))).toBe(true);
      }
    });

    test('delete works when the bundle is gone', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['true']);
      await must('create', '--bundle', bundle, id);
      const { pid } = await rig.state(id);
      await must('start', id);
      await rig.reaper.exitOf(pid);
      rmSync(bundle, { recursive: true });
      await must('delete', id);
    });
  });

  describe('hooks', () => {
    const POINTS: HookPoint[] = ['prestart', 'createRuntime', 'poststart', 'poststop'];

    test('order, state on standard input, in the life of a container', async () => {
      const id = rig.id();
      const file = join(rig.dir, `hooks-${id}`);
      const bundle = rig.bundle(['sleep', '1000'], (s) => {
        s.hooks = Object.fromEntries(POINTS.map((p) => [p, [noting(file, `${p}-1`), noting(file, `${p}-2`)]]));
      });
      const said = (): string[][] =>
        existsSync(file)
          ? readFileSync(file, 'utf8')
              .trim()
              .split('\n')
              .map((l) => l.split(' '))
          : [];
      await must('create', '--bundle', bundle, id);
      const { pid } = await rig.state(id);
      const created = said();
      // runc of Debian runs poststart at the end of create.
      const early = name === 'runc' ? ['poststart-1', 'poststart-2'] : [];
      expect(created.map((l) => l[0])).toEqual(['prestart-1', 'prestart-2', 'createRuntime-1', 'createRuntime-2', ...early]);
      for (const l of created.slice(0, 4)) expect(l.slice(1)).toEqual([expect.stringMatching(/^creat(ing|ed)$/), id, bundle, String(pid)]);
      await must('start', id);
      expect(
        said()
          .slice(4)
          .map((l) => l.slice(0, 4)),
      ).toEqual([
        ['poststart-1', name === 'runc' ? expect.any(String) : 'running', id, bundle],
        ['poststart-2', name === 'runc' ? expect.any(String) : 'running', id, bundle],
      ]);
      await must('kill', id, 'KILL');
      await rig.reaches(id, 'stopped');
      expect(said()).toHaveLength(6);
      await must('delete', id);
      expect(
        said()
          .slice(6)
          .map((l) => l.slice(0, 4)),
      ).toEqual([
        ['poststop-1', 'stopped', id, bundle],
        ['poststop-2', 'stopped', id, bundle],
      ]);
    });

    test('args and env are those of the hook', async () => {
      const file = join(rig.dir, 'hook-env');
      const bundle = rig.bundle(['true'], (s) => {
        s.hooks = {
          createRuntime: [
            {
              path: '/bin/sh',
              args: ['name', '-c', `echo "$0|$*" > ${file}; /usr/bin/env | grep -vE '^(PWD|SHLVL|_|OLDPWD)=' >> ${file}`, 'zero', 'a b'],
              env: ['ONE=1', 'TWO=2 3'],
            },
          ],
        };
      });
      expect((await rig.run(['run', '--bundle', bundle, rig.id()])).status).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe('zero|a b\nONE=1\nTWO=2 3\n');
    });

    test('createContainer runs in the namespaces, with the paths of the host; startContainer in the container', async () => {
      const id = rig.id();
      let bundle = '';
      await must(
        'create',
        '--bundle',
        (bundle = rig.bundle(['sleep', '1000'], (s, b) => {
          s.hooks = {
            createContainer: [
              {
                path: '/bin/sh',
                args: ['sh', '-c', `cat > /dev/null; readlink /proc/self/ns/mnt /proc/self/ns/uts > ${b}/created`],
                env: ['PATH=/usr/bin:/bin'],
              },
            ],
            startContainer: [
              { path: '/bin/sh', args: ['sh', '-c', 'cat > /state; pwd > /started; ls /bin/busybox >> /started'], env: ['PATH=/bin'] },
            ],
          };
        })),
        id,
      );
      const [mnt, uts] = readFileSync(join(bundle, 'created'), 'utf8').split('\n');
      expect(mnt).not.toBe(readlinkSync('/proc/self/ns/mnt'));
      expect(uts).not.toBe(readlinkSync('/proc/self/ns/uts'));
      expect(existsSync(join(bundle, 'rootfs/started'))).toBe(false);
      await must('start', id);
      // runc's start may be over before the hook is.
      const started = (): string =>
        existsSync(join(bundle, 'rootfs/started')) ? readFileSync(join(bundle, 'rootfs/started'), 'utf8') : '';
      for (let i = 0; name !== 'ringfence' && i < 500 && !started().includes('busybox'); i++)
        await new Promise((done) => setTimeout(done, 20));
      expect(started()).toMatch(/\/bin\/busybox\n$/);
      expect(JSON.parse(readFileSync(join(bundle, 'rootfs/state'), 'utf8'))).toMatchObject(name === 'crun' ? { id } : { id, bundle });
      await must('delete', '--force', id);
    });

    test.each(['prestart', 'createRuntime', 'createContainer', 'startContainer'] as HookPoint[])(
      '%s that fails: an error, and no container',
      async (point) => {
        const id = rig.id();
        const bundle = rig.bundle(['touch', '/ran'], (s) => (s.hooks = { [point]: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 3'] }] }));
        const r = await rig.run(['run', '--bundle', bundle, id]);
        expect(r.status).not.toBe(0);
        expect(r.stderr).not.toBe('');
        expect(existsSync(join(bundle, 'rootfs/ran'))).toBe(false);
        expect((await rig.run(['state', id])).status).not.toBe(0);
      },
    );

    test('poststop that fails: the container is deleted all the same, the next hook runs', async () => {
      const id = rig.id();
      const file = join(rig.dir, `after-${id}`);
      const bundle = rig.bundle(['true'], (s) => {
        s.hooks = {
          poststop: [
            { path: '/bin/sh', args: ['sh', '-c', 'exit 3'] },
            { path: '/bin/sh', args: ['sh', '-c', `echo ran > ${file}`], env: ['PATH=/bin'] },
          ],
        };
      });
      await must('create', '--bundle', bundle, id);
      const { pid } = await rig.state(id);
      await must('start', id);
      await rig.reaper.exitOf(pid);
      await rig.run(['delete', id]);
      expect((await rig.run(['state', id])).status).not.toBe(0);
      if (name !== 'runc') expect(readFileSync(file, 'utf8')).toBe('ran\n');
    });

    test('a hook that takes longer than its timeout is an error', async () => {
      const bundle = rig.bundle(
        ['true'],
        (s) => (s.hooks = { createRuntime: [{ path: '/bin/sleep', args: ['sleep', '100'], timeout: 1 }] }),
      );
      const r = await rig.run(['run', '--bundle', bundle, rig.id()]);
      expect(r.status).not.toBe(0);
    });

    test('a path that is not absolute or does not exist is an error', async () => {
      for (const path of ['bin/true', '/no/such/hook']) {
        const r = await rig.run(['run', '--bundle', rig.bundle(['true'], (s) => (s.hooks = { createRuntime: [{ path }] })), rig.id()]);
        // crun resolves what is relative.
        if (name === 'crun' && path === 'bin/true') continue;
        expect(r.status, path).not.toBe(0);
      }
    });
  });

  describe('exec', () => {
    test('a process as JSON, with everything that it says', async () => {
      const id = rig.id();
      const bundle = rig.bundle(['sleep', '1000']);
      await must('create', '--bundle', bundle, id);
      await must('start', id);
      const file = join(rig.dir, 'process.json');
      writeFileSync(
        file,
        JSON.stringify({
          terminal: false,
          user: { uid: 1000, gid: 1001, additionalGids: [7] },
          args: ['sh', '-c', 'id; pwd; echo $X; ulimit -f; grep -E "NoNew|CapEff" /proc/self/status'],
          env: ['PATH=/bin', 'X=y'],
          cwd: '/tmp',
          rlimits: [{ type: 'RLIMIT_FSIZE', soft: 77 * 512, hard: 99 * 512 }],
          noNewPrivileges: true,
        }),
      );
      const r = await rig.run(['exec', '--process', file, id]);
      expect(r.stdout).toBe(
        'uid=1000 gid=1001 groups=7,1001\n/tmp\ny\n77\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n'.replace(
          'groups=7,1001',
          r.stdout.includes('groups=7,1001') ? 'groups=7,1001' : 'groups=7',
        ),
      );
      expect(r.status).toBe(0);
      await must('delete', '--force', id);
    });

    test('detached: the pid file names a process that ends as the one in the container does', async () => {
      const id = rig.id();
      await must('create', '--bundle', rig.bundle(['sleep', '1000']), id);
      await must('start', id);
      const file = join(rig.dir, `exec-${id}`);
      await must('exec', '--detach', '--pid-file', file, id, 'sh', '-c', 'sleep 0.2; exit 9');
      expect(await rig.reaper.exitOf(Number(readFileSync(file, 'utf8')))).toBe(9);
      await must('exec', '--detach', '--pid-file', file, id, 'sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.05; done');
      await new Promise((done) => setTimeout(done, 300));
      process.kill(Number(readFileSync(file, 'utf8')), 'SIGTERM');
      expect(await rig.reaper.exitOf(Number(readFileSync(file, 'utf8')))).toBe(5);
      await must('delete', '--force', id);
    });
  });
});
