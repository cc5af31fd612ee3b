// Sockets and FIFOs in folders of the host that several containers of a sandbox have mounted: each container has inodes of its own, but
// what listens or flows there is one thing. It is found by which file of the host an inode stands for (Inode.hostKey).

import type { Inode } from './inode.ts';

const sockets = new Map<string, { inode: Inode; socket: unknown }>();
const fifos = new Map<string, unknown>();

/** `socket` is bound to the name of this inode. */
export function bindSocket(inode: Inode, socket: unknown): void {
  inode.socket = socket;
  const key = inode.hostKey;
  if (key !== '') sockets.set(key, { inode, socket });
}

/** What is bound to the inode's name, by whichever container; null: nothing. */
export function socketOf(inode: Inode): unknown {
  if (inode.socket !== null) return inode.socket;
  const key = inode.hostKey;
  const bound = key === '' ? undefined : sockets.get(key);
  // Once the name is removed, its number may be another file's.
  return bound === undefined || bound.inode.nlink === 0 ? null : bound.socket;
}

/** `socket` is gone. */
export function unbindSocket(inode: Inode, socket: unknown): void {
  if (inode.socket === socket) inode.socket = null;
  const key = inode.hostKey;
  if (key !== '' && sockets.get(key)?.socket === socket) sockets.delete(key);
}

/** The pipe behind a FIFO, made by `make` when nobody has it open. */
export function fifoOf<T>(inode: Inode, make: () => T): T {
  const key = inode.hostKey;
  if (key !== '') {
    const shared = fifos.get(key) as T | undefined;
    inode.fifo = shared ?? make();
    if (shared === undefined) fifos.set(key, inode.fifo);
  } else if (inode.fifo === null) {
    inode.fifo = make();
  }
  return inode.fifo as T;
}

/** Nobody has the FIFO open any more. */
export function dropFifo(inode: Inode): void {
  const key = inode.hostKey;
  if (key !== '' && fifos.get(key) === inode.fifo) fifos.delete(key);
  inode.fifo = null;
}
