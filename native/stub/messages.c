// What the Sentry sends over an address space's socket, the first steps of a new one, and what it has used.
#include "sys.h"

#include <linux/prctl.h>

struct iovec {
  void *base;
  u64 length;
};

struct message_header {
  void *name;
  u32 name_length;
  struct iovec *iov;
  u64 iov_count;
  void *control;
  u64 control_length;
  u32 flags;
};

struct control_header {
  u64 length;
  int level;
  int type;
  int fd[4];
};

// Takes one message with at most two descriptors from the socket. 1, 0 at its end, or -errno.
int receive(struct descriptors *out, u64 flags) {
  struct rf_message body = {0, 0};
  struct control_header control = {0, 0, 0, {0}};
  struct iovec iov = {&body, sizeof body};
  struct message_header header = {0, 0, &iov, 1, &control, 16 + 2 * sizeof(int), 0};
  out->count = 0;
  out->kind = 0;
  const s64 r = sys3(__NR_recvmsg, RF_SOCKET_FD, (u64)&header, flags);
  if (r <= 0) return (int)r;
  if (header.control_length >= 16 && control.level == 1 /* SOL_SOCKET */ && control.type == 1 /* SCM_RIGHTS */) {
    const u64 count = (control.length - 16) / sizeof(int);
    for (u64 i = 0; i < count && i < 2; i++) out->fd[out->count++] = control.fd[i];
  }
  out->kind = body.kind;
  return 1;
}

static s64 map_step(const struct rf_map *m, const int *fd, u64 count, const char *data, u64 bytes) {
  static const char zeroes[4096];
  if (m->fd == RF_MAP_COPY) return m->length <= bytes ? stub_copy((void *)m->address, data, m->length) : -EINVAL;
  if (m->fd == RF_MAP_ZERO) return m->length <= sizeof zeroes ? stub_copy((void *)m->address, zeroes, m->length) : -EINVAL;
  if (m->fd >= 0 && (u64)m->fd >= count) return -EPROTO;
  const u64 from = m->fd < 0 ? (u64)-1 : (u64)fd[m->fd];
  const s64 at = memory_call(__NR_mmap, m->address, m->length, m->prot, m->flags, from, m->offset);
  return at < 0 ? at : 0;
}

// Takes a batch of mappings from the socket and makes them. 0, or the error of the step that failed.
s64 map_received(void) {
  union {
    struct rf_maps maps;
    char bytes[RF_MAPS_BYTES];
  } message;
  struct {
    u64 length;
    int level, type;
    int fd[RF_MAPS_FDS];
  } control = {0, 0, 0, {0}};
  struct iovec iov = {&message, sizeof message};
  struct message_header header = {0, 0, &iov, 1, &control, 16 + sizeof control.fd, 0};
  const s64 got = sys3(__NR_recvmsg, RF_SOCKET_FD, (u64)&header, MSG_DONTWAIT); // sent before the command
  if (got < 0) return got;
  u64 count = 0;
  if (header.control_length >= 16 && control.level == 1 /* SOL_SOCKET */ && control.type == 1 /* SCM_RIGHTS */) {
    count = (control.length - 16) / sizeof(int);
  }
  const struct rf_maps *m = &message.maps;
  const u64 head = (u64)(m->map + m->count) - (u64)m;
  s64 r = m->kind == RF_MESSAGE_MAPS && m->count <= RF_MAPS && (u64)got >= head ? 0 : -EPROTO;
  for (u32 i = 0; r == 0 && i < m->count; i++) r = map_step(&m->map[i], control.fd, count, message.bytes + head, (u64)got - head);
  for (u64 i = 0; i < count; i++) sys1(__NR_close, (u64)control.fd[i]);
  return r;
}

// The first steps of a fresh process: takes region and socket, and tells the Sentry its pid. Other descriptors there are none: those that
// come to be mapped are closed within the command that brings them.
void enter_address_space(const struct descriptors *d) {
  sys6(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
  if (stub_yama) sys6(__NR_prctl, PR_SET_PTRACER, (u64)-1, 0, 0, 0, 0);
  const u64 prot = PROT_READ | PROT_WRITE;
  const s64 at = sys6(__NR_mmap, RF_REGION_BASE, RF_REGION_SIZE, prot, MAP_SHARED | MAP_FIXED, (u64)d->fd[0], 0);
  if (at < 0 || sys3(__NR_dup3, (u64)d->fd[1], RF_SOCKET_FD, 0) < 0) sys1(__NR_exit_group, 76);
  sys3(__NR_madvise, RF_REGION_BASE, RF_REGION_SIZE, MADV_DONTFORK);
  sys3(__NR_close_range, 0, RF_SOCKET_FD - 1, 0);
  if (d->fd[0] > RF_SOCKET_FD) sys1(__NR_close, (u64)d->fd[0]);
  if (d->fd[1] > RF_SOCKET_FD) sys1(__NR_close, (u64)d->fd[1]);
  const struct rf_message hello = {RF_MESSAGE_HELLO, 0};
  if (sys3(__NR_write, RF_SOCKET_FD, (u64)&hello, sizeof hello) != sizeof hello) sys1(__NR_exit_group, 77);
}

// What the thread, or the process, has used of the processor and of memory, to where a block's `out` is.
s64 usage(struct rf_block *b, int process) {
  s64 time[2] = {0, 0};
  s64 ru[18]; // struct rusage
  s64 r = sys3(__NR_clock_gettime, process ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID, (u64)time, 0);
  if (r == 0) r = sys3(__NR_getrusage, process ? RUSAGE_SELF : RUSAGE_THREAD, (u64)ru, 0);
  if (r < 0) return r;
  struct rf_usage *u = (struct rf_usage *)b->out;
  u->cpu = (u64)(time[0] * 1000000000 + time[1]);
  u->user = (u64)(ru[0] * 1000000 + ru[1]);
  u->system = (u64)(ru[2] * 1000000 + ru[3]);
  u->max_rss = (u64)ru[4];
  u->minor_faults = (u64)ru[8];
  u->major_faults = (u64)ru[9];
  return 0;
}

// The Sentry asks for the usage of a process that ends or changes its program: the calls that do so bring it along.
void last_usage(struct rf_block *b, u64 nr) {
  if (nr == __NR_exit_group || nr == __NR_execve || nr == __NR_execveat) b->usage_ready = usage(b, 1) == 0;
}
