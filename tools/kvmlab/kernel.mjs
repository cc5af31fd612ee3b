// A Debian kernel as the emulated machine boots it: the kernel without its decompressor, and an archive of the modules it needs, in the order
// in which they are loaded. Both are made once and kept in the user's cache directory.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { archive } from './cpio.mjs';

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'ringfence-test');
const busybox = '/bin/busybox';

/** What is kept changes when this number does. */
const FORMAT = 1;

/** Loaded before the root is mounted. */
const early = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay'];
/** Loaded as the run asks for them: each has a list of what it needs. */
const late = ['kvm_amd', 'cuse', 'tun', 'veth', 'bridge', 'nf_tables', 'ip_tables'];

/**
 * A kernel that is ready to boot.
 *
 * @param {string} name a Debian suite (its linux-image-amd64 is taken), or the path of a kernel's .deb
 * @returns {{ vmlinux: string, initrd: string, release: string }} paths of files, and what `uname -r` will say
 * @throws Error in one line, if there is no such kernel or a tool is missing
 */
export function kernel(name) {
  const file = name.endsWith('.deb') ? resolve(name) : undefined;
  if (file === undefined && !/^[a-z][a-z0-9-]*$/.test(name)) throw new Error(`--kernel ${name}: neither a Debian suite nor a .deb`);
  const folder = join(cache, `kernel-${FORMAT}-${file === undefined ? name : basename(file, '.deb')}`);
  if (!existsSync(folder)) {
    const partial = `${folder}.${process.pid}`;
    mkdirSync(partial, { recursive: true });
    try {
      prepare(file ?? download(name, partial), partial);
      renameSync(partial, folder);
    } catch (error) {
      rmSync(partial, { recursive: true, force: true });
      // Another run may have made it meanwhile.
      if (!existsSync(folder)) throw error;
    }
  }
  const release = readFileSync(join(folder, 'release'), 'utf8');
  return { vmlinux: join(folder, 'vmlinux'), initrd: join(folder, 'initrd'), release };
}

/** Gets the kernel of a suite by apt, with lists of its own: the host need not know the suite. */
function download(suite, folder) {
  const targets = run(['apt-get', 'indextargets', '--format', '$(ORIGIN) $(REPO_URI) $(RELEASE)', 'Created-By: Packages']).toString();
  const lines = targets.split('\n').map((line) => line.split(' '));
  const uri = lines.find(([origin, , release]) => origin === 'Debian' && !release.endsWith('-security'))?.[1];
  if (uri === undefined) throw new Error(`--kernel ${suite}: apt knows no Debian archive on this host; give the path of a .deb`);
  const apt = join(folder, 'apt');
  for (const sub of ['lists/partial', 'archives/partial']) mkdirSync(join(apt, sub), { recursive: true });
  writeFileSync(join(apt, 'sources.list'), `deb ${uri} ${suite} main\n`);
  const options = [
    ...[`Dir::Etc::sourcelist=${apt}/sources.list`, 'Dir::Etc::sourceparts=-', 'Dir::Etc::preferencesparts=-', 'Acquire::Languages=none'],
    ...[`Dir::State::lists=${apt}/lists`, `Dir::Cache=${apt}`, 'APT::Sandbox::User=root', 'APT::Architecture=amd64'],
  ].flatMap((option) => ['-o', option]);
  run(['apt-get', ...options, '-q', 'update']);
  const depends = run(['apt-cache', ...options, 'depends', 'linux-image-amd64']).toString();
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`--kernel ${suite}: the suite has no linux-image-amd64`);
  run(['apt-get', ...options, '-q', 'download', name], apt);
  const deb = readdirSync(apt).find((entry) => entry.endsWith('.deb'));
  if (deb === undefined) throw new Error(`--kernel ${suite}: apt did not download ${name}`);
  return join(apt, deb);
}

/** Makes vmlinux, initrd and release of a package. */
function prepare(deb, folder) {
  if (!statSync(deb, { throwIfNoEntry: false })?.isFile()) throw new Error(`--kernel ${deb}: no such file`);
  const tree = mkdtempSync(join(tmpdir(), 'kvmlab-'));
  try {
    run(['dpkg-deb', '-x', deb, tree]);
    const image = readdirSync(join(tree, 'boot')).find((entry) => entry.startsWith('vmlinuz-'));
    if (image === undefined) throw new Error(`--kernel ${deb}: no kernel in the package`);
    const release = image.slice('vmlinuz-'.length);
    writeFileSync(join(folder, 'vmlinux'), unpacked(join(tree, 'boot', image), tree));
    // Since Debian 13 everything lies below usr.
    const lib = ['lib/modules', 'usr/lib/modules'].map((path) => join(tree, path, release)).find((path) => existsSync(path));
    if (lib === undefined) throw new Error(`--kernel ${deb}: no modules in the package`);
    writeFileSync(join(folder, 'initrd'), initrd(lib));
    writeFileSync(join(folder, 'release'), release);
  } finally {
    rmSync(tree, { recursive: true, force: true });
    rmSync(join(folder, 'apt'), { recursive: true, force: true });
  }
}

/**
 * The kernel proper of a bzImage: emulated, its decompressor would take longer than the rest of the boot. Where it lies is in the boot
 * protocol's header (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length); its last four bytes are its size.
 */
function unpacked(image, scratch) {
  const bytes = readFileSync(image);
  const start = ((bytes[0x1f1] || 4) + 1) * 512 + bytes.readUInt32LE(0x248);
  const payload = bytes.subarray(start, start + bytes.readUInt32LE(0x24c) - 4);
  const tools = { fd: ['xz', '-dc'], 28: ['zstd', '-dcq'], '1f': ['gzip', '-dc'] };
  const tool = tools[(payload[0] ?? 0).toString(16)];
  if (tool === undefined) throw new Error(`${image}: compressed in a way that is not known here`);
  const file = join(scratch, 'payload');
  writeFileSync(file, payload);
  return run([...tool, file]);
}

/** The archive that the kernel unpacks; the machine adds /init and what it shall do. */
function initrd(lib) {
  const all = new Map();
  for (const entry of readdirSync(lib, { recursive: true })) {
    const name = /([^/]+)\.ko(\.xz)?$/.exec(entry)?.[1];
    if (name !== undefined) all.set(name.replaceAll('-', '_'), join(lib, entry));
  }
  const loaded = new Map();
  /** What must be loaded for one module, in order, with itself; a module that is not there is built into this kernel. */
  const chain = (name, list = []) => {
    const path = all.get(name);
    if (path === undefined || list.includes(name)) return list;
    if (!loaded.has(name)) loaded.set(name, path.endsWith('.xz') ? run(['xz', '-dc', path]) : readFileSync(path));
    const depends = /\0depends=([^\0]*)\0/.exec(loaded.get(name).toString('latin1'))?.[1] ?? '';
    for (const other of depends.split(',').filter((one) => one !== '')) chain(other.replaceAll('-', '_'), list);
    list.push(name);
    return list;
  };
  const listOf = (names) => [...new Set(names.flatMap((name) => chain(name)))].map((name) => `${name}\n`).join('');
  const lists = [{ name: 'modules/early', mode: 0o100644, data: listOf(early) }];
  for (const name of late) lists.push({ name: `modules/${name}`, mode: 0o100644, data: listOf([name]) });

  const shell = existsSync(busybox) ? readFileSync(busybox) : Buffer.alloc(0);
  if (shell.length === 0 || shell.includes('/ld-linux'))
    throw new Error(`${busybox} is missing or not static: apt-get install busybox-static`);
  return archive([
    ...['bin', 'modules', 'lab', 'proc', 'sys', 'dev', 'lower', 'upper', 'root'].map((name) => ({ name, mode: 0o40755 })),
    { name: 'bin/busybox', mode: 0o100755, data: shell },
    { name: 'bin/sh', mode: 0o120777, data: 'busybox' },
    ...lists,
    ...[...loaded].map(([name, data]) => ({ name: `modules/${name}.ko`, mode: 0o100644, data })),
  ]);
}

function run(argv, cwd) {
  try {
    return execFileSync(argv[0], argv.slice(1), { cwd, maxBuffer: 1 << 29, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    if (error.code === 'ENOENT') throw new Error(`${argv[0]} is missing: tools/test-setup.sh installs what the tests need`);
    throw new Error(`${argv.join(' ')}: ${(error.stderr?.toString() || error.message).trim().split('\n').at(-1)}`);
  }
}
