// Files over descriptors of the host that were donated to the sandbox, of whatever kind they are.

import { EPERM } from '../../abi/errno.ts';
import { S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from '../../abi/stat.ts';
import { type HostIO, type HostSockets, newHostStat } from '../../platform/hostio.ts';
import type { HostFileFactory } from '../control/process.ts';
import { HostFdFs, HostFile, openHostFd } from '../fs/hostfd/hostfd.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type HostDescriptors, HostSocket } from '../net/host/socket.ts';
import { netOf } from '../net/netns.ts';
import { SocketFile } from '../net/socket.ts';
import type { File } from '../vfs/file.ts';

/** What a guest may get by SCM_RIGHTS from outside: a folder would be a way to names that nobody resolves for it. */
const RECEIVED: readonly number[] = [S_IFREG, S_IFIFO, S_IFCHR, S_IFSOCK];

/** Makes files over donated descriptors: a socket stays a socket. */
export function donatedFiles(kernel: Kernel, host: HostIO & HostSockets): HostFileFactory {
  const fs = new HostFdFs(host);
  const st = newHostStat();
  const make: HostFileFactory = (fd, uid, gid) => {
    const err = host.fstat(fd, st);
    if (err < 0) return err;
    if ((st.mode & S_IFMT) === S_IFSOCK) {
      const s = HostSocket.of(netOf(kernel.namespaces.net.key), descriptors, fd);
      if (s !== null) {
        s.uid = uid;
        s.gid = gid;
        return new SocketFile(s, 0);
      }
    }
    return openHostFd(fs, fd, -1, uid, gid);
  };
  const descriptors: HostDescriptors = {
    host,
    open(fd: number): File | number {
      if (host.fstat(fd, st) === 0 && RECEIVED.includes(st.mode & S_IFMT)) return make(fd, 0, 0);
      host.close(fd);
      return -EPERM;
    },
    descriptorOf(f: File): number {
      if (f instanceof HostFile) return f.node.fd;
      return f instanceof SocketFile && f.sock instanceof HostSocket ? f.sock.fd : -1;
    },
  };
  return make;
}
