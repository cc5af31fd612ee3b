// Images without a registry: docker archives written by hand, for `ctr image import`.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ImageConfig {
  Entrypoint?: string[];
  Cmd?: string[];
  Env?: string[];
  User?: string;
  WorkingDir?: string;
}

function must(argv: string[]): string {
  const r = spawnSync(argv[0] as string, argv.slice(1), { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`${argv.join(' ')}: ${r.error?.message ?? r.stderr}`);
  return r.stdout;
}

/** Writes an image of one layer, the tree below `root`, as a docker archive. */
export function writeArchive(file: string, name: string, root: string, config: ImageConfig): void {
  const work = `${file}.parts`;
  mkdirSync(work, { recursive: true });
  const layer = join(work, 'layer.tar');
  must(['tar', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-C', root, '-cf', layer, '.']);
  const digest = createHash('sha256').update(readFileSync(layer)).digest('hex');
  const image = {
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ...config },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'test' }],
  };
  writeFileSync(join(work, 'config.json'), JSON.stringify(image));
  writeFileSync(join(work, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]));
  must(['tar', '-C', work, '-cf', `${file}.new`, 'manifest.json', 'config.json', 'layer.tar']);
  renameSync(`${file}.new`, file);
  rmSync(work, { recursive: true });
}

/** A root with busybox under all its names, users and groups. */
export function busyboxRoot(dir: string): string {
  for (const d of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc', 'root', 'run', 'var', 'data']) mkdirSync(join(dir, d), { recursive: true });
  copyFileSync('/bin/busybox', join(dir, 'bin/busybox'));
  for (const name of must(['/bin/busybox', '--list']).trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', join(dir, 'bin', name));
  writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/data:/bin/sh\n');
  writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n');
  return dir;
}

const PAUSE = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) { signal(SIGTERM, leave); signal(SIGINT, leave); signal(SIGCHLD, reap); for (;;) pause(); }
`;

/** A root with one static program that waits and reaps, as the pause image of Kubernetes has it. */
export function pauseRoot(dir: string): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(`${dir}.c`, PAUSE);
  must(['gcc', '-static', '-Os', '-o', join(dir, 'pause'), `${dir}.c`]);
  return dir;
}
