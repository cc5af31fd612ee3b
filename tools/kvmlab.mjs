// Runs a command on another host: an emulated machine with a Debian kernel and an AMD processor that has a /dev/kvm of its own.
// node tools/kvmlab.mjs --help tells the rest.

import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { kernel } from './kvmlab/kernel.mjs';
import { runMachine } from './kvmlab/machine.mjs';

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const help = `Usage: node tools/kvmlab.mjs [OPTIONS] [--] COMMAND [ARGUMENT...]

Runs COMMAND as root in an emulated machine and exits with its status. The machine sees this host's files, read-only, under the same names
(what it writes stays in its memory), an empty /tmp and /run, no network but lo. It needs qemu-system-x86 and nothing of this host's
processor. It boots in about five seconds; programs run there ten to thirty times slower.

  --kernel K        a Debian suite, whose linux-image-amd64 is downloaded once (bookworm: Linux 6.1, bookworm-backports: 6.12,
                    bullseye: 5.10), or the path of a kernel's .deb                                             [bookworm]
  --kvm WHAT        real: /dev/kvm of the kvm-amd module; absent: none; fifo: a FIFO by that name               [real]
  --cpu MODEL       QEMU's model and flags, for example EPYC-v2,+svm                                            [max]
  --no-svm          a processor without virtualisation: kvm-amd does not load
  --cgroup V        v2: one unified tree; v1: a tree for each controller; none: nothing is mounted              [v2]
  --sysctl NAME=V   sets one before the command, for example kernel.yama.ptrace_scope=2; may be repeated
  --module NAME     loads one more: cuse, tun, veth, bridge, nf_tables, ip_tables; may be repeated
  --append WORDS    kernel parameters
  --root DIR        another tree as root, for example one made by debootstrap: the repository and node are added to it
  --cwd DIR         where the command starts                                                                    [the repository]
  --env NAME=VALUE  one more variable of its environment; may be repeated
  --cpus N          processors                                                                                  [2]
  --memory MIB      memory, which also holds all that is written                                                [2048]
  --timeout S       seconds after which the machine is stopped, status 124                                      [600]
  --console         show the kernel's messages when the machine has ended
  --time            say how long it took

Status: that of COMMAND (128 + N if signal N ended it); 124 after the timeout; 125 if the machine did not start.

Examples:
  node tools/kvmlab.mjs -- uname -a
  node tools/kvmlab.mjs -- bin/ringfence --platform kvm do -- uname -a
  node tools/kvmlab.mjs --kernel bookworm-backports --kvm absent -- sh -c 'ls -l /dev/kvm; bin/ringfence do -- id'
  node tools/kvmlab.mjs --sysctl kernel.yama.ptrace_scope=3 -- bin/ringfence --platform ptrace do -- true
  node tools/kvmlab.mjs --timeout 1800 --env RINGFENCE_TEST_PLATFORM=kvm -- node node_modules/vitest/vitest.mjs run test/engine
`;

/** A mistake of the one who called. */
function usage(message) {
  process.stderr.write(`kvmlab: ${message}\nTry: node tools/kvmlab.mjs --help\n`);
  process.exit(2);
}

const many = { type: 'string', multiple: true, default: [] };
const definitions = {
  kernel: { type: 'string', default: 'bookworm' },
  kvm: { type: 'string', default: 'real' },
  cpu: { type: 'string', default: 'max' },
  'no-svm': { type: 'boolean', default: false },
  cgroup: { type: 'string', default: 'v2' },
  sysctl: many,
  module: many,
  append: { type: 'string', default: '' },
  root: { type: 'string', default: '/' },
  cwd: { type: 'string', default: repository },
  env: many,
  cpus: { type: 'string', default: '2' },
  memory: { type: 'string', default: '2048' },
  timeout: { type: 'string', default: '600' },
  console: { type: 'boolean', default: false },
  time: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

/** Options end at the first word that is none: what follows belongs to the command. */
function split(argv) {
  let i = 0;
  for (; i < argv.length && argv[i].startsWith('-'); i++) {
    if (argv[i] === '--') return [argv.slice(0, i), argv.slice(i + 1)];
    const option = definitions[argv[i].slice(2)];
    if (option?.type === 'string') i++;
  }
  return [argv.slice(0, i), argv.slice(i)];
}

function number(values, name, least, most) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < least || value > most) usage(`--${name} ${values[name]}: not a number from ${least} to ${most}`);
  return value;
}

function choice(values, name, ...choices) {
  if (!choices.includes(values[name])) usage(`--${name} ${values[name]}: none of ${choices.join(', ')}`);
  return values[name];
}

const [own, command] = split(process.argv.slice(2));
let values;
try {
  ({ values } = parseArgs({ args: own, options: definitions }));
} catch (error) {
  usage(error.message);
}
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
if (command.length === 0) usage('no command');
for (const pair of [...values.env, ...values.sysctl]) if (!/^[\w.]+=/.test(pair)) usage(`${pair}: not NAME=VALUE`);
for (const pair of values.sysctl) if (/\s/.test(pair)) usage(`--sysctl ${pair}: no blanks, please`);
for (const name of values.module) if (!/^\w+$/.test(name)) usage(`--module ${name}: not the name of a module`);
const root = resolve(values.root);
if (!existsSync(root) || !statSync(root).isDirectory()) usage(`--root ${values.root}: no such folder`);
const job = {
  command,
  repository,
  root,
  cwd: values.cwd,
  env: Object.fromEntries(values.env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
  cpu: values.cpu + (values['no-svm'] ? ',-svm' : ',+svm'),
  cpus: number(values, 'cpus', 1, 64),
  memory: number(values, 'memory', 256, 1 << 20),
  timeout: number(values, 'timeout', 1, 86400),
  append: values.append,
  kvm: choice(values, 'kvm', 'real', 'absent', 'fifo'),
  cgroup: choice(values, 'cgroup', 'v2', 'v1', 'none'),
  sysctls: values.sysctl,
  modules: values.module,
  console: values.console,
};

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
try {
  const { status, boot, seconds } = await runMachine({ ...job, kernel: kernel(values.kernel) });
  if (values.time)
    process.stderr.write(`kvmlab: the command started after ${boot.toFixed(1)} s and all ended after ${seconds.toFixed(1)} s\n`);
  if (status === 'timeout') process.stderr.write(`kvmlab: stopped after ${job.timeout} s (--timeout)\n`);
  process.exitCode = status === 'timeout' ? 124 : status;
} catch (error) {
  process.stderr.write(`kvmlab: ${error.message}\n`);
  process.exitCode = 125;
}
