// Doubles for file system tests: a host without a kernel, and a caller.

import { ENXIO } from '../../src/abi/errno.ts';
import { SEEK_HOLE } from '../../src/abi/uio.ts';
import { installClock } from '../../src/base/clock.ts';
import type { HostIO, HostStat } from '../../src/platform/hostio.ts';
import type { TmpfsOptions } from '../../src/sentry/fs/tmpfs/options.ts';
import { TmpFs } from '../../src/sentry/fs/tmpfs/tmpfs.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import { Credentials } from '../../src/sentry/vfs/creds.ts';
import type { FileSystem } from '../../src/sentry/vfs/filesystem.ts';
import { FsContext } from '../../src/sentry/vfs/fscontext.ts';
import { type Mount, newMount } from '../../src/sentry/vfs/mount.ts';
import { MountNamespace } from '../../src/sentry/vfs/namespace.ts';

let seconds = 1000;
installClock((_id, out) => {
  out[0] = seconds++;
  out[1] = 5;
  return 0;
});

/** Memory files by descriptor. */
export class FakeHost implements Partial<HostIO> {
  files = new Map<number, Uint8Array>();
  next = 100;

  memfd(): number {
    this.files.set(this.next, new Uint8Array(0));
    return this.next++;
  }

  close(fd: number): number {
    return this.files.delete(fd) ? 0 : -9;
  }

  ftruncate(fd: number, size: number): number {
    const n = new Uint8Array(size);
    n.set(this.files.get(fd)!.subarray(0, size));
    this.files.set(fd, n);
    return 0;
  }

  pread(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number {
    const f = this.files.get(fd)!;
    const n = Math.max(0, Math.min(len, f.length - pos));
    buf.set(f.subarray(pos, pos + n), off);
    return n;
  }

  pwrite(fd: number, buf: Uint8Array, off: number, len: number, pos: number): number {
    if (this.files.get(fd)!.length < pos + len) this.ftruncate(fd, pos + len);
    this.files.get(fd)!.set(buf.subarray(off, off + len), pos);
    return len;
  }

  fallocate(fd: number, mode: number, off: number, len: number): number {
    if ((mode & 2) !== 0) this.files.get(fd)!.fill(0, off, off + len);
    return 0;
  }

  fstat(fd: number, out: HostStat): number {
    out.size = this.files.get(fd)!.length;
    out.blocks = Math.ceil(out.size / 512);
    return 0;
  }

  /** All is data. */
  lseek(fd: number, pos: number, whence: number): number {
    const size = this.files.get(fd)!.length;
    if (pos >= size) return -ENXIO;
    return whence === SEEK_HOLE ? size : pos;
  }
}

export function fakeHost(): HostIO & FakeHost {
  return new FakeHost() as unknown as HostIO & FakeHost;
}

export function tmpfs(host: HostIO = fakeHost(), options: Partial<TmpfsOptions> = {}): TmpFs {
  return new TmpFs(host, { size: Infinity, inodes: Infinity, mode: 0o755, uid: 0, gid: 0, shown: '', ...options });
}

/** A caller with all capabilities, or with none for other users. */
export class FakeCaller implements Caller {
  creds = new Credentials();
  fs: FsContext;
  tid = 7;
  tgid = 7;
  raised: number[] = [];

  constructor(root: Mount) {
    this.fs = new FsContext(root, root.root, root, root.root, 0o022);
    this.creds.effective = { lo: 0xffffffff, hi: 0x1ff };
  }

  become(uid: number, gid: number, groups: number[] = []): this {
    this.creds = new Credentials();
    Object.assign(this.creds, { ruid: uid, euid: uid, suid: uid, fsuid: uid, rgid: gid, egid: gid, sgid: gid, fsgid: gid, groups });
    return this;
  }

  copyIn(): number {
    return -14;
  }

  copyOut(): number {
    return -14;
  }

  rlimit(): number {
    return Infinity;
  }

  raise(signal: number): void {
    this.raised.push(signal);
  }
}

/** A namespace over one file system, and a root caller in it. */
export function world(fs: FileSystem = tmpfs()): { c: FakeCaller; root: Mount; ns: MountNamespace } {
  const root = newMount(fs, 0, 'root');
  const ns = new MountNamespace(root);
  return { c: new FakeCaller(root), root, ns };
}

export const bytes = (s: string): Uint8Array => new Uint8Array([...s].map((x) => x.charCodeAt(0)));
export const text = (b: Uint8Array, n = b.length): string => String.fromCharCode(...b.subarray(0, n));
