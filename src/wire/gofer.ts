// The gofer protocol: what the Sentry may ask about names, and how both sides write it down. src/gofer/README.md has the threat model.
//
// SOCK_SEQPACKET: one packet asks, one packet answers, at most one descriptor rides on the answer. Both sides take the other for
// hostile: every field is checked for bounds and sense while it is decoded, and a message must be used up to its last byte.
// Names are latin1 strings of 1 to 255 bytes without '/' and NUL, never "." or ".."; numbers are unsigned 32-bit words or doubles.

/** Bytes of the longest message, both ways. Holds the longest xattr list or value (64 KiB). */
export const MAX_MESSAGE = 128 * 1024;
export const MAX_NAME = 255;
export const MAX_TARGET = 4095;
/** Most components of one walk, most identifiers of one clunk. */
export const MAX_WALK = 64;
export const MAX_CLUNK = 4096;

export const OP_ATTACH = 1;
export const OP_WALK = 2;
export const OP_GETATTR = 3;
export const OP_SETATTR = 4;
export const OP_OPEN = 5;
export const OP_CREATE = 6;
export const OP_MKDIR = 7;
export const OP_MKNOD = 8;
export const OP_SYMLINK = 9;
export const OP_LINK = 10;
export const OP_UNLINK = 11;
export const OP_RENAME = 12;
export const OP_READLINK = 13;
export const OP_READDIR = 14;
export const OP_STATFS = 15;
export const OP_GETXATTR = 16;
export const OP_SETXATTR = 17;
export const OP_LISTXATTR = 18;
export const OP_REMOVEXATTR = 19;
export const OP_CLUNK = 20;
export const OP_CONNECT = 21;
export const OP_PUT = 22;

export const OP_REMOVE = 23;

/** Most files of one OP_PUT, most names of one OP_REMOVE. */
export const MAX_PUTS = 64;

/** Bits of GoferRequest.mask (OP_SETATTR). */
export const SET_MODE = 1;
export const SET_UID = 2;
export const SET_GID = 4;
export const SET_SIZE = 8;
export const SET_ATIME = 16;
export const SET_MTIME = 32;

/** Attributes of a file, as struct stat. */
export interface Attr {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

/** A file that the gofer now knows by `id`, until the Sentry clunks it. */
export interface NodeInfo {
  id: number;
  attr: Attr;
  /** Of a symbolic link: where it leads; else ''. */
  target: string;
  /** In answers to OP_READDIR; else ''. */
  name: string;
}

/** A new regular file with all that it holds (OP_PUT): as create, write, chown, chmod and utimensat. */
export interface PutRequest {
  dir: number;
  name: string;
  mode: number;
  uid: number;
  gid: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  data: Uint8Array;
}

/** A name to be removed (OP_REMOVE): as unlink. */
export interface RemoveRequest {
  dir: number;
  name: string;
}

/** A request: which fields count is said by REQUEST_FIELDS. */
export class GoferRequest {
  op = 0;
  /** Chosen by the asker, repeated in the answer. */
  tag = 0;
  /** The node, or the directory in which `name` stands. */
  id = 0;
  name = '';
  newDir = 0;
  newName = '';
  /** OP_UNLINK, OP_RENAME: the node at `name` (0: not known to the asker); OP_RENAME with exchange: the one at newName. */
  child = 0;
  newChild = 0;
  /** O_*, AT_REMOVEDIR, RENAME_*, XATTR_* */
  flags = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  major = 0;
  minor = 0;
  mask = 0;
  /** OP_READDIR: 0 starts, then 1, 2, ... without a gap. OP_ATTACH: index of the attach point. */
  page = 0;
  size = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  /** OP_SYMLINK: where it leads. OP_*XATTR: the attribute's name. */
  text = '';
  names: string[] = [];
  ids: number[] = [];
  bytes: Uint8Array = EMPTY;
  puts: PutRequest[] = [];
  removals: RemoveRequest[] = [];
}

/** An answer: `status` is 0 or more, or -errno, and then no other field counts. */
export class GoferReply {
  tag = 0;
  status = 0;
  attr: Attr | null = null;
  node: NodeInfo | null = null;
  /** OP_WALK: what was found, in order. OP_READDIR: the entries of this page. */
  nodes: NodeInfo[] = [];
  /** OP_WALK: 0 when all components were found, else -errno for the first that was not (-ENOENT: it does not exist). */
  stop = 0;
  /** OP_READDIR: 1 when this was the last page. OP_ATTACH: 1 when the tree is read-only. */
  flag = 0;
  text = '';
  bytes: Uint8Array = EMPTY;
  /** OP_PUT, OP_REMOVE: 0 or -errno for each file; `nodes` has those that were made. */
  statuses: number[] = [];
  /** OP_STATFS: type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags. */
  statfs: number[] = [];
}

const EMPTY = new Uint8Array(0);

type RequestField = Exclude<keyof GoferRequest, 'op' | 'tag'>;
type ReplyField = Exclude<keyof GoferReply, 'tag' | 'status'>;

const OWNER = ['mode', 'uid', 'gid'] as const;

/** The fields of each request, in the order in which they are sent. */
export const REQUEST_FIELDS: Readonly<Record<number, readonly RequestField[]>> = {
  [OP_ATTACH]: ['page'],
  [OP_WALK]: ['id', 'names'],
  [OP_GETATTR]: ['id'],
  [OP_SETATTR]: ['id', 'mask', ...OWNER, 'size', 'atimeSec', 'atimeNsec', 'mtimeSec', 'mtimeNsec'],
  [OP_OPEN]: ['id', 'flags'],
  [OP_CREATE]: ['id', 'name', 'flags', ...OWNER],
  [OP_MKDIR]: ['id', 'name', ...OWNER],
  [OP_MKNOD]: ['id', 'name', ...OWNER, 'major', 'minor'],
  [OP_SYMLINK]: ['id', 'name', 'text', 'uid', 'gid'],
  [OP_LINK]: ['id', 'newDir', 'newName'],
  [OP_UNLINK]: ['id', 'name', 'flags', 'child'],
  [OP_RENAME]: ['id', 'name', 'newDir', 'newName', 'flags', 'child', 'newChild'],
  [OP_READLINK]: ['id'],
  [OP_READDIR]: ['id', 'page'],
  [OP_STATFS]: ['id'],
  [OP_GETXATTR]: ['id', 'text'],
  [OP_SETXATTR]: ['id', 'text', 'flags', 'bytes'],
  [OP_LISTXATTR]: ['id'],
  [OP_REMOVEXATTR]: ['id', 'text'],
  [OP_CLUNK]: ['ids'],
  [OP_CONNECT]: ['id', 'flags'],
  [OP_PUT]: ['puts'],
  [OP_REMOVE]: ['removals'],
};

/** The fields of each answer that is not an error. */
export const REPLY_FIELDS: Readonly<Record<number, readonly ReplyField[]>> = {
  [OP_ATTACH]: ['node', 'flag'],
  [OP_WALK]: ['stop', 'nodes'],
  [OP_GETATTR]: ['attr'],
  [OP_SETATTR]: ['attr'],
  [OP_OPEN]: ['attr'],
  [OP_CREATE]: ['node'],
  [OP_MKDIR]: ['node'],
  [OP_MKNOD]: ['node'],
  [OP_SYMLINK]: ['node'],
  [OP_LINK]: ['attr'],
  [OP_UNLINK]: [],
  [OP_RENAME]: [],
  [OP_READLINK]: ['text'],
  [OP_READDIR]: ['flag', 'nodes'],
  [OP_STATFS]: ['statfs'],
  [OP_GETXATTR]: ['bytes'],
  [OP_SETXATTR]: [],
  [OP_LISTXATTR]: ['bytes'],
  [OP_REMOVEXATTR]: [],
  [OP_CLUNK]: [],
  [OP_CONNECT]: [],
  [OP_PUT]: ['statuses', 'nodes'],
  [OP_REMOVE]: ['statuses'],
};

/** True if an answer to `op` must bring exactly one descriptor. */
export function bringsDescriptor(op: number): boolean {
  return op === OP_OPEN || op === OP_CREATE || op === OP_CONNECT;
}

/** True for a name that may stand in a directory: 1 to 255 bytes, no '/', no NUL, not "." or "..". */
export function validName(s: string): boolean {
  const n = s.length;
  if (n === 0 || n > MAX_NAME || s === '.' || s === '..') return false;
  for (let i = 0; i < n; i++) {
    const c = s.charCodeAt(i);
    if (c === 0x2f || c === 0 || c > 0xff) return false;
  }
  return true;
}
