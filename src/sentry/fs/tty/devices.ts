// The terminals that are found by device number: /dev/tty, /dev/console, /dev/ptmx.

import { ENODEV, ENXIO } from '../../../abi/errno.ts';
import { O_NOCTTY } from '../../../abi/fcntl.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import { type Dentry, lookupChild } from '../../vfs/dentry.ts';
import { registerCharDevice } from '../../vfs/devices.ts';
import type { File } from '../../vfs/file.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Mount } from '../../vfs/mount.ts';
import { topMount } from '../../vfs/namespace.ts';
import { resolve, Walk } from '../../vfs/walk.ts';
import { DevPts } from './devpts.ts';
import { openSlave } from './pty.ts';
import { Tty } from './tty.ts';

const TTYAUX_MAJOR = 5;
const consoles: WeakMap<Kernel, Map<string, Tty>> = new WeakMap();

/** Says what /dev/console is in `container`; null: nothing any more. */
export function setConsole(kernel: Kernel, container: string, tty: Tty | null): void {
  let map = consoles.get(kernel);
  if (map === undefined) {
    map = new Map();
    consoles.set(kernel, map);
  }
  if (tty === null) map.delete(container);
  else map.set(container, tty);
}

/** /dev/tty: the controlling terminal of the caller's session. */
function openTty(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const tty = (c as Task).tg.session.tty;
  return tty instanceof Tty ? openSlave(c, tty, inode, flags, mount, dentry) : -ENXIO;
}

/** /dev/console: the terminal that the container was started with. It never becomes a controlling one by being opened. */
function openConsole(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const t = c as Task;
  const tty = consoles.get(t.kernel)?.get(t.tg.container);
  return tty === undefined ? -ENODEV : openSlave(c, tty, inode, flags | O_NOCTTY, mount, dentry);
}

const walk = new Walk();

/** The devpts that stands on "pts" beside a ptmx node, else on /dev/pts (devpts_mntget). */
function ptsBeside(c: Caller, mount: Mount, dentry: Dentry): Mount | null {
  const d = lookupChild(c, dentry.parent, 'pts');
  if (typeof d !== 'number' && d.inode !== null) {
    const m = topMount(mount, d);
    if (m.fs instanceof DevPts) return m;
  }
  if (resolve(c, null, '/dev/pts', 0, walk) < 0) return null;
  return walk.mount.fs instanceof DevPts ? walk.mount : null;
}

/** /dev/ptmx as a device node, where it is not a link to pts/ptmx. */
function openPtmx(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const pts = ptsBeside(c, mount, dentry);
  if (pts === null) return -ENODEV;
  return (pts.fs as DevPts).openMaster(c.creds.fsuid, c.creds.fsgid, inode, flags, pts);
}

/** Called once by boot. */
export function registerTtyDevices(): void {
  registerCharDevice(TTYAUX_MAJOR, 0, openTty);
  registerCharDevice(TTYAUX_MAJOR, 1, openConsole);
  registerCharDevice(TTYAUX_MAJOR, 2, openPtmx);
}
