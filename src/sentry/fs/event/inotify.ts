// inotify(7): watches that hang on inodes, and the events that they report in order.

import { EAGAIN, EEXIST, EINVAL, ENOTTY } from '../../../abi/errno.ts';
import {
  IN_ALL_EVENTS,
  IN_DELETE_SELF,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_MOVE_SELF,
  IN_ONESHOT,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from '../../../abi/eventfd.ts';
import { O_RDONLY } from '../../../abi/fcntl.ts';
import { FIONREAD } from '../../../abi/ioctl.ts';
import { POLLIN, POLLRDNORM } from '../../../abi/poll.ts';
import { latin1Write, putU32 } from '../../../base/bytes.ts';
import type { Caller } from '../../vfs/caller.ts';
import { releaseInode } from '../../vfs/dentry.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Watches } from '../../vfs/notify.ts';
import { AnonFile } from './anon.ts';

/** sizeof(struct inotify_event) without the name. */
const HEADER = 16;
/** /proc/sys/fs/inotify/max_queued_events. */
const MAX_QUEUED = 16384;
const word = new Uint8Array(4);

interface Watch {
  readonly file: InotifyFile;
  readonly wd: number;
  readonly inode: Inode;
  mask: number;
}

interface Event {
  readonly wd: number;
  readonly mask: number;
  readonly cookie: number;
  readonly name: string;
}

/** All watches on one inode: what Inode.watches holds. */
class InodeWatches implements Watches {
  readonly list: Watch[] = [];

  notify(mask: number, cookie: number, name: string): void {
    // A watch may go while the list is told (IN_ONESHOT, IN_DELETE_SELF).
    const list = this.list.length === 1 ? this.list : this.list.slice();
    for (let i = list.length - 1; i >= 0; i--) {
      const w = list[i]!;
      w.file.report(w, mask, cookie, name);
    }
  }
}

/** Bytes of an event with its padded name. */
function eventSize(e: Event): number {
  return e.name === '' ? HEADER : HEADER + Math.ceil((e.name.length + 1) / 16) * 16;
}

export class InotifyFile extends AnonFile {
  private readonly watches: Map<number, Watch> = new Map();
  private lastWd = 0;
  private events: Event[] = [];
  /** Index of the oldest event. */
  private first = 0;
  private bytes = 0;

  constructor(flags: number) {
    super(O_RDONLY | flags);
  }

  /** inotify_add_watch(2): the watch descriptor, or -EEXIST (IN_MASK_CREATE). */
  watch(inode: Inode, mask: number): number {
    const keep = (mask & (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)) >>> 0;
    const all = (inode.watches ??= new InodeWatches()) as InodeWatches;
    for (const w of all.list) {
      if (w.file !== this) continue;
      if ((mask & IN_MASK_CREATE) !== 0) return -EEXIST;
      w.mask = (mask & IN_MASK_ADD) !== 0 ? (w.mask | keep) >>> 0 : keep;
      return w.wd;
    }
    const w: Watch = { file: this, wd: ++this.lastWd, inode, mask: keep };
    inode.holds++;
    all.list.push(w);
    this.watches.set(w.wd, w);
    return w.wd;
  }

  /** inotify_rm_watch(2). 0 or -EINVAL. */
  unwatch(wd: number): number {
    const w = this.watches.get(wd);
    if (w === undefined) return -EINVAL;
    this.drop(w);
    this.push({ wd, mask: IN_IGNORED, cookie: 0, name: '' });
    return 0;
  }

  private drop(w: Watch): void {
    this.watches.delete(w.wd);
    const all = w.inode.watches as InodeWatches;
    const i = all.list.indexOf(w);
    if (i >= 0) all.list.splice(i, 1);
    if (all.list.length === 0) w.inode.watches = null;
    releaseInode(w.inode);
  }

  /** Told by an inode that something happened to it. */
  report(w: Watch, mask: number, cookie: number, name: string): void {
    const what = mask & IN_ALL_EVENTS;
    if (this.watches.get(w.wd) !== w) return;
    const gone = (mask & (IN_DELETE_SELF | IN_UNMOUNT)) !== 0 && name === '';
    if ((what & w.mask) !== 0 || (mask & IN_UNMOUNT) !== 0) {
      // What happens to the watched inode's own name is never marked as a directory's.
      const shown = (mask & (IN_DELETE_SELF | IN_MOVE_SELF)) !== 0 ? mask & ~IN_ISDIR : mask;
      this.push({ wd: w.wd, mask: (shown & (IN_ALL_EVENTS | IN_ISDIR | IN_UNMOUNT)) >>> 0, cookie, name });
      if ((w.mask & IN_ONESHOT) !== 0 && !gone) {
        this.unwatch(w.wd);
        return;
      }
    }
    if (gone) this.unwatch(w.wd);
  }

  private push(e: Event): void {
    const n = this.events.length;
    if (n > this.first) {
      const last = this.events[n - 1]!;
      // The same event twice in a row is told once.
      if (last.wd === e.wd && last.mask === e.mask && last.cookie === e.cookie && last.name === e.name) return;
      if (n - this.first >= MAX_QUEUED) {
        if (last.mask !== IN_Q_OVERFLOW) this.append({ wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: '' });
        return;
      }
    }
    this.append(e);
  }

  private append(e: Event): void {
    this.events.push(e);
    this.bytes += eventSize(e);
    this.queue.notify(POLLIN | POLLRDNORM);
  }

  override read(_c: Caller, buf: Uint8Array, off: number, len: number): number {
    if (this.first === this.events.length) return -EAGAIN;
    let done = 0;
    while (this.first < this.events.length) {
      const e = this.events[this.first]!;
      const size = eventSize(e);
      if (done + size > len) break;
      const at = off + done;
      buf.fill(0, at, at + size);
      putU32(buf, at, e.wd);
      putU32(buf, at + 4, e.mask);
      putU32(buf, at + 8, e.cookie);
      putU32(buf, at + 12, size - HEADER);
      if (e.name !== '') latin1Write(e.name, buf, at + HEADER);
      done += size;
      this.first++;
    }
    this.bytes -= done;
    if (this.first === this.events.length) {
      this.events = [];
      this.first = 0;
    }
    return done === 0 ? -EINVAL : done;
  }

  override poll(): number {
    return this.first < this.events.length ? POLLIN | POLLRDNORM : 0;
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    if (cmd >>> 0 !== FIONREAD) return -ENOTTY;
    putU32(word, 0, this.bytes);
    return c.copyOut(arg, word, 0, 4);
  }

  override fdinfo(): string {
    let s = '';
    for (const w of this.watches.values()) {
      const ino = w.inode.ino.toString(16);
      s += `inotify wd:${w.wd.toString(16)} ino:${ino} sdev:${w.inode.fs.dev.toString(16)} mask:${w.mask.toString(16)} ignored_mask:0\n`;
    }
    return s;
  }

  override anonName(): string {
    return 'inotify';
  }

  protected override release(): void {
    for (const w of [...this.watches.values()]) this.drop(w);
    this.events = [];
  }
}
