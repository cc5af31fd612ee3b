// stat, statx, access, utimensat, statfs.
#include "test.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

TEST(stat_file, geteuid, newfstatat) {
  struct stat st;
  put_file("f", "hello");
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_mode, S_IFREG | 0644);
  CHECK_EQ(st.st_size, 5);
  CHECK_EQ(st.st_nlink, 1);
  CHECK_EQ(st.st_uid, geteuid());
  CHECK(st.st_ino != 0);
  CHECK(st.st_blksize >= 512);
  CHECK(st.st_mtime > 1600000000 && st.st_ctime >= st.st_mtime - 1);
}

TEST(stat_kinds, mknodat, newfstatat) {
  struct stat st;
  CHECK_OK(mkdir("d", 0700));
  CHECK_OK(mkfifo("p", 0600));
  CHECK_OK(symlink("somewhere", "s"));
  CHECK_OK(stat("d", &st));
  CHECK_EQ(st.st_mode, S_IFDIR | 0700);
  CHECK_OK(stat("p", &st));
  CHECK_EQ(st.st_mode, S_IFIFO | 0600);
  CHECK_OK(lstat("s", &st));
  CHECK_EQ(st.st_mode, S_IFLNK | 0777);
  CHECK_EQ(st.st_size, 9);
  CHECK_OK(stat("/dev/null", &st));
  CHECK(S_ISCHR(st.st_mode));
  CHECK_EQ(st.st_rdev, makedev(1, 3));
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_OK(fstat(p[0], &st));
  CHECK(S_ISFIFO(st.st_mode));
}

TEST(stat_errors, newfstatat) {
  struct stat st;
  put_file("f", "");
  CHECK_ERRNO(stat("absent", &st), ENOENT);
  CHECK_ERRNO(stat("", &st), ENOENT);
  CHECK_ERRNO(stat("f/x", &st), ENOTDIR);
  CHECK_ERRNO(fstat(-1, &st), EBADF);
  CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "f", (void *)8, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, (void *)8, &st, 0), EFAULT);
  CHECK_ERRNO(fstatat(AT_FDCWD, "f", &st, 0x40000000), EINVAL);
}

TEST(fstatat_empty_path, newfstatat) {
  struct stat a, b;
  put_file("f", "abc");
  int fd = open("f", O_RDONLY);
  CHECK_OK(fstatat(fd, "", &a, AT_EMPTY_PATH));
  CHECK_OK(fstat(fd, &b));
  CHECK_EQ(a.st_ino, b.st_ino);
  CHECK_ERRNO(fstatat(fd, "", &a, 0), ENOENT);
  CHECK_OK(fstatat(AT_FDCWD, "", &a, AT_EMPTY_PATH));
  CHECK(S_ISDIR(a.st_mode));
}

TEST(statx_fields, newfstatat, statx) {
  struct statx x;
  put_file("f", "abc");
  CHECK_OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
  CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  CHECK_EQ(x.stx_size, 3);
  CHECK_EQ(x.stx_mode, S_IFREG | 0644);
  CHECK_EQ(x.stx_nlink, 1);
  struct stat st;
  CHECK_OK(stat("f", &st));
  CHECK_EQ(x.stx_ino, st.st_ino);
  CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
  CHECK_EQ(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
  CHECK_EQ(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
  CHECK_ERRNO(statx(AT_FDCWD, "f", 0, 0x80000000u, &x), EINVAL);
  CHECK_ERRNO(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &x), EINVAL);
  CHECK_ERRNO(statx(AT_FDCWD, "absent", 0, STATX_SIZE, &x), ENOENT);
  int fd = open("f", O_RDONLY);
  CHECK_OK(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x));
  CHECK_EQ(x.stx_size, 3);
}

TEST(times_follow_operations, newfstatat, utimensat) {
  struct stat a, b;
  put_file("f", "x");
  struct timespec old[2] = {{1000, 0}, {1000, 0}};
  CHECK_OK(utimensat(AT_FDCWD, "f", old, 0));
  CHECK_OK(stat("f", &a));
  CHECK_EQ(a.st_mtime, 1000);
  CHECK(a.st_ctime > 1000);
  int fd = open("f", O_WRONLY | O_APPEND);
  CHECK_EQ(write(fd, "y", 1), 1);
  CHECK_OK(fstat(fd, &b));
  CHECK(b.st_mtime > 1000);
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(utimensat(AT_FDCWD, "d", old, 0));
  put_file("d/new", "");
  CHECK_OK(stat("d", &b));
  CHECK(b.st_mtime > 1000);
  CHECK_OK(utimensat(AT_FDCWD, "d", old, 0));
  CHECK_OK(unlink("d/new"));
  CHECK_OK(stat("d", &b));
  CHECK(b.st_mtime > 1000);
}

TEST(utimensat_now_omit, newfstatat, utimensat) {
  struct stat st;
  put_file("f", "");
  struct timespec t[2] = {{123, 456}, {789, 12}};
  CHECK_OK(utimensat(AT_FDCWD, "f", t, 0));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_atim.tv_sec, 123);
  CHECK_EQ(st.st_atim.tv_nsec, 456);
  CHECK_EQ(st.st_mtim.tv_nsec, 12);
  struct timespec o[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  CHECK_OK(utimensat(AT_FDCWD, "f", o, 0));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_atim.tv_sec, 123);
  CHECK(st.st_mtim.tv_sec > 1600000000);
  struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
  CHECK_ERRNO(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
  CHECK_ERRNO(utimensat(AT_FDCWD, "absent", NULL, 0), ENOENT);
  int fd = open("f", O_RDONLY);
  CHECK_OK(futimens(fd, t));
  CHECK_OK(symlink("absent", "s"));
  CHECK_OK(utimensat(AT_FDCWD, "s", t, AT_SYMLINK_NOFOLLOW));
  CHECK_OK(lstat("s", &st));
  CHECK_EQ(st.st_mtime, 789);
}

TEST(utimensat_permission, chmod, utimensat) {
  put_file("f", "");
  CHECK_OK(chmod("f", 0666));
  put_file("g", "");
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    struct timespec t[2] = {{1, 0}, {1, 0}};
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EPERM);
    CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0));
    CHECK_ERRNO(utimensat(AT_FDCWD, "g", NULL, 0), EACCES);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(access_as_root, access, chmod) {
  put_file("f", "");
  CHECK_OK(chmod("f", 0));
  CHECK_OK(access("f", F_OK));
  CHECK_OK(access("f", R_OK | W_OK));
  CHECK_ERRNO(access("f", X_OK), EACCES);
  CHECK_OK(chmod("f", 0001));
  CHECK_OK(access("f", X_OK));
  CHECK_ERRNO(access("absent", F_OK), ENOENT);
  CHECK_ERRNO(access("f", 8), EINVAL);
}

TEST(access_uses_real_ids, access, chmod, faccessat2) {
  put_file("f", "");
  CHECK_OK(chmod("f", 0600));
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(syscall(SYS_setgroups, 0, NULL));
    CHECK_OK(setresuid(1234, 0, 0));
    CHECK_ERRNO(access("f", R_OK), EACCES);
    CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
    CHECK_OK(open("f", O_RDONLY));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(faccessat2_flags, faccessat2) {
  CHECK_OK(symlink("absent", "s"));
  CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "s", F_OK, 0), ENOENT);
  CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "s", F_OK, AT_SYMLINK_NOFOLLOW));
  CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "s", F_OK, 0x40000000), EINVAL);
  put_file("f", "");
  int fd = open("f", O_RDONLY);
  CHECK_OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
}

TEST(statfs_basic, fstatfs, statfs) {
  struct statfs s;
  CHECK_OK(statfs(".", &s));
  CHECK(s.f_bsize > 0 && s.f_blocks > 0 && s.f_namelen == 255);
  CHECK_OK(statfs("/proc", &s));
  CHECK_EQ(s.f_type, 0x9fa0);
  CHECK_OK(statfs("/sys", &s));
  CHECK_EQ(s.f_type, 0x62656572);
  CHECK_OK(statfs("/dev/pts", &s));
  CHECK_EQ(s.f_type, 0x1cd1);
  int fd = open("/dev/shm", O_RDONLY);
  CHECK_OK(fstatfs(fd, &s));
  CHECK_EQ(s.f_type, 0x01021994);
  CHECK_ERRNO(statfs("absent", &s), ENOENT);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_OK(fstatfs(p[0], &s));
  CHECK_EQ(s.f_type, 0x50495045);
}

TEST(inode_numbers, newfstatat, rename) {
  struct stat a, b, c;
  put_file("a", "");
  put_file("b", "");
  CHECK_OK(link("a", "c"));
  CHECK_OK(stat("a", &a));
  CHECK_OK(stat("b", &b));
  CHECK_OK(stat("c", &c));
  CHECK(a.st_ino != b.st_ino);
  CHECK_EQ(a.st_ino, c.st_ino);
  CHECK_EQ(a.st_dev, b.st_dev);
  CHECK_EQ(a.st_nlink, 2);
  CHECK_OK(rename("a", "d"));
  CHECK_OK(stat("d", &c));
  CHECK_EQ(a.st_ino, c.st_ino);
}
