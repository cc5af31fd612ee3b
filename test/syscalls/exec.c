// execve and execveat: arguments, environment, scripts, close-on-exec, errors, auxiliary vector.
#define TEST_HELPER
#include "test.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

// The helper prints what it was given on descriptor 1.
static int test_helper(int argc, char **argv) {
  extern char **environ;
  if (argc > 0 && !strcmp(argv[0], "args"))
    for (int i = 1; i < argc; i++) printf("[%s]", argv[i]);
  if (argc > 0 && !strcmp(argv[0], "env"))
    for (char **e = environ; *e; e++) printf("<%s>", *e);
  if (argc > 1 && !strcmp(argv[0], "fd")) printf("%d", fcntl(atoi(argv[1]), F_GETFD));
  if (argc > 0 && !strcmp(argv[0], "ids")) printf("%d %d %d %d", getuid(), geteuid(), getgid(), getegid());
  if (argc > 0 && !strcmp(argv[0], "sig")) {
    sigset_t s, p;
    struct sigaction a, b;
    sigprocmask(SIG_BLOCK, NULL, &s);
    sigpending(&p);
    sigaction(SIGUSR1, NULL, &a);
    sigaction(SIGUSR2, NULL, &b);
    printf("%d %d %d %d", sigismember(&s, SIGUSR1), sigismember(&p, SIGUSR1), a.sa_handler == SIG_DFL, b.sa_handler == SIG_IGN);
  }
  if (argc > 0 && !strcmp(argv[0], "argc")) printf("%d", argc);
  if (argc > 0 && !strcmp(argv[0], "exit")) return atoi(argv[1]);
  if (argc > 0 && !strcmp(argv[0], "name")) {
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    printf("%s", name);
  }
  if (argc > 0 && !strcmp(argv[0], "auxv"))
    printf("%lu %lu %d %d %lu", getauxval(AT_PAGESZ), getauxval(AT_SECURE), getauxval(AT_RANDOM) != 0,
           getauxval(AT_ENTRY) != 0 && getauxval(AT_PHDR) != 0, getauxval(AT_UID));
  return 0;
}

static char output[65536];
static int status_of;

// Runs `run` in a child whose standard output is collected.
#define CAPTURE(...)                                                  \
  do {                                                                \
    int cap[2];                                                       \
    CHECK_OK(pipe(cap));                                              \
    pid_t cap_pid = fork();                                           \
    if (!cap_pid) {                                                   \
      dup2(cap[1], 1);                                                \
      close(cap[0]), close(cap[1]);                                   \
      __VA_ARGS__;                                                    \
      FAIL("exec: %s", strerrorname(errno));                          \
    }                                                                 \
    close(cap[1]);                                                    \
    size_t cap_n = 0;                                                 \
    ssize_t cap_r;                                                    \
    while ((cap_r = read(cap[0], output + cap_n, sizeof output - 1 - cap_n)) > 0) cap_n += cap_r; \
    output[cap_n] = 0;                                                \
    close(cap[0]);                                                    \
    CHECK_EQ(test_wait(cap_pid, &status_of), cap_pid);                \
  } while (0)

#define HELPER(...) execl(test_self, "self", "--helper", __VA_ARGS__, NULL)

TEST(arguments, execve) {
  CAPTURE(HELPER("args", "one", "", "two words", "\xff\n"));
  CHECK_EQ(status_of, 0);
  CHECK_STR(output, "[one][][two words][\xff\n]");
}

TEST(environment, execve) {
  char *const argv[] = {"self", "--helper", "env", NULL}, *const envp[] = {"A=1", "EMPTY=", "odd", NULL};
  CAPTURE(execve(test_self, argv, envp));
  CHECK_STR(output, "<A=1><EMPTY=><odd>");
  char *const none[] = {NULL};
  CAPTURE(execve(test_self, argv, none));
  CHECK_STR(output, "");
}

TEST(exit_code, execve) {
  CAPTURE(HELPER("exit", "37"));
  CHECK_EQ(status_of, 37 << 8);
}

TEST(pid_is_kept) {
  int st;
  pid_t pid = fork();
  if (!pid) HELPER("exit", "1");
  CHECK_EQ(waitpid(-1, &st, 0), pid);
}

TEST(errors, execve) {
  char *const argv[] = {"x", NULL};
  CHECK_OK(mkdir("d", 0755));
  put_file("plain", "not a program at all");
  CHECK_ERRNO(execv("absent", argv), ENOENT);
  CHECK_ERRNO(execv("plain", argv), EACCES);
  CHECK_OK(chmod("plain", 0755));
  CHECK_ERRNO(execv("plain", argv), ENOEXEC);
  CHECK_ERRNO(execv("d", argv), EACCES);
  CHECK_ERRNO(execv("plain/x", argv), ENOTDIR);
  put_file("empty", "");
  CHECK_OK(chmod("empty", 0755));
  CHECK_ERRNO(execv("empty", argv), ENOEXEC);
  CHECK_ERRNO(execv((char *)8, argv), EFAULT);
  CHECK_ERRNO(syscall(SYS_execve, test_self, 8, NULL), EFAULT);
  put_file("badelf", "\177ELF\2\1\1");
  CHECK_OK(chmod("badelf", 0755));
  CHECK_ERRNO(execv("badelf", argv), ENOEXEC);
  CHECK_ERRNO(execv("", argv), ENOENT);
}

TEST(argument_list_too_long, execve) {
  char *big = malloc(200000);
  memset(big, 'a', 200000);
  big[131072] = 0; // one string may hold 128 KiB with its NUL
  char *argv[] = {"self", "--helper", "argc", big, NULL};
  CHECK_ERRNO(execv(test_self, argv), E2BIG);
  big[131071] = 0;
  CAPTURE(execv(test_self, argv));
  CHECK_STR(output, "2");
}

TEST(many_arguments, execve) {
  static char *argv[3005];
  argv[0] = "self";
  argv[1] = "--helper";
  argv[2] = "argc";
  for (int i = 3; i < 3003; i++) argv[i] = "0123456789012345678901234567890123456789";
  CAPTURE(execv(test_self, argv));
  CHECK_STR(output, "3001");
}

TEST(etxtbsy, execve, pread64) {
  CAPTURE(execl("/bin/cp", "cp", test_self, "copy", NULL));
  CHECK_EQ(status_of, 0);
  int fd = open("copy", O_WRONLY);
  CHECK(fd >= 0);
  char *const argv[] = {"copy", "--helper", "exit", "0", NULL};
  pid_t pid = fork();
  if (!pid) {
    CHECK_ERRNO(execv("copy", argv), ETXTBSY);
    _exit(0);
  }
  WAIT_OK(pid);
  CHECK_OK(close(fd));
  CAPTURE(execv("./copy", argv));
  CHECK_EQ(status_of, 0);
}

TEST(running_text_is_not_writable) {
  CHECK_ERRNO(open(test_self, O_WRONLY), ETXTBSY);
}

TEST(script, execve, pread64) {
  char text[PATH_MAX + 64];
  snprintf(text, sizeof text, "#!%s --helper\n", test_self); // the interpreter's one argument
  put_file("script", text);
  CHECK_OK(chmod("script", 0755));
  put_file("s2", "#! /bin/sh\necho script $0 $1 $2\n");
  CHECK_OK(chmod("s2", 0755));
  CAPTURE(execl("./s2", "ignored", "a", "b c", NULL));
  CHECK_STR(output, "script ./s2 a b c\n");
  put_file("s3", "#!/bin/echo one  two three \t\n");
  CHECK_OK(chmod("s3", 0755));
  CAPTURE(execl("./s3", "ignored", "arg", NULL));
  CHECK_STR(output, "one  two three ./s3 arg\n");
}

TEST(script_errors, execve, pread64) {
  char *const argv[] = {"x", NULL};
  put_file("s1", "#!/absent/interpreter\n");
  CHECK_OK(chmod("s1", 0755));
  CHECK_ERRNO(execv("s1", argv), ENOENT);
  put_file("s2", "#!\n");
  CHECK_OK(chmod("s2", 0755));
  CHECK_ERRNO(execv("s2", argv), ENOEXEC);
  char path[16], text[32];
  for (int i = 0; i < 7; i++) { // scripts that name scripts: five levels are too many
    snprintf(path, sizeof path, "n%d", i);
    snprintf(text, sizeof text, i ? "#!./n%d\n" : "#!/bin/true\n", i - 1);
    put_file(path, text);
    CHECK_OK(chmod(path, 0755));
  }
  CAPTURE(execl("./n4", "n4", NULL));
  CHECK_EQ(status_of, 0);
  CHECK_ERRNO(execv("n6", argv), ELOOP);
}

TEST(close_on_exec, close, execve) {
  int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char num[16];
  snprintf(num, sizeof num, "%d", a);
  CAPTURE(HELPER("fd", num));
  CHECK_STR(output, "0");
  snprintf(num, sizeof num, "%d", b);
  CAPTURE(HELPER("fd", num));
  CHECK_STR(output, "-1");
}

static void some_handler(int sig) { (void)sig; }
TEST(signals_over_exec, execve, rt_sigpending) {
  on_signal(SIGUSR1, some_handler, 0);
  signal(SIGUSR2, SIG_IGN);
  block_signal(SIGUSR1);
  CAPTURE(raise(SIGUSR1), HELPER("sig"));
  CHECK_STR(output, "1 1 1 1"); // mask and pending stay, handlers go, ignored stays
}

TEST(execveat_variants, execveat, pread64) {
  int fd = open(test_self, O_RDONLY | O_CLOEXEC), path = open(test_self, O_PATH | O_CLOEXEC), dir = open("/bin", O_PATH | O_CLOEXEC);
  char *const argv[] = {"self", "--helper", "args", "x", NULL}, *const envp[] = {NULL};
  CAPTURE(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
  CHECK_STR(output, "[x]");
  CAPTURE(syscall(SYS_execveat, path, "", argv, envp, AT_EMPTY_PATH));
  CHECK_STR(output, "[x]");
  char *const echo[] = {"echo", "hi", NULL};
  CAPTURE(syscall(SYS_execveat, dir, "echo", echo, envp, 0));
  CHECK_STR(output, "hi\n");
  CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, envp, 0), ENOENT);
  CHECK_OK(symlink(test_self, "s"));
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "s", argv, envp, AT_SYMLINK_NOFOLLOW), ELOOP);
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "s", argv, envp, 0x8000), EINVAL);
}

TEST(fexecve_of_script_with_cloexec, execveat, pread64) {
  put_file("s", "#!/bin/sh\necho ran\n");
  CHECK_OK(chmod("s", 0755));
  int fd = open("s", O_RDONLY);
  char *const argv[] = {"s", NULL}, *const envp[] = {NULL};
  CAPTURE(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
  CHECK_STR(output, "ran\n");
  CHECK_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
  CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH), ENOENT);
}

TEST(comm_is_the_base_name, execve) {
  CHECK_OK(symlink(test_self, "a-rather-long-program-name"));
  CAPTURE(execl("./a-rather-long-program-name", "zero", "--helper", "name", NULL));
  CHECK_STR(output, "a-rather-long-p");
}

TEST(auxiliary_vector, execve) {
  CAPTURE(HELPER("auxv"));
  CHECK_STR(output, "4096 0 1 1 0");
  CHECK(getauxval(AT_EXECFN) != 0);
  CHECK(getauxval(AT_SYSINFO_EHDR) != 0); // the vDSO
  CHECK_EQ(getauxval(AT_CLKTCK), 100);
}

TEST(set_user_id_program, execve, getegid, geteuid, getgid, getuid, pread64) {
  CAPTURE(execl("/bin/cp", "cp", test_self, "copy", NULL));
  CHECK_OK(chown("copy", 1111, 2222));
  CHECK_OK(chmod("copy", 06755));
  CAPTURE(become(1234, 1234), execl("./copy", "x", "--helper", "ids", NULL));
  CHECK_STR(output, "1234 1111 1234 2222");
  CAPTURE(become(1234, 1234), prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), execl("./copy", "x", "--helper", "ids", NULL));
  CHECK_STR(output, "1234 1234 1234 1234");
  CAPTURE(become(1234, 1234), execl("./copy", "x", "--helper", "auxv", NULL));
  CHECK_STR(output, "4096 1 1 1 1234");
}

TEST(execute_permission, execve, pread64) {
  CAPTURE(execl("/bin/cp", "cp", test_self, "copy", NULL));
  CHECK_OK(chmod("copy", 0644));
  char *const argv[] = {"copy", NULL};
  CHECK_ERRNO(execv("copy", argv), EACCES);
  CHECK_OK(chmod("copy", 0711)); // executable, not readable
  CAPTURE(become(1234, 1234), execl("./copy", "x", "--helper", "args", "x", NULL));
  CHECK_STR(output, "[x]");
}

TEST(proc_self_exe, execve) {
  char b[PATH_MAX] = "";
  CHECK(readlink("/proc/self/exe", b, sizeof b) > 0);
  CHECK_STR(b, test_self);
  char *const argv[] = {"me", "--helper", "args", "again", NULL};
  CAPTURE(execv("/proc/self/exe", argv));
  CHECK_STR(output, "[again]");
}

TEST(empty_argv_gets_a_name, execve, pread64) {
  // Linux puts an empty string there since 5.18.
  char *const none[] = {NULL};
  pid_t pid = fork();
  if (!pid) {
    syscall(SYS_execve, "/bin/true", none, none);
    _exit(1);
  }
  WAIT_OK(pid);
}

TEST(posix_spawn_like_vfork_exec, execve, pread64, vfork) {
  for (int i = 0; i < 20; i++) {
    pid_t pid = vfork();
    if (!pid) {
      execl("/bin/true", "true", NULL);
      _exit(1);
    }
    WAIT_OK(pid);
  }
}
