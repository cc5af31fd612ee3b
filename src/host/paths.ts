// Names and addresses as the host's calls take them.

/** A path from the command line or JSON (a JavaScript string) as the latin1 string of its UTF-8 bytes, which the addon takes. */
export function hostPath(path: string): string {
  return Buffer.from(path, 'utf8').toString('latin1');
}

/** The UTF-8 text of a latin1 name, for messages and logs. */
export function displayName(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

const AF_UNIX = 1;
const SUN_PATH = 108;

/** struct sockaddr_un for a latin1 path (a leading NUL: abstract), or null when it is too long (unix(7): 107 bytes and a NUL). */
export function unixAddress(path: string): Uint8Array | null {
  const abstract = path.charCodeAt(0) === 0;
  const n = path.length + (abstract ? 0 : 1);
  if (path.length === 0 || n > SUN_PATH) return null;
  const b = Buffer.alloc(2 + n);
  b.writeUInt16LE(AF_UNIX, 0);
  b.write(path, 2, 'latin1');
  return b;
}
