// Who a process is: capabilities, ids, limits and what it was cloned with.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(c) (1ull << (c))
#define LAST_CAP_POSSIBLE 63

static const uint64_t file_capabilities = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) |
                                          CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_LINUX_IMMUTABLE);

static uint64_t capabilities(void) {
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2];
  if (syscall(SYS_capget, &h, d) < 0) return 0;
  return d[0].effective | (uint64_t)d[1].effective << 32;
}

// True when a capability is effective in our own user namespace.
bool has_capability(int capability) {
  return (capabilities() & CAP_BIT(capability)) != 0;
}

static void set_capabilities(uint64_t mask) {
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2] = {{(uint32_t)mask, (uint32_t)mask, 0}, {(uint32_t)(mask >> 32), (uint32_t)(mask >> 32), 0}};
  if (syscall(SYS_capset, &h, d) < 0) die("cannot drop capabilities: %s", strerror(errno));
}

// True when our own user namespace has `id` (user_namespaces(7): lines of first id inside, first outside, count).
bool has_id(const char *map, unsigned long id) {
  FILE *f = fopen(map, "re");
  if (f == NULL) return false;
  unsigned long inside, outside, count;
  bool found = false;
  while (!found && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3) found = id >= inside && id - inside < count;
  fclose(f);
  return found;
}

// True when namespaces can be made and ids mapped as root does it; else everything happens in a user namespace of the caller's own id.
bool is_privileged(void) {
  uint64_t wanted = CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP);
  if (geteuid() != 0 || (capabilities() & wanted) != wanted) return false;
  return has_id("/proc/self/uid_map", SANDBOX_ID) && has_id("/proc/self/gid_map", SANDBOX_ID);
}

void raise_nofile(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) < 0) return;
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
}

// Limits what an exec can ever gain. Needs CAP_SETPCAP, which a process in a new user namespace has.
static void bound(uint64_t mask) {
  for (int c = 0; c <= LAST_CAP_POSSIBLE; c++) {
    if (mask & CAP_BIT(c)) continue;
    if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) != 1) continue;
    prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void drop_all_capabilities(void) {
  bound(0);
  set_capabilities(0);
}

void keep_file_capabilities(void) {
  uint64_t mask = file_capabilities & capabilities();
  bound(mask);
  set_capabilities(mask);
}

void no_new_privs(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die("cannot set no_new_privs: %s", strerror(errno));
}

// Node's event library takes io_uring where it is there, beside the filters that the programs install later and know nothing of it: for
// them the kernel has none. Needs no_new_privs.
void refuse_io_uring(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) die("cannot install a seccomp filter: %s", strerror(errno));
}

void die_with_parent(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

// fork(2) into new namespaces: the child is the first process of its pid namespace and still our child.
pid_t clone_with(uint64_t flags) {
  pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
  if (pid >= 0) return pid;
  if (errno == ENOSPC || ((flags & CLONE_NEWUSER) && (errno == EPERM || errno == EINVAL || errno == EUSERS)))
    die("cannot create a user namespace (%s): run as root, or allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns)",
        strerror(errno));
  if (errno == EINVAL) die("cannot create namespaces: the kernel lacks pid, net, ipc, uts or user namespaces");
  die("cannot create namespaces: %s", strerror(errno));
}
