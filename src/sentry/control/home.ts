// HOME of a container's process, where its configuration names none: as runc does, that of the user in the container's own /etc/passwd.

import { O_RDONLY } from '../../abi/fcntl.ts';
import { S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { latin1Decode } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import { openDentry } from '../vfs/open.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';

/** More of a file is not looked through. */
const MOST = 1024 * 1024;
const UID = 2;
const HOME = 5;

/** The content of a regular file of the container, '' where there is none that can be read. */
function contentOf(t: Task, path: string): string {
  const w = new Walk();
  if (resolve(t, null, path, LOOKUP_FOLLOW, w) < 0) return '';
  const inode = w.dentry.inode;
  if (inode === null || (inode.mode & S_IFMT) !== S_IFREG) return '';
  const file = openDentry(t, w.mount, w.dentry, O_RDONLY);
  if (typeof file === 'number') return '';
  let text = '';
  const buf = new Uint8Array(16 * 1024);
  while (text.length < MOST) {
    const n = file.pread(t, buf, 0, buf.length, text.length);
    if (n <= 0) break;
    text += latin1Decode(buf, 0, n);
  }
  file.unref();
  return text;
}

/** The home folder of a user of the container; '/' for one that /etc/passwd does not know (passwd(5)). */
export function homeOf(t: Task, uid: number): string {
  for (const line of contentOf(t, '/etc/passwd').split('\n')) {
    const fields = line.split(':');
    if (fields[UID] === String(uid)) return fields[HOME] || '/';
  }
  return '/';
}
