// Hostile guests. Each case is an attack that a child makes on the engine below it; its parent, an honest process of the same sandbox, then
// proves that the sandbox lives on. The child's exit status is 0 when the attack was answered as it must be, or a signal when it died of it.
//
//   hostile CASE      prints "end: exit N", "end: signal N" or, after LIMIT seconds, "end: still runs" of the child, then "alive"
//   hostile --list    the names of the cases
//
// Attacks call the host's kernel from the stub's own text: a jump to one of its syscall instructions with the trap flag set, so that a
// SIGTRAP brings control back behind it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define STUB_TEXT 0x7ff000001000UL
#define CONTROL 0x7ff000100000UL
#define REGION 0x7ff000200000UL
#define REGION_SIZE 0x100000UL
#define AREAS 0x7ff000300000UL
#define AREA_SIZE 0x10000UL
#define STUB_END 0x7ff040000000UL
#define SOCKET_FD 3
#define DOORBELL_FD 4
#define TRAP_FLAG 0x100

#define NEED(e) \
  do { \
    if (!(e)) { \
      printf("hostile.c:%d: %s (errno %d)\n", __LINE__, #e, errno); \
      fflush(stdout); \
      _exit(1); \
    } \
  } while (0)

// One host system call from the stub's text.

static uintptr_t gadget;
static __thread sigjmp_buf back;
static __thread volatile long answer;
static __thread volatile int steps;

static void stepped(int sig, siginfo_t *si, void *context) {
  (void)sig;
  (void)si;
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  uintptr_t ip = (uintptr_t)r[REG_RIP];
  if (ip != gadget && ip - STUB_TEXT < 0x8000) {
    // One instruction behind the call: none of those that may stand there changes rax (see find_gadget).
    answer = r[REG_RAX];
    siglongjmp(back, 1);
  }
  if (++steps > 8) siglongjmp(back, 2);
}

static int harmless(const unsigned char *p) {
  if (p[0] == 0xcc) return 1; // of the ptrace engine's page: the trap itself tells
  if (p[0] == 0x41 && p[1] >= 0xb8 && p[1] <= 0xbf) return 1;                                   // mov $imm,%r8d..%r15d
  if (p[0] == 0xbd || p[0] == 0xbb || p[0] == 0xbe || p[0] == 0xba || p[0] == 0xbf) return 1; // mov $imm,%ebp ...
  return p[0] == 0x48 && p[1] == 0x85 && p[2] == 0xc0;                                          // test %rax,%rax
}

static void unseen(int sig) {
  (void)sig;
  siglongjmp(back, 3);
}

// An engine may keep nothing in the guest's memory: then there is nothing to attack, and the attack says so.
static void need_engine(void) {
  if (sigsetjmp(back, 1) != 0) {
    printf("nothing of the engine is in sight\n");
    exit(0);
  }
  void (*before)(int) = signal(SIGSEGV, unseen);
  (void)*(volatile const unsigned char *)STUB_TEXT;
  signal(SIGSEGV, before);
}

static void find_gadget(void) {
  need_engine();
  const unsigned char *p = (const unsigned char *)STUB_TEXT;
  for (int i = 0; i < 0x2000; i++) {
    if (p[i] == 0x0f && p[i + 1] == 0x05 && harmless(p + i + 2)) {
      gadget = STUB_TEXT + (uintptr_t)i;
      break;
    }
  }
  NEED(gadget != 0);
  struct sigaction sa = {.sa_sigaction = stepped, .sa_flags = SA_SIGINFO | SA_NODEFER};
  NEED(sigaction(SIGTRAP, &sa, NULL) == 0);
}

// The answer of the host's filter: the call's own result where it is allowed, and where it is not the trap of an ordinary guest call, which
// the Sentry answers.
static long host_call(long nr, long a, long b, long c, long d, long e, long f) {
  steps = 0;
  int how = sigsetjmp(back, 1);
  if (how == 1) return answer;
  NEED(how == 0);
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  register uintptr_t target __asm__("r12") = gadget;
  __asm__ volatile("pushf\n orq %[tf], (%%rsp)\n popf\n jmp *%[target]"
                   :
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [target] "r"(target), [tf] "i"(TRAP_FLAG)
                   : "rcx", "r11", "memory", "cc");
  abort();
}

static void call3(long nr, long a, long b, long c) { host_call(nr, a, b, c, 0, 0, 0); }

// The cases.

// Calls that the stub's filter does not know come out as guest calls: what they see is the sandbox.
static void escape_calls(void) {
  find_gadget();
  pid_t me = getpid();
  NEED(host_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == me);
  NEED(host_call(SYS_getuid, 0, 0, 0, 0, 0, 0) == (long)getuid());
  // A file that exists on the host only.
  const char *marker = getenv("HOST_MARKER");
  if (marker != NULL) {
    NEED(host_call(SYS_openat, AT_FDCWD, (long)marker, O_RDONLY, 0, 0, 0) == -ENOENT);
    NEED(host_call(SYS_openat, AT_FDCWD, (long)marker, O_WRONLY | O_CREAT, 0600, 0, 0) == -ENOENT);
    NEED(host_call(SYS_unlink, (long)marker, 0, 0, 0, 0, 0) == -ENOENT);
  }
  // A socket of the sandbox, not of the host: nothing listens there.
  long s = host_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
  NEED(s >= 0 || s == -EAFNOSUPPORT);
  const char *argv[] = {"/nowhere/program", NULL};
  NEED(host_call(SYS_execve, (long)argv[0], (long)argv, 0, 0, 0, 0) == -ENOENT);
  // Processes of the host: the stub is 2, the Sentry 3 in the pid namespace of the host processes.
  for (long pid = 2; pid < 64; pid++) {
    if (pid == me || pid == getppid() || kill((pid_t)pid, 0) == 0) continue;
    NEED(host_call(SYS_kill, pid, SIGKILL, 0, 0, 0, 0) == -ESRCH);
    NEED(host_call(SYS_ptrace, 16, pid, 0, 0, 0, 0) < 0);
    char b[8] = {0};
    struct iovec mine = {b, sizeof b}, its = {(void *)STUB_TEXT, sizeof b};
    NEED(host_call(SYS_process_vm_readv, pid, (long)&mine, 1, (long)&its, 1, 0) < 0);
    NEED(host_call(SYS_process_vm_writev, pid, (long)&mine, 1, (long)&its, 1, 0) < 0);
    NEED(host_call(SYS_pidfd_open, pid, 0, 0, 0, 0, 0) < 0);
    NEED(host_call(SYS_tgkill, pid, pid, SIGKILL, 0, 0, 0) < 0);
  }
  NEED(host_call(SYS_mount, (long)"none", (long)"/nowhere", (long)"tmpfs", 0, 0, 0) < 0);
  NEED(host_call(SYS_setns, SOCKET_FD, 0, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_bpf, 0, 0, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_io_uring_setup, 8, 0, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_userfaultfd, 0, 0, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_perf_event_open, 0, 0, -1, -1, 0, 0) < 0);
}

// Allowed calls with arguments that are not: namespaces by clone, writes to other descriptors, other prctl and futex operations.
static void escape_arguments(void) {
  find_gadget();
  char c = 'x';
  for (int fd = 5; fd < 64; fd++) NEED(host_call(SYS_write, fd, (long)&c, 1, 0, 0, 0) == -EBADF);
  NEED(host_call(SYS_recvmsg, 9, 0, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_prctl, 0x59616d61 /* PR_SET_PTRACER */ + 1, 1, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_dup3, SOCKET_FD, 77, 0, 0, 0, 0) < 0);
  NEED(host_call(SYS_arch_prctl, 0x2001 /* ARCH_MAP_VDSO_X32 */, 0x10000, 0, 0, 0, 0) < 0);
  // The high half of an argument counts too.
  NEED(host_call(SYS_write, SOCKET_FD | 1L << 32, (long)&c, 1, 0, 0, 0) != 1);
}

// Other ways into the host's kernel.
static volatile int caught;
static void note(int sig) {
  caught = sig;
  siglongjmp(back, 3);
}

static void other_entries(void) {
  int signals[] = {SIGSEGV, SIGILL, SIGBUS, SIGSYS};
  for (int i = 0; i < 4; i++) {
    struct sigaction sa = {.sa_handler = note, .sa_flags = SA_NODEFER};
    NEED(sigaction(signals[i], &sa, NULL) == 0);
  }
  if (sigsetjmp(back, 1) == 0) {
    long r = 0;
    __asm__ volatile("int $0x80" : "=a"(r) : "0"(20 /* getpid */) : "memory");
    NEED(r == -ENOSYS);
  } else {
    NEED(caught == SIGSEGV);
  }
  if (sigsetjmp(back, 1) == 0) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"(0x40000000L | SYS_getpid) : "rcx", "r11", "memory");
    NEED(r == -ENOSYS);
  }
  if (sigsetjmp(back, 1) == 0) {
    long (*vsyscall_time)(long *) = (long (*)(long *))0xffffffffff600400UL;
    vsyscall_time(NULL);
  }
  // 32-bit code, by a far return, that calls the 32-bit kernel.
  unsigned char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  NEED(low != MAP_FAILED);
  const unsigned char code[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xf4}; // mov $20,%eax; int $0x80; hlt
  memcpy(low, code, sizeof code);
  if (sigsetjmp(back, 1) == 0) {
    __asm__ volatile("pushq $0x23\n pushq %0\n lretq" : : "r"((long)low) : "memory", "rax");
    NEED(0);
  }
  if (sigsetjmp(back, 1) == 0) {
    __asm__ volatile("sysenter" : : "a"(20) : "memory", "rcx", "rdx");
  }
}

// Pointers of system calls into what belongs to the engine.
static void pointers(void) {
  int p[2], zero = open("/dev/zero", O_RDONLY);
  NEED(pipe(p) == 0 && zero >= 0);
  const uintptr_t places[] = {STUB_TEXT, CONTROL, REGION, AREAS, AREAS + AREA_SIZE - 8, STUB_END - 4096};
  for (int i = 0; i < 6; i++) {
    NEED(read(zero, (void *)places[i], 1) == -1 && errno == EFAULT);
    NEED(write(p[1], (void *)places[i], 1) == -1 && errno == EFAULT);
    NEED(mmap((void *)places[i], 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    NEED(munmap((void *)(places[i] & ~4095UL), 4096) == -1);
    NEED(mprotect((void *)(places[i] & ~4095UL), 4096, PROT_READ | PROT_WRITE) == -1);
    NEED(madvise((void *)(places[i] & ~4095UL), 4096, MADV_DONTNEED) == -1);
    NEED(mremap((void *)(places[i] & ~4095UL), 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
  }
}

// The engine's own memory.
static void fill(uintptr_t from, size_t n, int how) {
  unsigned seed = 12345;
  volatile uint32_t *w = (volatile uint32_t *)from;
  for (size_t i = 0; i < n / 4; i++) {
    seed = seed * 1103515245 + 12345;
    w[i] = how == 0 ? 0 : how == 1 ? ~0u : how == 2 ? seed : seed >> 29;
  }
}

static void block_zero(void) {
  fill(REGION, 512, 0);
  getppid();
}

static void block_ones(void) {
  fill(REGION, REGION_SIZE, 1);
  getppid();
}

static void block_noise(void) {
  fill(REGION, REGION_SIZE, 2);
  getppid();
}

static int volatile racing;
static void *racer(void *how) {
  racing = 1;
  for (;;) {
    if ((long)how == 4) {
      // Only states, commands and events that exist.
      static unsigned seed = 7;
      volatile uint32_t *w = (volatile uint32_t *)REGION;
      seed = seed * 1103515245 + 12345;
      w[seed >> 16 & 3] = seed >> 24 & 7;
    } else {
      fill(REGION, 512, (int)(long)how);
    }
  }
  return NULL;
}

static void race(long how) {
  pthread_t t;
  NEED(pthread_create(&t, NULL, racer, (void *)how) == 0);
  while (!racing) sched_yield();
  for (int i = 0; i < 2000; i++) {
    getppid();
    void *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) munmap(p, 8192);
    if (i % 100 == 0 && fork() == 0) _exit(0);
  }
}

static void block_race_noise(void) { race(2); }
static void block_race_small(void) { race(3); }
static void block_race_valid(void) { race(4); }

static void areas_noise(void) {
  fill(AREAS, AREA_SIZE, 2);
  getppid();
}

static void areas_race(void) {
  for (int i = 0; i < 1000; i++) {
    fill(AREAS + AREA_SIZE - 4096, 4096, 2);
    getppid();
  }
}

static void control_write(void) {
  *(volatile uint32_t *)CONTROL = 0;
  NEED(0);
}

static void control_writable(void) {
  find_gadget();
  NEED(host_call(SYS_mprotect, (long)CONTROL, 4096, PROT_READ | PROT_WRITE, 0, 0, 0) < 0);
}

static void text_writable(void) {
  find_gadget();
  long r = host_call(SYS_mprotect, (long)STUB_TEXT, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0);
  // Without mseal(2) the child may: it then breaks its own copy.
  if (r == 0) memset((void *)STUB_TEXT, 0xcc, 4096);
  else NEED(r == -EPERM || r == -ENOMEM); // sealed, or out of the guest's reach
}

static void unmap_region(void) {
  find_gadget();
  call3(SYS_munmap, (long)REGION, REGION_SIZE, 0);
  getppid();
}

static void unmap_areas(void) {
  find_gadget();
  call3(SYS_munmap, (long)AREAS, 64 * AREA_SIZE, 0);
  getppid();
}

static void unmap_stack(void) {
  find_gadget();
  call3(SYS_sigaltstack, (long)&(stack_t){.ss_flags = SS_DISABLE}, 0, 0);
  raise(SIGUSR1);
}

static void replace_region(void) {
  find_gadget();
  host_call(SYS_mmap, (long)REGION, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  getppid();
}

static void unmap_all(void) {
  find_gadget();
  call3(SYS_munmap, 0x10000, 0x7ff000000000L - 0x10000, 0);
}

// Its descriptors: the socket to the Sentry and the doorbell.
static void flood_socket(void) {
  find_gadget();
  uint32_t hello[2] = {0x52460005, 0};
  for (int i = 0; i < 200; i++) {
    if (host_call(SYS_write, SOCKET_FD, (long)hello, sizeof hello, 0, 0, 0) < 0) break;
  }
  for (int i = 0; i < 3; i++) {
    pid_t p = fork();
    if (p == 0) _exit(0);
    if (p > 0) waitpid(p, NULL, 0);
  }
}

static void flood_doorbell(void) {
  find_gadget();
  uint64_t most = ~1ULL;
  for (int i = 0; i < 500; i++) host_call(SYS_write, DOORBELL_FD, (long)&most, 8, 0, 0, 0);
  pid_t p = fork();
  if (p == 0) _exit(0);
  NEED(p > 0 && waitpid(p, NULL, 0) == p);
}

static void close_all(void) {
  find_gadget();
  call3(SYS_close_range, 0, ~0U, 0);
  for (int i = 0; i < 3; i++) getppid();
  pid_t p = fork();
  if (p == 0) _exit(0);
}

// Takes the descriptors that the Sentry sends for somebody else.
static void *thief(void *unused) {
  char body[64];
  struct iovec iov = {body, sizeof body};
  static char control[256];
  for (;;) {
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    racing = 1;
    host_call(SYS_recvmsg, SOCKET_FD, (long)&m, 0, 0, 0, 0);
  }
  return unused;
}

static void steal(void) {
  find_gadget();
  int fd = open("/proc/self/exe", O_RDONLY);
  NEED(fd >= 0);
  pthread_t t;
  NEED(pthread_create(&t, NULL, thief, NULL) == 0);
  while (!racing) sched_yield();
  usleep(50000);
  mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
}

// A host process that the Sentry knows nothing of: it ends with the sandbox at the latest.
static void rogue_fork(void) {
  find_gadget();
  call3(SYS_clone, SIGCHLD, 0, 0);
}

static void rogue_thread(void) {
  find_gadget();
  static char stack[65536];
  call3(SYS_clone, 0x350f00, (long)(stack + sizeof stack - 64), 0);
}

static void exit_behind(void) {
  find_gadget();
  call3(SYS_exit_group, 0, 0, 0);
}

static void exit_thread_behind(void) {
  find_gadget();
  call3(SYS_exit, 0, 0, 0);
}

// A frame of its own for the host's rt_sigreturn.
static void forged_sigreturn(void) {
  find_gadget();
  static struct {
    uint64_t restorer;
    ucontext_t uc;
  } frame __attribute__((aligned(64)));
  memset(&frame, 0xff, sizeof frame);
  register uintptr_t target __asm__("r12") = gadget;
  __asm__ volatile("mov %0, %%rsp\n mov $15, %%eax\n jmp *%1" : : "r"(&frame.uc), "r"(target) : "memory");
}

// Registers that the engine must not trip over.
static void odd_registers(void) {
  // Direction and alignment flags at a call.
  for (int i = 0; i < 10; i++) {
    long r;
    __asm__ volatile("std\n syscall\n cld" : "=a"(r) : "0"(SYS_getppid) : "rcx", "r11", "memory", "cc");
    NEED(r == getppid());
    __asm__ volatile("pushf\n orl $0x40000, (%%rsp)\n popf\n syscall\n pushf\n andl $~0x40000, (%%rsp)\n popf"
                     : "=a"(r)
                     : "0"(SYS_getppid)
                     : "rcx", "r11", "memory", "cc");
    NEED(r == getppid());
  }
  // A call without a stack, and with one in the engine's own area.
  long r;
  __asm__ volatile("mov %%rsp, %%rbx\n xor %%esp, %%esp\n syscall\n mov %%rbx, %%rsp" : "=a"(r) : "0"(SYS_getppid) : "rbx", "rcx", "r11", "memory");
  NEED(r == getppid());
  __asm__ volatile("mov %%rsp, %%rbx\n mov %1, %%rsp\n syscall\n mov %%rbx, %%rsp"
                   : "=a"(r)
                   : "r"(AREAS + AREA_SIZE - 4096), "0"(SYS_getppid)
                   : "rbx", "rcx", "r11", "memory");
}

// What it may only read it may not write, whatever the host's calls say. Runs as another user than the file's owner.
static void upgrade_mapping(void) {
  find_gadget();
  const char *path = "/dev/shm/readonly";
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  NEED(fd >= 0 && write(fd, "original", 8) == 8 && ftruncate(fd, 4096) == 0);
  char *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  NEED(w != MAP_FAILED);
  close(fd);
  pid_t p = fork();
  if (p == 0) {
    munmap(w, 4096);
    if (getuid() == 0) NEED(setgid(12345) == 0 && setuid(12345) == 0);
    fd = open(path, O_RDONLY);
    NEED(fd >= 0);
    char *r = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    NEED(r != MAP_FAILED && !memcmp(r, "original", 8));
    NEED(mprotect(r, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    if (host_call(SYS_mprotect, (long)r, 4096, PROT_READ | PROT_WRITE, 0, 0, 0) == 0) memcpy(r, "tampered", 8);
    _exit(0);
  }
  int status;
  NEED(waitpid(p, &status, 0) == p && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  NEED(!memcmp(w, "original", 8));
  w[0] = 'O';
  NEED(unlink(path) == 0);
}

// Exhaustion: it must end in an errno for whoever asks, and leave the others alone.
static void *sleeper(void *unused) {
  pause();
  return unused;
}

static void many_threads(void) {
  pthread_attr_t a;
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, 32768);
  int n = 0;
  pthread_t t;
  while (n < 4000 && pthread_create(&t, &a, sleeper, NULL) == 0) n++;
  printf("threads: %d\n", n);
  fflush(stdout);
  NEED(n >= 500 && n < 4000);
}

static void many_descriptors(void) {
  struct rlimit l = {1 << 16, 1 << 16};
  setrlimit(RLIMIT_NOFILE, &l);
  int n = 0;
  while (n < 100000 && open("/dev/null", O_RDONLY) >= 0) n++;
  NEED(n < 100000 && errno == EMFILE);
  while (n < 100000 && memfd_create("x", 0) >= 0) n++;
}

// Files with a host descriptor each: the Sentry's own table is the limit.
static void many_memfds(void) {
  struct rlimit l;
  NEED(getrlimit(RLIMIT_NOFILE, &l) == 0);
  l.rlim_cur = l.rlim_max;
  setrlimit(RLIMIT_NOFILE, &l);
  int n = 0;
  for (; n < 3000; n++) {
    int fd = memfd_create("x", 0);
    if (fd < 0 || ftruncate(fd, 4096) < 0) break;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) break;
  }
  printf("memfds: %d\n", n);
  fflush(stdout);
}

static void many_processes(void) {
  int n = 0;
  pid_t pids[3000];
  while (n < 300) {
    pid_t p = fork();
    if (p == 0) {
      pause();
      _exit(0);
    }
    if (p < 0) break;
    pids[n++] = p;
  }
  for (int i = 0; i < n; i++) kill(pids[i], SIGKILL);
  for (int i = 0; i < n; i++) waitpid(pids[i], NULL, 0);
  printf("processes: %d\n", n);
  fflush(stdout);
  NEED(n > 50);
}

static void much_memory(void) {
  struct rlimit l = {256 << 20, 256 << 20};
  NEED(setrlimit(RLIMIT_AS, &l) == 0);
  size_t got = 0;
  for (;;) {
    char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) break;
    for (size_t i = 0; i < 8 << 20; i += 4096) p[i] = 1;
    got += 8 << 20;
    NEED(got <= 256 << 20);
  }
  NEED(errno == ENOMEM && got > 64 << 20);
}

// Without a limit of its own: for a cgroup's. Not among the cases that run everywhere.
static void eat_memory(void) {
  for (int i = 0; i < 1024; i++) {
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    memset(p, 1, 1 << 20);
  }
}

static int deep_stack(int n) {
  volatile char page[65536];
  page[0] = (char)n;
  if (n > 1 << 30) return 0;
  return deep_stack(n + 1) + page[0];
}

static void much_stack(void) { deep_stack(1); }

struct test {
  const char *name;
  void (*run)(void);
};

static const struct test tests[] = {
    {"escape_calls", escape_calls},
    {"escape_arguments", escape_arguments},
    {"other_entries", other_entries},
    {"pointers", pointers},
    {"block_zero", block_zero},
    {"block_ones", block_ones},
    {"block_noise", block_noise},
    {"block_race_noise", block_race_noise},
    {"block_race_small", block_race_small},
    {"block_race_valid", block_race_valid},
    {"areas_noise", areas_noise},
    {"areas_race", areas_race},
    {"control_write", control_write},
    {"control_writable", control_writable},
    {"text_writable", text_writable},
    {"unmap_region", unmap_region},
    {"unmap_areas", unmap_areas},
    {"unmap_stack", unmap_stack},
    {"replace_region", replace_region},
    {"unmap_all", unmap_all},
    {"flood_socket", flood_socket},
    {"flood_doorbell", flood_doorbell},
    {"close_all", close_all},
    {"steal", steal},
    {"rogue_fork", rogue_fork},
    {"rogue_thread", rogue_thread},
    {"exit_behind", exit_behind},
    {"exit_thread_behind", exit_thread_behind},
    {"forged_sigreturn", forged_sigreturn},
    {"odd_registers", odd_registers},
    {"upgrade_mapping", upgrade_mapping},
    {"many_threads", many_threads},
    {"many_descriptors", many_descriptors},
    {"many_memfds", many_memfds},
    {"many_processes", many_processes},
    {"much_memory", much_memory},
    {"much_stack", much_stack},
    {"eat_memory", eat_memory},
};

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// What an honest process does: files, pipes, memory, a child, a thread.
static void *touch(void *p) {
  *(int *)p = 42;
  return NULL;
}

static void honest(void) {
  int p[2], x = 0;
  char b[8];
  pthread_t t;
  NEED(pipe(p) == 0 && write(p[1], "alive", 6) == 6 && read(p[0], b, 6) == 6);
  char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  NEED(m != MAP_FAILED);
  pid_t c = fork();
  if (c == 0) {
    strcpy(m, "child");
    _exit(7);
  }
  int status;
  NEED(c > 0 && waitpid(c, &status, 0) == c && WIFEXITED(status) && WEXITSTATUS(status) == 7 && !strcmp(m, "child"));
  NEED(pthread_create(&t, NULL, touch, &x) == 0 && pthread_join(t, NULL) == 0 && x == 42);
  int fd = open("/proc/self/status", O_RDONLY);
  NEED(fd >= 0 && read(fd, m, 4096) > 0);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "--list")) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
      if (tests[i].run != eat_memory) puts(tests[i].name);
    return 0;
  }
  const struct test *test = NULL;
  for (size_t i = 0; argc == 2 && i < sizeof tests / sizeof *tests; i++)
    if (!strcmp(argv[1], tests[i].name)) test = &tests[i];
  if (test == NULL) return 2;
  double start = seconds();
  pid_t child = fork();
  if (child == 0) {
    test->run();
    _exit(0);
  }
  NEED(child > 0);
  int status = 0;
  pid_t got = 0;
  const char *limit = getenv("LIMIT");
  while ((got = waitpid(child, &status, WNOHANG)) == 0 && seconds() - start < (limit != NULL ? atof(limit) : 20)) usleep(5000);
  if (got == 0) {
    printf("end: still runs\n");
    kill(child, SIGKILL);
    got = waitpid(child, &status, 0);
  } else if (WIFSIGNALED(status)) {
    printf("end: signal %d\n", WTERMSIG(status));
  } else {
    printf("end: exit %d\n", WEXITSTATUS(status));
  }
  NEED(got == child);
  honest();
  printf("alive after %.1f s\n", seconds() - start);
  return 0;
}
