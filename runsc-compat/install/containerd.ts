// containerd: a table for one more runtime handler at the end of its configuration. Its imports would replace the whole CRI plugin's settings
// by ours, so a file of our own beside it is no way.

import { CliError } from '../errors.ts';
import { BEGIN, type Change, type Client, type Sysroot, withBlock, withoutBlock } from './client.ts';
import { tomlString } from './dropin.ts';

const PATH = '/etc/containerd/config.toml';

/** The table of the CRI plugin's runtimes by version of the configuration (containerd 1.x: 2; 2.x: 3). */
const RUNTIMES: Record<string, string> = {
  '2': 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes',
  '3': `plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes`,
};

function version(text: string): string {
  const v = /^\s*version\s*=\s*(\d+)/m.exec(text)?.[1] ?? '1';
  if (RUNTIMES[v] === undefined)
    throw new CliError(`${PATH} has version ${v} of containerd's configuration, known are ${Object.keys(RUNTIMES).join(' and ')}`);
  return v;
}

export const containerd: Client = {
  name: 'containerd',
  signs: ['/usr/bin/containerd', '/usr/local/bin/containerd', '/etc/containerd'],
  install(files: Sysroot, runtime: string): Change {
    const before = files.read(PATH);
    const own = before === null ? '' : withoutBlock(before);
    const fresh = own.trim() === '';
    const table = RUNTIMES[fresh ? '2' : version(own)] as string;
    if (/\.runtimes\.["']?ringfence["']?\s*\]/.test(own)) {
      throw new CliError(`${PATH} has a runtime handler ringfence that is not ours: remove it, or leave it as it is`);
    }
    // A table of handlers takes the place of the one that containerd has by default: without runc in it the CRI plugin would not start.
    const runc = /\.runtimes\.["']?\w/.test(own) ? '' : `[${table}.runc]\n  runtime_type = "io.containerd.runc.v2"\n`;
    const block = `${runc}[${table}.ringfence]
  runtime_type = "io.containerd.runc.v2"
  [${table}.ringfence.options]
    BinaryName = ${tomlString(runtime)}`;
    return { path: PATH, before, after: withBlock(fresh ? 'version = 2\n' : own, block) };
  },
  uninstall(files: Sysroot): Change {
    const before = files.read(PATH);
    if (before === null || !before.includes(BEGIN)) return { path: PATH, before, after: before };
    const own = withoutBlock(before);
    return { path: PATH, before, after: own.trim() === 'version = 2' ? null : own };
  },
  next: [
    'systemctl restart containerd',
    'a pod with runtimeClassName: ringfence (docs/kubernetes.md)',
    'ctr run --rm --runc-binary RUNTIME IMAGE NAME uname -a',
  ],
};
