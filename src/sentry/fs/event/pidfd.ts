// pidfd_open(2): a descriptor that stands for a process, whatever becomes of its number.

import { O_RDWR } from '../../../abi/fcntl.ts';
import { POLLHUP, POLLIN, POLLRDNORM } from '../../../abi/poll.ts';
import type { PidNamespace } from '../../kernel/pidns.ts';
import type { ThreadGroup } from '../../kernel/threadgroup.ts';
import type { File } from '../../vfs/file.ts';
import { AnonFile } from './anon.ts';

export class PidFile extends AnonFile {
  readonly group: ThreadGroup;

  /** `flags`: O_NONBLOCK or 0. */
  constructor(group: ThreadGroup, flags: number) {
    super(O_RDWR | flags);
    this.group = group;
    this.queue = group.exitQueue;
  }

  /** Readable once the process has ended, with HUP once it is reaped. */
  override poll(): number {
    const g = this.group;
    if (g.reaped) return POLLIN | POLLRDNORM | POLLHUP;
    return g.zombie ? POLLIN | POLLRDNORM : 0;
  }

  override fdinfo(pidns: object): string {
    const ns = pidns as PidNamespace;
    if (this.group.reaped) return 'Pid:\t-1\nNSpid:\t-1\n';
    const pid = this.group.pid;
    const below = pid.in(ns) === 0 ? [] : pid.numbers.slice(ns.level + 1);
    return `Pid:\t${pid.in(ns)}\nNSpid:\t${[pid.in(ns), ...below].join('\t')}\n`;
  }

  override anonName(): string {
    return 'anon_inode:[pidfd]';
  }
}

/** The process that a descriptor stands for (waitid P_PIDFD, pidfd_send_signal), or null when it is no pidfd. */
export function pidfdGroup(f: File): ThreadGroup | null {
  return f instanceof PidFile ? f.group : null;
}
