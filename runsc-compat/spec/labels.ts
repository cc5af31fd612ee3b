// Profiles and labels of the host's security modules. They would confine host processes that guest code never becomes: where the host has
// the module they are left out with a line in the log, and where it does not, naming one is an error as under runc.

import { readFileSync } from 'node:fs';
import { CliError } from '../errors.ts';
import type { Linux, Process } from './types.ts';

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

/** The host runs with AppArmor. */
function hasApparmor(): boolean {
  return text('/sys/module/apparmor/parameters/enabled') === 'Y';
}

/** The host runs with SELinux: its file system is there when it is enabled. */
function hasSelinux(): boolean {
  return text('/sys/fs/selinux/policyvers') !== '';
}

/** Checks what a configuration says of profiles and labels. `note` is told of what is left out. */
export function checkLabels(p: Process, linux: Linux, note: (line: string) => void): void {
  const profile = p.apparmorProfile ?? '';
  if (profile !== '') {
    if (!hasApparmor())
      throw new CliError(`unable to apply apparmor profile: ${profile}: apparmor is disabled or not supported by the host`);
    note(`apparmor profile ${profile} is left out: it would confine no guest code`);
  }
  const label = p.selinuxLabel ?? '';
  if (label !== '') {
    if (!hasSelinux()) throw new CliError('selinux label is specified in config, but selinux is disabled or not supported');
    note(`selinux label ${label} is left out: it would confine no guest code`);
  }
  const mountLabel = linux.mountLabel ?? '';
  if (mountLabel !== '') note(`mount label ${mountLabel} is left out: the guest's mounts are not the host's`);
}
