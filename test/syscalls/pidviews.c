// What processes of different pid namespaces are told of each other: proc, setns, sockets, locks, terminals, IPC, calls by number.
#include "test.h"
#include <linux/capability.h>
#include <dirent.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>

#define NS_GET_PARENT_ 0xb702
#define NS_GET_PID_FROM_PIDNS_ 0x8004b706
#define NS_GET_TGID_FROM_PIDNS_ 0x8004b707
#define NS_GET_PID_IN_PIDNS_ 0x8004b708
#define NS_GET_TGID_IN_PIDNS_ 0x8004b709

static pid_t fork_inside(void) { return syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0); }

// A process in a namespace of its own that does nothing until it is killed.
static pid_t idler(void) {
  pid_t kid = fork_inside();
  if (!kid)
    for (;;) pause();
  CHECK(kid > 0);
  return kid;
}

static void end(pid_t pid) {
  CHECK_OK(kill(pid, SIGKILL));
  WAIT_STATUS(pid, SIGKILL);
}

static const char *proc_file(pid_t pid, const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return path;
}

// The value of a line of a status file; NULL: there is none.
static const char *status_of(const char *path, const char *key) {
  static char line[128];
  char *text = get_file(path);
  CHECK(text != NULL);
  char *p = strstr(text, key);
  if (!p) return NULL;
  p += strlen(key);
  snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
  return line;
}

static void own_mounts(void) {
  CHECK_OK(unshare(CLONE_NEWNS));
  CHECK_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(status_from_above, getpgrp) {
  pid_t kid = idler();
  char want[64];
  snprintf(want, sizeof want, "\t%d\t1", kid);
  CHECK_STR(status_of(proc_file(kid, "status"), "\nNSpid:"), want);
  CHECK_STR(status_of(proc_file(kid, "status"), "\nNStgid:"), want);
  snprintf(want, sizeof want, "\t%d\t0", getpgrp());
  CHECK_STR(status_of(proc_file(kid, "status"), "\nNSpgid:"), want);
  snprintf(want, sizeof want, "\t%d", getpid());
  CHECK_STR(status_of(proc_file(kid, "status"), "\nPPid:"), want);
  CHECK_STR(status_of("/proc/self/status", "\nNSpid:"), want);
  end(kid);
}

static int is_number(const char *s) { return *s >= '0' && *s <= '9'; }

TEST(proc_of_a_namespace, access) {
  own_mounts();
  CHECK_OK(mkdir("p", 0755));
  int outer = open("/proc", O_PATH | O_DIRECTORY);
  pid_t kid = fork_inside();
  if (!kid) {
    char link[64] = "";
    CHECK_OK(mount("proc", "p", "proc", 0, NULL));
    CHECK_EQ(readlink("p/self", link, sizeof link), 1);
    CHECK_EQ(link[0], '1');
    pid_t second = fork();
    if (!second)
      for (;;) pause();
    DIR *d = opendir("p");
    int seen = 0;
    for (struct dirent *e; (e = readdir(d));) seen += is_number(e->d_name);
    closedir(d);
    CHECK_EQ(seen, 2);
    CHECK_STR(status_of("p/2/status", "\nNSpid:"), "\t2");
    CHECK_STR(status_of("p/2/status", "\nPPid:"), "\t1");
    CHECK_STR(status_of("p/1/status", "\nPPid:"), "\t0");
    CHECK_STR(status_of("p/1/status", "\nNSpgid:"), "\t0");
    int pid, ppid, pgrp, sid;
    char state;
    CHECK_EQ(sscanf(get_file("p/2/stat"), "%d (%*[^)]) %c %d %d %d", &pid, &state, &ppid, &pgrp, &sid), 5);
    CHECK(pid == 2 && ppid == 1 && pgrp == 0 && sid == 0);
    CHECK_OK(access("p/1/task/1", F_OK));
    CHECK(readlinkat(outer, "self", link, sizeof link) > 0 && atoi(link) > 1); // a proc does not change with its reader
    char name[32];
    snprintf(name, sizeof name, "p/%d", atoi(link));
    if (atoi(link) > 2) CHECK_ERRNO(access(name, F_OK), ENOENT);
    CHECK_OK(kill(second, SIGKILL));
    WAIT_STATUS(second, SIGKILL);
    CHECK_ERRNO(access("p/2", F_OK), ENOENT);
    _exit(0);
  }
  WAIT_OK(kid);
  // Who is not in it is nobody there, and with its first process all of it is gone.
  CHECK_ERRNO(readlink("p/self", (char[64]){0}, 64), ENOENT);
  CHECK_ERRNO(access("p/1", F_OK), ENOENT);
}

TEST(links_of_proc) {
  struct stat own, other;
  CHECK_OK(stat("/proc/self/ns/pid", &own));
  CHECK_OK(stat("/proc/self/ns/pid_for_children", &other));
  CHECK_EQ(own.st_ino, other.st_ino);
  CHECK_OK(unshare(CLONE_NEWPID));
  CHECK_OK(stat("/proc/self/ns/pid", &other));
  CHECK_EQ(own.st_ino, other.st_ino);
  CHECK_ERRNO(stat("/proc/self/ns/pid_for_children", &other), ENOENT); // nobody lives there yet
  pid_t kid = fork();
  if (!kid)
    for (;;) pause();
  struct stat inner;
  CHECK_OK(stat("/proc/self/ns/pid_for_children", &other));
  CHECK_OK(stat(proc_file(kid, "ns/pid"), &inner));
  CHECK(other.st_ino == inner.st_ino && other.st_ino != own.st_ino);
  end(kid);
  CHECK_OK(stat("/proc/self/ns/pid_for_children", &other));
  CHECK_EQ(other.st_ino, inner.st_ino);
}

TEST(setns_moves_the_children, pidfd_open, setns) {
  pid_t kid = idler(), me = getpid();
  int fd = open(proc_file(kid, "ns/pid"), O_RDONLY), own = open("/proc/self/ns/pid", O_RDONLY);
  CHECK(fd >= 0 && own >= 0);
  CHECK_ERRNO(setns(fd, CLONE_NEWUTS), EINVAL);
  CHECK_OK(setns(fd, CLONE_NEWPID));
  CHECK_EQ(getpid(), me);
  pid_t second = fork();
  if (!second) {
    CHECK(getpid() == 2 && getppid() == 0);
    CHECK_ERRNO(setns(own, CLONE_NEWPID), EINVAL); // never upwards
    CHECK_OK(setns(fd, 0));
    _exit(0);
  }
  WAIT_OK(second);
  CHECK_OK(setns(own, 0));
  second = fork();
  if (!second) _exit(getppid() == me ? 0 : 1);
  WAIT_OK(second);
  int pidfd = syscall(SYS_pidfd_open, kid, 0);
  CHECK_OK(setns(pidfd, CLONE_NEWPID));
  second = fork();
  if (!second) _exit(getpid() == 3 ? 0 : 1);
  WAIT_OK(second);
  CHECK_OK(kill(kid, SIGKILL));
  WAIT_STATUS(kid, SIGKILL);
  CHECK_ERRNO(fork(), ENOMEM);
  CHECK_OK(setns(fd, 0));
  CHECK_ERRNO(setns(pidfd, CLONE_NEWPID), ESRCH);
  become(1234, 1234);
  CHECK_ERRNO(setns(fd, 0), EPERM);
}

TEST(ioctls_of_namespaces) {
  pid_t kid = idler();
  int fd = open(proc_file(kid, "ns/pid"), O_RDONLY), own = open("/proc/self/ns/pid", O_RDONLY);
  int up = ioctl(fd, NS_GET_PARENT_);
  struct stat a, b;
  CHECK_OK(up);
  CHECK(fstat(up, &a) == 0 && fstat(own, &b) == 0 && a.st_ino == b.st_ino);
  CHECK_EQ(fcntl(up, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(ioctl(open("/proc/self/ns/uts", O_RDONLY), NS_GET_PARENT_), EINVAL);
  CHECK_EQ(ioctl(fd, NS_GET_PID_FROM_PIDNS_, 1), kid);
  CHECK_EQ(ioctl(fd, NS_GET_TGID_FROM_PIDNS_, 1), kid);
  CHECK_EQ(ioctl(fd, NS_GET_PID_IN_PIDNS_, kid), 1);
  CHECK_EQ(ioctl(fd, NS_GET_TGID_IN_PIDNS_, kid), 1);
  CHECK_ERRNO(ioctl(fd, NS_GET_PID_IN_PIDNS_, getpid()), ESRCH);
  CHECK_ERRNO(ioctl(fd, NS_GET_PID_FROM_PIDNS_, 9), ESRCH);
  pid_t second = fork_inside();
  if (!second) {
    int mine = open("/proc/self/ns/pid_for_children", O_RDONLY);
    CHECK(mine >= 0 || errno == ENOENT);
    CHECK_ERRNO(ioctl(fd, NS_GET_PARENT_), EPERM);
    CHECK_ERRNO(ioctl(own, NS_GET_PARENT_), EPERM);
    _exit(0);
  }
  WAIT_OK(second);
  end(kid);
}

static pid_t credentials_of(int s) {
  char c, control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec iov = {&c, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(s, &m, 0), 1);
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
  return ((struct ucred *)CMSG_DATA(h))->pid;
}

static int send_as(int s, pid_t pid) {
  char c = 'x', control[CMSG_SPACE(sizeof(struct ucred))] = {0};
  struct iovec iov = {&c, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_CREDENTIALS;
  h->cmsg_len = CMSG_LEN(sizeof(struct ucred));
  *(struct ucred *)CMSG_DATA(h) = (struct ucred){pid, getuid(), getgid()};
  return sendmsg(s, &m, 0);
}

TEST(credentials_of_sockets, getsockopt, recvmsg, sendmsg) {
  int s[2], one = 1;
  struct ucred peer;
  socklen_t len = sizeof peer;
  CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
  CHECK_OK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_OK(getsockopt(s[1], SOL_SOCKET, SO_PEERCRED, &peer, &len));
    CHECK_EQ(peer.pid, 0);
    CHECK_EQ(credentials_of(s[1]), 0);
    CHECK_EQ(write(s[1], "x", 1), 1);
    CHECK_EQ(send_as(s[1], 1), 1);
    CHECK_ERRNO(send_as(s[1], 19999), ESRCH);
    pid_t second = fork();
    if (!second) {
      CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
      CHECK_OK(getsockopt(s[1], SOL_SOCKET, SO_PEERCRED, &peer, &len));
      _exit(peer.pid == 2 ? 0 : 1);
    }
    WAIT_OK(second);
    _exit(0);
  }
  CHECK_EQ(write(s[0], "x", 1), 1);
  CHECK_EQ(credentials_of(s[0]), kid);
  CHECK_EQ(credentials_of(s[0]), kid);
  WAIT_OK(kid);
  become(1234, 1234);
  CHECK_ERRNO(send_as(s[0], 1), EPERM);
}

TEST(locks_and_owners, getpgrp) {
  int fd = open("f", O_RDWR | O_CREAT, 0600), p[2];
  CHECK_OK(pipe(p));
  struct flock mine = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1}, theirs = {.l_type = F_WRLCK, .l_start = 1, .l_len = 1};
  CHECK_OK(fcntl(fd, F_SETLK, &mine));
  CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
  CHECK_OK(fcntl(p[1], F_SETOWN, -getpgrp()));
  struct gate ready = gate_new(), done = gate_new();
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_OK(fcntl(fd, F_GETLK, &mine));
    CHECK(mine.l_type == F_WRLCK && mine.l_pid == 0);
    CHECK_OK(fcntl(fd, F_SETLK, &theirs));
    CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
    CHECK_EQ(fcntl(p[1], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(p[0], F_SETOWN, 19999), ESRCH);
    CHECK_OK(fcntl(p[0], F_SETOWN, 1));
    CHECK_EQ(fcntl(p[0], F_GETOWN), 1);
    struct f_owner_ex ex = {F_OWNER_TID, 1};
    CHECK_OK(fcntl(p[1], F_SETOWN_EX, &ex));
    gate_open(&ready);
    gate_wait(&done);
    _exit(0);
  }
  gate_wait(&ready);
  CHECK_OK(fcntl(fd, F_GETLK, &theirs));
  CHECK(theirs.l_type == F_WRLCK && theirs.l_pid == kid);
  CHECK_EQ(fcntl(p[0], F_GETOWN), kid);
  struct f_owner_ex ex;
  CHECK_OK(fcntl(p[1], F_GETOWN_EX, &ex));
  CHECK(ex.type == F_OWNER_TID && ex.pid == kid);
  gate_open(&done);
  WAIT_OK(kid);
  CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
}

TEST(terminals) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  char name[64];
  CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
  pid_t leader = fork();
  if (!leader) {
    CHECK_OK(setsid());
    int tty = open(name, O_RDWR);
    CHECK(tty >= 0 && tcgetpgrp(tty) == getpid() && tcgetsid(tty) == getpid());
    struct gate set = gate_new(), seen = gate_new();
    pid_t kid = fork_inside();
    if (!kid) {
      CHECK(tcgetpgrp(tty) == 0 && tcgetsid(tty) == 0);
      signal(SIGTTOU, SIG_IGN);
      CHECK_OK(setpgid(0, 0));
      CHECK_ERRNO(tcsetpgrp(tty, 19999), ESRCH);
      CHECK_OK(tcsetpgrp(tty, 1));
      CHECK_EQ(tcgetpgrp(tty), 1);
      gate_open(&set);
      gate_wait(&seen);
      _exit(0);
    }
    gate_wait(&set);
    CHECK_EQ(tcgetpgrp(tty), kid);
    gate_open(&seen);
    WAIT_OK(kid);
    _exit(0);
  }
  WAIT_OK(leader);
}

TEST(system_v_ipc, msgctl, msgget, msgsnd, semctl, semget, semtimedop, shmat, shmctl, shmget) {
  int shm = shmget(IPC_PRIVATE, 4096, 0600), sem = semget(IPC_PRIVATE, 1, 0600), msg = msgget(IPC_PRIVATE, 0600);
  CHECK(shm >= 0 && sem >= 0 && msg >= 0);
  struct { long type; char text[1]; } m = {1, "x"};
  struct sembuf up = {0, 1, 0};
  pid_t kid = fork_inside();
  if (!kid) {
    struct shmid_ds s;
    void *at = shmat(shm, NULL, 0);
    CHECK(at != (void *)-1);
    CHECK_OK(shmctl(shm, IPC_STAT, &s));
    CHECK(s.shm_cpid == 0 && s.shm_lpid == 1);
    CHECK_OK(semop(sem, &up, 1));
    CHECK_EQ(semctl(sem, 0, GETPID), 1);
    CHECK_OK(msgsnd(msg, &m, 1, 0));
    _exit(0);
  }
  WAIT_OK(kid);
  struct shmid_ds s;
  struct msqid_ds q;
  CHECK_OK(shmctl(shm, IPC_STAT, &s));
  CHECK(s.shm_cpid == getpid() && s.shm_lpid == kid);
  CHECK_EQ(semctl(sem, 0, GETPID), kid);
  CHECK_OK(msgctl(msg, IPC_STAT, &q));
  CHECK_EQ(q.msg_lspid, kid);
  CHECK_OK(shmctl(shm, IPC_RMID, NULL));
  CHECK_OK(semctl(sem, 0, IPC_RMID));
  CHECK_OK(msgctl(msg, IPC_RMID, NULL));
}

TEST(calls_by_number, clock_getres, getpriority, process_vm_readv, sched_getaffinity, sched_getscheduler, setpriority, timer_create) {
  static volatile char secret = 's';
  pid_t above = getpid(), kid = fork_inside();
  if (!kid) {
    char c = 0;
    struct iovec to = {&c, 1}, from = {(void *)&secret, 1};
    struct rlimit r;
    cpu_set_t set;
    struct { uint32_t version; int pid; } head = {0x20080522, above};
    struct { uint32_t words[3]; } data[2];
    pid_t second = fork();
    if (!second)
      for (;;) pause();
    CHECK_EQ(process_vm_readv(second, &to, 1, &from, 1, 0), 1);
    CHECK_EQ(c, 's');
    CHECK_OK(prlimit(second, RLIMIT_NOFILE, NULL, &r));
    CHECK_OK(sched_getaffinity(second, sizeof set, &set));
    CHECK_OK(sched_getscheduler(second));
    CHECK_OK(setpriority(PRIO_PROCESS, second, 3));
    CHECK_EQ(getpriority(PRIO_PROCESS, second), 3);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    clockid_t clock;
    CHECK_EQ(clock_getcpuclockid(second, &clock), 0);
    if (above > 2) { // numbers of the namespace above mean nothing here
      CHECK_ERRNO(process_vm_readv(above, &to, 1, &from, 1, 0), ESRCH);
      CHECK_ERRNO(prlimit(above, RLIMIT_NOFILE, NULL, &r), ESRCH);
      CHECK_ERRNO(sched_getaffinity(above, sizeof set, &set), ESRCH);
      CHECK_ERRNO(sched_getscheduler(above), ESRCH);
      CHECK_ERRNO(getpriority(PRIO_PROCESS, above), ESRCH);
      CHECK_ERRNO(syscall(SYS_capget, &head, data), ESRCH);
      CHECK_ERRNO(getsid(above), ESRCH);
      CHECK_ERRNO(setpgid(above, 0), ESRCH);
      CHECK_ERRNO(syscall(SYS_tgkill, above, above, 0), ESRCH);
      CHECK_ERRNO(syscall(SYS_pidfd_open, above, 0), ESRCH);
      CHECK(clock_getcpuclockid(above, &clock) == ESRCH);
    }
    struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    timer_t timer;
    e._sigev_un._tid = 1;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &e, &timer));
    CHECK_OK(kill(second, SIGKILL));
    WAIT_STATUS(second, SIGKILL);
    _exit(0);
  }
  WAIT_OK(kid);
}

TEST(pidfds, pidfd_open, pidfd_send_signal) {
  int outer = syscall(SYS_pidfd_open, getpid(), 0);
  pid_t kid = fork_inside();
  if (!kid) {
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, outer, 0, NULL, 0), EINVAL); // it stands for nobody below
    int own = syscall(SYS_pidfd_open, 1, 0);
    CHECK_OK(syscall(SYS_pidfd_send_signal, own, 0, NULL, 0));
    _exit(0);
  }
  int fd = syscall(SYS_pidfd_open, kid, 0);
  CHECK_OK(fd);
  char path[64], want[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  snprintf(want, sizeof want, "\t%d\t1", kid);
  CHECK_STR(status_of(path, "\nNSpid:"), want);
  snprintf(want, sizeof want, "\t%d", kid);
  CHECK_STR(status_of(path, "\nPid:"), want);
  siginfo_t info;
  CHECK_OK(waitid(P_PIDFD, fd, &info, WEXITED));
  CHECK(info.si_pid == kid && info.si_status == 0);
}

TEST(last_number_is_set) {
  pid_t kid = fork_inside();
  if (!kid) {
    put_file("/proc/sys/kernel/ns_last_pid", "499");
    pid_t next = fork();
    if (!next) _exit(0);
    CHECK_EQ(next, 500);
    CHECK_STR(get_file("/proc/sys/kernel/ns_last_pid"), "500\n");
    WAIT_OK(next);
    _exit(0);
  }
  WAIT_OK(kid);
}

static void *exec_true(void *arg) {
  execl("/bin/true", "true", NULL);
  return arg;
}

static void nothing_special(void) {}
static void own_session(void) { CHECK_OK(setsid()); }
static void own_group(void) { CHECK_OK(setpgid(0, 0)); }
static void leave_a_group_behind(void) {
  CHECK_OK(setpgid(0, 0));
  if (!fork()) {
    while (getppid() != 1) sched_yield();
    _exit(0);
  }
}
static void run_a_thread(void) {
  pthread_t t;
  CHECK_EQ(pthread_create(&t, NULL, exec_true, NULL), 0);
  pthread_join(t, NULL);
}

TEST(numbers_are_free_again) {
  void (*lives[])(void) = {nothing_special, own_session, own_group, leave_a_group_behind, run_a_thread};
  CHECK_OK(unshare(CLONE_NEWPID));
  pid_t init = fork();
  if (!init) {
    for (unsigned i = 0; i < sizeof lives / sizeof *lives; i++) {
      put_file("/proc/sys/kernel/ns_last_pid", "799");
      pid_t pid = fork();
      if (!pid) {
        lives[i]();
        _exit(0);
      }
      CHECK_EQ(pid, 800);
      while (wait(NULL) > 0) continue;
      CHECK_ERRNO(kill(-800, 0), ESRCH);
    }
    _exit(0);
  }
  WAIT_OK(init);
}

static pthread_mutex_t *shared;
static void *hold(void *arg) {
  pthread_mutex_lock(shared);
  return arg;
}

TEST(robust_mutexes_know_their_owner) {
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(shared, &a);
  CHECK_OK(unshare(CLONE_NEWPID));
  pid_t kid = fork();
  if (!kid) {
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, hold, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
    _exit(0);
  }
  WAIT_OK(kid);
  CHECK_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
}

static volatile sig_atomic_t told_by;
static void note(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  told_by = info->si_pid;
}

TEST(queue_notifications_name_the_sender, mq_notify, mq_open, mq_timedsend, mq_unlink) {
  char name[64];
  snprintf(name, sizeof name, "/pidviews-%d", getpid());
  mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
  CHECK(q >= 0);
  CHECK_OK(mq_unlink(name));
  struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
  struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  CHECK_OK(mq_notify(q, &e));
  pid_t kid = fork_inside();
  if (!kid) _exit(mq_send(q, "x", 1, 0));
  WAIT_OK(kid);
  CHECK_EQ(told_by, kid);
}
