// Linux numbers of readv(2), preadv2(2), process_vm_readv(2).

export const NAME_MAX = 0xff;
export const PATH_MAX = 0x1000;
export const PIPE_BUF = 0x1000;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;
export const RWF_HIPRI = 1;
export const RWF_DSYNC = 2;
export const RWF_SYNC = 4;
export const RWF_NOWAIT = 8;
export const RWF_APPEND = 0x10;
export const RWF_SUPPORTED = 0x1f;
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const SEEK_MAX = 4;
export const UIO_MAXIOV = 0x400;
