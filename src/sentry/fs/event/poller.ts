// On whose behalf File.poll() is being asked. Only a signalfd's answer depends on it: it shows the asking task's pending signals.

import type { Task } from '../../kernel/task.ts';

let poller: Task | null = null;

/** Told by poll, select and epoll_wait before they look at files. */
export function setPoller(t: Task): void {
  poller = t;
}

export function currentPoller(): Task | null {
  return poller;
}
