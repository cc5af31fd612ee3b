// Who asks: what file systems and devices may know of the task that makes a call. The kernel's Task implements it.

import type { Credentials } from './creds.ts';
import type { FsContext } from './fscontext.ts';

export interface Caller {
  readonly creds: Credentials;
  readonly fs: FsContext;
  /** Thread id and thread group id in the sandbox. */
  readonly tid: number;
  readonly tgid: number;
  /** Copies guest memory [addr, addr+len) to dst[off..]. 0 or -EFAULT. */
  copyIn(addr: number, dst: Uint8Array, off: number, len: number): number;
  /** Copies src[off..off+len) to guest memory at addr. 0 or -EFAULT. */
  copyOut(addr: number, src: Uint8Array, off: number, len: number): number;
  /** Soft limit RLIMIT_* as a double (Infinity: none). */
  rlimit(resource: number): number;
  /** Sends a signal to the calling task itself (SIGPIPE, SIGXFSZ). */
  raise(signal: number): void;
}
