// Clients that read a folder of small files: ours is one of them, and nobody else's is touched.

import type { Change, Client, Sysroot } from './client.ts';

function dropIn(path: string, text: (runtime: string) => string): Pick<Client, 'install' | 'uninstall'> {
  return {
    install: (files: Sysroot, runtime: string): Change => ({ path, before: files.read(path), after: text(runtime) }),
    uninstall: (files: Sysroot): Change => ({ path, before: files.read(path), after: null }),
  };
}

/** A TOML basic string. */
export function tomlString(s: string): string {
  return JSON.stringify(s);
}

/** Runtimes that podman takes JSON logs from by default (containers.conf(5)): a list in a later file replaces the one before. */
const PODMAN_JSON = ['crun', 'crun-vm', 'runc', 'kata', 'runsc', 'youki', 'krun', 'ringfence'];

/** podman and buildah: a file in containers.conf.d (containers.conf(5)). */
export const podman: Client = {
  name: 'podman',
  signs: ['/usr/bin/podman', '/usr/local/bin/podman', '/usr/bin/buildah'],
  ...dropIn(
    '/etc/containers/containers.conf.d/ringfence.conf',
    (runtime) => `# Written by \`ringfence install\`; \`ringfence install --uninstall\` removes it.
[engine]
runtime_supports_json = [${PODMAN_JSON.map(tomlString).join(', ')}]

[engine.runtimes]
ringfence = [${tomlString(runtime)}]
`,
  ),
  next: ['podman --runtime ringfence run --rm IMAGE uname -a'],
};

/** CRI-O: a file in crio.conf.d (crio.conf.d(5)). */
export const crio: Client = {
  name: 'crio',
  signs: ['/usr/bin/crio', '/usr/local/bin/crio', '/etc/crio'],
  ...dropIn(
    '/etc/crio/crio.conf.d/99-ringfence.conf',
    (runtime) => `# Written by \`ringfence install\`; \`ringfence install --uninstall\` removes it.
[crio.runtime.runtimes.ringfence]
runtime_path = ${tomlString(runtime)}
runtime_type = "oci"
runtime_root = "/run/ringfence"
`,
  ),
  next: ['systemctl restart crio', 'a pod with runtimeClassName: ringfence (docs/kubernetes.md)'],
};
