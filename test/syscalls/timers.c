// Clocks and timers: clock_*, nanosleep, alarm, setitimer, timer_create.
#include "test.h"
#include <linux/futex.h>
#include <sys/times.h>
#include <sys/timex.h>

static volatile sig_atomic_t hits;
static volatile siginfo_t info;
static void hit(int sig) { (void)sig, hits++; }
static void hit_info(int sig, siginfo_t *si, void *ctx) {
  (void)sig, (void)ctx;
  hits++, info = *si;
}
static void wait_hits(int n) {
  double end = now() + 5;
  while (hits < n && now() < end) msleep(1);
  CHECK(hits >= n);
}

TEST(clocks_advance, clock_gettime, clock_nanosleep) {
  clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
                     CLOCK_MONOTONIC_COARSE, CLOCK_TAI};
  for (int i = 0; i < 7; i++) {
    struct timespec a, b, r;
    CHECK_OK(clock_gettime(ids[i], &a));
    msleep(8);
    CHECK_OK(clock_gettime(ids[i], &b));
    CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec > a.tv_nsec));
    CHECK_OK(clock_getres(ids[i], &r));
    CHECK(r.tv_sec == 0 && r.tv_nsec > 0);
  }
  struct timespec ts;
  CHECK_ERRNO(clock_gettime(99, &ts), EINVAL);
  CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
}

TEST(vdso_and_system_call_agree, clock_gettime) {
  struct timespec a, b;
  struct timeval tv;
  CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &a));
  CHECK_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b));
  double d = (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9;
  CHECK(d >= 0 && d < 0.5);
  CHECK_OK(gettimeofday(&tv, NULL));
  CHECK_OK(clock_gettime(CLOCK_REALTIME, &a));
  CHECK(a.tv_sec - tv.tv_sec <= 1);
  time_t t = time(NULL);
  CHECK(t - tv.tv_sec <= 1 && t >= tv.tv_sec - 1);
}

TEST(cpu_clocks, clock_gettime) {
  struct timespec a, b, c;
  CHECK_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
  CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c));
  double end = now() + 0.1;
  while (now() < end) continue;
  CHECK_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
  double used = (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9;
  CHECK(used > 0.001 && used < 1);
  struct tms t;
  CHECK(times(&t) != -1);
}

TEST(nanosleep_sleeps, clock_nanosleep, nanosleep) {
  struct timespec ts = {0, 30000000}, bad = {0, 1000000000}, neg = {-1, 0};
  double start = now();
  CHECK_OK(nanosleep(&ts, NULL));
  CHECK(now() - start >= 0.03);
  CHECK_ERRNO(nanosleep(&bad, NULL), EINVAL);
  CHECK_ERRNO(nanosleep(&neg, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_nanosleep, 8, NULL), EFAULT);
}

TEST(clock_nanosleep_absolute, clock_nanosleep) {
  struct timespec ts;
  CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &ts));
  ts.tv_nsec += 30000000;
  if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
  double start = now();
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
  CHECK(now() - start >= 0.028);
  ts.tv_sec -= 10;
  start = now();
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
  CHECK(now() - start < 0.5);
  CHECK_EQ(clock_nanosleep(99, 0, &ts, NULL), EINVAL);
  CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
}

TEST(alarm_fires, alarm) {
  on_signal(SIGALRM, hit, 0);
  CHECK_EQ(alarm(100), 0);
  CHECK_EQ(alarm(1), 100);
  double start = now();
  CHECK_ERRNO(pause(), EINTR);
  CHECK(hits == 1 && now() - start > 0.9);
  CHECK_EQ(alarm(0), 0);
}

TEST(setitimer_real, getitimer, setitimer) {
  struct itimerval it = {{0, 10000}, {0, 20000}}, old;
  on_signal(SIGALRM, hit, SA_RESTART);
  CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
  wait_hits(3);
  struct itimerval off = {{0, 0}, {0, 0}};
  CHECK_OK(setitimer(ITIMER_REAL, &off, &old));
  CHECK_EQ(old.it_interval.tv_usec, 10000);
  CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 10000);
  CHECK_OK(getitimer(ITIMER_REAL, &old));
  CHECK_EQ(old.it_value.tv_usec, 0);
  CHECK_ERRNO(syscall(SYS_setitimer, 7, &it, NULL), EINVAL);
  struct itimerval bad = {{0, 0}, {0, 1000000}};
  CHECK_ERRNO(setitimer(ITIMER_REAL, &bad, NULL), EINVAL);
}

TEST(setitimer_cpu_time, setitimer) {
  struct itimerval it = {{0, 0}, {0, 20000}};
  on_signal(SIGVTALRM, hit, 0);
  on_signal(SIGPROF, hit, 0);
  CHECK_OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
  double end = now() + 5;
  while (!hits && now() < end) continue;
  CHECK_EQ(hits, 1);
  CHECK_OK(setitimer(ITIMER_PROF, &it, NULL));
  while (hits < 2 && now() < end) continue;
  CHECK_EQ(hits, 2);
}

TEST(itimer_not_inherited_by_fork_kept_by_exec, alarm, clock_nanosleep, getitimer, pread64, setitimer) {
  struct itimerval it = {{0, 0}, {50, 0}};
  CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
  pid_t pid = fork();
  if (!pid) {
    struct itimerval cur;
    CHECK_OK(getitimer(ITIMER_REAL, &cur));
    CHECK_EQ(cur.it_value.tv_sec, 0);
    _exit(0);
  }
  WAIT_OK(pid);
  pid = fork();
  if (!pid) {
    alarm(1);
    execl("/bin/sleep", "sleep", "10", NULL);
  }
  WAIT_STATUS(pid, SIGALRM);
}

static void on_rt(int sig) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO};
  sa.sa_sigaction = hit_info;
  CHECK_OK(sigaction(sig, &sa, NULL));
}

TEST(posix_timer_signal, timer_create, timer_delete, timer_getoverrun, timer_gettime, timer_settime) {
  timer_t t;
  on_rt(SIGRTMIN);
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value = {.sival_int = 88}};
  CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
  struct itimerspec it = {{0, 0}, {0, 10000000}}, cur;
  CHECK_OK(timer_settime(t, 0, &it, NULL));
  wait_hits(1);
  CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 88);
  CHECK_OK(timer_gettime(t, &cur));
  CHECK_EQ(cur.it_value.tv_nsec, 0);
  CHECK_EQ(timer_getoverrun(t), 0);
  CHECK_OK(timer_delete(t));
  CHECK_ERRNO(syscall(SYS_timer_delete, 12345), EINVAL);
}

TEST(posix_timer_overrun, clock_nanosleep, rt_sigtimedwait, timer_create, timer_settime) {
  timer_t t;
  on_rt(SIGRTMIN);
  struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
  block_signal(SIGRTMIN);
  struct itimerspec it = {{0, 2000000}, {0, 2000000}}, off = {{0, 0}, {0, 0}};
  CHECK_OK(timer_settime(t, 0, &it, NULL));
  msleep(30);
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGRTMIN);
  siginfo_t si;
  CHECK_EQ(sigwaitinfo(&s, &si), SIGRTMIN);
  CHECK(si.si_overrun >= 5);
  CHECK_OK(timer_settime(t, 0, &off, NULL));
}

TEST(posix_timer_thread_id, timer_create, timer_settime) {
  timer_t t;
  on_rt(SIGRTMIN);
  struct sigevent ev;
  memset(&ev, 0, sizeof ev);
  ev.sigev_notify = SIGEV_THREAD_ID;
  ev.sigev_signo = SIGRTMIN;
  ev._sigev_un._tid = gettid();
  CHECK_OK(timer_create(CLOCK_REALTIME, &ev, &t));
  struct itimerspec it = {{0, 0}, {0, 0}};
  clock_gettime(CLOCK_REALTIME, &it.it_value);
  it.it_value.tv_nsec += 5000000;
  if (it.it_value.tv_nsec >= 1000000000) it.it_value.tv_sec++, it.it_value.tv_nsec -= 1000000000;
  CHECK_OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
  wait_hits(1);
  ev._sigev_un._tid = 1;
  CHECK_ERRNO(timer_create(CLOCK_REALTIME, &ev, &t), EINVAL);
}

TEST(posix_timer_none_and_errors, timer_create, timer_gettime, timer_settime) {
  timer_t t;
  struct sigevent ev = {.sigev_notify = SIGEV_NONE};
  CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
  struct itimerspec it = {{0, 0}, {100, 0}}, cur;
  CHECK_OK(timer_settime(t, 0, &it, NULL));
  CHECK_OK(timer_gettime(t, &cur));
  CHECK(cur.it_value.tv_sec >= 98 && cur.it_value.tv_sec <= 100);
  CHECK_ERRNO(timer_create(77, &ev, &t), EINVAL);
  struct itimerspec bad = {{0, 0}, {0, -1}};
  CHECK_ERRNO(timer_settime(t, 0, &bad, NULL), EINVAL);
}

TEST(clock_settime_without_privilege, clock_adjtime, clock_settime) {
  pid_t pid = fork();
  if (!pid) {
    become(1234, 1234);
    struct timespec ts = {1000, 0};
    CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &ts), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
  struct timespec ts = {1000, 0};
  CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
  struct timex tx = {.modes = 0};
  CHECK(adjtimex(&tx) >= 0);
}
