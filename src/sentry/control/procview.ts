// The processes of a container as its stand-in's /proc shows them on the host: a connection of the host's kernel (fs/fuse).

import { EPOLLIN } from '../../abi/epoll.ts';
import { EAGAIN, EINTR, EINVAL, ENOENT } from '../../abi/errno.ts';
import { OutsideIds } from '../fs/fuse/ids.ts';
import { OUT_HEADER } from '../fs/fuse/protocol.ts';
import { FuseServer, MAX_DATA } from '../fs/fuse/server.ts';
import { ProcFs } from '../fs/proc/proc.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelCaller } from '../kernel/kernelcaller.ts';
import type { NamespaceSet } from '../kernel/namespaces.ts';
import type { Caller } from '../vfs/caller.ts';
import { makeFileSystem } from '../vfs/fstypes.ts';
import type { Inode } from '../vfs/inode.ts';
import type { Mount } from '../vfs/mount.ts';

/** What the host's kernel wants room for at least is 8 KiB. */
const REQUEST = new Uint8Array(16 * 1024);
const ANSWER = new Uint8Array(OUT_HEADER + MAX_DATA);
/** Requests that are answered before others have their turn. */
const AT_ONCE = 64;

/** A connection that is being served. */
export interface ProcView {
  /** Ends it: who waits for an answer gets an error. */
  close(): void;
}

/** The directory of the process with the lowest number, or -errno. */
function firstProcess(proc: ProcFs, caller: Caller): Inode | number {
  let first = Infinity;
  for (const g of proc.pidns.groups()) if (!g.reaped) first = Math.min(first, g.pid.in(proc.pidns));
  return first === Infinity ? -ENOENT : proc.root.lookup(caller, String(first));
}

/**
 * Serves the proc of a container's pid namespace on `fd`, an open /dev/fuse that is mounted. `ids`: as OutsideIds. The descriptor is taken over. Null, with a line
 * in the log, where it cannot be watched.
 */
export function showProcesses(kernel: Kernel, fd: number, container: string, ns: NamespaceSet, root: Mount, ids: string): ProcView | null {
  const host = kernel.host;
  const caller = new KernelCaller(root, container, ns);
  const proc = makeFileSystem(caller, 'proc', 'proc', []);
  const server =
    proc instanceof ProcFs ? new FuseServer(proc, () => firstProcess(proc, caller), caller, ANSWER, new OutsideIds(ids)) : null;
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    host.unwatch(fd);
    host.close(fd);
    server?.close();
    caller.fs.unref();
  };
  const serve = (): void => {
    for (let i = 0; i < AT_ONCE && open && server !== null; i++) {
      const n = host.read(fd, REQUEST, 0, REQUEST.length);
      if (n === -EAGAIN) return;
      // Its reader has given up before we came to it.
      if (n === -ENOENT || n === -EINTR) continue;
      if (n <= 0) {
        // Unmounted.
        close();
        return;
      }
      const m = server.handle(REQUEST, n);
      if (m > 0 && host.write(fd, ANSWER, 0, m) === -EINVAL) kernel.log.error('the host takes no answer about processes', { bytes: m });
    }
  };
  host.setNonblock(fd, true);
  if (server !== null && host.watch(fd, EPOLLIN, serve) >= 0) return { close };
  kernel.log.error('the processes of a container cannot be shown', { container });
  close();
  return null;
}
