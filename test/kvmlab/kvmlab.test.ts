// ringfence on another host: an emulated machine with a Debian kernel, a /dev/kvm of the kvm-amd module and cgroup v2 alone (tools/kvmlab.mjs).
//
// An emulated machine is so slow that time limits are a matter of luck: without RINGFENCE_TEST_KVMLAB=1 none is started, and only what the
// tool says by itself is tested. All of it takes half an hour or more.

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { baseSpec } from '../oci/kit/runtimes.ts';
import { buildGuests, buildTool, repository } from '../support/build.ts';
import { type RunResult, runOnHost } from '../support/run.ts';

const all = process.env['RINGFENCE_TEST_KVMLAB'] === '1';
const MINUTE = 60_000;
const MIB = 1024 * 1024;

/** Runs a shell script in a machine; the machine sees the repository, and nothing of /tmp. */
function inMachine(script: string, options: string[] = [], minutes = 5): Promise<RunResult> {
  const argv = [process.execPath, 'tools/kvmlab.mjs', '--timeout', `${minutes * 60}`, ...options, '--', '/bin/sh', '-c', script];
  return runOnHost(argv, { cwd: repository, timeout: (minutes + 2) * MINUTE, env: process.env as Record<string, string> });
}

/** The `not ok` and the last plan of a TAP run, and whatever else is not `ok`. */
const failures = (output: string): string[] => output.split('\n').filter((line) => line !== '' && !/^(ok |TAP |1\.\.)/.test(line));

let folder: string;
beforeAll(() => {
  mkdirSync(join(repository, 'dist/test'), { recursive: true });
  folder = mkdtempSync(join(repository, 'dist/test/kvmlab-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('says in one line what is wrong with a call', { timeout: 8 * MINUTE }, async () => {
  const none = await inMachine('true', ['--kvm', 'toy']);
  expect(none).toMatchObject({ status: 2, stdout: '' });
  expect(none.stderr).toMatch(/^kvmlab: --kvm toy: none of real, absent, fifo\n/);
});

/** A bundle that the machine can see. */
function bundle(name: string, args: string[]): string {
  const dir = join(folder, name);
  for (const sub of ['bin', 'proc', 'sys', 'dev', 'tmp']) mkdirSync(join(dir, 'rootfs', sub), { recursive: true });
  cpSync('/bin/busybox', join(dir, 'rootfs/bin/busybox'));
  for (const applet of ['sh', 'sleep', 'cat']) symlinkSync('busybox', join(dir, 'rootfs/bin', applet));
  const spec = baseSpec(args);
  spec.linux.cgroupsPath = '/limits';
  spec.linux.namespaces?.push({ type: 'cgroup' });
  spec.mounts.push({ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'ro'] });
  spec.linux.resources = {
    cpu: { shares: 512, quota: 50_000, period: 200_000, cpus: '0' },
    memory: { limit: 128 * MIB, reservation: 64 * MIB, swap: 256 * MIB },
    pids: { limit: 50 },
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(spec));
  return dir;
}

if (all) {
  describe('the machine', () => {
    test('runs a command as it would run here: output, errors, status', { timeout: 8 * MINUTE }, async () => {
      const r = await inMachine('echo out; echo err >&2; uname -r | cut -d. -f1,2; ls /tmp /dev/kvm; cat /proc/self/cgroup; exit 7', [
        '--append',
        'quiet',
      ]);
      expect(r).toMatchObject({ status: 7, stdout: 'out\n6.1\n/dev/kvm\n\n/tmp:\n0::/user.slice/kvmlab.scope\n', stderr: 'err\n' });
    });
  });

  describe.each(['bookworm', 'bookworm-backports'])('a host with the kernel of %s', (kernel) => {
    const options = ['--kernel', kernel];

    test('its /dev/kvm can do what the engine needs', { timeout: 8 * MINUTE }, async () => {
      const r = await inMachine(buildTool(join(import.meta.dirname, 'probe.c')), options);
      expect(r.stdout.split('\n').filter((line) => line.startsWith('FAIL'))).toEqual([]);
      expect(r.status).toBe(0);
    });

    // The clock is read through the host's vDSO, which each version of Linux lays out in its own way.
    test.each(['systrap', 'ptrace', 'kvm'])('%s runs programs', { timeout: 34 * MINUTE }, async (engine) => {
      const runs = buildGuests().map(({ path }) => `bin/ringfence --platform ${engine} do -- ${path} || echo "${path}: $?"`);
      const r = await inMachine(runs.join('\n'), options, 30);
      expect({ failures: failures(r.stdout), errors: r.stderr, status: r.status }).toEqual({ failures: [], errors: '', status: 0 });
      expect(r.stdout.match(/^ok /gm)?.length).toBeGreaterThan(20);
    });
  });

  test('a machine is stopped at its time', { timeout: 8 * MINUTE }, async () => {
    const late = await runOnHost([process.execPath, 'tools/kvmlab.mjs', '--timeout', '60', '--', 'sleep', '1000'], {
      cwd: repository,
      timeout: 3 * MINUTE,
      env: process.env as Record<string, string>,
    });
    expect(late).toMatchObject({ status: 124, stderr: 'kvmlab: stopped after 60 s (--timeout)\n' });
  });

  describe('a host with cgroup v2 alone', () => {
    test('a container has the limits that it has with runc', { timeout: 12 * MINUTE }, async () => {
      const script = join(import.meta.dirname, 'limits.sh');
      const dir = bundle('limits', ['sleep', '1000']);
      bundle('limits-eater', ['sh', '-c', 'a=0123456789abcdef; while :; do a=$a$a; done']);
      const said = async (runtime: string): Promise<string[]> => {
        const r = await inMachine(`sh ${script} box ${dir} ${runtime} --root /run/states`, [], 10);
        expect({ status: r.status, stderr: r.stderr }).toEqual({ status: 0, stderr: '' });
        return r.stdout.split('\n');
      };
      const [theirs, ours] = [await said('/usr/sbin/runc'), await said('bin/ringfence')];
      expect(theirs).toContain('made memory.max 134217728');
      expect(theirs).toContain('eater 137');
      // A sandbox has more threads of its own than it has processes.
      expect(ours).toEqual(theirs.map((line) => line.replace('pids.max 50', 'pids.max 306')));
    });
  });

  describe('hosts that lack something', () => {
    const engine = (name: string): string => `bin/ringfence --platform ${name} do -- /bin/echo up; echo "status $?"`;
    const REFUSED = /^ringfence: --platform kvm: .*\n$/;

    test.each([
      ['no /dev/kvm', ['--kvm', 'absent']],
      ['a FIFO named /dev/kvm', ['--kvm', 'fifo']],
      ['a processor that cannot', ['--no-svm']],
    ])('%s: kvm is refused in one line, auto takes another', { timeout: 12 * MINUTE }, async (_name, options) => {
      const refused = await inMachine(engine('kvm'), options);
      expect(refused.stderr).toMatch(REFUSED);
      expect(refused.stdout).toBe('status 125\n');
      expect(await inMachine(engine('auto'), options)).toMatchObject({ stdout: 'up\nstatus 0\n', stderr: '' });
    });

    test.each(['0', '1', '2', '3'])('ptrace_scope %s', { timeout: 12 * MINUTE }, async (scope) => {
      const options = ['--sysctl', `kernel.yama.ptrace_scope=${scope}`];
      expect(await inMachine(engine('systrap'), options)).toMatchObject({ stdout: 'up\nstatus 0\n', stderr: '' });
    });

    test('no control groups', { timeout: 12 * MINUTE }, async () => {
      expect(await inMachine(engine('systrap'), ['--cgroup', 'none'])).toMatchObject({ stdout: 'up\nstatus 0\n', stderr: '' });
    });
  });
}
