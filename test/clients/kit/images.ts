// The images that the tests of clients run, made without a registry and kept in the user's cache directory.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildTool } from '../../support/build.ts';
import { debianRoot, must, once } from '../../support/fixtures.ts';
import { dockerArchive, type ImageProcess, ociArchive } from './archive.ts';

/** To be raised when an image is made in another way: what older versions of the tests left in the cache is not used. */
const VERSION = 1;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** An image: tar files of its layers, and archives of the whole that clients load. */
export class Image {
  /** Such as `localhost/bb:latest`. */
  readonly reference: string;
  private readonly folder: string;
  private readonly below: Image | null;
  private readonly process: ImageProcess;

  constructor(folder: string, name: string, below: Image | null, process: ImageProcess) {
    this.reference = `localhost/${name}:latest`;
    this.folder = folder;
    this.below = below;
    this.process = { Env: [PATH], ...process };
  }

  /** Its layers as tar files, lowest first. */
  layers(): string[] {
    return [...(this.below?.layers() ?? []), join(this.folder, 'layer.tar')];
  }

  /** Its docker-archive. */
  docker(): string {
    return this.archive('docker.tar', dockerArchive);
  }

  /** Its OCI archive. */
  oci(): string {
    return this.archive('oci.tar', ociArchive);
  }

  private archive(name: string, write: typeof dockerArchive): string {
    const file = join(this.folder, name);
    if (existsSync(file)) return file;
    const partial = mkdtempSync(join(this.folder, 'partial-'));
    try {
      write(join(partial, name), this.reference, this.layers(), this.process);
      renameSync(join(partial, name), file);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
    return file;
  }

  /** Unpacks its tree into a folder, as the root of a container. None of our layers takes away what a lower one has. */
  unpack(folder: string): void {
    mkdirSync(folder, { recursive: true });
    for (const layer of this.layers()) must(['tar', '-C', folder, '--numeric-owner', '-xpf', layer]);
  }
}

function tree(folder: string, output: string, owned: boolean): void {
  const owner = owned ? ['--numeric-owner'] : ['--owner=0', '--group=0'];
  const without = ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache/apt', 'var/lib/apt/lists'];
  must(['tar', '-C', folder, '--sort=name', ...owner, ...without.map((w) => `--exclude=./${w}/*`), '-cf', output, '.']);
}

function tool(name: string): string {
  return buildTool(join(import.meta.dirname, `${name}.c`));
}

function busyboxTree(root: string): void {
  for (const d of ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'tmp', 'usr/bin', 'usr/sbin', 'var', 'var/tmp', 'sbin'])
    mkdirSync(join(root, d), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  const r = spawnSync('/bin/busybox', ['--list'], { encoding: 'utf8' });
  for (const applet of r.stdout.split('\n')) if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n');
  must(['chmod', '1777', join(root, 'tmp'), join(root, 'var/tmp')]);
}

function plain(name: string, process: ImageProcess, make: (root: string) => void): Image {
  const folder = once(`image-${name}-${VERSION}`, (partial) => {
    const root = join(partial, 'root');
    mkdirSync(root);
    make(root);
    tree(root, join(partial, 'layer.tar'), false);
    rmSync(root, { recursive: true });
  });
  return new Image(folder, name, null, process);
}

/** busybox: a shell and its applets, users root and guest (1000, in group 2000). */
export function busybox(): Image {
  return plain('bb', { Cmd: ['sh'] }, busyboxTree);
}

/** The first process of pods. */
export function pause(): Image {
  return plain('pause', { Entrypoint: ['/pause'] }, (root) => {
    copyFileSync(tool('pause'), join(root, 'pause'));
    for (const d of ['dev', 'etc', 'proc', 'sys']) mkdirSync(join(root, d));
  });
}

/** busybox with a set-user-ID program, `suid`, and a file that only root may read, /etc/secret. */
export function setuid(): Image {
  return plain('suid', { Cmd: ['suid'] }, (root) => {
    busyboxTree(root);
    copyFileSync(tool('suid'), join(root, 'usr/bin/suid'));
    must(['chmod', '4755', join(root, 'usr/bin/suid')]);
    writeFileSync(join(root, 'etc/secret'), 'secret\n', { mode: 0o600 });
  });
}

/** A minimal Debian. */
export function debian(): Image {
  const folder = once(`image-debian-${VERSION}`, (partial) => tree(debianRoot(), join(partial, 'layer.tar'), true));
  return new Image(folder, 'debian', null, { Cmd: ['bash'] });
}

/**
 * A layer above Debian: packages, and what `finish` writes. Packages are fetched with the host's apt, since that is what works where the
 * tests run, and installed in an overlay that only this process and its children see.
 */
function aboveDebian(name: string, packages: string[], process: ImageProcess, finish: (root: string) => void): Image {
  const base = debian();
  const folder = once(`image-${name}-${VERSION}`, (partial) => {
    const [upper, work, merged, debs] = ['upper', 'work', 'merged', 'debs'].map((d) => join(partial, d)) as [
      string,
      string,
      string,
      string,
    ];
    for (const d of [upper, work, merged, join(debs, 'partial')]) mkdirSync(d, { recursive: true });
    const apt = [`Dir::State::status=${debianRoot()}/var/lib/dpkg/status`, `Dir::Cache::archives=${debs}`, 'Debug::NoLocking=1'];
    const options = [...apt, 'APT::Sandbox::User=root'].flatMap((o) => ['-o', o]);
    must(['apt-get', ...options, '-q', '-y', '--no-install-recommends', '--download-only', 'install', ...packages]);
    const script = `
      set -e
      mount -t overlay overlay -o lowerdir="$1",upperdir="$2",workdir="$3" "$4"
      mkdir -p "$4/var/debs"
      mount --bind "$5" "$4/var/debs"
      printf '#!/bin/sh\\nexit 101\\n' >"$4/usr/sbin/policy-rc.d"
      chmod 755 "$4/usr/sbin/policy-rc.d"
      export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
      chroot "$4" sh -c 'dpkg --force-unsafe-io --force-depends --unpack /var/debs/*.deb; dpkg --force-unsafe-io --configure -a'
      umount "$4/var/debs"
      rmdir "$4/var/debs"
      rm "$4/usr/sbin/policy-rc.d"`;
    must(['unshare', '-m', 'sh', '-c', script, 'sh', debianRoot(), upper, work, merged, debs]);
    finish(upper);
    const gone = must(['find', upper, '-type', 'c', '-links', '1', '-print']);
    if (gone !== '') throw new Error(`the packages of image ${name} take files away: ${gone}`);
    tree(upper, join(partial, 'layer.tar'), true);
    for (const d of [upper, work, merged, debs]) rmSync(d, { recursive: true, force: true });
  });
  return new Image(folder, name, base, process);
}

/** nginx on port 8080 of any address, with one page that says `served by nginx`, and busybox to fetch it with. */
export function nginx(): Image {
  const config = `
daemon off;
user www-data;
worker_processes 2;
error_log /dev/stderr;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  server { listen 8080; root /srv/www; }
}
`;
  const cmd = ['nginx', '-c', '/etc/nginx/test.conf'];
  return aboveDebian('nginx', ['nginx-light'], { Cmd: cmd, StopSignal: 'SIGQUIT' }, (root) => {
    for (const d of ['srv/www', 'etc/nginx', 'usr/local/bin']) mkdirSync(join(root, d), { recursive: true });
    writeFileSync(join(root, 'etc/nginx/test.conf'), config);
    writeFileSync(join(root, 'srv/www/index.html'), 'served by nginx\n');
    copyFileSync('/bin/busybox', join(root, 'usr/local/bin/busybox'));
  });
}

/** Python 3 with its standard library. */
export function python(): Image {
  return aboveDebian('python', ['python3'], { Cmd: ['python3'] }, () => undefined);
}

/** The name that `/etc/os-release` of the Debian image gives itself. */
export function debianName(): string {
  return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync(join(debianRoot(), 'etc/os-release'), 'utf8'))?.[1] ?? '';
}
