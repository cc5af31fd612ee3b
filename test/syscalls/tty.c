// Pseudo-terminals, line discipline, sessions, process groups, job control.
#include "test.h"
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static char slave_name[64];
static void open_pty(void) {
  int n, zero = 0;
  master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  CHECK_OK(ioctl(master, TIOCSPTLCK, &zero));
  CHECK_OK(ioctl(master, TIOCGPTN, &n));
  snprintf(slave_name, sizeof slave_name, "/dev/pts/%d", n);
  slave = open(slave_name, O_RDWR | O_NOCTTY);
  CHECK(slave >= 0);
}
static void flags(int which, tcflag_t set, tcflag_t clear) {
  struct termios t;
  CHECK_OK(tcgetattr(slave, &t));
  tcflag_t *f = which == 'l' ? &t.c_lflag : which == 'i' ? &t.c_iflag : &t.c_oflag;
  *f = (*f | set) & ~clear;
  CHECK_OK(tcsetattr(slave, TCSANOW, &t));
}
static char buf[8192];
// Reads what there is within two seconds, until `want` bytes came.
static const char *take(int fd, int want) {
  int n = 0;
  while (n < want) {
    struct pollfd f = {fd, POLLIN, 0};
    if (poll(&f, 1, 2000) != 1) break;
    ssize_t r = read(fd, buf + n, want - n);
    if (r <= 0) break;
    n += r;
  }
  buf[n] = 0;
  return buf;
}
static bool quiet(int fd) {
  struct pollfd f = {fd, POLLIN, 0};
  return poll(&f, 1, 20) == 0;
}
#define TYPE(s) CHECK_EQ(write(master, s, strlen(s)), strlen(s))

TEST(open_and_names, ioctl) {
  int n, lock = -1;
  master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  CHECK_OK(ioctl(master, TIOCGPTN, &n));
  snprintf(slave_name, sizeof slave_name, "/dev/pts/%d", n);
  CHECK_ERRNO(open(slave_name, O_RDWR | O_NOCTTY), EIO); // still locked
  CHECK_OK(ioctl(master, TIOCGPTLCK, &lock));
  CHECK_EQ(lock, 1);
  lock = 0;
  CHECK_OK(ioctl(master, TIOCSPTLCK, &lock));
  slave = open(slave_name, O_RDWR | O_NOCTTY);
  CHECK(slave >= 0);
  CHECK(isatty(slave) && isatty(master));
  char name[64];
  CHECK_EQ(ttyname_r(slave, name, sizeof name), 0);
  CHECK_STR(name, slave_name);
  struct stat st;
  CHECK_OK(fstat(slave, &st));
  CHECK(S_ISCHR(st.st_mode));
  int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  CHECK(peer >= 0);
  put_file("f", "");
  int fd = open("f", O_RDONLY);
  CHECK_ERRNO(ioctl(fd, TCGETS, &st), ENOTTY);
}

TEST(canonical_lines, ioctl) {
  open_pty();
  flags('l', 0, ECHO);
  TYPE("hello");
  CHECK(quiet(slave));
  TYPE("\n");
  CHECK_STR(take(slave, 6), "hello\n");
  TYPE("one\ntwo\n");
  CHECK_EQ(read(slave, buf, sizeof buf), 4); // a line a read
  CHECK_EQ(read(slave, buf, 2), 2);
  CHECK_EQ(read(slave, buf, sizeof buf), 2);
}

TEST(erase_kill_and_literal, ioctl) {
  open_pty();
  flags('l', 0, ECHO);
  TYPE("abx\177c\n");
  CHECK_STR(take(slave, 4), "abc\n");
  TYPE("wrong\025right\n");
  CHECK_STR(take(slave, 6), "right\n");
  TYPE("one two\027three\n");
  CHECK_STR(take(slave, 10), "one three\n");
  TYPE("a\026\003b\n"); // ^V takes ^C literally
  CHECK_STR(take(slave, 4), "a\003b\n");
}

TEST(end_of_file_character, ioctl) {
  open_pty();
  flags('l', 0, ECHO);
  TYPE("part\004");
  CHECK_STR(take(slave, 4), "part");
  TYPE("\004");
  struct pollfd f = {slave, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 2000), 1);
  CHECK_EQ(read(slave, buf, 10), 0);
}

TEST(echo, ioctl) {
  open_pty();
  TYPE("hi\n");
  CHECK_STR(take(master, 4), "hi\r\n");
  TYPE("\001");
  CHECK_STR(take(master, 2), "^A"); // ECHOCTL
  TYPE("x\177");
  CHECK_STR(take(master, 4), "x\b \b");
}

TEST(output_processing, ioctl) {
  open_pty();
  CHECK_EQ(write(slave, "a\nb", 3), 3);
  CHECK_STR(take(master, 4), "a\r\nb");
  flags('o', 0, OPOST);
  CHECK_EQ(write(slave, "a\nb", 3), 3);
  CHECK_STR(take(master, 3), "a\nb");
}

TEST(input_translation, ioctl) {
  open_pty();
  flags('l', 0, ECHO);
  TYPE("a\r");
  CHECK_STR(take(slave, 2), "a\n"); // ICRNL
  flags('i', IGNCR, 0);
  TYPE("b\r\n");
  CHECK_STR(take(slave, 2), "b\n");
  flags('i', INLCR, IGNCR | ICRNL);
  TYPE("c\r\n\004");
  CHECK_STR(take(slave, 3), "c\r\r");
}

TEST(raw_mode, ioctl) {
  struct termios t;
  open_pty();
  CHECK_OK(tcgetattr(slave, &t));
  cfmakeraw(&t);
  CHECK_OK(tcsetattr(slave, TCSANOW, &t));
  TYPE("a\003\004\r");
  CHECK_STR(take(slave, 4), "a\003\004\r");
  CHECK(quiet(master));
  CHECK_EQ(write(slave, "\n", 1), 1);
  CHECK_STR(take(master, 1), "\n");
}

TEST(vmin_and_vtime, ioctl) {
  struct termios t;
  open_pty();
  CHECK_OK(tcgetattr(slave, &t));
  cfmakeraw(&t);
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 0;
  CHECK_OK(tcsetattr(slave, TCSANOW, &t));
  CHECK_EQ(read(slave, buf, 10), 0);
  t.c_cc[VTIME] = 1;
  CHECK_OK(tcsetattr(slave, TCSANOW, &t));
  double start = now();
  CHECK_EQ(read(slave, buf, 10), 0);
  CHECK(now() - start >= 0.09);
  t.c_cc[VMIN] = 3;
  t.c_cc[VTIME] = 0;
  CHECK_OK(tcsetattr(slave, TCSANOW, &t));
  pid_t pid = fork();
  if (!pid) {
    CHECK_EQ(read(slave, buf, 10), 3);
    _exit(0);
  }
  TYPE("ab");
  until_sleeps(pid);
  TYPE("c");
  WAIT_OK(pid);
}

TEST(attributes_are_kept, ioctl) {
  struct termios t, u;
  open_pty();
  CHECK_OK(tcgetattr(slave, &t));
  CHECK(t.c_lflag & ICANON && t.c_lflag & ISIG && t.c_iflag & ICRNL && t.c_oflag & OPOST);
  CHECK(t.c_cc[VINTR] == 3 && t.c_cc[VEOF] == 4 && t.c_cc[VERASE] == 127 && t.c_cc[VSUSP] == 26);
  t.c_cc[VINTR] = 'q';
  cfsetospeed(&t, B9600);
  CHECK_OK(tcsetattr(slave, TCSADRAIN, &t));
  CHECK_OK(tcgetattr(master, &u));
  CHECK_EQ(u.c_cc[VINTR], 'q');
  CHECK_EQ(cfgetospeed(&u), B9600);
  TYPE("lost\n");
  struct pollfd f = {slave, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 2000), 1);
  CHECK_OK(tcsetattr(slave, TCSAFLUSH, &t));
  CHECK(quiet(slave));
}

static volatile sig_atomic_t winch;
static void on_winch(int sig) { (void)sig, winch++; }
TEST(window_size, ioctl, rt_sigsuspend, setsid) {
  struct winsize ws = {0}, want = {40, 100, 0, 0};
  open_pty();
  CHECK_OK(ioctl(slave, TIOCGWINSZ, &ws));
  CHECK(ws.ws_row == 0 && ws.ws_col == 0);
  struct gate ready = gate_new();
  pid_t pid = fork();
  if (!pid) {
    on_signal(SIGWINCH, on_winch, 0);
    block_signal(SIGWINCH);
    CHECK(setsid() > 0);
    CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
    gate_open(&ready);
    sigset_t none;
    sigemptyset(&none);
    while (!winch) sigsuspend(&none);
    CHECK_OK(ioctl(slave, TIOCGWINSZ, &ws));
    CHECK(ws.ws_row == 40 && ws.ws_col == 100);
    _exit(0);
  }
  gate_wait(&ready);
  CHECK_OK(ioctl(master, TIOCSWINSZ, &want));
  WAIT_OK(pid);
}

TEST(queue_lengths_and_flush, ioctl) {
  int n;
  open_pty();
  flags('l', 0, ECHO);
  TYPE("line\n");
  take(slave, 1);
  CHECK_OK(ioctl(slave, FIONREAD, &n));
  CHECK_EQ(n, 4);
  CHECK_OK(tcflush(slave, TCIFLUSH));
  CHECK_OK(ioctl(slave, FIONREAD, &n));
  CHECK_EQ(n, 0);
}

TEST(hangup, ioctl) {
  open_pty();
  CHECK_OK(close(slave));
  struct pollfd f = {master, POLLIN, 0};
  CHECK_EQ(poll(&f, 1, 2000), 1);
  CHECK(f.revents & POLLHUP);
  CHECK_ERRNO(read(master, buf, 1), EIO);
  slave = open(slave_name, O_RDWR | O_NOCTTY);
  CHECK_OK(close(master));
  f.fd = slave;
  CHECK_EQ(poll(&f, 1, 2000), 1);
  CHECK(f.revents & POLLHUP);
  CHECK_EQ(read(slave, buf, 1), 0);
  CHECK_ERRNO(write(slave, "x", 1), EIO);
  CHECK_ERRNO(open(slave_name, O_RDWR | O_NOCTTY), ENOENT);
}

// Runs the body as leader of a new session whose controlling terminal is the pty.
#define SESSION(...)                               \
  do {                                             \
    open_pty();                                    \
    session = fork();                              \
    if (!session) {                                \
      close(master);                               \
      CHECK(setsid() == getpid());                 \
      CHECK_OK(ioctl(slave, TIOCSCTTY, 0));        \
      __VA_ARGS__;                                 \
      _exit(0);                                    \
    }                                              \
  } while (0)
static pid_t session;

TEST(controlling_terminal, ioctl, setsid) {
  SESSION({
    pid_t me = getpid();
    CHECK_EQ(tcgetpgrp(slave), me);
    CHECK_EQ(tcgetsid(slave), me);
    int tty = open("/dev/tty", O_RDWR);
    CHECK(tty >= 0);
    CHECK_EQ(write(tty, "via tty", 7), 7);
    CHECK_OK(close(tty));
    signal(SIGHUP, SIG_IGN);
    CHECK_OK(ioctl(slave, TIOCNOTTY));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  });
  CHECK_STR(take(master, 7), "via tty");
  WAIT_OK(session);
}

TEST(first_open_acquires, ioctl, setsid) {
  open_pty();
  close(slave);
  pid_t pid = fork();
  if (!pid) {
    CHECK(setsid() > 0);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    slave = open(slave_name, O_RDWR); // without O_NOCTTY
    CHECK(slave >= 0);
    CHECK_OK(open("/dev/tty", O_RDWR));
    _exit(0);
  }
  WAIT_OK(pid);
}

TEST(interrupt_quit_suspend_characters, ioctl, setpgid, setsid) {
  int sigs[] = {SIGINT, SIGQUIT};
  const char *keys[] = {"\003", "\034"};
  for (int i = 0; i < 2; i++) {
    struct gate ready = gate_new();
    SESSION({
      struct rlimit none = {0, 0};
      setrlimit(RLIMIT_CORE, &none);
      gate_open(&ready);
      for (;;) pause();
    });
    gate_wait(&ready);
    TYPE(keys[i]);
    int st;
    CHECK_EQ(test_wait(session, &st), session);
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == sigs[i]);
    close(master), close(slave);
  }
  struct gate ready = gate_new();
  SESSION({
    pid_t job = fork(); // its group is not orphaned: its parent is in the session
    if (!job) {
      setpgid(0, 0);
      signal(SIGTTOU, SIG_IGN);
      tcsetpgrp(slave, getpid());
      gate_open(&ready);
      for (;;) pause();
    }
    int st;
    CHECK_EQ(waitpid(job, &st, WUNTRACED), job);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTSTP);
    kill(job, SIGKILL);
    waitpid(job, &st, 0);
  });
  gate_wait(&ready);
  TYPE("\032");
  WAIT_OK(session);
}

TEST(background_read_stops, ioctl, read, setpgid, setsid) {
  SESSION({
    pid_t job = fork();
    if (!job) {
      setpgid(0, 0);
      char c;
      if (read(slave, &c, 1) != 1 || c != 'x') _exit(1);
      _exit(0);
    }
    setpgid(job, job);
    int st;
    CHECK_EQ(waitpid(job, &st, WUNTRACED), job);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTIN);
    CHECK_OK(tcsetpgrp(slave, job));
    CHECK_EQ(tcgetpgrp(slave), job);
    CHECK_OK(kill(-job, SIGCONT));
    WAIT_OK(job);
  });
  TYPE("x\n");
  WAIT_OK(session);
}

TEST(background_write_with_tostop, ioctl, setpgid, setsid, write) {
  SESSION({
    flags('l', TOSTOP, 0);
    pid_t job = fork();
    if (!job) {
      setpgid(0, 0);
      while (write(slave, "out", 3) != 3) continue;
      _exit(0);
    }
    setpgid(job, job);
    int st;
    CHECK_EQ(waitpid(job, &st, WUNTRACED), job);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTOU);
    flags('l', 0, TOSTOP);
    CHECK_OK(kill(job, SIGCONT));
    WAIT_OK(job);
  });
  CHECK_STR(take(master, 3), "out");
  WAIT_OK(session);
}

TEST(background_read_ignoring_sigttin, ioctl, read, setpgid, setsid) {
  SESSION({
    pid_t job = fork();
    if (!job) {
      setpgid(0, 0);
      signal(SIGTTIN, SIG_IGN);
      char c;
      CHECK_ERRNO(read(slave, &c, 1), EIO);
      _exit(0);
    }
    setpgid(job, job);
    WAIT_OK(job);
  });
  WAIT_OK(session);
}

TEST(leader_exit_hangs_up, ioctl, rt_sigtimedwait, setsid) {
  struct gate ready = gate_new(), hup = gate_new();
  SESSION({
    pid_t job = fork();
    if (!job) {
      block_signal(SIGHUP);
      gate_open(&ready);
      sigset_t s;
      sigemptyset(&s);
      sigaddset(&s, SIGHUP);
      int sig;
      CHECK_EQ(sigwait(&s, &sig), 0); // the foreground group is told
      CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
      gate_open(&hup);
      _exit(0);
    }
    gate_wait(&ready);
  });
  WAIT_OK(session);
  gate_wait(&hup);
}

TEST(orphaned_stopped_group_gets_hup_and_cont) {
  struct gate hup = gate_new();
  pid_t mid = fork();
  if (!mid) {
    setpgid(0, 0);
    pid_t job = fork();
    if (!job) {
      setpgid(0, 0);
      block_signal(SIGHUP);
      raise(SIGSTOP);
      sigset_t s;
      sigemptyset(&s);
      sigaddset(&s, SIGHUP);
      int sig;
      CHECK_EQ(sigwait(&s, &sig), 0);
      gate_open(&hup);
      _exit(0);
    }
    int st;
    CHECK_EQ(waitpid(job, &st, WUNTRACED), job);
    _exit(0);
  }
  WAIT_OK(mid);
  gate_wait(&hup);
}

TEST(sessions_and_groups, getpgid, getpgrp, getsid, pread64, setpgid, setsid) {
  pid_t pid = fork();
  if (!pid) {
    pid_t me = getpid();
    CHECK(getpgrp() != me);
    CHECK_EQ(setsid(), me);
    CHECK(getsid(0) == me && getpgid(0) == me);
    CHECK_ERRNO(setsid(), EPERM);
    CHECK_ERRNO(setpgid(0, 0), EPERM);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_ERRNO(setpgid(1, 1), ESRCH);
  CHECK_ERRNO(setpgid(0, -1), EINVAL);
  CHECK_ERRNO(getpgid(0x3fffff), ESRCH);
  CHECK_ERRNO(getsid(0x3fffff), ESRCH);
  struct gate g = gate_new();
  pid = fork();
  if (!pid) {
    gate_wait(&g);
    execl("/bin/sleep", "sleep", "100", NULL);
  }
  CHECK_OK(setpgid(pid, pid));
  CHECK_EQ(getpgid(pid), pid);
  CHECK_OK(setpgid(pid, getpgrp()));
  gate_open(&g);
  until_sleeps(pid);
  for (int i = 0; i < 500 && setpgid(pid, pid) == 0; i++) msleep(2);
  CHECK_ERRNO(setpgid(pid, pid), EACCES); // it has executed
  CHECK_OK(kill(pid, SIGKILL));
  WAIT_STATUS(pid, SIGKILL);
}

TEST(packet_mode, ioctl) {
  int on = 1;
  open_pty();
  CHECK_OK(ioctl(master, TIOCPKT, &on));
  CHECK_EQ(write(slave, "out", 3), 3);
  CHECK_EQ(read(master, buf, 10), 4);
  CHECK(buf[0] == TIOCPKT_DATA && !memcmp(buf + 1, "out", 3));
  CHECK_OK(tcflush(slave, TCOFLUSH));
  CHECK_EQ(read(master, buf, 10), 1);
  CHECK(buf[0] & TIOCPKT_FLUSHWRITE);
}

TEST(nonblocking_and_poll, ioctl, poll) {
  open_pty();
  CHECK_OK(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
  CHECK_ERRNO(read(slave, buf, 1), EAGAIN);
  struct pollfd f = {slave, POLLIN | POLLOUT, 0};
  CHECK_EQ(poll(&f, 1, 0), 1);
  CHECK_EQ(f.revents, POLLOUT);
  TYPE("x\n");
  f.events = POLLIN;
  CHECK_EQ(poll(&f, 1, 2000), 1);
}
