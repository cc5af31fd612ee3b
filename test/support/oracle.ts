// Tests that run on several runtimes take runc and crun as the oracle. These have races of their own (a limit that Go's runtime puts back, a
// mount that podman finds busy), which are not ours to mend: what fails on them is tried again. What fails on ringfence never is.

import { beforeAll } from 'vitest';

const TRIES_AGAIN = 2;
/** Names of suites that are about an oracle, such as `runc` and `podman run, 'runc'`. */
const ORACLE = /(^|[\s'])(runc|crun)'?$/;

interface Task {
  type: string;
  name: string;
  retry?: unknown;
  tasks?: Task[];
}

function tryAgain(task: Task, oracle: boolean): void {
  if (task.type === 'test') {
    if (oracle) task.retry = TRIES_AGAIN;
    return;
  }
  for (const t of task.tasks ?? []) tryAgain(t, oracle || ORACLE.test(task.name));
}

// biome-ignore lint/correctness/noEmptyPattern: vitest takes no other first parameter
beforeAll(({}, file: unknown) => tryAgain(file as Task, false));
