// podman of an ordinary user, who has a range of subordinate ids.

import { cpSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repository } from '../support/build.ts';
import { ringfenceIn } from '../support/platform.ts';
import type { RunResult } from '../support/run.ts';
import { Folder } from './kit/folder.ts';
import { busybox } from './kit/images.ts';
import { ringfence, runc } from './kit/runtimes.ts';

const USER = 61234;
const FIRST_SUBORDINATE = 6_000_000;
const BB = 'localhost/bb';

/** podman of a user whom only a copy of /etc knows, in mount namespaces of its own. */
class Rootless {
  readonly folder: Folder;
  private readonly command: string[];

  constructor(runtime: string) {
    this.folder = new Folder(`rootless-${runtime}`);
    const f = (name: string): string => this.folder.file(name);
    for (const d of ['home', 'run', 'tmp', 'shared']) mkdirSync(f(d));
    // Copies that the user can reach, wherever the repository is.
    for (const d of ['bin', 'dist']) {
      cpSync(join(repository, d), f(`ringfence/${d}`), { recursive: true, filter: (path) => !path.includes('/dist/test') });
    }
    cpSync(busybox().docker(), f('bb.tar'));
    writeFileSync(
      f('containers.conf'),
      `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "${runtime}"
runtime_supports_json = ["runc", "ringfence"]
[engine.runtimes]
ringfence = ["${ringfenceIn(f('ringfence'))}"]
`,
    );
    writeFileSync(f('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    const environment = [
      `HOME=${f('home')}`,
      `XDG_RUNTIME_DIR=${f('run')}`,
      `TMPDIR=${f('tmp')}`,
      `CONTAINERS_CONF=${f('containers.conf')}`,
    ];
    writeFileSync(
      f('as-user'),
      `set -e
mount --bind ${f('etc')} /etc
exec setpriv --reuid ${USER} --regid ${USER} --clear-groups env -i PATH="$PATH" ${environment.join(' ')} "$@"
`,
    );
    this.command = ['unshare', '-m', '--propagation', 'private', 'sh', f('as-user'), 'podman'];
  }

  async open(): Promise<void> {
    const f = (name: string): string => this.folder.file(name);
    await this.folder.must(['cp', '-a', '/etc', f('etc')]);
    const user = `rfuser:x:${USER}:${USER}::${f('home')}:/bin/sh`;
    const add = `echo '${user}' >>passwd; echo 'rfuser:x:${USER}:' >>group; echo 'rfuser:${FIRST_SUBORDINATE}:65536' | tee subuid >subgid`;
    await this.folder.must(['sh', '-c', add], { cwd: f('etc') });
    await this.folder.must(['chown', '-R', `${USER}:${USER}`, f('.')]);
    await this.must('load', '-q', '--signature-policy', f('policy.json'), '-i', f('bb.tar'));
  }

  run(...args: string[]): Promise<RunResult> {
    return this.folder.run([...this.command, ...args], { timeout: 90_000 });
  }

  must(...args: string[]): Promise<string> {
    return this.folder.must([...this.command, ...args], { timeout: 90_000 });
  }

  says(...args: string[]): Promise<string> {
    return this.must('run', '--rm', '--network=none', ...args);
  }

  /** podman's own process that keeps the user namespace ends with this. */
  async leftovers(): Promise<string[]> {
    await this.must('rm', '-a', '-f', '-t', '0');
    await this.must('system', 'migrate');
    const states = ['runc', 'ringfence'].map((r) => this.folder.file(`run/${r}`)).filter((d) => existsSync(d));
    return [...(await this.folder.settled()), ...states.flatMap((d) => readdirSync(d))];
  }

  async close(): Promise<void> {
    await this.run('rm', '-a', '-f', '-t', '0');
    await this.run('system', 'migrate');
    await this.folder.close();
  }
}

describe.each([runc, ringfence])('rootless podman, $name', (runtime) => {
  let podman: Rootless;

  beforeAll(async () => {
    podman = new Rootless(runtime.name);
    await podman.open();
  }, 300_000);

  afterAll(() => podman.close());

  test('streams, statuses, and root inside', async () => {
    expect(await podman.run('run', '--rm', '--network=none', BB, 'sh', '-c', 'id -u; echo err >&2; exit 4')).toMatchObject({
      status: 4,
      stdout: '0\n',
    });
    expect((await podman.run('run', '--rm', '--network=none', BB, 'no-such-command')).status).toBe(127);
    expect(await podman.says('--user', 'guest', BB, 'id', '-un')).toBe('guest');
  });

  test('files of other owners inside belong to subordinate ids outside', async () => {
    const shared = podman.folder.file('shared');
    await podman.says(
      '-v',
      `${shared}:/s`,
      BB,
      'sh',
      '-c',
      'echo a >/s/mine; echo b >/s/other; chown 5:6 /s/other; mkdir /s/d; chown 1000 /s/d',
    );
    expect(statSync(`${shared}/mine`)).toMatchObject({ uid: USER, gid: USER });
    expect(statSync(`${shared}/other`)).toMatchObject({ uid: FIRST_SUBORDINATE + 4, gid: FIRST_SUBORDINATE + 5 });
    expect(await podman.says('-v', `${shared}:/s`, BB, 'stat', '-c', '%u %g', '/s/other', '/s/mine')).toBe('5 6\n0 0');
    expect(
      await podman.says(
        '-v',
        `${shared}:/s`,
        '--user',
        'guest',
        BB,
        'sh',
        '-c',
        'echo x >/s/d/by-guest; stat -c %u /s/d/by-guest; echo x >/s/mine || echo refused',
      ),
    ).toMatch(/^1000\n(.*\n)?refused$/);
  });

  test('in the background: exec, top, logs, stop, kill', async () => {
    await podman.must(
      'run',
      '-d',
      '--network=none',
      '--name',
      'bg',
      BB,
      'sh',
      '-c',
      'trap "exit 5" TERM; echo begun; while :; do sleep 0.1; done',
    );
    expect(await podman.must('exec', 'bg', 'sh', '-c', 'echo in; id -u')).toBe('in\n0');
    expect(await podman.must('top', 'bg', 'huser', 'args')).toMatch(new RegExp(`^${USER}\\s+sh -c`, 'm'));
    expect(await podman.must('logs', 'bg')).toBe('begun');
    await podman.must('stop', '-t', '60', 'bg');
    expect(await podman.must('inspect', '--format', '{{.State.ExitCode}}', 'bg')).toBe('5');
    await podman.must('start', 'bg');
    await podman.must('kill', 'bg');
    expect(await podman.must('wait', 'bg')).toBe('137');
    await podman.must('rm', 'bg');
  });

  test('a terminal, and what a container wrote', async () => {
    expect(await podman.says('-t', BB, 'sh', '-c', 'test -t 0 && tty')).toMatch(/^\/dev\/(pts\/0|console)\r$/);
    await podman.must('run', '--network=none', '--name', 'wrote', BB, 'sh', '-c', 'echo kept >/kept; chown 9 /kept');
    expect(await podman.must('diff', 'wrote')).toContain('A /kept');
    await podman.must('commit', '-q', 'wrote', 'localhost/wrote');
    expect(await podman.says('localhost/wrote', 'sh', '-c', 'cat /kept; stat -c %u /kept')).toBe('kept\n9');
    await podman.must('rm', 'wrote');
  });

  test('--userns=keep-id: the user keeps his id', async () => {
    expect(await podman.says('--userns=keep-id', BB, 'id', '-u')).toBe(String(USER));
  });

  test('nothing is left on the host', { timeout: 120_000 }, async () => {
    expect(await podman.leftovers()).toEqual([]);
  });
});
