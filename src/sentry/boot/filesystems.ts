// The file system types that mount(2) and the container's configuration may name.

import { parseTmpfsOptions, TmpFs } from '../fs/tmpfs/tmpfs.ts';
import { createDevpts } from '../fs/tty/devpts.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { registerFileSystem } from '../vfs/fstypes.ts';

const DEFAULT_MEMORY = 8 * 2 ** 30;

function tmpfs(kernel: Kernel, name: string, options: readonly string[]): TmpFs | number {
  const o = parseTmpfsOptions(options, kernel.memoryBytes > 0 ? kernel.memoryBytes : DEFAULT_MEMORY);
  return typeof o === 'number' ? o : new TmpFs(kernel.host, o, name);
}

/** Registers all types. Once for a kernel. */
export function registerFileSystems(kernel: Kernel): void {
  registerFileSystem('tmpfs', (_c, _source, options) => tmpfs(kernel, 'tmpfs', options));
  registerFileSystem('devtmpfs', (_c, _source, options) => tmpfs(kernel, 'devtmpfs', options));
  registerFileSystem('ramfs', (_c, _source, options) => tmpfs(kernel, 'ramfs', options));
  registerFileSystem('devpts', (_c, _source, options) => createDevpts(options.join(',')));
}
