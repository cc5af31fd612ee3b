// Archives in the format that Linux unpacks at boot (cpio "newc", Documentation/driver-api/early-userspace/buffer-format.rst).

/**
 * An archive of files. Several archives one after the other are one: a later file replaces an earlier one of the same name.
 *
 * @param {{ name: string, mode: number, data?: Buffer | string }[]} entries in the order in which they are made; mode is st_mode, with the
 *   file's type; data is a file's contents or a link's target
 * @returns {Buffer}
 */
export function archive(entries) {
  const parts = [];
  let inode = 1;
  for (const { name, mode, data = '' } of [...entries, { name: 'TRAILER!!!', mode: 0 }]) {
    const bytes = Buffer.from(data);
    const path = Buffer.from(`${name}\0`);
    // inode, mode, uid, gid, links, time, size, four numbers of devices, length of the name, checksum
    const fields = [inode++, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, path.length, 0];
    parts.push(padded(Buffer.concat([Buffer.from(`070701${fields.map(hex).join('')}`), path])), padded(bytes));
  }
  return Buffer.concat(parts);
}

function hex(value) {
  return value.toString(16).padStart(8, '0');
}

/** The name and the data of every entry end at a multiple of four bytes. */
function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
