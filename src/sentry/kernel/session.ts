// Sessions and process groups (credentials(7), setsid(2), setpgid(2)).

import type { Pid } from './pidns.ts';
import type { ThreadGroup } from './threadgroup.ts';

/** What a terminal that controls a session must answer to. The tty file system implements it. */
export interface ControllingTty {
  /** The group that may read, and gets ^C. */
  foreground: ProcessGroup | null;
  /** The session that it controls. */
  session: Session | null;
  /** As /proc/PID/stat tty_nr shows it. */
  readonly dev: number;
  /** For ps: "pts/0". */
  readonly name: string;
  /** The session leader has exited, or the line is gone. */
  hangup(): void;
}

export class Session {
  readonly pid: Pid;
  readonly sid: number;
  leader: ThreadGroup | null;
  tty: ControllingTty | null = null;
  groups = 0;

  constructor(pid: Pid, leader: ThreadGroup | null) {
    this.pid = pid;
    this.sid = pid.id;
    this.leader = leader;
    pid.session = this;
  }
}

export class ProcessGroup {
  readonly pid: Pid;
  readonly pgid: number;
  readonly session: Session;
  readonly members: Set<ThreadGroup> = new Set();

  constructor(pid: Pid, session: Session) {
    this.pid = pid;
    this.pgid = pid.id;
    this.session = session;
    session.groups++;
    pid.pgrp = this;
  }

  /** Takes a process out; an emptied group ends, and with its last group the session. */
  remove(g: ThreadGroup): void {
    this.members.delete(g);
    if (this.members.size > 0 || this.pid.pgrp !== this) return;
    this.pid.pgrp = null;
    this.pid.drop();
    if (--this.session.groups > 0) return;
    this.session.pid.session = null;
    this.session.pid.drop();
  }

  /** True if no member has a parent in another group of the same session (POSIX orphaned process group). `without`: as if it were gone. */
  orphaned(without: ThreadGroup | null = null): boolean {
    for (const m of this.members) {
      if (m === without || m.zombie) continue;
      if (m.outsideParent) return false;
      const p = m.parent;
      if (p !== null && p.pgrp !== this && p.pgrp.session === this.session) return false;
    }
    return true;
  }

  /** True if any member is stopped. */
  get hasStopped(): boolean {
    for (const m of this.members) if (m.stopped) return true;
    return false;
  }
}
