// uname, hostname, sysinfo, cpu affinity, scheduling, priorities, usage, random numbers, personality, prctl.
#include "test.h"
#include <linux/prctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

TEST(uname_fields, uname) {
  struct utsname u;
  CHECK_OK(uname(&u));
  CHECK_STR(u.sysname, "Linux");
  CHECK_STR(u.machine, "x86_64");
  int a, b;
  CHECK_EQ(sscanf(u.release, "%d.%d", &a, &b), 2);
  CHECK(a >= 4 && u.nodename[0] && u.version[0] == '#');
  CHECK_ERRNO(syscall(SYS_uname, 8), EFAULT);
  char host[65];
  CHECK_OK(gethostname(host, sizeof host));
  CHECK_STR(host, u.nodename);
}

TEST(hostname_in_own_namespace, setdomainname, sethostname, uname) {
  pid_t pid = fork();
  if (!pid) {
    char host[65];
    CHECK_OK(unshare(CLONE_NEWUTS));
    CHECK_OK(sethostname("elsewhere", 9));
    CHECK_OK(gethostname(host, sizeof host));
    CHECK_STR(host, "elsewhere");
    CHECK_STR(get_file("/proc/sys/kernel/hostname"), "elsewhere\n");
    CHECK_OK(setdomainname("dom", 3));
    CHECK_ERRNO(sethostname("x", 65), EINVAL);
    become(1234, 1234);
    CHECK_ERRNO(sethostname("x", 1), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
  char host[65];
  CHECK_OK(gethostname(host, sizeof host));
  CHECK(strcmp(host, "elsewhere"));
}

TEST(sysinfo_values, sysinfo) {
  struct sysinfo s;
  CHECK_OK(sysinfo(&s));
  CHECK(s.uptime >= 0 && s.totalram > 0 && s.freeram <= s.totalram && s.mem_unit >= 1 && s.procs >= 1);
}

TEST(affinity, getcpu, sched_getaffinity, sched_setaffinity) {
  cpu_set_t set, one;
  CHECK_OK(sched_getaffinity(0, sizeof set, &set));
  int n = CPU_COUNT(&set), first = 0;
  CHECK(n >= 1);
  CHECK_EQ(n, sysconf(_SC_NPROCESSORS_ONLN) < n ? n : CPU_COUNT(&set));
  while (!CPU_ISSET(first, &set)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_OK(sched_setaffinity(0, sizeof one, &one));
  CHECK_OK(sched_getaffinity(0, sizeof set, &set));
  CHECK_EQ(CPU_COUNT(&set), 1);
  CPU_ZERO(&one);
  CHECK_ERRNO(sched_setaffinity(0, sizeof one, &one), EINVAL);
  CHECK_ERRNO(sched_getaffinity(0x3fffff, sizeof set, &set), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 3, &set), EINVAL);
  unsigned cpu, node;
  CHECK_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
  CHECK(cpu < 4096 && sched_getcpu() >= 0);
}

TEST(scheduling_policies, sched_get_priority_max, sched_get_priority_min, sched_getparam, sched_getscheduler, sched_setscheduler) {
  CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
  struct sched_param p = {0};
  CHECK_OK(sched_getparam(0, &p));
  CHECK_EQ(p.sched_priority, 0);
  CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &p));
  CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
  CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
  CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  CHECK_ERRNO(sched_get_priority_max(77), EINVAL);
  p.sched_priority = 5;
  CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
  CHECK_ERRNO(sched_setscheduler(0x3fffff, SCHED_OTHER, &(struct sched_param){0}), ESRCH);
  CHECK_OK(sched_yield());
}

TEST(priorities, getpriority, setpriority) {
  errno = 0;
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
  CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
  CHECK_OK(setpriority(PRIO_PROCESS, 0, 100));
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
  CHECK_ERRNO(getpriority(9, 0), EINVAL);
  CHECK_ERRNO(getpriority(PRIO_PROCESS, 0x3fffff), ESRCH);
  drop_cap(23); // CAP_SYS_NICE
  CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 0), EACCES);
  pid_t pid = fork();
  if (!pid) _exit(getpriority(PRIO_PROCESS, 0) != 19);
  WAIT_OK(pid);
}

TEST(usage, getrusage, times) {
  struct rusage ru;
  CHECK_OK(getrusage(RUSAGE_SELF, &ru));
  CHECK(ru.ru_maxrss > 0);
  CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
  CHECK_OK(getrusage(RUSAGE_THREAD, &ru));
  CHECK_ERRNO(getrusage(77, &ru), EINVAL);
  struct tms t;
  clock_t a = times(&t);
  msleep(30);
  CHECK(times(&t) - a >= 2);
}

TEST(getrandom_flags, getrandom) {
  char a[300] = {0}, b[300] = {0};
  CHECK_EQ(getrandom(a, sizeof a, 0), sizeof a);
  CHECK_EQ(getrandom(b, sizeof b, GRND_NONBLOCK), sizeof b);
  CHECK(memcmp(a, b, sizeof a));
  CHECK_EQ(getrandom(b, 16, GRND_RANDOM), 16);
  CHECK_EQ(getrandom(b, 0, 0), 0);
  CHECK_ERRNO(getrandom(b, 16, 0x100), EINVAL);
  CHECK_ERRNO(syscall(SYS_getrandom, 8, 16, 0), EFAULT);
}

TEST(personality_values, personality) {
  CHECK_EQ(personality(0xffffffff), 0);
  CHECK_EQ(personality(ADDR_NO_RANDOMIZE), 0);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
  pid_t pid = fork();
  if (!pid) _exit(personality(0xffffffff) != ADDR_NO_RANDOMIZE);
  WAIT_OK(pid);
}

TEST(prctl_name, prctl) {
  char name[17] = "";
  CHECK_OK(prctl(PR_SET_NAME, "0123456789abcdefgh"));
  CHECK_OK(prctl(PR_GET_NAME, name));
  CHECK_STR(name, "0123456789abcde");
  CHECK_ERRNO(prctl(PR_SET_NAME, (char *)8), EFAULT);
  CHECK_ERRNO(prctl(12345), EINVAL);
  CHECK_OK(prctl(PR_SET_TIMERSLACK, 12345));
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 12345);
  CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 100), EINVAL);
}

TEST(arch_prctl_fs_gs) {
  unsigned long fs = 0, gs = 0;
  CHECK_OK(syscall(SYS_arch_prctl, 0x1003, &fs)); // ARCH_GET_FS
  CHECK(fs != 0);
  unsigned long self;
  __asm__("mov %%fs:0,%0" : "=r"(self));
  CHECK_EQ(self, fs); // the thread pointer points at itself
  CHECK_OK(syscall(SYS_arch_prctl, 0x1004, &gs));
  CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1002, 1ul << 62), EPERM);
}

TEST(unknown_calls) {
  CHECK_ERRNO(syscall(5000), ENOSYS);
  CHECK_ERRNO(syscall(-1), ENOSYS);
  CHECK_ERRNO(syscall(400), ENOSYS);
}

TEST(getpid_family, getpgid, getpgrp, getpid) {
  CHECK_EQ(syscall(SYS_getpid), getpid());
  CHECK_EQ(syscall(SYS_gettid), getpid());
  CHECK_EQ(syscall(SYS_getpgrp), getpgid(0));
  CHECK(getppid() > 0);
}

TEST(reboot_needs_privilege) {
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(reboot(RB_AUTOBOOT), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(membarrier_and_rseq_answers) {
  long r = syscall(SYS_membarrier, 0, 0, 0); // query
  CHECK(r >= 0 || errno == ENOSYS);
  CHECK_ERRNO(syscall(SYS_membarrier, 1 << 30, 0, 0), r >= 0 ? EINVAL : ENOSYS);
}

TEST(syslog_and_vhangup_privilege, chroot, vhangup) {
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    CHECK_ERRNO(syscall(SYS_vhangup), EPERM);
    CHECK_ERRNO(syscall(SYS_acct, NULL), EPERM);
    CHECK_ERRNO(syscall(SYS_swapon, "x", 0), EPERM);
    CHECK_ERRNO(chroot("/"), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
}
