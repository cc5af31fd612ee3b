// The Sentry's hands for all engines: a Node-API addon over plain system calls. Numbers in, numbers out: results are >= 0 or
// -errno, nothing throws, and the calls of the hot path allocate nothing. Addresses are doubles (user addresses are below 2^47).
#define _GNU_SOURCE
#include "../include/context.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <node_api.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS 6

static long checked(long result) { return result < 0 ? -errno : result; }

// The arguments of a call as numbers; what is missing or no number is 0.
struct args {
  size_t count;
  napi_value value[MAX_ARGS];
};

static struct args arguments(napi_env env, napi_callback_info info) {
  struct args a = {MAX_ARGS, {0}};
  napi_get_cb_info(env, info, &a.count, a.value, NULL, NULL);
  return a;
}

static double number(napi_env env, const struct args *a, size_t i) {
  double d = 0;
  if (i < a->count) napi_get_value_double(env, a->value[i], &d);
  return d;
}

static int integer(napi_env env, const struct args *a, size_t i) {
  int32_t n = 0;
  if (i < a->count) napi_get_value_int32(env, a->value[i], &n);
  return n;
}

static napi_value answer(napi_env env, double d) {
  napi_value v;
  napi_create_double(env, d, &v);
  return v;
}

static napi_value answer_int(napi_env env, long n) {
  napi_value v;
  napi_create_int32(env, (int32_t)n, &v);
  return v;
}

// A typed array argument: its bytes, or NULL.
static void *bytes_of(napi_env env, const struct args *a, size_t i, size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  size_t elements = 0;
  *length = 0;
  if (i >= a->count || napi_get_typedarray_info(env, a->value[i], &type, &elements, &data, NULL, NULL) != napi_ok) return NULL;
  *length = elements * (type == napi_uint8_array ? 1 : type == napi_float64_array ? 8 : 4);
  return data;
}

static void unmap(napi_env env, void *data, void *length) {
  (void)env;
  munmap(data, (size_t)length);
}

// arena(bytes, Float64Array out): reserves address space as an ArrayBuffer; out[0] is its address.
static napi_value arena(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  const size_t bytes = (size_t)number(env, &a, 0);
  size_t out_length;
  double *out = bytes_of(env, &a, 1, &out_length);
  if (out == NULL || out_length < 8) return answer_int(env, -EINVAL);
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return answer_int(env, -errno);
  madvise(p, bytes, MADV_DONTFORK);
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, p, bytes, unmap, (void *)bytes, &buffer) != napi_ok) {
    munmap(p, bytes);
    return answer_int(env, -ENOMEM);
  }
  out[0] = (double)(uintptr_t)p;
  return buffer;
}

static int sealed_memfd(const char *name, size_t bytes, void *at, int seals) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  if (ftruncate(fd, (off_t)bytes) == 0 && mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) {
    madvise(at, bytes, MADV_DONTFORK);
    if (fcntl(fd, F_ADD_SEALS, seals) == 0) return fd;
  }
  const int error = errno;
  close(fd);
  return -error;
}

// control(address): maps the control page there; a descriptor through which nobody else can ever write.
static napi_value control(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  void *at = (void *)(uintptr_t)number(env, &a, 0);
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  return answer_int(env, sealed_memfd("control", RF_CONTROL_SIZE, at, seals));
}

// space(address, Int32Array out): maps a new context region there and makes its socket; out: region, our end, the stub's end.
static napi_value space(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  void *at = (void *)(uintptr_t)number(env, &a, 0);
  size_t length;
  int32_t *out = bytes_of(env, &a, 1, &length);
  if (out == NULL || length < 12) return answer_int(env, -EINVAL);
  const int region = sealed_memfd("region", RF_REGION_SIZE, at, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  if (region < 0) return answer_int(env, region);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    const int error = errno;
    close(region);
    return answer_int(env, -error);
  }
  const int one = 1;
  setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  out[0] = region;
  out[1] = pair[0];
  out[2] = pair[1];
  return answer_int(env, 0);
}

// unmapSpace(address): puts empty memory in a region's place.
static napi_value unmap_space(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  void *at = (void *)(uintptr_t)number(env, &a, 0);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  const void *p = mmap(at, RF_REGION_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p != MAP_FAILED) madvise(at, RF_REGION_SIZE, MADV_DONTFORK);
  return answer_int(env, p == MAP_FAILED ? -errno : 0);
}

// send(socket, kind, fd1, fd2): one struct rf_message with one or two (fd2 >= 0) descriptors.
static napi_value send_message(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  const int fd = integer(env, &a, 0);
  struct rf_message body = {(uint32_t)number(env, &a, 1), 0};
  const int fds[2] = {integer(env, &a, 2), integer(env, &a, 3)};
  const size_t count = fds[1] >= 0 ? 2 : 1;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof fds)];
  } control = {{0}};
  struct iovec iov = {&body, sizeof body};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  const ssize_t r = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return answer_int(env, r == (ssize_t)sizeof body ? 0 : r < 0 ? -errno : -EIO);
}

// sendMaps(socket, Uint8Array body, length, Int32Array fds, count): one struct rf_maps with its descriptors.
static napi_value send_maps(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  size_t room, fds_room;
  void *body = bytes_of(env, &a, 1, &room);
  const int *fds = bytes_of(env, &a, 3, &fds_room);
  const size_t length = (size_t)integer(env, &a, 2);
  const size_t count = (size_t)integer(env, &a, 4);
  if (body == NULL || fds == NULL || length > room || count > RF_MAPS_FDS || count * sizeof(int) > fds_room) return answer_int(env, -EINVAL);
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(RF_MAPS_FDS * sizeof(int))];
  } control = {{0}};
  struct iovec iov = {body, length};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
  }
  const ssize_t r = sendmsg(integer(env, &a, 0), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return answer_int(env, r == (ssize_t)length ? 0 : r < 0 ? -errno : -EIO);
}

// receive(socket, milliseconds, Uint8Array body): waits for one message. Its sender's pid as the kernel knows it (0 without credentials),
// or -errno; a message of another size than `body` is -EPROTO, the end of the socket -ECONNRESET.
static napi_value receive_message(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  const int fd = integer(env, &a, 0);
  size_t length;
  void *body = bytes_of(env, &a, 2, &length);
  if (body == NULL) return answer_int(env, -EINVAL);
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct ucred))]; // no room for descriptors: the kernel drops them
  } control;
  struct iovec iov = {body, length};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t r = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (r < 0 && errno == EAGAIN) {
    struct pollfd p = {fd, POLLIN, 0};
    int ready;
    do {
      ready = poll(&p, 1, integer(env, &a, 1));
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) return answer_int(env, ready == 0 ? -ETIMEDOUT : -errno);
    r = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  }
  if (r < 0) return answer_int(env, -errno);
  if (r == 0) return answer_int(env, -ECONNRESET);
  if ((size_t)r != length || (message.msg_flags & MSG_TRUNC)) return answer_int(env, -EPROTO);
  struct ucred creds = {0, 0, 0};
  if (message.msg_controllen >= CMSG_LEN(sizeof creds) && control.header.cmsg_level == SOL_SOCKET &&
      control.header.cmsg_type == SCM_CREDENTIALS) {
    memcpy(&creds, CMSG_DATA(&control.header), sizeof creds);
  }
  return answer_int(env, creds.pid);
}

static napi_value pidfd_open_(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer_int(env, checked(syscall(SYS_pidfd_open, integer(env, &a, 0), 0)));
}

static napi_value pidfd_kill(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer_int(env, checked(syscall(SYS_pidfd_send_signal, integer(env, &a, 0), SIGKILL, NULL, 0)));
}

// interrupt(tgid, tid)
static napi_value interrupt(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer_int(env, checked(syscall(SYS_tgkill, integer(env, &a, 0), integer(env, &a, 1), RF_INTERRUPT_SIGNAL)));
}

static napi_value close_(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer_int(env, checked(close(integer(env, &a, 0))));
}

static struct rf_block *block_at(double address) { return (struct rf_block *)(uintptr_t)address; }

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

// wake(block): wakes the stub that sleeps on its state word.
static napi_value wake(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer_int(env, checked(futex(&block_at(number(env, &a, 0))->state, FUTEX_WAKE, 1, NULL)));
}

// wakeTracer(block): wakes the process that sleeps in the place of the thread of this block, and says in it which it is. All that it can be
// sent is a signal that nobody minds.
static napi_value wake_tracer(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  const pid_t pid = (pid_t)__atomic_load_n(&block_at(number(env, &a, 0))->tracer, __ATOMIC_RELAXED);
  return answer_int(env, pid <= 0 ? -ESRCH : checked(syscall(SYS_tgkill, pid, pid, RF_INTERRUPT_SIGNAL)));
}

// yieldCpu(): lets whoever waits for this processor go first.
static napi_value yield_cpu(napi_env env, napi_callback_info info) {
  (void)info;
  return answer_int(env, checked(sched_yield()));
}

// moveAway(): the calling thread goes on on another processor, where there is one. 0 or -errno.
static napi_value move_away(napi_env env, napi_callback_info info) {
  (void)info;
  cpu_set_t all, others;
  const int here = sched_getcpu();
  if (here < 0 || sched_getaffinity(0, sizeof all, &all) < 0) return answer_int(env, -errno);
  others = all;
  CPU_CLR((unsigned)here, &others);
  if (CPU_COUNT(&others) == 0) return answer_int(env, -EINVAL);
  if (sched_setaffinity(0, sizeof others, &others) < 0) return answer_int(env, -errno);
  return answer_int(env, checked(sched_setaffinity(0, sizeof all, &all)));
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

// Waits until the stub has stored another state than GUEST. That state, -ESRCH when the process died, -ETIMEDOUT.
static long wait_state(struct rf_block *b, int pidfd, int spins, double milliseconds) {
  uint32_t state;
  for (int i = 0; i < spins; i++) {
    state = __atomic_load_n(&b->state, __ATOMIC_SEQ_CST);
    if (state != RF_STATE_GUEST) return (int32_t)state;
    rf_pause();
  }
  const double deadline = now() + milliseconds;
  const struct timespec slice = {0, 20 * 1000 * 1000};
  long result;
  __atomic_store_n(&b->sentry_waits, 1, __ATOMIC_SEQ_CST);
  for (;;) {
    state = __atomic_load_n(&b->state, __ATOMIC_SEQ_CST);
    result = (int32_t)state;
    if (state != RF_STATE_GUEST) break;
    const long woken = futex(&b->state, FUTEX_WAIT, RF_STATE_GUEST, &slice);
    if (now() > deadline) {
      result = -ETIMEDOUT;
      break;
    }
    if (woken == 0 || errno != ETIMEDOUT) continue;
    struct pollfd p = {pidfd, POLLIN, 0};
    if (poll(&p, 1, 0) == 0) continue;
    state = __atomic_load_n(&b->state, __ATOMIC_SEQ_CST);
    result = state != RF_STATE_GUEST ? (int32_t)state : -ESRCH;
    break;
  }
  __atomic_store_n(&b->sentry_waits, 0, __ATOMIC_SEQ_CST);
  return result;
}

// settle(block, pidfd, spins, milliseconds): waits for the end of a command. See wait_state.
static napi_value settle(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  struct rf_block *b = block_at(number(env, &a, 0));
  return answer_int(env, wait_state(b, integer(env, &a, 1), integer(env, &a, 2), number(env, &a, 3)));
}

static ssize_t move(napi_env env, const struct args *a, int write) {
  const pid_t pid = integer(env, a, 0);
  const double address = number(env, a, 1);
  size_t length;
  char *data = bytes_of(env, a, 2, &length);
  const double offset = number(env, a, 3);
  const double count = number(env, a, 4);
  if (data == NULL || !(offset >= 0) || !(count >= 0) || offset + count > (double)length) return -EINVAL;
  if (count == 0) return 0;
  const struct iovec local = {data + (size_t)offset, (size_t)count};
  const struct iovec remote = {(void *)(uintptr_t)address, (size_t)count};
  const ssize_t r = write ? process_vm_writev(pid, &local, 1, &remote, 1, 0) : process_vm_readv(pid, &local, 1, &remote, 1, 0);
  return r < 0 ? -errno : r;
}

// vmRead(pid, address, Uint8Array, offset, count): bytes copied, or -errno.
static napi_value vm_read(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer(env, (double)move(env, &a, 0));
}

static napi_value vm_write(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  return answer(env, (double)move(env, &a, 1));
}

// cpuTime(pid): processor time of a process and its threads, ns (clock_getcpuclockid(3)), or -errno.
static napi_value cpu_time(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  const clockid_t id = (clockid_t)(~(unsigned)integer(env, &a, 0) << 3 | 2);
  struct timespec t;
  if (clock_gettime(id, &t) < 0) return answer(env, (double)-errno);
  return answer(env, (double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

static napi_value epoll_new(napi_env env, napi_callback_info info) {
  (void)info;
  return answer_int(env, checked(epoll_create1(EPOLL_CLOEXEC)));
}

// epollAdd(epoll, fd, data)
static napi_value epoll_add(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)integer(env, &a, 2)};
  return answer_int(env, checked(epoll_ctl(integer(env, &a, 0), EPOLL_CTL_ADD, integer(env, &a, 1), &e)));
}

// epollDrain(epoll, doorbell, Int32Array out): the data words of what is ready, but the doorbell's (0), which it resets. Count or -errno.
static napi_value epoll_drain(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  size_t length;
  int32_t *out = bytes_of(env, &a, 2, &length);
  struct epoll_event events[64];
  const size_t room = length / 4 < 64 ? length / 4 : 64;
  if (out == NULL || room == 0) return answer_int(env, -EINVAL);
  const int n = epoll_wait(integer(env, &a, 0), events, (int)room, 0);
  int count = 0;
  for (int i = 0; i < n; i++) {
    uint64_t value;
    if (events[i].data.u32 != 0) {
      out[count++] = (int32_t)events[i].data.u32;
    } else if (read(integer(env, &a, 1), &value, sizeof value) < 0) {
      continue;
    }
  }
  return answer_int(env, n < 0 ? -errno : count);
}

// waitReady(fd, milliseconds): poll(2) for input. 1, 0 on timeout, or -errno.
static napi_value wait_ready(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  struct pollfd p = {integer(env, &a, 0), POLLIN, 0};
  return answer_int(env, checked(poll(&p, 1, integer(env, &a, 1))));
}

static napi_value eventfd_new(napi_env env, napi_callback_info info) {
  (void)info;
  return answer_int(env, checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

// cpus(): processors that this process may use.
static napi_value cpus(napi_env env, napi_callback_info info) {
  (void)info;
  cpu_set_t set;
  return answer_int(env, sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : CPU_COUNT(&set));
}

// socketpair(Int32Array out): the two ends of a SOCK_SEQPACKET pair; the first learns pids (SO_PASSCRED). For whoever starts a stub.
static napi_value socketpair_(napi_env env, napi_callback_info info) {
  const struct args a = arguments(env, info);
  size_t length;
  int *out = bytes_of(env, &a, 0, &length);
  if (out == NULL || length < 8) return answer_int(env, -EINVAL);
  return answer_int(env, checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out)));
}

static napi_value init(napi_env env, napi_value exports) {
  static const struct {
    const char *name;
    napi_callback call;
  } calls[] = {
      {"arena", arena},         {"control", control},     {"space", space},         {"unmapSpace", unmap_space},
      {"send", send_message}, {"sendMaps", send_maps},   {"receive", receive_message}, {"pidfdOpen", pidfd_open_}, {"pidfdKill", pidfd_kill},
      {"interrupt", interrupt}, {"close", close_},        {"wake", wake}, {"wakeTracer", wake_tracer},
      {"yieldCpu", yield_cpu},  {"moveAway", move_away},
      {"settle", settle},       {"cpuTime", cpu_time},
      {"vmRead", vm_read},      {"vmWrite", vm_write},    {"epollCreate", epoll_new}, {"epollAdd", epoll_add},
      {"epollDrain", epoll_drain}, {"waitReady", wait_ready},   {"eventfd", eventfd_new}, {"cpus", cpus},        {"socketpair", socketpair_},
  };
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    napi_value f;
    napi_create_function(env, calls[i].name, NAPI_AUTO_LENGTH, calls[i].call, NULL, &f);
    napi_set_named_property(env, exports, calls[i].name, f);
  }
  return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
