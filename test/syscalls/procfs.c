// /proc and the basics of /sys.
#include "test.h"
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>

static char *field(const char *file, const char *key) {
  char *p = get_file(file);
  if (!p) FAIL("%s: %s", file, strerrorname(errno));
  size_t n = strlen(key);
  for (p = p ? p : ""; *p; p += strcspn(p, "\n"), p += *p == '\n')
    if (!strncmp(p, key, n)) {
      p[strcspn(p, "\n")] = 0;
      return p + n;
    }
  FAIL("%s has no %s", file, key);
}

TEST(self_links) {
  char b[64] = "", want[64];
  snprintf(want, sizeof want, "%d", getpid());
  CHECK(readlink("/proc/self", b, sizeof b) > 0);
  CHECK_STR(b, want);
  memset(b, 0, sizeof b);
  CHECK(readlink("/proc/thread-self", b, sizeof b) > 0);
  snprintf(want, sizeof want, "%d/task/%d", getpid(), getpid());
  CHECK_STR(b, want);
}

TEST(status) {
  char want[64];
  CHECK_OK(prctl(PR_SET_NAME, "my-name"));
  CHECK_STR(field("/proc/self/status", "Name:\t"), "my-name");
  CHECK_STR(field("/proc/self/status", "Umask:\t"), "0022");
  CHECK_STR(field("/proc/self/status", "State:\t"), "R (running)");
  snprintf(want, sizeof want, "%d", getpid());
  CHECK_STR(field("/proc/self/status", "Pid:\t"), want);
  CHECK_STR(field("/proc/self/status", "Tgid:\t"), want);
  snprintf(want, sizeof want, "%d", getppid());
  CHECK_STR(field("/proc/self/status", "PPid:\t"), want);
  CHECK_STR(field("/proc/self/status", "Threads:\t"), "1");
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  signal(SIGUSR2, SIG_IGN);
  CHECK_STR(field("/proc/self/status", "SigBlk:\t"), "0000000000000200");
  CHECK_STR(field("/proc/self/status", "SigPnd:\t"), "0000000000000200");
  CHECK_EQ(strtoul(field("/proc/self/status", "SigIgn:\t"), NULL, 16) & 0x800, 0x800);
  CHECK(atoi(field("/proc/self/status", "VmSize:")) > 100);
  CHECK(atoi(field("/proc/self/status", "VmRSS:")) > 4);
}

TEST(stat, getpgrp, getsid) {
  int pid, ppid, pgrp, session;
  char comm[32], state, *text = get_file("/proc/self/stat");
  CHECK_EQ(sscanf(text, "%d (%15[^)]) %c %d %d %d", &pid, comm, &state, &ppid, &pgrp, &session), 6);
  CHECK(pid == getpid() && ppid == getppid() && pgrp == getpgrp() && session == getsid(0) && state == 'R');
  int fields = 1;
  for (char *p = strrchr(text, ')'); *p; p++) fields += *p == ' ';
  CHECK_EQ(fields, 51); // those after the name, which is the second of 52
  CHECK_OK(prctl(PR_SET_NAME, "a) b ("));
  CHECK(strstr(get_file("/proc/self/stat"), "(a) b ()"));
}

TEST(statm) {
  unsigned long size, rss, shared;
  CHECK_EQ(sscanf(get_file("/proc/self/statm"), "%lu %lu %lu", &size, &rss, &shared), 3);
  CHECK(size >= rss && rss > 0);
}

TEST(fd_directory) {
  int fd = open("/dev/null", O_RDONLY);
  CHECK_EQ(dup2(fd, 111), 111);
  char b[64] = "";
  CHECK(readlink("/proc/self/fd/111", b, sizeof b) > 0);
  CHECK_STR(b, "/dev/null");
  struct stat st;
  CHECK_OK(lstat("/proc/self/fd/111", &st));
  CHECK_EQ(st.st_mode, S_IFLNK | 0500); // opened for reading
  DIR *d = opendir("/proc/self/fd");
  struct dirent *e;
  bool seen = false;
  while ((e = readdir(d))) seen |= !strcmp(e->d_name, "111");
  CHECK(seen);
  close(111);
  CHECK_ERRNO(readlink("/proc/self/fd/111", b, sizeof b), ENOENT);
  int p[2];
  CHECK_OK(pipe(p));
  CHECK_EQ(dup2(p[0], 111), 111);
  memset(b, 0, sizeof b);
  CHECK(readlink("/proc/self/fd/111", b, sizeof b) > 0);
  CHECK_OK(fstat(p[0], &st));
  char want[64];
  snprintf(want, sizeof want, "pipe:[%lu]", st.st_ino);
  CHECK_STR(b, want);
}

TEST(fdinfo) {
  put_file("f", "0123456789");
  int fd = open("f", O_RDWR | O_APPEND | O_CLOEXEC);
  CHECK_EQ(dup2(fd, 112), 112);
  CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
  CHECK_STR(field("/proc/self/fdinfo/112", "pos:\t"), "7");
  CHECK_EQ(strtoul(field("/proc/self/fdinfo/112", "flags:\t"), NULL, 8), O_RDWR | O_APPEND | 0100000);
}

TEST(exe_cwd_root, getcwd) {
  char b[PATH_MAX] = "", cwd[PATH_MAX];
  CHECK(readlink("/proc/self/exe", b, sizeof b) > 0);
  CHECK_STR(b, test_self);
  memset(b, 0, sizeof b);
  CHECK(getcwd(cwd, sizeof cwd));
  CHECK(readlink("/proc/self/cwd", b, sizeof b) > 0);
  CHECK_STR(b, cwd);
  memset(b, 0, sizeof b);
  CHECK(readlink("/proc/self/root", b, sizeof b) > 0);
  CHECK_STR(b, "/");
  put_file("f", "via cwd");
  CHECK_STR(get_file("/proc/self/cwd/f"), "via cwd");
}

TEST(cmdline_and_environ, access) {
  pid_t pid = fork();
  struct gate g = gate_new();
  (void)g;
  if (!pid) {
    char *const argv[] = {"sleep", "1000", NULL}, *const envp[] = {"ONE=1", "TWO=2", NULL};
    execve("/bin/sleep", argv, envp);
    _exit(1);
  }
  char path[64], want[] = "sleep\0001000";
  snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
  // The kernel tells the name of a new program before it tells its arguments.
  for (int i = 0; i < 500 && memcmp(get_file(path), want, sizeof want); i++) msleep(2);
  CHECK(!memcmp(get_file(path), want, sizeof want));
  snprintf(path, sizeof path, "/proc/%d/environ", pid);
  CHECK(!memcmp(get_file(path), "ONE=1\0TWO=2", 12));
  CHECK_OK(kill(pid, SIGKILL));
  WAIT_STATUS(pid, SIGKILL);
  CHECK_ERRNO(access(path, F_OK), ENOENT);
}

TEST(comm_can_be_written) {
  put_file("/proc/self/comm", "renamed");
  CHECK_STR(get_file("/proc/self/comm"), "renamed\n");
  char name[17] = "";
  CHECK_OK(prctl(PR_GET_NAME, name));
  CHECK_STR(name, "renamed");
}

TEST(processes_are_listed) {
  char want[16];
  snprintf(want, sizeof want, "%d", getpid());
  DIR *d = opendir("/proc");
  struct dirent *e;
  bool me = false, self = false, meminfo = false;
  while ((e = readdir(d))) {
    me |= !strcmp(e->d_name, want);
    self |= !strcmp(e->d_name, "self");
    meminfo |= !strcmp(e->d_name, "meminfo");
  }
  CHECK(me && self && meminfo);
  CHECK_ERRNO(open("/proc/4999999/stat", O_RDONLY), ENOENT);
  CHECK_ERRNO(mkdir("/proc/x", 0755), ENOENT);
  CHECK_ERRNO(open("/proc/newfile", O_CREAT | O_RDWR, 0644), ENOENT);
}

TEST(mounts_and_mountinfo) {
  char *m = get_file("/proc/self/mounts");
  CHECK(m && strstr(m, " /proc proc rw") && strstr(m, " / "));
  char *i = get_file("/proc/self/mountinfo");
  CHECK(i && strstr(i, " /proc ") && strstr(i, " - proc "));
  char b[64] = "";
  CHECK(readlink("/proc/mounts", b, sizeof b) > 0);
  CHECK_STR(b, "self/mounts");
  struct stat st;
  CHECK_OK(stat("/etc/mtab", &st));
}

TEST(task_directory, access) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", getpid());
  CHECK_OK(access(path, R_OK));
  DIR *d = opendir("/proc/self/task");
  int n = 0;
  while (readdir(d)) n++;
  CHECK_EQ(n, 3);
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  pid_t pid = fork();
  if (!pid)
    for (;;) pause();
  char *c = get_file(path);
  if (c) CHECK_EQ(atoi(c), pid); // the host may be built without it
  kill(pid, SIGKILL);
  WAIT_STATUS(pid, SIGKILL);
}

TEST(meminfo_and_sysinfo, sysinfo) {
  unsigned long total = strtoul(field("/proc/meminfo", "MemTotal:"), NULL, 10);
  struct sysinfo si;
  CHECK_OK(sysinfo(&si));
  CHECK(total > 10000);
  long diff = (long)(si.totalram * si.mem_unit / 1024) - (long)total;
  CHECK(diff > -1000 && diff < 1000);
  CHECK(strtoul(field("/proc/meminfo", "MemFree:"), NULL, 10) <= total);
  CHECK(strtoul(field("/proc/meminfo", "MemAvailable:"), NULL, 10) <= total);
}

TEST(uptime_loadavg_stat) {
  double up, idle, l1, l5, l15;
  CHECK_EQ(sscanf(get_file("/proc/uptime"), "%lf %lf", &up, &idle), 2);
  CHECK(up > 0);
  int run, all, last;
  CHECK_EQ(sscanf(get_file("/proc/loadavg"), "%lf %lf %lf %d/%d %d", &l1, &l5, &l15, &run, &all, &last), 6);
  CHECK(all >= run && last > 0);
  char *s = get_file("/proc/stat");
  CHECK(!strncmp(s, "cpu  ", 5) && strstr(s, "\ncpu0 ") && strstr(s, "\nbtime ") && strstr(s, "\nprocesses "));
}

TEST(cpuinfo_version_filesystems) {
  char *s = get_file("/proc/cpuinfo");
  CHECK(s && strstr(s, "processor\t: 0\n") && strstr(s, "flags\t\t: "));
  CHECK(!strncmp(get_file("/proc/version"), "Linux version ", 14));
  s = get_file("/proc/filesystems");
  CHECK(s && strstr(s, "nodev\tproc\n") && strstr(s, "nodev\ttmpfs\n"));
}

TEST(sysctl_files, access) {
  CHECK_STR(get_file("/proc/sys/kernel/ostype"), "Linux\n");
  CHECK(strlen(get_file("/proc/sys/kernel/osrelease")) > 3);
  CHECK(strlen(get_file("/proc/sys/kernel/hostname")) >= 1);
  CHECK(atoi(get_file("/proc/sys/kernel/pid_max")) >= 32768);
  CHECK(atoi(get_file("/proc/sys/kernel/ngroups_max")) == 65536);
  CHECK(atoi(get_file("/proc/sys/kernel/cap_last_cap")) >= 40);
  CHECK(atoi(get_file("/proc/sys/fs/pipe-max-size")) >= 4096);
  CHECK(atol(get_file("/proc/sys/fs/file-max")) > 1000);
  CHECK(atoi(get_file("/proc/sys/vm/max_map_count")) > 1000);
  CHECK_EQ(strlen(get_file("/proc/sys/kernel/random/boot_id")), 37);
  char a[64];
  strcpy(a, get_file("/proc/sys/kernel/random/uuid"));
  CHECK(strcmp(a, get_file("/proc/sys/kernel/random/uuid")));
  CHECK(access("/proc/sys/net/core/somaxconn", R_OK) == 0);
}

TEST(reading_in_pieces_is_consistent) {
  char whole[8192] = "", pieces[8192] = "";
  strncpy(whole, get_file("/proc/self/limits"), sizeof whole - 1);
  int fd = open("/proc/self/limits", O_RDONLY);
  size_t n = 0;
  while (n < sizeof pieces - 8 && read(fd, pieces + n, 7) > 0) n = strlen(pieces);
  CHECK_STR(pieces, whole);
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  CHECK_EQ(read(fd, pieces, 5), 5);
  CHECK(!memcmp(pieces, whole, 5));
}

TEST(mem_file, pread64, pwrite64) {
  static volatile int here = 12345;
  int fd = open("/proc/self/mem", O_RDWR), v = 0;
  CHECK(fd >= 0);
  CHECK_EQ(pread(fd, &v, sizeof v, (off_t)&here), sizeof v);
  CHECK_EQ(v, 12345);
  v = 54321;
  CHECK_EQ(pwrite(fd, &v, sizeof v, (off_t)&here), sizeof v);
  CHECK_EQ(here, 54321);
  CHECK_ERRNO(pread(fd, &v, sizeof v, 8), EIO);
}

TEST(oom_score_adj) {
  CHECK(get_file("/proc/self/oom_score_adj") != NULL);
  int fd = open("/proc/self/oom_score_adj", O_WRONLY);
  CHECK_EQ(write(fd, "500", 3), 3);
  CHECK_EQ(atoi(get_file("/proc/self/oom_score_adj")), 500);
  CHECK_ERRNO(write(fd, "5000", 4), EINVAL);
}

TEST(namespaces) {
  const char *all[] = {"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"};
  for (int i = 0; i < 7; i++) {
    char path[64], b[64] = "", want[32];
    snprintf(path, sizeof path, "/proc/self/ns/%s", all[i]);
    CHECK(readlink(path, b, sizeof b) > 0);
    snprintf(want, sizeof want, "%s:[", all[i]);
    CHECK(!strncmp(b, want, strlen(want)));
  }
}

TEST(foreign_process_is_guarded) {
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    char path[64], b[64];
    snprintf(path, sizeof path, "/proc/%d/exe", getppid());
    CHECK_ERRNO(readlink(path, b, sizeof b), EACCES);
    snprintf(path, sizeof path, "/proc/%d/environ", getppid());
    CHECK_ERRNO(open(path, O_RDONLY), EACCES);
    snprintf(path, sizeof path, "/proc/%d/stat", getppid());
    CHECK_OK(open(path, O_RDONLY));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(sys_basics) {
  CHECK(get_file("/sys/devices/system/cpu/online") != NULL);
  CHECK(get_file("/sys/devices/system/cpu/online")[0] == '0');
  struct stat st;
  CHECK_OK(stat("/sys/class", &st));
  CHECK(S_ISDIR(st.st_mode));
  CHECK_OK(stat("/sys/fs/cgroup", &st));
  CHECK_OK(stat("/sys/class/net/lo", &st));
}

TEST(cgroup_file) {
  char *s = get_file("/proc/self/cgroup");
  CHECK(s && strchr(s, ':'));
}
