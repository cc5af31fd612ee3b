// Serves one Sentry: each request is decoded, carried out below an attach point, and answered.

import { EACCES, EBADF, ECONNREFUSED, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EPROTO, EROFS } from '../abi/errno.ts';
import { O_ACCMODE, O_RDONLY, O_TRUNC } from '../abi/fcntl.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../abi/stat.ts';
import type { Native } from '../host/native.ts';
import {
  bringsDescriptor,
  GoferReply,
  GoferRequest,
  MAX_MESSAGE,
  OP_ATTACH,
  OP_CLUNK,
  OP_CONNECT,
  OP_CREATE,
  OP_GETATTR,
  OP_GETXATTR,
  OP_LINK,
  OP_LISTXATTR,
  OP_MKDIR,
  OP_MKNOD,
  OP_OPEN,
  OP_PUT,
  OP_READDIR,
  OP_READLINK,
  OP_REMOVE,
  OP_REMOVEXATTR,
  OP_RENAME,
  OP_SETATTR,
  OP_SETXATTR,
  OP_STATFS,
  OP_SYMLINK,
  OP_UNLINK,
  OP_WALK,
} from '../wire/gofer.ts';
import { Decoder, decodeRequest, Encoder, encodeReply } from '../wire/gofercodec.ts';
import { attrOf, Files } from './files.ts';
import { Listing } from './listing.ts';
import { Names } from './names.ts';
import { type Node, NodeTable } from './nodes.ts';

export interface ServerOptions {
  attach: { path: string; readonly: boolean }[];
  /** Most O_PATH descriptors kept open. */
  fdLimit: number;
}

export class GoferServer {
  private readonly table: NodeTable;
  private readonly files: Files;
  private readonly names: Names;
  private readonly listing: Listing;
  private readonly roots: (Node | number)[];
  private readonly request = new GoferRequest();
  private readonly reply = new GoferReply();
  private readonly decoder = new Decoder();
  readonly encoder = new Encoder(Buffer.alloc(MAX_MESSAGE));
  /** The descriptor that the last answer brings, or -1. The caller sends and closes it. */
  donated = -1;

  constructor(native: Native, options: ServerOptions) {
    this.table = new NodeTable(native, options.fdLimit);
    this.roots = options.attach.map((a) => this.table.attach(a.path, a.readonly));
    this.files = new Files(native, this.table);
    this.names = new Names(this.files);
    this.listing = new Listing(this.files);
    native.umask(0);
  }

  /** What went wrong with each attach point: 0 or -errno. */
  get attachErrors(): number[] {
    return this.roots.map((r) => (typeof r === 'number' ? r : 0));
  }

  /** Carries out the request in buf[0..len). The length of the answer in `encoder.buf`. */
  handle(buf: Uint8Array, len: number): number {
    const { request: q, reply: r, encoder: e } = this;
    this.donated = -1;
    r.status = decodeRequest(this.decoder, buf, len, q);
    r.tag = q.tag;
    let n = 0;
    if (r.status === 0) {
      if (q.op === OP_READDIR) {
        n = this.listing.page(q, e);
        if (n < 0) r.status = n;
      } else {
        r.status = this.dispatch(q, r);
      }
      this.table.unpinAll();
    }
    if (q.op !== OP_READDIR || r.status < 0) n = encodeReply(q.op, r, e);
    if (n < 0) {
      r.status = n;
      n = encodeReply(q.op, r, e);
    }
    if (this.donated >= 0 && (r.status < 0 || !bringsDescriptor(q.op))) {
      this.files.native.close(this.donated);
      this.donated = -1;
    }
    return n;
  }

  private dispatch(q: GoferRequest, r: GoferReply): number {
    switch (q.op) {
      case OP_ATTACH:
        return this.attach(q, r);
      case OP_CLUNK:
        return this.clunk(q);
      case OP_PUT:
        return this.put(q, r);
      case OP_REMOVE:
        return this.removeNames(q, r);
    }
    const n = this.table.get(q.id);
    if (n === null) return -EBADF;
    switch (q.op) {
      case OP_WALK:
        return this.walk(n, q, r);
      case OP_GETATTR:
        return this.files.getattr(n, r);
      case OP_SETATTR:
        return this.files.setattr(n, q, r);
      case OP_OPEN:
        return this.open(n, q, r);
      case OP_CREATE:
      case OP_MKDIR:
      case OP_MKNOD:
      case OP_SYMLINK:
        return this.make(n, q, r);
      case OP_LINK:
        return this.names.link(n, q, r);
      case OP_UNLINK:
        return this.names.unlink(n, q);
      case OP_RENAME:
        return this.names.rename(n, q);
      case OP_READLINK:
        return this.files.readlink(n, r);
      case OP_STATFS:
        return this.files.statfs(n, r);
      case OP_GETXATTR:
      case OP_SETXATTR:
      case OP_LISTXATTR:
      case OP_REMOVEXATTR:
        return this.files.xattr(n, q, r);
      case OP_CONNECT:
        // A guest that reaches the host's sockets is out of its sandbox.
        return -ECONNREFUSED;
      default:
        return -EPROTO;
    }
  }

  private make(dir: Node, q: GoferRequest, r: GoferReply): number {
    this.names.made = -1;
    const err = this.names.make(dir, q, r);
    this.donated = this.names.made;
    return err;
  }

  private attach(q: GoferRequest, r: GoferReply): number {
    const root = this.roots[q.page];
    if (root === undefined) return -ENOENT;
    if (typeof root === 'number') return root;
    const err = this.files.native.fstat(root.fd, this.files.stat);
    if (err < 0) return err;
    const id = this.table.hold(root);
    if (id < 0) return id;
    r.node = { id, attr: attrOf(this.files.stat), target: '', name: '' };
    r.flag = root.readonly ? 1 : 0;
    return 0;
  }

  private clunk(q: GoferRequest): number {
    for (const id of q.ids) this.table.clunk(id);
    return 0;
  }

  private put(q: GoferRequest, r: GoferReply): number {
    r.statuses = [];
    r.nodes = [];
    for (const p of q.puts) {
      const dir = this.table.get(p.dir);
      const made = dir === null ? -EBADF : this.names.put(dir, p);
      r.statuses.push(typeof made === 'number' ? made : 0);
      if (typeof made !== 'number') r.nodes.push(made);
      this.table.unpinAll();
    }
    return 0;
  }

  private removeNames(q: GoferRequest, r: GoferReply): number {
    r.statuses = [];
    q.flags = 0;
    q.child = 0;
    for (const m of q.removals) {
      const dir = this.table.get(m.dir);
      q.name = m.name;
      r.statuses.push(dir === null ? -EBADF : this.names.unlink(dir, q));
      this.table.unpinAll();
    }
    return 0;
  }

  private walk(start: Node, q: GoferRequest, r: GoferReply): number {
    let n = start;
    r.nodes = [];
    r.stop = 0;
    for (const name of q.names) {
      if (n.type !== S_IFDIR) {
        r.stop = n.type === S_IFLNK ? -ELOOP : -ENOTDIR;
        break;
      }
      const d = this.files.describe(n, name);
      if (typeof d === 'number') {
        r.stop = d;
        break;
      }
      r.nodes.push(d.info);
      n = d.node;
    }
    return 0;
  }

  private open(n: Node, q: GoferRequest, r: GoferReply): number {
    // Directories are never donated: with one, openat(2) leads to "..".
    if (n.type !== S_IFREG) return n.type === S_IFDIR ? -EISDIR : -EACCES;
    if ((q.flags & ~(O_ACCMODE | O_TRUNC)) !== 0 || (q.flags & O_ACCMODE) === O_ACCMODE) return -EINVAL;
    if (n.readonly && q.flags !== O_RDONLY) return -EROFS;
    const fd = this.files.openNode(n, q.flags);
    if (fd < 0) return fd;
    this.files.native.setNonblock(fd, 0);
    if ((q.flags & O_TRUNC) !== 0) this.files.native.fstat(fd, this.files.stat);
    r.attr = attrOf(this.files.stat);
    this.donated = fd;
    return 0;
  }
}
