// The gofer file system: a tree of the host, seen through the gofer.

import type { HostIO } from '../../../platform/hostio.ts';
import { anonDev, FileSystem, type StatFs } from '../../vfs/filesystem.ts';
import { GoferClient } from './client.ts';
import { GoferInode } from './inode.ts';
import { GoferSession } from './session.ts';

export class GoferFileSystem extends FileSystem {
  readonly root: GoferInode;
  readonly session: GoferSession;

  private constructor(session: GoferSession, root: (fs: GoferFileSystem) => GoferInode) {
    super('9p', anonDev());
    this.session = session;
    if (!session.exclusive) session.client.belief.add(this);
    this.root = root(this);
  }

  /**
   * Attaches to the gofer's tree number `index`; one client serves all trees of a container. `exclusive`: nobody but this sandbox changes it, so that everything learnt is kept;
   * else names and attributes are believed for a while (belief.ts). The file system, or -errno.
   */
  static attach(client: GoferClient, index: number, exclusive: boolean): GoferFileSystem | number {
    const info = client.attach(index);
    if (typeof info === 'number') return info;
    const session = new GoferSession(client, exclusive, client.r.flag === 1);
    return new GoferFileSystem(session, (fs) => new GoferInode(fs, session, info));
  }

  override statfs(out: StatFs): number {
    const w = this.session.client.statfs(this.root.id);
    if (typeof w === 'number') return w;
    out.type = w[0]!;
    out.bsize = w[1]!;
    out.blocks = w[2]!;
    out.bfree = w[3]!;
    out.bavail = w[4]!;
    out.files = w[5]!;
    out.ffree = w[6]!;
    out.namelen = w[7]!;
    out.flags = 0;
    return 0;
  }

  override options(): string {
    return `${this.session.readonly ? 'ro' : 'rw'},trans=fd${this.session.exclusive ? ',cache=loose' : ''}`;
  }
}

/** A client on the SOCK_SEQPACKET socket `fd` to a container's gofer: one serves all its attach points. */
export function connectGofer(host: HostIO, fd: number): GoferClient {
  return new GoferClient(host, fd);
}
