// Directories, page by page, every entry with its attributes and an identifier.

import { EACCES, EBADF, EINVAL, ENOENT, ENOTDIR } from '../abi/errno.ts';
import { O_DIRECTORY, O_RDONLY } from '../abi/fcntl.ts';
import { S_IFDIR } from '../abi/stat.ts';
import { type GoferRequest, MAX_MESSAGE, MAX_TARGET, validName } from '../wire/gofer.ts';
import { beginPage, type Encoder, endPage } from '../wire/gofercodec.ts';
import type { Files } from './files.ts';
import type { Node } from './nodes.ts';

const ENTRY_FIXED = 4 + 96 + 4 + 4;

/** A directory that is being listed. */
interface Open {
  dir: Node;
  fd: number;
  page: number;
  /** Records that did not fit into the last page. */
  pos: number;
  end: number;
}

/** Lists one directory at a time. */
export class Listing {
  private readonly files: Files;
  private readonly dents = Buffer.alloc(32 * 1024);
  private open: Open | null = null;

  constructor(files: Files) {
    this.files = files;
  }

  private end(): void {
    if (this.open === null) return;
    this.files.native.close(this.open.fd);
    this.open = null;
  }

  /** Fills a page of entries with identifiers and attributes straight into the answer. Its length, or -errno. */
  page(q: GoferRequest, e: Encoder): number {
    const { dents } = this;
    const { native, table } = this.files;
    const dir = table.get(q.id);
    if (dir === null) return -EBADF;
    if (dir.type !== S_IFDIR) return -ENOTDIR;
    if (q.page === 0) {
      this.end();
      const fd = this.files.openNode(dir, O_RDONLY | O_DIRECTORY);
      if (fd < 0) return fd;
      this.open = { dir, fd, page: 0, pos: 0, end: 0 };
    }
    const l = this.open;
    if (l === null || l.dir !== dir || l.page !== q.page) return -EINVAL;
    l.page++;
    table.fdOf(dir);
    beginPage(e, q.tag);
    let count = 0;
    for (;;) {
      if (l.pos === l.end) {
        const n = native.getdents(l.fd, dents);
        if (n <= 0) {
          this.end();
          return n < 0 ? n : endPage(e, true, count);
        }
        l.pos = 0;
        l.end = n;
      }
      const at = l.pos;
      const reclen = dents.readUInt16LE(at + 16);
      const nul = dents.indexOf(0, at + 19);
      const name = dents.toString('latin1', at + 19, nul < 0 || nul > at + reclen ? at + reclen : nul);
      if (validName(name)) {
        if (MAX_MESSAGE - e.pos < ENTRY_FIXED + MAX_TARGET + name.length) return endPage(e, false, count);
        const d = this.files.describe(dir, name);
        if (typeof d === 'number') {
          // Gone since it was listed: no entry. Anything else is told.
          if (d !== -ENOENT && d !== -EACCES) {
            this.end();
            return d;
          }
        } else {
          d.info.name = name;
          e.node(d.info);
          count++;
          table.unpinAll();
          table.fdOf(dir);
        }
      }
      l.pos = at + reclen;
    }
  }
}
