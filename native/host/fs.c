// Calls that take names: always relative to a directory descriptor (or AT_FDCWD with a path of the caller's own making).
//
// Functions named ...At act on what an O_PATH descriptor stands for. Where the kernel has no such call, /proc/self/fd/N serves.

#include "host.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

// struct xattr_args of setxattrat(2), Linux 6.13.
struct xattr_at_args {
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

#define PATH_ARG(i, name) \
  char name[PATH_MAX];    \
  arg_str(a, i, name, sizeof name)

struct fd_path {
  char s[40];
};

static struct fd_path fd_path(int fd) {
  struct fd_path p;
  snprintf(p.s, sizeof p.s, "/proc/self/fd/%d", fd);
  return p;
}

FN(openat) {
  int dir = arg_int(a, 0), flags = arg_int(a, 2), mode = arg_int(a, 3);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(openat(dir, path, flags | O_CLOEXEC, (mode_t)mode));
}

FN(openat2) {
  int dir = arg_int(a, 0), flags = arg_int(a, 2), mode = arg_int(a, 3), resolve = arg_int(a, 4);
  PATH_ARG(1, path);
  CHECK_ARGS();
  struct open_how how = {.flags = (uint32_t)flags | O_CLOEXEC, .mode = (uint32_t)mode, .resolve = (uint32_t)resolve};
  long r;
  // EAGAIN: a rename or mount raced with a ".." or RESOLVE_BENEATH walk.
  for (int i = 0; i < 64; i++) {
    r = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (r >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return result(r);
}

static void put_stat(double *o, const struct stat *st) {
  o[0] = (double)st->st_dev;
  o[1] = (double)st->st_ino;
  o[2] = st->st_mode;
  o[3] = (double)st->st_nlink;
  o[4] = st->st_uid;
  o[5] = st->st_gid;
  o[6] = (double)st->st_rdev;
  o[7] = (double)st->st_size;
  o[8] = (double)st->st_blksize;
  o[9] = (double)st->st_blocks;
  o[10] = (double)st->st_atim.tv_sec;
  o[11] = (double)st->st_atim.tv_nsec;
  o[12] = (double)st->st_mtim.tv_sec;
  o[13] = (double)st->st_mtim.tv_nsec;
  o[14] = (double)st->st_ctim.tv_sec;
  o[15] = (double)st->st_ctim.tv_nsec;
}

FN(fstat) {
  int fd = arg_int(a, 0);
  double *out = arg_f64(a, 1, 16);
  struct stat st;
  CHECK_ARGS();
  if (fstat(fd, &st) < 0) return -errno;
  put_stat(out, &st);
  return 0;
}

// fstatat(2): directory, name ("" with AT_EMPTY_PATH), 16 doubles in the order of put_stat, AT_* flags.
FN(fstatat) {
  int dir = arg_int(a, 0), flags = arg_int(a, 3);
  PATH_ARG(1, path);
  double *out = arg_f64(a, 2, 16);
  struct stat st;
  CHECK_ARGS();
  if (fstatat(dir, path, &st, flags) < 0) return -errno;
  put_stat(out, &st);
  return 0;
}

// statx(2): as fstatat, then out[16], out[17]: birth time (s, ns), out[18]: mount id, out[19]: stx_mask, out[20]: stx_attributes.
FN(statx) {
  int dir = arg_int(a, 0), flags = arg_int(a, 3), mask = arg_int(a, 4);
  PATH_ARG(1, path);
  double *o = arg_f64(a, 2, 21);
  struct statx sx;
  CHECK_ARGS();
  if (statx(dir, path, flags, (unsigned)mask, &sx) < 0) return -errno;
  const double v[21] = {
      (double)makedev(sx.stx_dev_major, sx.stx_dev_minor),
      (double)sx.stx_ino,
      sx.stx_mode,
      sx.stx_nlink,
      sx.stx_uid,
      sx.stx_gid,
      (double)makedev(sx.stx_rdev_major, sx.stx_rdev_minor),
      (double)sx.stx_size,
      sx.stx_blksize,
      (double)sx.stx_blocks,
      (double)sx.stx_atime.tv_sec,
      sx.stx_atime.tv_nsec,
      (double)sx.stx_mtime.tv_sec,
      sx.stx_mtime.tv_nsec,
      (double)sx.stx_ctime.tv_sec,
      sx.stx_ctime.tv_nsec,
      (double)sx.stx_btime.tv_sec,
      sx.stx_btime.tv_nsec,
      (double)sx.stx_mnt_id,
      sx.stx_mask,
      (double)sx.stx_attributes,
  };
  memcpy(o, v, sizeof v);
  return 0;
}

FN(readlinkat) {
  int dir = arg_int(a, 0);
  PATH_ARG(1, path);
  struct span out = arg_span(a, 2);
  CHECK_ARGS();
  return result(readlinkat(dir, path, (char *)out.p, out.len));
}

FN(mkdirat) {
  int dir = arg_int(a, 0), mode = arg_int(a, 2);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(mkdirat(dir, path, (mode_t)mode));
}

// mknodat(2): directory, name, mode with type, major, minor.
FN(mknodat) {
  int dir = arg_int(a, 0), mode = arg_int(a, 2), major = arg_int(a, 3), minor = arg_int(a, 4);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(mknodat(dir, path, (mode_t)mode, makedev((unsigned)major, (unsigned)minor)));
}

FN(symlinkat) {
  int dir = arg_int(a, 1);
  PATH_ARG(0, target);
  PATH_ARG(2, path);
  CHECK_ARGS();
  return result(symlinkat(target, dir, path));
}

FN(linkat) {
  int from = arg_int(a, 0), to = arg_int(a, 2), flags = arg_int(a, 4);
  PATH_ARG(1, old);
  PATH_ARG(3, new);
  CHECK_ARGS();
  return result(linkat(from, old, to, new, flags));
}

FN(unlinkat) {
  int dir = arg_int(a, 0), flags = arg_int(a, 2);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(unlinkat(dir, path, flags));
}

FN(renameat2) {
  int from = arg_int(a, 0), to = arg_int(a, 2), flags = arg_int(a, 4);
  PATH_ARG(1, old);
  PATH_ARG(3, new);
  CHECK_ARGS();
  // Not by glibc, which makes another call when there are no flags: filters know this one.
  return result(syscall(SYS_renameat2, from, old, to, new, (unsigned)flags));
}

FN(faccessat) {
  int dir = arg_int(a, 0), mode = arg_int(a, 2), flags = arg_int(a, 3);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(faccessat(dir, path, mode, flags));
}

FN(fchownat) {
  int dir = arg_int(a, 0), uid = arg_int(a, 2), gid = arg_int(a, 3), flags = arg_int(a, 4);
  PATH_ARG(1, path);
  CHECK_ARGS();
  return result(fchownat(dir, path, (uid_t)uid, (gid_t)gid, flags));
}

FN(fchmod) {
  int fd = arg_int(a, 0), mode = arg_int(a, 1);
  CHECK_ARGS();
  return result(fchmod(fd, (mode_t)mode));
}

// chmod of what an O_PATH descriptor stands for: fchmodat2(2) (Linux 6.6), else by way of /proc.
FN(chmodAt) {
  int fd = arg_int(a, 0), mode = arg_int(a, 1);
  CHECK_ARGS();
  long r = syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH);
  if (r < 0 && errno == ENOSYS) {
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    if (S_ISLNK(st.st_mode)) return -EOPNOTSUPP;
    r = chmod(fd_path(fd).s, (mode_t)mode);
  }
  return result(r);
}

// utimensat(2): directory, name ("" with AT_EMPTY_PATH), 4 doubles (atime s, ns, mtime s, ns; ns may be UTIME_NOW or UTIME_OMIT), flags.
FN(utimensat) {
  int dir = arg_int(a, 0), flags = arg_int(a, 3);
  PATH_ARG(1, path);
  double *t = arg_f64(a, 2, 4);
  CHECK_ARGS();
  struct timespec ts[2] = {{(time_t)t[0], (long)t[1]}, {(time_t)t[2], (long)t[3]}};
  // glibc refuses an empty path with a flag that it does not know; the kernel takes AT_EMPTY_PATH since 5.8.
  return result(syscall(SYS_utimensat, dir, path, ts, flags));
}

FN(getdents) {
  int fd = arg_int(a, 0);
  struct span out = arg_span(a, 1);
  CHECK_ARGS();
  return result(syscall(SYS_getdents64, fd, out.p, out.len));
}

// fstatfs(2): type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags, fsid (two words).
FN(fstatfs) {
  int fd = arg_int(a, 0);
  double *o = arg_f64(a, 1, 12);
  struct statfs f;
  CHECK_ARGS();
  if (fstatfs(fd, &f) < 0) return -errno;
  const double v[12] = {
      (double)f.f_type,  (double)f.f_bsize,   (double)f.f_blocks, (double)f.f_bfree, (double)f.f_bavail,       (double)f.f_files,
      (double)f.f_ffree, (double)f.f_namelen, (double)f.f_frsize, (double)f.f_flags, (double)f.f_fsid.__val[0], (double)f.f_fsid.__val[1],
  };
  memcpy(o, v, sizeof v);
  return 0;
}

// Extended attributes of what any descriptor, O_PATH too, stands for: the *xattrat calls (Linux 6.13), else the f*xattr calls, which
// refuse O_PATH descriptors, else by way of /proc.
#define XATTR_FALLBACK(r, on_fd, on_path)                \
  do {                                                   \
    if (r < 0 && errno == ENOSYS) {                      \
      r = on_fd;                                         \
      if (r < 0 && errno == EBADF) r = on_path;          \
    }                                                    \
  } while (0)

FN(getxattrAt) {
  char name[256];
  int fd = arg_int(a, 0);
  arg_str(a, 1, name, sizeof name);
  struct span out = arg_span(a, 2);
  CHECK_ARGS();
  struct xattr_at_args xa = {(uintptr_t)out.p, (uint32_t)out.len, 0};
  long r = syscall(SYS_getxattrat, fd, "", AT_EMPTY_PATH, name, &xa, sizeof xa);
  XATTR_FALLBACK(r, fgetxattr(fd, name, out.p, out.len), getxattr(fd_path(fd).s, name, out.p, out.len));
  return result(r);
}

FN(setxattrAt) {
  char name[256];
  int fd = arg_int(a, 0), flags = arg_int(a, 3);
  arg_str(a, 1, name, sizeof name);
  struct span in = arg_span(a, 2);
  CHECK_ARGS();
  struct xattr_at_args xa = {(uintptr_t)in.p, (uint32_t)in.len, (uint32_t)flags};
  long r = syscall(SYS_setxattrat, fd, "", AT_EMPTY_PATH, name, &xa, sizeof xa);
  XATTR_FALLBACK(r, fsetxattr(fd, name, in.p, in.len, flags), setxattr(fd_path(fd).s, name, in.p, in.len, flags));
  return result(r);
}

FN(listxattrAt) {
  int fd = arg_int(a, 0);
  struct span out = arg_span(a, 1);
  CHECK_ARGS();
  long r = syscall(SYS_listxattrat, fd, "", AT_EMPTY_PATH, out.p, out.len);
  XATTR_FALLBACK(r, flistxattr(fd, (char *)out.p, out.len), listxattr(fd_path(fd).s, (char *)out.p, out.len));
  return result(r);
}

FN(removexattrAt) {
  char name[256];
  int fd = arg_int(a, 0);
  arg_str(a, 1, name, sizeof name);
  CHECK_ARGS();
  long r = syscall(SYS_removexattrat, fd, "", AT_EMPTY_PATH, name);
  XATTR_FALLBACK(r, fremovexattr(fd, name), removexattr(fd_path(fd).s, name));
  return result(r);
}

FN(umask) {
  int mask = arg_int(a, 0);
  CHECK_ARGS();
  return umask((mode_t)mask);
}

const struct host_entry fs_entries[] = {
    ENTRY(openat),     ENTRY(openat2),    ENTRY(fstat),     ENTRY(fstatat),  ENTRY(statx),     ENTRY(readlinkat),
    ENTRY(mkdirat),    ENTRY(mknodat),    ENTRY(symlinkat), ENTRY(linkat),   ENTRY(unlinkat),  ENTRY(renameat2),
    ENTRY(faccessat),  ENTRY(fchownat),   ENTRY(fchmod),    ENTRY(chmodAt),  ENTRY(utimensat), ENTRY(getdents),
    ENTRY(fstatfs),    ENTRY(getxattrAt), ENTRY(setxattrAt), ENTRY(listxattrAt), ENTRY(removexattrAt), ENTRY(umask),
    END_OF_TABLE,
};
