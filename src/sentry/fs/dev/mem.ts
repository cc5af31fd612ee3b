// The memory devices (null(4), zero(4), full(4), random(4)): character devices of major 1.

import { EINVAL, ENOSPC, ENOTTY } from '../../../abi/errno.ts';
import type { HostIO } from '../../../platform/hostio.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { registerCharDevice } from '../../vfs/devices.ts';
import { File, type MapBacking } from '../../vfs/file.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';

const MEM_MAJOR = 1;
const RNDGETENTCNT = 0x80045200;
const ENTROPY_BITS = 256;

/** /dev/null: empty, and swallows all. */
class NullFile extends File {
  override get discards(): boolean {
    return true;
  }

  override pread(_c: Caller, _buf: Uint8Array, _off: number, _len: number, _pos: number): number {
    return 0;
  }

  override pwrite(_c: Caller, _buf: Uint8Array, _off: number, len: number, _pos: number): number {
    return len;
  }

  override seek(_c: Caller, _offset: number, _whence: number): number {
    this.pos = 0;
    return 0;
  }

  override fsync(_dataOnly: boolean): number {
    return -EINVAL;
  }
}

/** /dev/zero: mappings are anonymous memory. */
class ZeroFile extends NullFile {
  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, _pos: number): number {
    buf.fill(0, off, off + len);
    return len;
  }

  override mapping(_c: Caller, _offset: number, _len: number, _shared: boolean, _write: boolean): MapBacking | number {
    return { fd: -1, offset: 0 };
  }
}

/** /dev/full: zeros, and no room. */
class FullFile extends ZeroFile {
  override get discards(): boolean {
    return false;
  }

  override pwrite(_c: Caller, _buf: Uint8Array, _off: number, _len: number, _pos: number): number {
    return -ENOSPC;
  }
}

class RandomFile extends NullFile {
  readonly host: HostIO;

  constructor(host: HostIO, inode: Inode, flags: number, mount: Mount, dentry: Dentry) {
    super(inode, flags, mount, dentry);
    this.host = host;
  }

  override pread(_c: Caller, buf: Uint8Array, off: number, len: number, _pos: number): number {
    if (len === 0) return 0;
    const r = this.host.random(buf.subarray(off, off + len));
    return r < 0 ? r : len;
  }

  override ioctl(c: Caller, cmd: number, arg: number): number {
    if (cmd !== RNDGETENTCNT) return -ENOTTY;
    const word = new Uint8Array(4);
    word[0] = ENTROPY_BITS & 0xff;
    word[1] = ENTROPY_BITS >> 8;
    return c.copyOut(arg, word, 0, 4);
  }
}

/** Makes /dev/null, zero, full, random and urandom work, whatever file system their nodes stand in. */
export function registerMemDevices(host: HostIO): void {
  registerCharDevice(MEM_MAJOR, 3, (_c, inode, flags, mount, dentry) => new NullFile(inode, flags, mount, dentry));
  registerCharDevice(MEM_MAJOR, 5, (_c, inode, flags, mount, dentry) => new ZeroFile(inode, flags, mount, dentry));
  registerCharDevice(MEM_MAJOR, 7, (_c, inode, flags, mount, dentry) => new FullFile(inode, flags, mount, dentry));
  registerCharDevice(MEM_MAJOR, 8, (_c, inode, flags, mount, dentry) => new RandomFile(host, inode, flags, mount, dentry));
  registerCharDevice(MEM_MAJOR, 9, (_c, inode, flags, mount, dentry) => new RandomFile(host, inode, flags, mount, dentry));
}

/** The device nodes that every /dev has: name, major, minor. */
export const DEFAULT_DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', MEM_MAJOR, 3],
  ['zero', MEM_MAJOR, 5],
  ['full', MEM_MAJOR, 7],
  ['random', MEM_MAJOR, 8],
  ['urandom', MEM_MAJOR, 9],
  ['tty', 5, 0],
];

/** The links that every /dev has: name, target. */
export const DEFAULT_LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
];
