// A task for measuring handlers: the real Task's methods over guest memory that is one array, without kernel or platform.

import { Credentials } from '../../src/sentry/vfs/creds.ts';
import type { FileSystem } from '../../src/sentry/vfs/filesystem.ts';
import { FsContext } from '../../src/sentry/vfs/fscontext.ts';
import { newMount } from '../../src/sentry/vfs/mount.ts';
import { MountNamespace } from '../../src/sentry/vfs/namespace.ts';
import { FDTable } from '../../src/sentry/kernel/fdtable.ts';
import { plainContext } from './context.ts';
import { RestartRecord, Task } from '../../src/sentry/kernel/task.ts';

const EFAULT = 14;
const SIZE = 1 << 21;

/** Guest memory at addresses 0 to 2 MiB. */
class FlatMemory {
  readonly bytes: Uint8Array = new Uint8Array(SIZE);

  mayWrite(): boolean {
    return true;
  }

  read(addr: number, dst: Uint8Array, off: number, len: number): number {
    if (addr + len > SIZE) return -EFAULT;
    const b = this.bytes;
    if (len <= 4096) for (let i = 0; i < len; i++) dst[off + i] = b[addr + i]!;
    return 0;
  }

  write(addr: number, src: Uint8Array, off: number, len: number): number {
    if (addr + len > SIZE) return -EFAULT;
    const b = this.bytes;
    if (len <= 4096) for (let i = 0; i < len; i++) b[addr + i] = src[off + i]!;
    return 0;
  }

  readUpTo(addr: number, dst: Uint8Array, off: number, len: number): number {
    if (addr + len > SIZE) return -EFAULT;
    // Strings are all that is read so: what is behind their end nobody looks at.
    const b = this.bytes;
    for (let i = 0; i < len; i++) {
      dst[off + i] = b[addr + i]!;
      if (b[addr + i] === 0) break;
    }
    return len;
  }
}

export interface HotTask {
  task: Task;
  memory: Uint8Array;
  /** Writes a NUL-terminated string to guest memory. */
  put(addr: number, s: string): void;
  /** Sets the arguments of the next call. */
  args(a: number, b?: number, c?: number, d?: number, e?: number): Task;
}

/** A task of root whose root directory is that of `fs`. */
export function hotTask(fs: FileSystem): HotTask {
  const root = newMount(fs, 0, 'root');
  new MountNamespace(root);
  const mm = new FlatMemory();
  const creds = new Credentials();
  creds.effective = { lo: 0xffffffff, hi: 0x1ff };
  creds.permitted = { lo: 0xffffffff, hi: 0x1ff };
  const words = new Uint32Array(12);
  const word = new Uint8Array(8);
  const task = Object.create(Task.prototype) as Task;
  Object.assign(task, {
    kernel: { tmp: new Uint8Array(4096), scratch: new Uint8Array(1 << 20), word, word32: new Uint32Array(word.buffer) },
    ctx: plainContext(),
    tid: 1,
    tg: { tgid: 1, limitSoft: new Float64Array(16).fill(Infinity) },
    mm,
    creds,
    fs: new FsContext(root, root.root, root, root.root, 0o022),
    fds: new FDTable(() => 1024),
    args: words,
    rs: new RestartRecord(),
    attention: false,
  });
  return {
    task,
    memory: mm.bytes,
    put(addr, s) {
      for (let i = 0; i < s.length; i++) mm.bytes[addr + i] = s.charCodeAt(i);
      mm.bytes[addr + s.length] = 0;
    },
    args(a, b = 0, c = 0, d = 0, e = 0) {
      words[0] = a;
      words[2] = b;
      words[4] = c;
      words[6] = d;
      words[8] = e;
      return task;
    },
  };
}
