// Opens by a path that is a string, as tests write it.

import { latin1Encode } from '../../src/base/bytes.ts';
import type { Caller } from '../../src/sentry/vfs/caller.ts';
import type { File } from '../../src/sentry/vfs/file.ts';
import { openPath as openBytes } from '../../src/sentry/vfs/open.ts';

/** open(2) by path: see openPath of the file layer. */
export function openPath(c: Caller, dir: File | null, path: string, flags: number, mode: number, resolveFlags = 0): File | number {
  return openBytes(c, dir, latin1Encode(path), path.length, flags, mode, resolveFlags);
}
