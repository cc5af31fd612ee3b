// Permissions, umask, chown, chmod, set-user-ID clearing, extended attributes.
#include "test.h"
#include <sys/fsuid.h>
#include <sys/xattr.h>

static unsigned mode_of(const char *path) {
  struct stat st;
  CHECK_OK(lstat(path, &st));
  return st.st_mode & 07777;
}

TEST(umask_returns_old, umask) {
  umask(0123);
  CHECK_EQ(umask(077), 0123);
  CHECK_EQ(umask(07777), 077);
  CHECK_EQ(umask(0), 0777);
}

TEST(chmod_variants, chmod, fchmod, fchmodat) {
  put_file("f", "");
  CHECK_OK(chmod("f", 04711));
  CHECK_EQ(mode_of("f"), 04711);
  int fd = open("f", O_RDONLY);
  CHECK_OK(fchmod(fd, 0601));
  CHECK_EQ(mode_of("f"), 0601);
  CHECK_OK(fchmodat(AT_FDCWD, "f", 0640, 0));
  CHECK_EQ(mode_of("f"), 0640);
  CHECK_OK(symlink("f", "s"));
  CHECK_OK(chmod("s", 0600));
  CHECK_EQ(mode_of("f"), 0600);
  CHECK_ERRNO(chmod("absent", 0600), ENOENT);
  CHECK_ERRNO(fchmod(-1, 0600), EBADF);
}

TEST(class_selection, chmod, chown, setresuid) {
  put_file("own", "");
  put_file("grp", "");
  put_file("oth", "");
  CHECK_OK(chown("own", 1234, 99));
  CHECK_OK(chown("grp", 99, 1234));
  CHECK_OK(chown("oth", 99, 99));
  CHECK_OK(chmod("own", 0066));
  CHECK_OK(chmod("grp", 0606));
  CHECK_OK(chmod("oth", 0660));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(open("own", O_RDONLY), EACCES); // the owner's bits decide, even if they say less
    CHECK_ERRNO(open("grp", O_RDONLY), EACCES);
    CHECK_ERRNO(open("oth", O_RDONLY), EACCES);
    CHECK_OK(chmod("own", 0400));
    CHECK_OK(open("own", O_RDONLY));
    CHECK_ERRNO(open("own", O_WRONLY), EACCES);
    CHECK_ERRNO(chmod("grp", 0777), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(supplementary_groups, chmod, chown, setresuid) {
  put_file("f", "");
  CHECK_OK(chown("f", 99, 4321));
  CHECK_OK(chmod("f", 0640));
  pid_t pid = fork();
  if (!pid) {
    gid_t g[2] = {77, 4321};
    CHECK_OK(syscall(SYS_setgroups, 2, g));
    CHECK_OK(syscall(SYS_setresgid, 1234, 1234, 1234));
    CHECK_OK(syscall(SYS_setresuid, 1234, 1234, 1234));
    CHECK_OK(open("f", O_RDONLY));
    CHECK_ERRNO(open("f", O_WRONLY), EACCES);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(directory_permissions, chmod, setresuid) {
  CHECK_OK(mkdir("x", 0755));
  put_file("x/f", "");
  CHECK_OK(chmod("x", 0711));
  CHECK_OK(mkdir("r", 0755));
  put_file("r/f", "");
  CHECK_OK(chmod("r", 0744));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    struct stat st;
    CHECK_OK(stat("x/f", &st));
    CHECK_ERRNO(open("x", O_RDONLY), EACCES);
    CHECK_OK(open("r", O_RDONLY));
    CHECK_ERRNO(stat("r/f", &st), EACCES);
    CHECK_ERRNO(chdir("r"), EACCES);
    CHECK_ERRNO(open("x/new", O_CREAT | O_RDWR, 0600), EACCES);
    CHECK_ERRNO(unlink("x/f"), EACCES);
    CHECK_ERRNO(mkdir("x/d", 0700), EACCES);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(sticky_directory, chmod, chown, rename, setresuid) {
  CHECK_OK(mkdir("t", 0755));
  CHECK_OK(chmod("t", 01777));
  put_file("t/theirs", "");
  put_file("t/mine", "");
  CHECK_OK(chown("t/mine", 1234, 1234));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(unlink("t/theirs"), EPERM);
    CHECK_ERRNO(rename("t/theirs", "t/x"), EPERM);
    CHECK_OK(rename("t/mine", "t/x"));
    CHECK_OK(unlink("t/x"));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(setgid_directory, chmod, chown) {
  struct stat st;
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(chown("d", 0, 555));
  CHECK_OK(chmod("d", 02755));
  put_file("d/f", "");
  CHECK_OK(mkdir("d/sub", 0755));
  CHECK_OK(stat("d/f", &st));
  CHECK_EQ(st.st_gid, 555);
  CHECK_EQ(st.st_mode & 07777, 0644);
  CHECK_OK(stat("d/sub", &st));
  CHECK_EQ(st.st_gid, 555);
  CHECK_EQ(st.st_mode & 07777, 02755);
}

TEST(chown_and_ids, chown, fchown, fchownat, lchown) {
  struct stat st;
  put_file("f", "");
  CHECK_OK(chown("f", 11, 22));
  CHECK_OK(chown("f", -1, 33));
  CHECK_OK(stat("f", &st));
  CHECK_EQ(st.st_uid, 11);
  CHECK_EQ(st.st_gid, 33);
  CHECK_OK(chown("f", 44, -1));
  CHECK_OK(symlink("f", "s"));
  CHECK_OK(lchown("s", 5, 6));
  CHECK_OK(lstat("s", &st));
  CHECK_EQ(st.st_uid, 5);
  CHECK_OK(stat("s", &st));
  CHECK_EQ(st.st_uid, 44);
  int fd = open("f", O_RDONLY);
  CHECK_OK(fchown(fd, 7, 8));
  CHECK_OK(fchownat(fd, "", 9, 10, AT_EMPTY_PATH));
  CHECK_OK(fstat(fd, &st));
  CHECK_EQ(st.st_uid, 9);
  CHECK_ERRNO(chown("absent", 0, 0), ENOENT);
  CHECK_ERRNO(fchownat(AT_FDCWD, "f", 0, 0, 0x8000), EINVAL);
}

TEST(chown_permission, chown, setresuid) {
  put_file("f", "");
  CHECK_OK(chown("f", 1234, 1234));
  pid_t pid = fork();
  if (!pid) {
    gid_t g[1] = {777};
    CHECK_OK(syscall(SYS_setgroups, 1, g));
    CHECK_OK(syscall(SYS_setresgid, 1234, 1234, 1234));
    CHECK_OK(syscall(SYS_setresuid, 1234, 1234, 1234));
    CHECK_ERRNO(chown("f", 1, -1), EPERM);
    CHECK_ERRNO(chown("f", -1, 888), EPERM);
    CHECK_OK(chown("f", 1234, 777));
    CHECK_OK(chown("f", -1, -1));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(chown_clears_suid, chmod, chown) {
  put_file("f", "");
  CHECK_OK(chmod("f", 06755));
  CHECK_OK(chown("f", 11, 11));
  CHECK_EQ(mode_of("f"), 0755);
  CHECK_OK(chmod("f", 02745)); // set-group-ID without group execute is a lock flag: kept
  CHECK_OK(chown("f", 12, 12));
  CHECK_EQ(mode_of("f"), 02745);
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(chmod("d", 06755));
  CHECK_OK(chown("d", 11, 11));
  CHECK_EQ(mode_of("d"), 06755);
}

TEST(write_clears_suid, chmod, chown, setresuid, write) {
  put_file("f", "");
  CHECK_OK(chown("f", 1234, 1234));
  CHECK_OK(chmod("f", 06777));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    int fd = open("f", O_WRONLY);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(mode_of("f"), 0777);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_OK(chmod("f", 06777)); // root (CAP_FSETID) keeps them
  int fd = open("f", O_WRONLY);
  CHECK_EQ(write(fd, "x", 1), 1);
  CHECK_EQ(mode_of("f"), 06777);
}

TEST(chmod_drops_foreign_setgid, chmod, chown, setresuid) {
  put_file("f", "");
  CHECK_OK(chown("f", 1234, 99));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_OK(chmod("f", 02755));
    CHECK_EQ(mode_of("f"), 0755);
    CHECK_OK(chmod("f", 04755));
    CHECK_EQ(mode_of("f"), 04755);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(fsuid_decides, chmod, setfsuid) {
  put_file("f", "");
  CHECK_OK(chmod("f", 0600));
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(setfsuid(1234), 0);
    CHECK_EQ(setfsuid(-1), 1234);
    CHECK_ERRNO(open("f", O_RDONLY), EACCES);
    CHECK_EQ(setfsuid(0), 1234);
    CHECK_OK(open("f", O_RDONLY));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(noatime_needs_owner, setresuid) {
  put_file("f", "x");
  CHECK_OK(open("f", O_RDONLY | O_NOATIME));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(open("f", O_RDONLY | O_NOATIME), EPERM);
    CHECK_OK(open("f", O_RDONLY));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(xattr_set_get_list_remove, getxattr, listxattr, removexattr, setxattr) {
  char b[64];
  put_file("f", "");
  CHECK_OK(setxattr("f", "user.one", "value", 5, 0));
  CHECK_EQ(getxattr("f", "user.one", b, sizeof b), 5);
  CHECK(!memcmp(b, "value", 5));
  CHECK_EQ(getxattr("f", "user.one", NULL, 0), 5);
  CHECK_ERRNO(getxattr("f", "user.one", b, 3), ERANGE);
  CHECK_ERRNO(getxattr("f", "user.two", b, 3), ENODATA);
  CHECK_OK(setxattr("f", "user.empty", "", 0, 0));
  CHECK_EQ(getxattr("f", "user.empty", b, sizeof b), 0);
  ssize_t n = listxattr("f", b, sizeof b);
  CHECK_EQ(n, sizeof "user.one" + sizeof "user.empty");
  CHECK(memmem(b, n, "user.one", 9) && memmem(b, n, "user.empty", 11));
  CHECK_EQ(listxattr("f", NULL, 0), n);
  CHECK_ERRNO(listxattr("f", b, 3), ERANGE);
  CHECK_OK(removexattr("f", "user.one"));
  CHECK_ERRNO(removexattr("f", "user.one"), ENODATA);
}

TEST(xattr_flags_and_errors, fgetxattr, fsetxattr, getxattr, lsetxattr, setxattr) {
  put_file("f", "");
  CHECK_ERRNO(setxattr("f", "user.a", "1", 1, XATTR_REPLACE), ENODATA);
  CHECK_OK(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
  CHECK_ERRNO(setxattr("f", "user.a", "1", 1, XATTR_CREATE), EEXIST);
  CHECK_OK(setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
  CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 8), EINVAL);
  CHECK_ERRNO(setxattr("f", "nonsense.a", "2", 1, 0), EOPNOTSUPP);
  CHECK_ERRNO(setxattr("f", "", "2", 1, 0), ERANGE);
  CHECK_ERRNO(setxattr("absent", "user.a", "2", 1, 0), ENOENT);
  char name[300] = "user.";
  memset(name + 5, 'n', 280);
  CHECK_ERRNO(setxattr("f", name, "2", 1, 0), ERANGE);
  CHECK_OK(symlink("f", "s"));
  CHECK_ERRNO(lsetxattr("s", "user.a", "2", 1, 0), EPERM);
  CHECK_EQ(getxattr("s", "user.a", NULL, 0), 1);
  CHECK_ERRNO(fsetxattr(-1, "user.a", "x", 1, 0), EBADF);
  int fd = open("f", O_RDONLY);
  CHECK_OK(fsetxattr(fd, "user.fd", "x", 1, 0));
  CHECK_EQ(fgetxattr(fd, "user.fd", NULL, 0), 1);
}

TEST(xattr_permission, getxattr, setresuid, setxattr) {
  put_file("f", "");
  CHECK_OK(setxattr("f", "user.a", "1", 1, 0));
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    char b[8];
    CHECK_EQ(getxattr("f", "user.a", b, 8), 1);
    CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 0), EACCES);
    CHECK_ERRNO(setxattr("f", "trusted.a", "2", 1, 0), EPERM);
    CHECK_ERRNO(getxattr("f", "trusted.a", b, 8), ENODATA);
    _exit(0);
  }
  WAIT_OK(pid);
}
