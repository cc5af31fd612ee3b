// Small new files of a container's root are made behind the guest's back: create, write, chmod and close answer at once from memory, and
// the gofer makes the file a moment later, many with one message. Names of files that nobody has open are removed in the same way. To wait for each of them would cost ten times a file in memory.
//
// What keeps it right:
//   - A pending file is asked nothing that only the host knows. Whatever needs that (stat, fsync, mmap, rename, link, a listing or removal
//     of its directory, more than MAX_DATA bytes) settles it first: then it is a file like any other.
//   - Messages are carried out in order, and every other message sends what is queued before it.
//   - Closed files are sent when a message is full, or after REST_NS; open ones at the end of the epoch (belief.ts). All of it
//     is settled before the end of a process is told outside, before the container is paused, and by sync(2).
//   - Only where there is plenty of room (GoferSession.roomy): an error of the host comes too late to tell the writer. It is logged, and the
//     name is gone.

import { readClock } from '../../../base/clock.ts';
import { ENOENT } from '../../../abi/errno.ts';
import { CLOCK_REALTIME_COARSE } from '../../../abi/time.ts';
import type { NodeInfo, PutRequest, RemoveRequest } from '../../../wire/gofer.ts';

/** The longest pending file, bytes. */
export const MAX_DATA = 32 * 1024;
/** Most open files that are pending at a time. */
const MAX_OPEN = 128;
/** A message is sent when so many files or bytes are queued. */
const LOT = 16;
const LOT_BYTES = 48 * 1024;
const FIRST_ROOM = 1024;
/** How long what is queued may wait for more, ns of CLOCK_MONOTONIC: whoever made a file often has a mode or a time to set. */
export const REST_NS = 5e6;

const time = new Float64Array(2);

/** The file that is pending, as its inode. */
export interface LateFile {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** The gofer has answered: 0 with what it made, or -errno. */
  made(status: number, node: NodeInfo | null): void;
}

/** The directory of pending files. */
export interface LateDirectory {
  id: number;
  /** Its files that the gofer has not made yet; null: there never were any. */
  late: Set<Pending> | null;
}

export class Pending {
  readonly file: LateFile;
  readonly dir: LateDirectory;
  readonly name: string;
  /** The content: file.size bytes of it count. */
  data: Uint8Array = new Uint8Array(FIRST_ROOM);
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  queued = false;
  /** The gofer is told: nothing may change any more until it has answered. */
  sent = false;

  constructor(file: LateFile, dir: LateDirectory, name: string) {
    this.file = file;
    this.dir = dir;
    this.name = name;
    this.touch();
    this.atimeSec = this.mtimeSec;
    this.atimeNsec = this.mtimeNsec;
  }

  /** It is written to now, by the clock that the host's file systems use. */
  touch(): void {
    readClock(CLOCK_REALTIME_COARSE, time);
    this.mtimeSec = time[0]!;
    this.mtimeNsec = time[1]!;
  }

  /** Makes room for `size` bytes; what was never written is zero. */
  reserve(size: number): void {
    if (size <= this.data.length) return;
    const wider = new Uint8Array(Math.min(MAX_DATA, Math.max(size, this.data.length * 4)));
    wider.set(this.data.subarray(0, this.file.size));
    this.data = wider;
  }
}

/** A message that the gofer was sent: about files to make, or (null) about names to remove. */
export interface Sent {
  tag: number;
  files: Pending[] | null;
  names: string[];
}

/** The pending files of one gofer. */
export class Behind {
  /** Told of a name that could not be removed. */
  onKept: (name: string, errno: number) => void = () => {};
  /** Has the queue sent in REST_NS; given by who has timers. */
  arm: () => void = () => {};
  private readonly open: Set<Pending> = new Set();
  private queue: Pending[] = [];
  private bytes = 0;
  private arrived = false;
  private removals: { dir: LateDirectory; name: string }[] = [];
  /** Messages without an answer, the oldest first. */
  private readonly waiting: Sent[] = [];

  /** True if one more file may be made late. */
  get room(): boolean {
    return this.open.size < MAX_OPEN;
  }

  /** A file of `dir` begins to exist here. */
  begin(p: Pending): void {
    this.open.add(p);
    p.dir.late ??= new Set();
    p.dir.late.add(p);
  }

  /** It is not written to for now. True: there is enough for a message without it: its owner, mode and times may be set yet. */
  enqueue(p: Pending): boolean {
    if (p.queued || p.sent) return false;
    p.queued = true;
    this.open.delete(p);
    this.queue.push(p);
    this.bytes += p.file.size;
    this.arrived = true;
    this.arm();
    return this.queue.length > LOT || this.bytes - p.file.size >= LOT_BYTES;
  }

  /** The name was removed, or the file is made in another way. */
  forget(p: Pending): void {
    p.dir.late?.delete(p);
    this.open.delete(p);
    if (p.queued) this.queue.splice(this.queue.indexOf(p), 1);
    p.queued = false;
  }

  /** Puts the open ones into the queue as well. */
  enqueueOpen(): void {
    for (const p of [...this.open]) this.enqueue(p);
  }

  /** True if no file was queued since the last question. */
  still(): boolean {
    const still = !this.arrived;
    this.arrived = false;
    return still;
  }

  /** There is something to send, besides the files that were queued last, `keep` of them. */
  queued(keep = 0): boolean {
    return this.queue.length > keep || this.removals.length > 0;
  }

  /** Names are to be removed: they go before the files that are queued, which may take their place. */
  get removing(): boolean {
    return this.removals.length > 0;
  }

  /** The name of a file that nobody uses is to go. True: there is enough for a message. */
  remove(dir: LateDirectory, name: string): boolean {
    dir.late ??= new Set();
    this.removals.push({ dir, name });
    this.arm();
    return this.removals.length >= LOT;
  }

  /** Takes the names of the next message, which goes out as `tag`. */
  takeRemovals(tag: number): RemoveRequest[] {
    const names = this.removals.splice(0, LOT);
    this.waiting.push({ tag, files: null, names: names.map((r) => r.name) });
    return names.map((r) => ({ dir: r.dir.id, name: r.name }));
  }

  /** Messages that the gofer has not answered. */
  get unanswered(): number {
    return this.waiting.length;
  }

  /** Takes the files of the next message, which goes out as `tag`, in the order in which they were queued, but for the last `keep`. */
  take(tag: number, keep: number): PutRequest[] {
    const files: Pending[] = [];
    let bytes = 0;
    while (files.length < this.queue.length - keep && files.length < LOT) {
      const p = this.queue[files.length]!;
      bytes += p.file.size;
      if (bytes > LOT_BYTES && files.length > 0) break;
      files.push(p);
    }
    this.queue = this.queue.slice(files.length);
    this.bytes = 0;
    for (const p of this.queue) this.bytes += p.file.size;
    this.waiting.push({ tag, files, names: files.map((p) => p.name) });
    return files.map((p) => {
      p.queued = false;
      p.sent = true;
      const { dir, name, file, atimeSec, atimeNsec, mtimeSec, mtimeNsec } = p;
      const { mode, uid, gid } = file;
      return { dir: dir.id, name, mode, uid, gid, atimeSec, atimeNsec, mtimeSec, mtimeNsec, data: p.data.subarray(0, file.size) };
    });
  }

  /** The message whose answer comes next. */
  get next(): Sent {
    return this.waiting[0]!;
  }

  /** The oldest message was answered: for each file its status, and what was made. False: the answer is for another number of files. */
  answered(status: readonly number[], nodes: readonly NodeInfo[]): boolean {
    const { files, names } = this.waiting.shift()!;
    if (status.length !== names.length) return false;
    if (files === null) {
      for (let i = 0; i < names.length; i++) if (status[i]! < 0 && status[i] !== -ENOENT) this.onKept(names[i]!, status[i]!);
      return true;
    }
    let n = 0;
    for (let i = 0; i < files.length; i++) {
      const p = files[i]!;
      p.dir.late?.delete(p);
      const s = status[i]!;
      p.file.made(s, s === 0 ? nodes[n++]! : null);
    }
    return true;
  }

  /** The gofer is gone: nothing that is pending will be made. */
  lose(errno: number): void {
    const all = [...this.open, ...this.queue, ...this.waiting.flatMap((w) => w.files ?? [])];
    this.removals = [];
    this.open.clear();
    this.queue = [];
    this.waiting.length = 0;
    for (const p of all) {
      p.dir.late?.delete(p);
      p.file.made(errno, null);
    }
  }
}
