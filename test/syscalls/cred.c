// Credentials: set*id, groups, capabilities, securebits, no_new_privs.
#include "test.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

// glibc's wrappers change all threads; the cases mean the plain calls.
#define setuid(u) syscall(SYS_setuid, u)
#define setresuid(r, e, s) syscall(SYS_setresuid, r, e, s)
#define setresgid(r, e, s) syscall(SYS_setresgid, r, e, s)
#define setreuid(r, e) syscall(SYS_setreuid, r, e)

static bool uids(uid_t r, uid_t e, uid_t s) {
  uid_t a, b, c;
  CHECK_OK(getresuid(&a, &b, &c));
  return a == r && b == e && c == s;
}
static uint64_t caps(char which) {
  struct cap_header h = {0x20080522, 0};
  struct cap_data d[2];
  CHECK_OK(syscall(SYS_capget, &h, d));
  if (which == 'e') return d[0].effective | (uint64_t)d[1].effective << 32;
  if (which == 'p') return d[0].permitted | (uint64_t)d[1].permitted << 32;
  return d[0].inheritable | (uint64_t)d[1].inheritable << 32;
}
static bool has(uint64_t set, int cap) { return set >> cap & 1; }

TEST(root_setuid_sets_all, capget, getresuid, setuid) {
  CHECK_OK(setuid(1234));
  CHECK(uids(1234, 1234, 1234));
  CHECK_ERRNO(setuid(0), EPERM);
  CHECK_EQ(caps('e'), 0);
  CHECK_EQ(caps('p'), 0);
}

TEST(setresuid_matrix, getresuid, setresuid) {
  CHECK_OK(setresuid(1, 2, 3));
  CHECK(uids(1, 2, 3));
  CHECK_OK(setresuid(2, 3, 1)); // any of the three may go anywhere
  CHECK(uids(2, 3, 1));
  CHECK_OK(setresuid(-1, 1, -1));
  CHECK(uids(2, 1, 1));
  CHECK_ERRNO(setresuid(3, -1, -1), EPERM);
  CHECK_ERRNO(setresuid(-1, -1, 0), EPERM);
  CHECK_OK(setresuid(1, 1, 1));
  CHECK_ERRNO(setresuid(2, 2, 2), EPERM);
}

TEST(setreuid_saves, getresuid, setreuid) {
  CHECK_OK(setreuid(5, 6));
  CHECK(uids(5, 6, 6));
  CHECK_OK(setreuid(-1, 5));
  CHECK(uids(5, 5, 6)); // the saved ID stays: the real one did not change and the effective one became the real one
  CHECK_OK(setreuid(-1, 6));
  CHECK_ERRNO(setreuid(7, -1), EPERM);
}

TEST(effective_root_and_back, capget, setresuid) {
  CHECK_OK(setresuid(-1, 1234, 0));
  CHECK_EQ(caps('e'), 0);
  CHECK(has(caps('p'), CAP_CHOWN));
  CHECK_OK(setresuid(-1, 0, -1));
  CHECK(has(caps('e'), CAP_CHOWN));
}

TEST(setresgid_needs_capability, getresgid, setgid, setresgid, setresuid) {
  gid_t r, e, s;
  CHECK_OK(setresgid(10, 20, 30));
  CHECK_OK(getresgid(&r, &e, &s));
  CHECK(r == 10 && e == 20 && s == 30);
  CHECK_OK(setresuid(1234, 1234, 1234));
  CHECK_OK(setresgid(20, 30, 10));
  CHECK_ERRNO(setresgid(99, -1, -1), EPERM);
  CHECK_ERRNO(syscall(SYS_setgid, 99), EPERM);
  CHECK_OK(syscall(SYS_setgid, 10));
}

TEST(groups, getgroups, setgroups, setresuid) {
  gid_t set[3] = {30, 10, 20}, got[8];
  CHECK_OK(syscall(SYS_setgroups, 3, set));
  CHECK_EQ(getgroups(0, NULL), 3);
  CHECK_EQ(getgroups(8, got), 3);
  CHECK(got[0] + got[1] + got[2] == 60);
  CHECK_ERRNO(getgroups(2, got), EINVAL);
  CHECK_ERRNO(syscall(SYS_setgroups, 70000, set), EINVAL);
  CHECK_OK(setresuid(1234, 1234, 1234));
  CHECK_ERRNO(syscall(SYS_setgroups, 1, set), EPERM);
}

TEST(capget_capset, capget, capset) {
  struct cap_header h = {0x20080522, 0};
  struct cap_data d[2];
  CHECK_OK(syscall(SYS_capget, &h, d));
  uint32_t had = d[0].permitted;
  CHECK(had & 1 << CAP_CHOWN);
  d[0].effective &= ~(1u << CAP_CHOWN);
  CHECK_OK(syscall(SYS_capset, &h, d));
  put_file("f", "");
  CHECK_ERRNO(chown("f", 5, 5), EPERM);
  d[0].effective |= 1u << CAP_CHOWN;
  CHECK_OK(syscall(SYS_capset, &h, d));
  CHECK_OK(chown("f", 5, 5));
  d[0].effective &= ~(1u << CAP_CHOWN);
  d[0].permitted &= ~(1u << CAP_CHOWN);
  CHECK_OK(syscall(SYS_capset, &h, d));
  d[0].permitted = had;
  CHECK_ERRNO(syscall(SYS_capset, &h, d), EPERM);
  h.version = 1;
  CHECK_ERRNO(syscall(SYS_capget, &h, d), EINVAL);
  CHECK_EQ(h.version, 0x20080522);
}

TEST(dac_override, capget, capset) {
  put_file("f", "x");
  CHECK_OK(chmod("f", 0));
  CHECK_OK(chown("f", 5, 5));
  CHECK_OK(open("f", O_RDWR));
  drop_cap(CAP_DAC_OVERRIDE);
  CHECK_OK(open("f", O_RDONLY)); // CAP_DAC_READ_SEARCH is left
  CHECK_ERRNO(open("f", O_WRONLY), EACCES);
  drop_cap(CAP_DAC_READ_SEARCH);
  CHECK_ERRNO(open("f", O_RDONLY), EACCES);
}

TEST(keepcaps, capget, prctl, setresuid) {
  CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
  CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
  CHECK_OK(setresuid(1234, 1234, 1234));
  CHECK_EQ(caps('e'), 0);
  CHECK(has(caps('p'), CAP_CHOWN));
  CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
}

TEST(bounding_set, capget, prctl, pread64) {
  CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
  CHECK_ERRNO(prctl(PR_CAPBSET_READ, 63), EINVAL);
  CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
  CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
  CHECK(has(caps('p'), CAP_CHOWN)); // it binds what exec gives
  put_file("f", "");
  pid_t pid = fork();
  if (!pid) {
    close(2);
    execl("/bin/chown", "chown", "5", "f", NULL);
    _exit(9);
  }
  int st;
  CHECK_EQ(test_wait(pid, &st), pid);
  CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 1);
}

TEST(ambient_set, capget, capset, fchownat, prctl, pread64, setresuid) {
  CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM); // not inheritable yet
  struct cap_header h = {0x20080522, 0};
  struct cap_data d[2];
  CHECK_OK(syscall(SYS_capget, &h, d));
  d[0].inheritable |= 1 << CAP_CHOWN;
  CHECK_OK(syscall(SYS_capset, &h, d));
  CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
  CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
  put_file("f", "");
  CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
  CHECK_OK(setresuid(1234, 1234, 1234));
  CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0); // leaving root clears it, whatever KEEPCAPS says
  CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
  pid_t pid = fork();
  if (!pid) {
    execl("/bin/chown", "chown", "77", "f", NULL);
    _exit(9);
  }
  WAIT_OK(pid);
  struct stat s;
  CHECK_OK(stat("f", &s));
  CHECK_EQ(s.st_uid, 77);
  CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
}

TEST(no_new_privs, prctl) {
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  pid_t pid = fork();
  if (!pid) _exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1);
  WAIT_OK(pid);
  CHECK(strstr(get_file("/proc/self/status"), "NoNewPrivs:\t1"));
}

TEST(securebits, capget, prctl, setresuid) {
  CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
  CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
  CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
  CHECK_OK(setresuid(1234, 1234, 1234));
  CHECK(has(caps('e'), CAP_CHOWN)); // no fix-up
  CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED));
  CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0), EPERM);
}

TEST(dumpable_follows_ids, prctl) {
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
  CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
}

TEST(status_shows_ids, setresgid, setresuid) {
  CHECK_OK(setresgid(7, 8, 9));
  CHECK_OK(setresuid(1, 2, 3));
  char *s = get_file("/proc/self/status");
  CHECK(s && strstr(s, "Uid:\t1\t2\t3\t2\n") && strstr(s, "Gid:\t7\t8\t9\t8\n"));
}
