// An inode of the gofer file system whose file may not have been made yet (behind.ts): how it is settled, and what it takes before.

import { EMFILE, ENOSPC } from '../../../abi/errno.ts';
import { O_RDWR } from '../../../abi/fcntl.ts';
import { type NodeInfo, OP_CREATE } from '../../../wire/gofer.ts';
import { ATTR_ATIME, ATTR_GID, ATTR_MODE, ATTR_MTIME, ATTR_SIZE, ATTR_UID, type SetAttr } from '../../vfs/inode.ts';
import { MAX_DATA, type Pending } from './behind.ts';
import { GoferXattr } from './xattr.ts';

/** What a new inode is made of before the host has seen its file. */
export function unseen(dev: number, mode: number, uid: number, gid: number): NodeInfo {
  const times = { atimeSec: 0, atimeNsec: 0, mtimeSec: 0, mtimeNsec: 0, ctimeSec: 0, ctimeNsec: 0 };
  const attr = { dev, ino: 0, mode, nlink: 1, uid, gid, rdev: 0, size: 0, blksize: 4096, blocks: 0, ...times };
  return { id: 0, attr, target: '', name: '' };
}

export abstract class GoferLate extends GoferXattr {
  protected evicted = false;

  override settle(): number {
    const p = this.pending;
    if (p === null) return this.lost;
    const { client } = this.session;
    if (this.opens > 0 && !p.queued && !p.sent) return this.makeNow(p);
    client.behind.enqueue(p);
    client.finishLate();
    return this.lost;
  }

  override settleNames(): void {
    const { client } = this.session;
    if (this.late === null || (this.late.size === 0 && !client.behind.removing && client.behind.unanswered === 0)) return;
    for (const p of this.late) client.behind.enqueue(p);
    client.finishLate();
  }

  /** As settle() for a file that is open: brings its descriptor as well. */
  private makeNow(p: Pending): number {
    const { client } = this.session;
    client.behind.forget(p);
    const q = client.q;
    q.id = p.dir.id;
    q.name = p.name;
    q.flags = O_RDWR;
    q.mode = this.mode;
    q.uid = this.uid;
    q.gid = this.gid;
    const size = this.size;
    let err = client.call(OP_CREATE);
    if (err === -EMFILE) {
      // It was made, but its descriptor was lost.
      client.idle.dropAll();
      const info = client.walk(p.dir.id, p.name);
      this.made(typeof info === 'number' ? info : 0, typeof info === 'number' ? null : info);
      err = this.ensureWrite();
    } else {
      this.made(err, err < 0 ? null : client.r.node);
      this.rfd = client.donated;
      this.wfd = client.donated;
    }
    if (err < 0) return err;
    this.markDirty();
    let n = 0;
    for (let at = 0; at < size; at += n) {
      n = client.host.pwrite(this.wfd, p.data, at, size - at, at);
      if (n <= 0) return n < 0 ? n : -ENOSPC;
    }
    this.size = size;
    return 0;
  }

  override made(status: number, node: NodeInfo | null): void {
    const p = this.pending;
    const { client } = this.session;
    this.pending = null;
    if (node === null) {
      this.lost = status;
      this.nlink = 0;
      client.belief.doubt();
      client.onLost(p === null ? '' : p.name, status);
    } else if (this.evicted) {
      client.clunkLater(node.id);
    } else {
      this.id = node.id;
      this.ino = node.attr.ino;
      this.hostDev = node.attr.dev;
      this.apply(node.attr);
    }
  }

  /** A pending file takes new attributes. False: it must be settled first. */
  protected setLate(a: SetAttr): boolean {
    const p = this.pending;
    if (p === null || p.sent || ((a.mask & ATTR_SIZE) !== 0 && a.size > MAX_DATA)) return false;
    if ((a.mask & ATTR_SIZE) !== 0) {
      if (a.size > this.size) p.reserve(a.size);
      else p.data.fill(0, a.size, this.size);
      this.size = a.size;
      p.touch();
    }
    if ((a.mask & ATTR_MODE) !== 0) this.mode = (this.mode & ~0o7777) | (a.mode & 0o7777);
    if ((a.mask & ATTR_UID) !== 0) this.uid = a.uid;
    if ((a.mask & ATTR_GID) !== 0) this.gid = a.gid;
    if ((a.mask & ATTR_ATIME) !== 0) {
      p.atimeSec = a.atimeSec;
      p.atimeNsec = a.atimeNsec;
    }
    if ((a.mask & ATTR_MTIME) !== 0) {
      p.mtimeSec = a.mtimeSec;
      p.mtimeNsec = a.mtimeNsec;
    }
    return true;
  }
}
