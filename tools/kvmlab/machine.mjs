// Runs one command in an emulated machine: QEMU without any help of the host's processor, so that it works wherever QEMU does.

import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { archive } from './cpio.mjs';

/**
 * @typedef {object} Job
 * @property {{ vmlinux: string, initrd: string, release: string }} kernel
 * @property {string[]} command an absolute path or a name on PATH, and its arguments
 * @property {string} cwd the folder it starts in
 * @property {Record<string, string>} env added to its environment
 * @property {string} repository the folder that is there under the same name
 * @property {string} root the host's folder that is the machine's root; / or a tree of Debian's
 * @property {string} cpu QEMU's model and flags
 * @property {number} cpus
 * @property {number} memory MiB
 * @property {number} timeout seconds for everything, the boot too
 * @property {string} append kernel parameters
 * @property {string} kvm real, absent or fifo
 * @property {string} cgroup v2, v1 or none
 * @property {string[]} sysctls NAME=VALUE
 * @property {string[]} modules more of them, by name
 * @property {boolean} console whether to show the kernel's messages
 */

/**
 * Boots, runs the command, shows its output as it comes, and ends the machine.
 *
 * @param {Job} job
 * @returns {Promise<{ status: number | 'timeout', boot: number, seconds: number }>} the command's status, and how long it took to start and in all
 * @throws Error, one line and the end of the kernel's messages, if the machine did not come so far
 */
export async function runMachine(job) {
  const folder = mkdtempSync(join(tmpdir(), 'kvmlab-'));
  const start = performance.now();
  const servers = [];
  let child;
  const stop = () => {
    child?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', stop);
  try {
    writeFileSync(join(folder, 'initrd'), Buffer.concat([readFileSync(job.kernel.initrd), instructions(job)]));
    let said = '';
    let boot = 0;
    const listen = (name, take) => servers.push(server(join(folder, name), take));
    listen('out', (data) => process.stdout.write(data));
    listen('err', (data) => process.stderr.write(data));
    listen('status', (data) => {
      said += data;
      if (boot === 0) boot = performance.now() - start;
    });
    await Promise.all(servers.map((one) => one.listening));

    const log = join(folder, 'console');
    const fd = openSync(log, 'w');
    // Whatever becomes of this process, the machine ends with it.
    child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...options(job, folder)], { stdio: ['ignore', fd, fd] });
    closeSync(fd);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, job.timeout * 1000);
    const ended = await new Promise((done) => {
      child.on('error', (error) => done(error.message));
      child.on('exit', (code, signal) => done(code === 0 ? '' : `QEMU ended with ${signal ?? code}`));
    });
    clearTimeout(timer);
    await Promise.all(servers.map((one) => one.drained()));

    const messages = readFileSync(log, 'latin1');
    if (job.console) process.stderr.write(messages);
    const status = /^status (\d+)$/m.exec(said)?.[1];
    const times = { boot: boot / 1000, seconds: (performance.now() - start) / 1000 };
    if (status !== undefined) return { status: Number(status), ...times };
    if (timedOut && boot > 0) return { status: 'timeout', ...times };
    const what = timedOut ? `not up after ${job.timeout} s` : ended || 'the machine stopped before the command ended';
    throw new Error(`${what}\n${messages.split('\n').slice(-25).join('\n')}`);
  } finally {
    process.off('exit', stop);
    for (const one of servers) one.close();
    stop();
  }
}

/** A socket that QEMU connects one port of the machine to. */
function server(path, take) {
  const sockets = [];
  const listener = createServer((socket) => {
    sockets.push(new Promise((done) => socket.on('close', done)));
    socket.on('data', take);
    // QEMU may be killed while it writes.
    socket.on('error', () => {});
  });
  return {
    listening: new Promise((done, fail) => listener.on('error', fail).listen(path, done)),
    drained: () => Promise.all(sockets),
    close: () => listener.close(),
  };
}

/** What a run adds to the archive: the first processes' programs, the settings, and the command. */
function instructions(job) {
  const settings = {
    modules: [...(job.kvm === 'real' ? ['kvm_amd'] : []), ...job.modules].join(' '),
    repository: job.repository,
    other_root: job.root === '/' ? '' : '1',
    node: process.execPath,
    cgroup: job.cgroup,
    sysctls: job.sysctls.join(' '),
    kvm: job.kvm,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${quoted(value)}\n`);
  const environment = { HOME: '/root', LANG: 'C.UTF-8', TZ: 'UTC', TERM: 'dumb', ...job.env };
  const exports = Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  const command = `${exports.join('')}cd ${quoted(job.cwd)} || exit 127\nexec ${job.command.map(quoted).join(' ')}\n`;
  const own = (name) => readFileSync(join(import.meta.dirname, name));
  return archive([
    { name: 'init', mode: 0o100755, data: own('init.sh') },
    { name: 'lab/host.sh', mode: 0o100644, data: own('host.sh') },
    { name: 'lab/settings', mode: 0o100644, data: lines.join('') },
    { name: 'lab/command', mode: 0o100644, data: command },
  ]);
}

/** A word that a shell takes as it is. */
function quoted(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function options(job, folder) {
  const share = (id, path) => [
    ...['-fsdev', `local,id=${id},path=${path.replaceAll(',', ',,')},security_model=none,readonly=on,multidevs=remap`],
    ...['-device', `virtio-9p-pci,fsdev=${id},mount_tag=${id}`],
  ];
  const port = (name) => [
    ...['-chardev', `socket,id=${name},path=${join(folder, name)}`],
    ...['-device', `virtserialport,bus=ports.0,chardev=${name},name=${name}`],
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none'],
    ...['-machine', 'q35,usb=off,sata=off,smbus=off,vmport=off,hpet=off', '-accel', 'tcg,thread=multi,tb-size=512'],
    ...['-cpu', job.cpu, '-smp', `${job.cpus}`, '-m', `${job.memory}`],
    ...['-kernel', job.kernel.vmlinux, '-initrd', join(folder, 'initrd')],
    ...['-append', `console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off ${job.append}`],
    ...['-serial', 'stdio', '-device', 'virtio-serial-pci,id=ports'],
    ...['out', 'err', 'status'].flatMap(port),
    ...share('root', job.root),
    ...(job.root === '/' ? [] : share('host', '/')),
  ];
}
