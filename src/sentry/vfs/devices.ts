// Special files: who opens FIFOs, and character devices by number. The parts that implement them register here at start-up.

import { ENXIO, EPERM } from '../../abi/errno.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../../abi/fcntl.ts';
import { S_IFBLK, S_IFCHR, S_IFMT } from '../../abi/stat.ts';
import type { Caller } from './caller.ts';
import type { Dentry } from './dentry.ts';
import type { File } from './file.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

/** Opens a special file: the description, or -errno; BLOCKED after having registered the caller on a wait queue is passed on. */
export type SpecialOpen = (c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry) => File | number;

/** May the caller use a device so? `type`: 'b' or 'c', `access`: letters of "rwm". */
export type DeviceGate = (c: Caller, type: string, rdev: number, access: string) => boolean;

let gate: DeviceGate | null = null;

/** Asks `g` before a device is opened or its node made. */
export function setDeviceGate(g: DeviceGate): void {
  gate = g;
}

/** May the caller make a node of the device? */
export function mayMakeDevice(c: Caller, type: number, rdev: number): boolean {
  return gate === null || gate(c, type === S_IFBLK ? 'b' : 'c', rdev, 'm');
}

function mayOpen(c: Caller, type: number, rdev: number, flags: number): boolean {
  if (gate === null || (type !== S_IFCHR && type !== S_IFBLK)) return true;
  const mode = flags & O_ACCMODE;
  return gate(c, type === S_IFBLK ? 'b' : 'c', rdev, mode === O_RDONLY ? 'r' : mode === O_WRONLY ? 'w' : 'rw');
}

const byType = new Map<number, SpecialOpen>();
const charDevices = new Map<number, SpecialOpen>();

/** dev_t as stat(2) shows it (makedev(3)); exact as a double for all numbers. */
export function makedev(major: number, minor: number): number {
  return Math.floor(major / 4096) * 2 ** 44 + Math.floor(minor / 256) * 2 ** 20 + (major % 4096) * 256 + (minor % 256);
}

export function devMajor(dev: number): number {
  return Math.floor(dev / 2 ** 44) * 4096 + (Math.floor(dev / 256) % 4096);
}

export function devMinor(dev: number): number {
  return (Math.floor(dev / 2 ** 20) % 2 ** 24) * 256 + (dev % 256);
}

/** All open calls of files of type S_IFIFO (or S_IFSOCK) go to `open`. */
export function registerSpecialOpen(type: number, open: SpecialOpen): void {
  byType.set(type, open);
}

/** Opens of character device (major, minor) go to `open`; minor -1: all minors without an entry of their own. */
export function registerCharDevice(major: number, minor: number, open: SpecialOpen): void {
  charDevices.set(minor < 0 ? -1 - major : makedev(major, minor), open);
}

/** Opens a FIFO, socket or device inode. -ENXIO when nothing is behind it. */
export function openSpecial(c: Caller, inode: Inode, flags: number, mount: Mount, dentry: Dentry): File | number {
  const type = inode.mode & S_IFMT;
  if (!mayOpen(c, type, inode.rdev, flags)) return -EPERM;
  if (inode.opensItself) return inode.open(c, flags, mount, dentry);
  let open: SpecialOpen | undefined;
  if (type === S_IFCHR) {
    open = charDevices.get(inode.rdev);
    if (open === undefined) open = charDevices.get(-1 - devMajor(inode.rdev));
  } else {
    open = byType.get(type);
  }
  return open === undefined ? -ENXIO : open(c, inode, flags, mount, dentry);
}
