// The FUSE protocol (fuse(4); Linux: include/uapi/linux/fuse.h), as far as a read-only file system needs it. Little endian.

export const FUSE_MAJOR = 7;
/** The newest minor version whose layouts are these. */
export const FUSE_MINOR = 31;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_SETXATTR = 21;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_DESTROY = 38;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_RENAME2 = 45;

/** Requests that would change something. */
export const FUSE_CHANGES: ReadonlySet<number> = new Set([
  FUSE_SETATTR,
  FUSE_SYMLINK,
  FUSE_MKNOD,
  FUSE_MKDIR,
  FUSE_UNLINK,
  FUSE_RMDIR,
  FUSE_RENAME,
  FUSE_LINK,
  FUSE_WRITE,
  FUSE_SETXATTR,
  FUSE_REMOVEXATTR,
  FUSE_CREATE,
  FUSE_RENAME2,
]);

/** Of fuse_open_out.open_flags: sizes say nothing, every read is asked for. */
export const FOPEN_DIRECT_IO = 1;
export const FUSE_ROOT_ID = 1;

/** struct fuse_in_header: len, opcode, unique, nodeid, ... */
export const IN_HEADER = 40;
/** struct fuse_out_header: len, error, unique. */
export const OUT_HEADER = 16;
export const ATTR_BYTES = 88;
export const ENTRY_BYTES = 40 + ATTR_BYTES;
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES;
export const OPEN_OUT_BYTES = 16;
export const INIT_OUT_BYTES = 64;
export const STATFS_OUT_BYTES = 80;
/** struct fuse_dirent without its name. */
export const DIRENT_BYTES = 24;
