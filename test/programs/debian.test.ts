// A Debian root: dpkg, su, set-user-ID programs.

import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';
import { debianPackage, debianRoot } from '../support/fixtures.ts';
import { plainEnvironment, runInSandbox } from '../support/run.ts';

const inRoot = (command: string, more: string[] = []): ReturnType<typeof runInSandbox> =>
  runInSandbox(['/bin/sh', '-c', command], {
    options: ['--root', debianRoot(), '--cwd', '/', ...more],
    env: plainEnvironment,
    timeout: 120_000,
  });

describe('a Debian root', () => {
  test('looks like one', { timeout: 600_000 }, async () => {
    const r = await inRoot('cat /etc/debian_version; ls /; dpkg --version | head -1; id -u; ldd /bin/ls | wc -l; dpkg -l | grep -c ^ii');
    expect(r.stderr).toBe('');
    expect(r.status).toBe(0);
    expect(r.stdout).toMatch(/^12\.\d+\nbin\nboot\ndev\netc\n/);
    expect(r.stdout).toContain("Debian 'dpkg' package management program");
  });

  test('dpkg -i installs, runs and removes a package', { timeout: 300_000 }, async () => {
    const file = debianPackage('hello');
    const command = `
      dpkg -i /deb/${basename(file)} >/dev/null && dpkg -s hello | grep ^Status && hello && dpkg -L hello | grep bin/hello &&
      dpkg --verify hello && dpkg -P hello >/dev/null && { test -e /usr/bin/hello || echo gone; }`;
    const r = await inRoot(command, ['--volume', `${join(file, '..')}:/deb:ro`]);
    expect(r.stderr).toBe('');
    expect(r.stdout).toBe('Status: install ok installed\nHello, world!\n/usr/bin/hello\ngone\n');
    expect(r.status).toBe(0);
  });

  test('useradd and su', { timeout: 120_000 }, async () => {
    const r = await inRoot(
      `
        useradd -m -s /bin/bash joe && su joe -c 'id -un; cd; pwd; touch /root/x 2>/dev/null || echo refused' &&
        su - joe -c 'echo $HOME $USER; umask' && su joe -c 'su root -c id </dev/null 2>/dev/null || echo no password' &&
        userdel -r joe 2>/dev/null; ls /home`,
    );
    expect(r.stderr).toBe('');
    expect(r.stdout).toBe('joe\n/home/joe\nrefused\n/home/joe joe\n0022\nno password\n');
  });
});

describe('su and set-user-ID programs on the host tree', () => {
  test('su to an ordinary user and back', async () => {
    await hostAndSandbox(
      "su -s /bin/sh nobody -c 'id; echo $HOME; cat /etc/shadow 2>/dev/null || echo refused; kill -0 1 2>/dev/null || echo not permitted'",
    );
  });

  test('a set-user-ID program keeps its owner, an ordinary one does not', async () => {
    await hostAndSandbox(
      `
        chmod 755 .; cp /usr/bin/id ./sid; chmod 4755 sid; cp /usr/bin/id ./plain;
        su -s /bin/sh nobody -c "./sid -u; ./sid -ru; ./plain -u"; chmod 2755 sid; su -s /bin/sh nobody -c "./sid -g; ./sid -rg"`,
    );
  });

  test('setpriv, chroot, nice for others', async () => {
    await hostAndSandbox(
      `
        setpriv --reuid 1234 --regid 1234 --clear-groups --inh-caps=-all id; setpriv --no-new-privs su -s /bin/sh nobody -c id;
        mkdir -p r/bin; cp /bin/busybox r/bin; chroot r /bin/busybox ls /;
        setpriv --reuid 1234 --clear-groups sh -c "chown 0 . 2>/dev/null || echo refused";
        setpriv --bounding-set -chown --reuid 0 sh -c "touch f; chown 5 f 2>/dev/null || echo no capability"`,
    );
  });

  test('--user', async () => {
    const command =
      'id -u; id -g; touch /root/x 2>/dev/null || echo refused; ' +
      'grep -E "^(Uid|Gid|CapEff)" /proc/self/status; ./missing 2>/dev/null || echo $?';
    const r = await runInSandbox(['/bin/sh', '-c', command], { options: ['--user', '1234:4321', '--cwd', '/tmp'], env: plainEnvironment });
    expect(r.stdout).toBe(
      '1234\n4321\nrefused\nUid:\t1234\t1234\t1234\t1234\nGid:\t4321\t4321\t4321\t4321\nCapEff:\t0000000000000000\n127\n',
    );
  });
});
