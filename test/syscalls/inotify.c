// inotify.
#include "test.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int in;
static char buf[8192];
static ssize_t have, at;

static struct inotify_event *next(void) {
  if (at >= have) {
    at = 0;
    have = read(in, buf, sizeof buf);
    if (have <= 0) return NULL;
  }
  struct inotify_event *e = (void *)(buf + at);
  at += sizeof *e + e->len;
  return e;
}

#define EXPECT(w, m, n)                                                              \
  do {                                                                               \
    struct inotify_event *e = next();                                                \
    if (!e) FAIL("no event, want %#x %s", (unsigned)(m), n);                         \
    if (e->wd != (w) || e->mask != (uint32_t)(m) || strcmp(e->len ? e->name : "", n)) \
      FAIL("event wd %d mask %#x %s, want %d %#x %s", e->wd, e->mask, e->len ? e->name : "", w, (unsigned)(m), n); \
  } while (0)
#define EXPECT_NONE()                                                  \
  do {                                                                 \
    struct inotify_event *e = next();                                  \
    if (e) FAIL("event mask %#x %s", e->mask, e->len ? e->name : "");  \
  } while (0)

static void start(void) {
  in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(in >= 0);
}

TEST(create_and_delete, inotify_add_watch, inotify_init1) {
  start();
  int w = inotify_add_watch(in, ".", IN_CREATE | IN_DELETE);
  CHECK(w >= 1);
  EXPECT_NONE();
  put_file("f", "");
  CHECK_OK(mkdir("d", 0755));
  CHECK_OK(symlink("x", "s"));
  CHECK_OK(link("f", "l"));
  CHECK_OK(unlink("f"));
  CHECK_OK(rmdir("d"));
  EXPECT(w, IN_CREATE, "f");
  EXPECT(w, IN_CREATE | IN_ISDIR, "d");
  EXPECT(w, IN_CREATE, "s");
  EXPECT(w, IN_CREATE, "l");
  EXPECT(w, IN_DELETE, "f");
  EXPECT(w, IN_DELETE | IN_ISDIR, "d");
  EXPECT_NONE();
}

TEST(open_read_write_close, close, inotify_add_watch, inotify_init1, read, write) {
  char c;
  put_file("f", "abc");
  start();
  int w = inotify_add_watch(in, "f", IN_ALL_EVENTS);
  int fd = open("f", O_RDWR);
  CHECK_EQ(read(fd, &c, 1), 1);
  CHECK_EQ(write(fd, "x", 1), 1);
  CHECK_OK(close(fd));
  fd = open("f", O_RDONLY);
  CHECK_OK(close(fd));
  EXPECT(w, IN_OPEN, "");
  EXPECT(w, IN_ACCESS, "");
  EXPECT(w, IN_MODIFY, "");
  EXPECT(w, IN_CLOSE_WRITE, "");
  EXPECT(w, IN_OPEN, "");
  EXPECT(w, IN_CLOSE_NOWRITE, "");
  EXPECT_NONE();
}

TEST(moves_have_a_cookie, inotify_add_watch, inotify_init1, rename) {
  CHECK_OK(mkdir("a", 0755));
  CHECK_OK(mkdir("b", 0755));
  put_file("a/f", "");
  start();
  int wa = inotify_add_watch(in, "a", IN_MOVE), wb = inotify_add_watch(in, "b", IN_MOVE);
  CHECK(wa != wb);
  CHECK_OK(rename("a/f", "b/g"));
  struct inotify_event *e = next();
  CHECK(e && e->wd == wa && e->mask == IN_MOVED_FROM && !strcmp(e->name, "f"));
  uint32_t cookie = e->cookie;
  CHECK(cookie != 0);
  e = next();
  CHECK(e && e->wd == wb && e->mask == IN_MOVED_TO && !strcmp(e->name, "g"));
  CHECK_EQ(e->cookie, cookie);
}

TEST(move_self_and_delete_self, inotify_add_watch, inotify_init1, rename) {
  put_file("f", "");
  CHECK_OK(mkdir("d", 0755));
  start();
  int w = inotify_add_watch(in, "f", IN_MOVE_SELF | IN_DELETE_SELF);
  int d = inotify_add_watch(in, "d", IN_DELETE_SELF);
  CHECK_OK(rename("f", "g"));
  EXPECT(w, IN_MOVE_SELF, "");
  CHECK_OK(unlink("g"));
  EXPECT(w, IN_DELETE_SELF, "");
  EXPECT(w, IN_IGNORED, "");
  CHECK_OK(rmdir("d"));
  EXPECT(d, IN_DELETE_SELF, "");
  EXPECT(d, IN_IGNORED, "");
}

TEST(attrib, inotify_add_watch, inotify_init1, utimensat) {
  put_file("f", "");
  start();
  int w = inotify_add_watch(in, ".", IN_ATTRIB);
  CHECK_OK(chmod("f", 0600));
  EXPECT(w, IN_ATTRIB, "f");
  CHECK_OK(utimensat(AT_FDCWD, "f", NULL, 0));
  EXPECT(w, IN_ATTRIB, "f");
  CHECK_OK(chown("f", 1, 1));
  EXPECT(w, IN_ATTRIB, "f");
  EXPECT_NONE();
}

TEST(truncate_modifies, inotify_add_watch, inotify_init1, truncate) {
  put_file("f", "abc");
  start();
  int w = inotify_add_watch(in, ".", IN_MODIFY);
  CHECK_OK(truncate("f", 1));
  EXPECT(w, IN_MODIFY, "f");
  int fd = open("f", O_WRONLY | O_TRUNC);
  EXPECT(w, IN_MODIFY, "f");
  CHECK_OK(close(fd));
  EXPECT_NONE();
}

TEST(remove_watch, inotify_add_watch, inotify_init1, inotify_rm_watch) {
  start();
  int w = inotify_add_watch(in, ".", IN_CREATE);
  CHECK_OK(inotify_rm_watch(in, w));
  EXPECT(w, IN_IGNORED, "");
  put_file("f", "");
  EXPECT_NONE();
  CHECK_ERRNO(inotify_rm_watch(in, w), EINVAL);
  CHECK_ERRNO(inotify_rm_watch(0x5000, w), EBADF);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_ERRNO(inotify_rm_watch(p[0], 1), EINVAL);
}

TEST(add_watch_errors_and_update, inotify_add_watch, inotify_init1) {
  start();
  put_file("f", "");
  CHECK_ERRNO(inotify_add_watch(in, "absent", IN_CREATE), ENOENT);
  CHECK_ERRNO(inotify_add_watch(in, "f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
  CHECK_ERRNO(inotify_add_watch(in, "f", 0), EINVAL);
  int w = inotify_add_watch(in, "f", IN_OPEN);
  CHECK_EQ(inotify_add_watch(in, "f", IN_MODIFY), w);
  int fd = open("f", O_WRONLY);
  EXPECT_NONE();
  CHECK_EQ(inotify_add_watch(in, "f", IN_CLOSE_WRITE | IN_MASK_ADD), w);
  CHECK_EQ(write(fd, "x", 1), 1);
  CHECK_OK(close(fd));
  EXPECT(w, IN_MODIFY, "");
  EXPECT(w, IN_CLOSE_WRITE, "");
  CHECK_ERRNO(inotify_init1(1), EINVAL);
}

TEST(one_shot_and_coalescing, inotify_add_watch, inotify_init1) {
  put_file("f", "");
  start();
  int w = inotify_add_watch(in, "f", IN_MODIFY);
  int fd = open("f", O_WRONLY);
  CHECK_EQ(write(fd, "a", 1), 1);
  CHECK_EQ(write(fd, "b", 1), 1); // equal to the last unread event: merged
  EXPECT(w, IN_MODIFY, "");
  EXPECT_NONE();
  CHECK_EQ(inotify_add_watch(in, "f", IN_MODIFY | IN_ONESHOT), w);
  CHECK_EQ(write(fd, "c", 1), 1);
  EXPECT(w, IN_MODIFY, "");
  EXPECT(w, IN_IGNORED, "");
  CHECK_EQ(write(fd, "d", 1), 1);
  EXPECT_NONE();
}

TEST(poll_fionread_and_small_buffer, inotify_add_watch, inotify_init1, poll) {
  start();
  CHECK_OK(inotify_add_watch(in, ".", IN_CREATE));
  struct pollfd f = {in, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 0), 0);
  put_file("file", "");
  CHECK_EQ(poll(&f, 1, 0), 1);
  int n;
  CHECK_OK(ioctl(in, FIONREAD, &n));
  CHECK_EQ(n, 32); // 16 bytes of header, the name padded to 16
  char b[16];
  CHECK_ERRNO(read(in, b, 16), EINVAL);
}

TEST(blocking_read_wakes, inotify_add_watch, inotify_init1, read) {
  in = inotify_init1(0);
  int w = inotify_add_watch(in, ".", IN_CREATE);
  pid_t pid = fork();
  if (!pid) {
    EXPECT(w, IN_CREATE, "later");
    _exit(0);
  }
  until_sleeps(pid);
  put_file("later", "");
  WAIT_OK(pid);
}
