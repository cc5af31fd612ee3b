// podman build and buildah run the steps of a build by the runtime.

import { mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { busybox } from './kit/images.ts';

const FILE = `FROM localhost/bb
ARG WORD=none
ENV KEPT=yes
COPY leaf /leaf
RUN cat /leaf && echo "$WORD $KEPT" >/word && echo made:x:1234:1234::/:/bin/sh >>/etc/passwd
RUN ["sh", "-c", "mkdir -p /a/b && chown 1234 /a/b && chmod 2750 /a/b"]
USER made
WORKDIR /a
RUN id -un >/tmp/who; pwd >>/tmp/who
CMD cat /word /tmp/who
`;

withPodman(
  'podman build',
  () => [busybox()],
  (s) => {
    const context = (name: string, file: string): string => {
      const folder = s.podman.folder.file(name);
      mkdirSync(folder);
      writeFileSync(`${folder}/Containerfile`, file);
      writeFileSync(`${folder}/leaf`, 'of the context\n');
      return folder;
    };
    const isolated = ['--isolation=oci', '--network=none', '--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000'];

    test('podman build: steps write what later steps and containers see', async () => {
      const folder = context('one', FILE);
      const out = await s.podman.must([
        'build',
        '--runtime',
        s.podman.runtime.path,
        ...isolated,
        '--build-arg',
        'WORD=given',
        '-t',
        'localhost/built',
        folder,
      ]);
      expect(out).toContain('of the context');
      expect(await s.says(['localhost/built'])).toBe('given yes\nmade\n/a');
      expect(await s.says(['localhost/built', 'stat', '-c', '%a %u', '/a/b'])).toBe('2750 1234');
      await s.podman.must(['rmi', 'localhost/built']);
    });

    test('a step that fails fails the build with its status', async () => {
      const folder = context('two', 'FROM localhost/bb\nRUN echo before && exit 42\nRUN echo after\n');
      const r = await s.podman.run(['build', '--runtime', s.podman.runtime.path, ...isolated, folder]);
      expect(r.status).toBe(42);
      expect(r.stdout + r.stderr).toContain('before');
      expect(r.stdout + r.stderr).not.toContain('\nafter');
    });

    test('buildah: from, run, copy, commit', async () => {
      const name = await s.podman.buildah(['from', 'localhost/bb']);
      const run = (...argv: string[]): Promise<string> =>
        s.podman.buildah(['run', '--runtime', s.podman.runtime.path, '--isolation=oci', '--network=none', name, '--', ...argv]);
      expect(await run('sh', '-c', 'echo by buildah >/mark; cat /mark')).toBe('by buildah');
      await expect(run('sh', '-c', 'exit 9')).rejects.toThrow(/status 9/);
      writeFileSync(s.podman.folder.file('copied'), 'a copy\n');
      await s.podman.buildah(['copy', name, s.podman.folder.file('copied'), '/copied']);
      expect(await run('cat', '/copied')).toBe('a copy');
      await s.podman.buildah(['commit', '-q', name, 'localhost/from-buildah']);
      await s.podman.buildah(['rm', name]);
      expect(await s.says(['localhost/from-buildah', 'cat', '/mark', '/copied'])).toBe('by buildah\na copy');
      await s.podman.must(['rmi', 'localhost/from-buildah']);
    });
  },
);
