// Namespaces: unshare, clone and setns of pid, user, net, ipc, uts.
#include "test.h"
#include <linux/capability.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>

// A kernel may allow none of a kind. Then ENOSPC is the answer, and its limit must say the same: nothing else ends a case early.
static bool none_allowed(const char *kind, long result) {
  if (result != -1 || errno != ENOSPC) return false;
  char path[64];
  snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", kind);
  CHECK_STR(get_file(path), "0\n");
  return true;
}

TEST(pid_namespace_starts_at_one, clone, unshare) {
  CHECK_OK(unshare(CLONE_NEWPID));
  pid_t me = getpid(), pid = fork();
  if (!pid) {
    CHECK_EQ(getpid(), 1);
    CHECK_EQ(getppid(), 0);
    pid_t kid = fork();
    if (!kid) {
      CHECK(getpid() == 2 && getppid() == 1);
      _exit(3);
    }
    CHECK_EQ(kid, 2);
    WAIT_STATUS(kid, 3 << 8);
    _exit(0);
  }
  CHECK(pid > 1 && getpid() == me);
  WAIT_OK(pid);
  CHECK_ERRNO(fork(), ENOMEM); // its init is gone
}

TEST(pid_namespace_ends_with_its_init, clone) {
  struct gate ready = gate_new();
  long init = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (!init) {
    for (int i = 0; i < 3; i++)
      if (!fork())
        for (;;) pause();
    CHECK_OK(kill(1, SIGTERM)); // init has no handler: ignored from inside
    gate_open(&ready);
    _exit(7);
  }
  WAIT_STATUS(init, 7 << 8);
}

TEST(user_namespace_of_an_ordinary_user, clone, getgid, getuid, sethostname, unshare) {
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
    int r = unshare(CLONE_NEWUSER);
    if (none_allowed("user", r)) _exit(0);
    CHECK_OK(r);
    CHECK_EQ(getuid(), 65534);
    put_file("/proc/self/setgroups", "deny");
    put_file("/proc/self/uid_map", "0 1234 1\n");
    put_file("/proc/self/gid_map", "0 1234 1\n");
    CHECK(getuid() == 0 && getgid() == 0);
    CHECK_OK(unshare(CLONE_NEWUTS));
    CHECK_OK(sethostname("inside", 6));
    CHECK_ERRNO(chown("/", 0, 0), EPERM); // not over the host's files
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(network_namespace_is_empty, unshare) {
  CHECK_OK(unshare(CLONE_NEWNET));
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq ifr = {.ifr_name = "lo"};
  CHECK_OK(ioctl(s, SIOCGIFFLAGS, &ifr));
  CHECK_EQ(ifr.ifr_flags & IFF_UP, 0);
}

TEST(ipc_namespace_is_empty, clone, msgctl, msgget, unshare) {
  int id = msgget(IPC_PRIVATE, 0600);
  CHECK(id >= 0);
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(unshare(CLONE_NEWIPC));
    struct msqid_ds ds;
    CHECK_ERRNO(msgctl(id, IPC_STAT, &ds), EINVAL);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(setns_joins, clone, sethostname, setns, unshare) {
  struct gate ready = gate_new();
  pid_t pid = fork();
  if (!pid) {
    CHECK_OK(unshare(CLONE_NEWUTS));
    CHECK_OK(sethostname("joined", 6));
    gate_open(&ready);
    for (;;) pause();
  }
  gate_wait(&ready);
  char path[64], host[65], before[65];
  CHECK_OK(gethostname(before, sizeof before));
  int own = open("/proc/self/ns/uts", O_RDONLY);
  snprintf(path, sizeof path, "/proc/%d/ns/uts", pid);
  int fd = open(path, O_RDONLY);
  CHECK(fd >= 0 && own >= 0);
  CHECK_ERRNO(setns(fd, CLONE_NEWNET), EINVAL);
  CHECK_OK(setns(fd, CLONE_NEWUTS));
  CHECK_OK(gethostname(host, sizeof host));
  CHECK_STR(host, "joined");
  CHECK_OK(setns(own, 0));
  CHECK_OK(gethostname(host, sizeof host));
  CHECK_STR(host, before);
  CHECK_ERRNO(setns(-1, 0), EBADF);
  CHECK_OK(kill(pid, SIGKILL));
  WAIT_STATUS(pid, SIGKILL);
}

TEST(namespace_links_tell_them_apart, unshare) {
  struct stat a, b;
  CHECK_OK(stat("/proc/self/ns/uts", &a));
  CHECK_OK(unshare(CLONE_NEWUTS));
  CHECK_OK(stat("/proc/self/ns/uts", &b));
  CHECK(a.st_ino != b.st_ino);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/uts", getppid());
  CHECK_OK(stat(path, &b));
  CHECK_EQ(a.st_ino, b.st_ino);
}

TEST(unshare_needs_privilege, unshare) {
  become(1234, 1234);
  CHECK_ERRNO(unshare(CLONE_NEWUTS), EPERM);
  CHECK_ERRNO(unshare(CLONE_NEWPID), EPERM);
  CHECK_ERRNO(unshare(CLONE_NEWNET), EPERM);
  CHECK_ERRNO(unshare(CLONE_NEWIPC), EPERM);
}
