// Guest memory: copies from and to it, and mappings of what the Sentry sends.
#include "tracer.h"

int guest_pid;

struct message_header {
  void *name;
  u32 name_length;
  struct iovec *iov;
  u64 iov_count;
  void *control;
  u64 control_length;
  u32 flags;
};

#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define CONTROL_HEADER 16

static s64 copy(s64 nr, void *own, u64 guest, u64 bytes) {
  struct iovec local = {own, bytes};
  struct iovec remote = {(void *)guest, bytes};
  return sys6(nr, (u64)guest_pid, (u64)&local, 1, (u64)&remote, 1, 0);
}

s64 guest_read(void *to, u64 from, u64 bytes) {
  return bytes == 0 || copy(__NR_process_vm_readv, to, from, bytes) == (s64)bytes ? 0 : -EFAULT;
}

s64 guest_write(u64 to, const void *from, u64 bytes) {
  return bytes == 0 || copy(__NR_process_vm_writev, (void *)from, to, bytes) == (s64)bytes ? 0 : -EFAULT;
}

// Most paths are shorter than this; what does not cross a page is there as a whole or not at all.
#define FIRST_LOOK 256

u64 guest_read_string(void *to, u64 from, u64 limit) {
  char *at = to;
  u64 done = 0;
  while (done < limit) {
    u64 n = 4096 - ((from + done) & 4095);
    if (done == 0 && n > FIRST_LOOK) n = FIRST_LOOK;
    if (n > limit - done) n = limit - done;
    if (copy(__NR_process_vm_readv, at + done, from + done, n) != (s64)n) return done;
    for (u64 i = 0; i < n; i++) {
      if (at[done + i] == 0) return done + i + 1;
    }
    done += n;
  }
  return done;
}

// Takes one message with at most two descriptors from a socket. 1, 0 at its end, or -errno.
int receive(int socket, struct descriptors *out, u64 flags) {
  struct rf_message body = {0, 0};
  struct {
    u64 length;
    int level, type;
    int fd[4];
  } control = {0, 0, 0, {0}};
  struct iovec iov = {&body, sizeof body};
  struct message_header header = {0, 0, &iov, 1, &control, CONTROL_HEADER + 2 * sizeof(int), 0};
  out->count = 0;
  out->kind = 0;
  const s64 r = sys3(__NR_recvmsg, (u64)socket, (u64)&header, flags);
  if (r <= 0) return (int)r;
  if (header.control_length >= CONTROL_HEADER && control.level == SOL_SOCKET && control.type == SCM_RIGHTS) {
    const u64 count = (control.length - CONTROL_HEADER) / sizeof(int);
    for (u64 i = 0; i < count && i < 2; i++) out->fd[out->count++] = control.fd[i];
  }
  out->kind = body.kind;
  return 1;
}

// Closes what came with a message.
void drop(const struct descriptors *d) {
  for (int i = 0; i < d->count; i++) sys1(__NR_close, (u64)d->fd[i]);
}

// RF_COMMAND_MMAP_FD: the descriptor was sent before the command.
s64 mmap_received(struct thread *t) {
  const u64 *a = t->block->call_args;
  struct descriptors d;
  s64 r = -EPROTO;
  if (receive(t->space->socket, &d, MSG_DONTWAIT) > 0 && d.kind == RF_MESSAGE_MAP && d.count == 1) {
    r = inject(t, __NR_mmap, a[0], a[1], a[2], a[3], (u64)d.fd[0], a[5]);
  }
  drop(&d);
  return r;
}

static s64 map_step(struct thread *t, const struct rf_map *m, const int *fd, u64 count, const char *data, u64 bytes) {
  static const char zeroes[4096];
  if (m->fd == RF_MAP_COPY) return m->length <= bytes ? guest_write(m->address, data, m->length) : -EINVAL;
  if (m->fd == RF_MAP_ZERO) return m->length <= sizeof zeroes ? guest_write(m->address, zeroes, m->length) : -EINVAL;
  if (m->fd >= 0 && (u64)m->fd >= count) return -EPROTO;
  const u64 from = m->fd < 0 ? (u64)-1 : (u64)fd[m->fd];
  const s64 at = inject(t, __NR_mmap, m->address, m->length, m->prot, m->flags, from, m->offset);
  return at < 0 ? at : 0;
}

// RF_COMMAND_MAPS: takes a batch of mappings and makes them. 0, or the error of the step that failed.
s64 map_received(struct thread *t) {
  static union {
    struct rf_maps maps;
    char bytes[RF_MAPS_BYTES];
  } message;
  struct {
    u64 length;
    int level, type;
    int fd[RF_MAPS_FDS];
  } control = {0, 0, 0, {0}};
  struct iovec iov = {&message, sizeof message};
  struct message_header header = {0, 0, &iov, 1, &control, CONTROL_HEADER + sizeof control.fd, 0};
  const s64 got = sys3(__NR_recvmsg, (u64)t->space->socket, (u64)&header, MSG_DONTWAIT);
  if (got < 0) return got;
  u64 count = 0;
  if (header.control_length >= CONTROL_HEADER && control.level == SOL_SOCKET && control.type == SCM_RIGHTS) {
    count = (control.length - CONTROL_HEADER) / sizeof(int);
  }
  const struct rf_maps *m = &message.maps;
  const u64 head = (u64)(m->map + m->count) - (u64)m;
  s64 r = m->kind == RF_MESSAGE_MAPS && m->count <= RF_MAPS && (u64)got >= head ? 0 : -EPROTO;
  guest_pid = t->space->pid;
  for (u32 i = 0; r == 0 && i < m->count; i++) r = map_step(t, &m->map[i], control.fd, count, message.bytes + head, (u64)got - head);
  for (u64 i = 0; i < count; i++) sys1(__NR_close, (u64)control.fd[i]);
  return r;
}
