// Options of mounts in config.json: those of the mount itself, and those that its file system reads.

import { CliError } from '../errors.ts';

/** Options of a mount that are told to the Sentry in fields of their own, or that have nothing to change in a sandbox. */
const ABOUT_THE_MOUNT = new Set([
  ...['defaults', 'ro', 'rw', 'suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'remount', 'async', 'sync', 'dirsync'],
  ...['acl', 'noacl', 'atime', 'diratime', 'iversion', 'noiversion', 'lazytime', 'nolazytime', 'loud', 'silent', 'mand', 'nomand'],
  ...['norelatime', 'nostrictatime', 'symfollow'],
  ...['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable'],
  // mount_setattr(2), recursively
  ...['ratime', 'rdiratime', 'rnorelatime', 'rnostrictatime', 'rsymfollow'],
]);

/** Options that must not be lost. */
const REFUSED = new Set(['idmap', 'ridmap', 'nosymfollow', 'rnosymfollow']);
/** A mount of the sandbox is whole: what is said recursively is said of it. */
const RECURSIVE = /^r(?=(ro|rw|nosuid|suid|nodev|dev|noexec|exec|relatime|strictatime|noatime|nodiratime)$)/;

/** What each file system reads; the Sentry checks the values. */
const KNOWN: Record<string, RegExp> = {
  tmpfs: /^(size|nr_blocks|nr_inodes|mode|uid|gid|huge|mpol)=|^(inode32|inode64|noswap|tmpcopyup)$/,
  devtmpfs: /^(size|nr_blocks|nr_inodes|mode)=/,
  devpts: /^(mode|ptmxmode|uid|gid|max)=|^newinstance$/,
  proc: /^(hidepid=(0|off)|gid=\d+)$/,
  cgroup: /^(xattr|none|nsdelegate|memory_recursiveprot|cgroup2|name=.*|[a-z_,]+)$/,
};

const TIMES = new Set(['strictatime', 'noatime', 'nodiratime', 'relatime']);
/** A SELinux label: there is no SELinux inside. */
const LABEL = /^(context|fscontext|defcontext|rootcontext)=/;

/** The options that the Sentry is told of by their words. */
export function fileSystemOptions(options: readonly string[]): string[] {
  return options.filter((o) => !ABOUT_THE_MOUNT.has(o) && !LABEL.test(o));
}

/** The options with those that are recursive under their plain names. */
export function mountFlags(options: readonly string[]): string[] {
  return options.map((o) => o.replace(RECURSIVE, ''));
}

/** Throws where an option would be lost or is none of the file system's (mount(2) answers EINVAL). `where`: what the message begins with. */
export function checkOptions(options: readonly string[], type: string, where: string): void {
  for (const o of options) {
    if (o === 'bind' || o === 'rbind' || TIMES.has(o)) continue;
    if (REFUSED.has(o)) throw new CliError(`${where}: "${o}" cannot be honoured: the sandbox has no such mounts`);
    if (KNOWN[type]?.test(o) !== true) throw new CliError(`${where}: "${o}" is no option of ${type}: invalid argument`);
  }
}
