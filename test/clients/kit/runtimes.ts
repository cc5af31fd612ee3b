// The runtimes that clients drive in these tests: runc is the oracle, the same assertions hold for all.

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ringfence as ringfenceProgram } from '../../support/platform.ts';
import type { Folder } from './folder.ts';

export interface Runtime {
  name: string;
  /** What clients execute, by absolute path. */
  path: string;
  /** Where it keeps states unless a client passes --root. */
  states: string;
}

/** Debian's runc. */
export const runc: Runtime = { name: 'runc', path: '/usr/sbin/runc', states: '/run/runc' };

/** This checkout's ringfence, unwrapped. */
export const ringfence: Runtime = { name: 'ringfence', path: ringfenceProgram, states: '/run/ringfence' };

/**
 * Debian's crun. It takes no host with both kinds of cgroups, so there it runs behind a script, in a mount namespace in which the second
 * kind cannot be seen.
 */
export function crun(folder: Folder): Runtime {
  const path = folder.file('crun');
  const script = `#!/bin/sh
[ -d /sys/fs/cgroup/unified ] || exec /usr/bin/crun "$@"
exec /usr/bin/unshare -m --propagation slave /bin/sh -c '/bin/umount /sys/fs/cgroup/unified; exec /usr/bin/crun "$@"' sh "$@"
`;
  writeFileSync(path, script, { mode: 0o755 });
  return { name: 'crun', path, states: '/run/crun' };
}

/** The names of states that a runtime keeps and that have one of the words in them. */
export function statesNamed(runtime: Runtime, words: Iterable<string>): string[] {
  let names: string[];
  try {
    names = readdirSync(runtime.states);
  } catch {
    return [];
  }
  const all = [...words];
  return names.filter((name) => all.some((w) => name.includes(w))).map((name) => `state ${join(runtime.states, name)}`);
}
