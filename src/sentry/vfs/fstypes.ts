// File system types by name, for mount(2) and for boot. Their makers register here at start-up.

import { ENODEV } from '../../abi/errno.ts';
import type { Caller } from './caller.ts';
import type { FileSystem } from './filesystem.ts';

/** Makes an instance from a source and the options that are not mount flags. The file system or -errno. */
export type FsFactory = (c: Caller | null, source: string, options: readonly string[]) => FileSystem | number;

const types = new Map<string, FsFactory>();

/** Makes `name` known to mount(2) and /proc/filesystems. */
export function registerFileSystem(name: string, make: FsFactory): void {
  types.set(name, make);
}

/** A new file system of type `name`. -ENODEV for unknown types. */
export function makeFileSystem(c: Caller | null, name: string, source: string, options: readonly string[]): FileSystem | number {
  const make = types.get(name);
  return make === undefined ? -ENODEV : make(c, source, options);
}

/** Names for /proc/filesystems, in the order of registration. */
export function fileSystemNames(): string[] {
  return [...types.keys()];
}
