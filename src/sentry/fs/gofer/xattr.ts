// Extended attributes of the gofer's files: only those of users exist here (xattr(7)); see src/gofer/README.md.

import { ENODATA, ENOSPC, EOPNOTSUPP } from '../../../abi/errno.ts';
import { latin1Decode } from '../../../base/bytes.ts';
import { OP_GETXATTR, OP_LISTXATTR, OP_REMOVEXATTR, OP_SETXATTR } from '../../../wire/gofer.ts';
import type { Caller } from '../../vfs/caller.ts';
import { GoferNode } from './node.ts';

const EMPTY = new Uint8Array(0);

export abstract class GoferXattr extends GoferNode {
  private xattr(op: number, name: string): number {
    const late = this.settle();
    if (late < 0) return late;
    this.session.client.q.id = this.id;
    this.session.client.q.text = name;
    return this.session.client.call(op);
  }

  override getxattr(_c: Caller, name: string): Uint8Array | number {
    if (!name.startsWith('user.')) return name.startsWith('trusted.') || name.startsWith('security.') ? -ENODATA : -EOPNOTSUPP;
    const err = this.xattr(OP_GETXATTR, name);
    return err < 0 ? err : this.session.client.r.bytes;
  }

  override setxattr(_c: Caller, name: string, value: Uint8Array, flags: number): number {
    if (!name.startsWith('user.')) return -EOPNOTSUPP;
    if (value.length > 65536) return -ENOSPC;
    const q = this.session.client.q;
    q.bytes = value;
    q.flags = flags;
    const err = this.xattr(OP_SETXATTR, name);
    q.bytes = EMPTY;
    if (err === 0) this.markDirty();
    return err;
  }

  override listxattr(_c: Caller): string[] | number {
    const err = this.xattr(OP_LISTXATTR, '');
    if (err < 0) return err === -EOPNOTSUPP ? [] : err;
    const b = this.session.client.r.bytes;
    return b.length === 0 ? [] : latin1Decode(b, 0, b.length - 1).split('\0');
  }

  override removexattr(_c: Caller, name: string): number {
    if (!name.startsWith('user.')) return -EOPNOTSUPP;
    const err = this.xattr(OP_REMOVEXATTR, name);
    if (err === 0) this.markDirty();
    return err;
  }
}
