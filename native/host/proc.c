// Processes, identity, filters and shared memory of this process itself.

#include "host.h"

#include <dlfcn.h>
#include <grp.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <uv.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_send_signal 424
#define SYS_pidfd_open 434
#define SYS_pidfd_getfd 438
#endif

// A group's or everybody's number is never meant: a pid that is not known yet must not become one.
FN(kill) {
  int pid = arg_int(a, 0), sig = arg_int(a, 1);
  CHECK_ARGS();
  if (pid <= 1) return -EINVAL;
  return result(kill(pid, sig));
}

FN(pidfdOpen) {
  int pid = arg_int(a, 0), flags = arg_int(a, 1);
  CHECK_ARGS();
  return result(syscall(SYS_pidfd_open, pid, flags));
}

FN(pidfdSendSignal) {
  int fd = arg_int(a, 0), sig = arg_int(a, 1);
  CHECK_ARGS();
  return result(syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0));
}

// waitid(2), for a child that is looked at and not reaped: waitpid(2) knows no WNOWAIT. The pid, 0 while it runs, or -1 with errno.
static int wait_only(int pid, int options, int *status) {
  siginfo_t si = {0};
  if (waitid(P_PID, (id_t)pid, &si, options | WEXITED) < 0) return -1;
  *status = si.si_code == CLD_EXITED ? (si.si_status & 0xff) << 8 : si.si_status;
  return si.si_pid;
}

// waitpid(2): pid, options, Int32Array whose [0] gets the status. With WNOWAIT the child stays to be reaped.
FN(waitpid) {
  int pid = arg_int(a, 0), options = arg_int(a, 1), status = 0;
  int32_t *out = arg_i32(a, 2, 1, NULL);
  CHECK_ARGS();
  int r = options & WNOWAIT ? wait_only(pid, options, &status) : waitpid(pid, &status, options);
  if (r < 0) return -errno;
  out[0] = status;
  return r;
}

// prctl(2) for the operations whose arguments are all plain numbers.
FN(prctl) {
  int op = arg_int(a, 0);
  int64_t x = arg_i64(a, 1), y = arg_i64(a, 2);
  CHECK_ARGS();
  switch (op) {
    case PR_SET_PDEATHSIG:
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_SET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_THP_DISABLE:
    case PR_CAP_AMBIENT:
    case PR_GET_SECCOMP:
      return result(prctl(op, x, y, 0, 0));
    default:
      return -EINVAL;
  }
}

// Lets go of the code and constants of an object that is mapped from its file: the start needed most of them once. They stay in the host's
// page cache, and a page that is needed again is mapped by a fault without I/O.
static int forget_text(struct dl_phdr_info *object, size_t size, void *data) {
  (void)size, (void)data;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &object->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0) continue;
    uintptr_t from = (object->dlpi_addr + p->p_vaddr) & ~(page - 1);
    uintptr_t to = (object->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
  }
  return 0;
}

// Makes this process small: V8 collects everything that it can and gives its pages back (the public v8::Isolate::LowMemoryNotification,
// looked up by name because this file is C), then malloc does, and what is mapped from files is mapped no longer. Takes some 10 ms.
// 1, or 0 where node does not export the name.
FN(shrink) {
  CHECK_ARGS();
  void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  void (*low_memory)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv");
  void *isolate = current != NULL && low_memory != NULL ? current() : NULL;
  if (isolate != NULL) low_memory(isolate);
  malloc_trim(0);
  dl_iterate_phdr(forget_text, NULL);
  return isolate != NULL;
}

// Name of this thread, as ps and top show it (15 bytes).
FN(setName) {
  char name[256];
  arg_str(a, 0, name, sizeof name);
  CHECK_ARGS();
  return result(prctl(PR_SET_NAME, name, 0, 0, 0));
}

// The calling thread's capabilities as 6 words: effective, permitted, inheritable low; then the same high.
FN(capget) {
  int32_t *w = arg_i32(a, 0, 6, NULL);
  CHECK_ARGS();
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  return result(syscall(SYS_capget, &h, w));
}

FN(capset) {
  int32_t *w = arg_i32(a, 0, 6, NULL);
  CHECK_ARGS();
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  return result(syscall(SYS_capset, &h, w));
}

// Installs a seccomp filter (an array of struct sock_filter) with SECCOMP_FILTER_FLAG_* flags. With TSYNC, all threads get it;
// a positive answer is the thread that could not be synchronised.
FN(seccomp) {
  struct span s = arg_span(a, 0);
  int flags = arg_int(a, 1);
  CHECK_ARGS();
  if (s.len == 0 || s.len % sizeof(struct sock_filter) != 0 || s.len / sizeof(struct sock_filter) > BPF_MAXINSNS) return -EINVAL;
  struct sock_fprog prog = {(unsigned short)(s.len / sizeof(struct sock_filter)), (struct sock_filter *)(void *)s.p};
  return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog));
}

// The libc functions change all threads of the process.
FN(setresuid) {
  int r = arg_int(a, 0), e = arg_int(a, 1), s = arg_int(a, 2);
  CHECK_ARGS();
  return result(setresuid((uid_t)r, (uid_t)e, (uid_t)s));
}

FN(setresgid) {
  int r = arg_int(a, 0), e = arg_int(a, 1), s = arg_int(a, 2);
  CHECK_ARGS();
  return result(setresgid((gid_t)r, (gid_t)e, (gid_t)s));
}

FN(setgroups) {
  size_t n;
  int32_t *g = arg_i32(a, 0, 0, &n);
  CHECK_ARGS();
  return result(setgroups(n, (const gid_t *)(const void *)g));
}

FN(getrlimit) {
  int what = arg_int(a, 0);
  double *out = arg_f64(a, 1, 2);
  struct rlimit l;
  CHECK_ARGS();
  if (getrlimit((__rlimit_resource_t)what, &l) < 0) return -errno;
  out[0] = l.rlim_cur == RLIM_INFINITY ? -1 : (double)l.rlim_cur;
  out[1] = l.rlim_max == RLIM_INFINITY ? -1 : (double)l.rlim_max;
  return 0;
}

FN(setrlimit) {
  int what = arg_int(a, 0);
  double soft = arg_num(a, 1), hard = arg_num(a, 2);
  CHECK_ARGS();
  struct rlimit l = {soft < 0 ? RLIM_INFINITY : (rlim_t)soft, hard < 0 ? RLIM_INFINITY : (rlim_t)hard};
  return result(setrlimit((__rlimit_resource_t)what, &l));
}

// Signal mask of the calling thread: how (SIG_BLOCK...), low and high half.
FN(sigmask) {
  int how = arg_int(a, 0), lo = arg_int(a, 1), hi = arg_int(a, 2);
  CHECK_ARGS();
  uint64_t mask = (uint32_t)lo | (uint64_t)(uint32_t)hi << 32;
  return result(syscall(SYS_rt_sigprocmask, how, &mask, NULL, sizeof mask));
}

// CPU affinity of the calling thread as a mask of the first 32 CPUs.
FN(getaffinity) {
  (void)a;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) < 0) return -errno;
  double mask = 0, bit = 1;
  for (int i = 0; i < 32; i++, bit *= 2)
    if (CPU_ISSET(i, &set)) mask += bit;
  return mask;
}

FN(setaffinity) {
  uint32_t mask = (uint32_t)arg_int(a, 0);
  CHECK_ARGS();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) CPU_SET(i, &set);
  return result(sched_setaffinity(0, sizeof set, &set));
}

FN(cpuCount) {
  (void)a;
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) < 0 ? -errno : CPU_COUNT(&set);
}

// The descriptor that tells when libuv has something to do; a native epoll set may include it.
FN(uvBackendFd) {
  uv_loop_t *loop = NULL;
  if (napi_get_uv_event_loop(a->env, &loop) != napi_ok || loop == NULL) return -ENOSYS;
  return uv_backend_fd(loop);
}

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)hint);
}

// mmap(2) MAP_SHARED of a descriptor as an ArrayBuffer: fd, offset, length, writable (0 or 1). A number: -errno.
// The map lives as long as the ArrayBuffer.
static napi_value raw_mapShared(struct args *a) {
  int fd = arg_int(a, 0), writable = arg_int(a, 3);
  int64_t off = arg_i64(a, 1), len = arg_i64(a, 2);
  napi_value out = NULL;
  int error = a->bad;
  if (!error && (off < 0 || len <= 0)) error = EINVAL;
  if (!error) {
    void *p = mmap(NULL, (size_t)len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, off);
    if (p == MAP_FAILED) {
      error = errno;
    } else if (napi_create_external_arraybuffer(a->env, p, (size_t)len, unmap, (void *)(uintptr_t)len, &out) != napi_ok) {
      munmap(p, (size_t)len);
      error = ENOMEM;
    }
  }
  if (error) napi_create_double(a->env, -error, &out);
  return out;
}

// The host name in a UTS namespace (a file of nsfs): path, bytes that get it. Its length. Only this thread visits the namespace.
FN(hostNameOf) {
  char path[PATH_MAX];
  arg_str(a, 0, path, sizeof path);
  struct span out = arg_span(a, 1);
  CHECK_ARGS();
  int own = open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  double r = fd < 0 || setns(fd, CLONE_NEWUTS) < 0 ? -errno : 0;
  if (fd >= 0) close(fd);
  if (r == 0) {
    struct utsname name;
    uname(&name);
    size_t n = strlen(name.nodename);
    if (n > out.len) n = out.len;
    memcpy(out.p, name.nodename, n);
    r = (double)n;
    if (setns(own, CLONE_NEWUTS) < 0) r = -errno;
  }
  close(own);
  return r;
}

const struct host_entry proc_entries[] = {
    ENTRY(kill),        ENTRY(pidfdOpen),   ENTRY(pidfdSendSignal), ENTRY(waitpid),  ENTRY(prctl),       ENTRY(setName), ENTRY(shrink),
    ENTRY(capget),      ENTRY(capset),      ENTRY(seccomp),     ENTRY(setresuid),   ENTRY(setresgid),  ENTRY(setgroups),
    ENTRY(getrlimit),   ENTRY(setrlimit),   ENTRY(sigmask),     ENTRY(getaffinity), ENTRY(setaffinity), ENTRY(cpuCount),
    ENTRY(uvBackendFd), ENTRY(hostNameOf), {"mapShared", NULL, raw_mapShared},
    END_OF_TABLE,
};
