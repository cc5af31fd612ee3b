// What travels with a call: the guest's paths, structures and write buffers are copied into the data window before the Sentry sees the
// call, by the shapes of the arguments. A wrong or missing shape costs a slower copy later, never a wrong answer: the Sentry looks for
// the address that it needs and reads guest memory itself if it is not here.
//
// Nothing may be fetched whose value counts at a later moment (the word of a futex).
#include "common.h"

enum kind { NONE, STRING, FIXED, COUNTED, VECTOR, MESSAGE, FRAME };

// FIXED: `n` bytes. COUNTED: argument `n & 7` elements of (n >> 3) + 1 bytes. VECTOR: argument `n` elements of struct iovec.
struct shape {
  uint8_t kind;
  uint8_t arg;
  uint8_t n;
};

#define PATH(a) {STRING, a, 0}
#define BYTES(a, count) {COUNTED, a, count}
#define ITEMS(a, count, size) {COUNTED, a, (count) | ((size)-1) << 3}
#define STRUCT(a, size) {FIXED, a, size}
#define STRING_LIMIT 4096
// Longer data would cross from this processor's cache to the Sentry's line by line, once to be stored here and once to be read there. One
// process_vm_readv(2) is cheaper from here on (64 KiB: less than half).
#define FETCH_MOST 4096
#define SIGNAL_FRAME 440 // pretcode, ucontext and siginfo below the vector state

static const struct shape shapes[][2] = {
    [__NR_write] = {BYTES(1, 2)},
    [__NR_pwrite64] = {BYTES(1, 2)},
    [__NR_writev] = {{VECTOR, 1, 2}},
    [__NR_pwritev] = {{VECTOR, 1, 2}},
    [__NR_sendto] = {BYTES(1, 2), BYTES(4, 5)},
    [__NR_sendmsg] = {{MESSAGE, 1, 0}},
    [__NR_recvmsg] = {STRUCT(1, 56)},
    [__NR_connect] = {BYTES(1, 2)},
    [__NR_bind] = {BYTES(1, 2)},
    [__NR_setsockopt] = {BYTES(3, 4)},
    [__NR_open] = {PATH(0)},
    [__NR_openat] = {PATH(1)},
    [__NR_openat2] = {PATH(1), BYTES(2, 3)},
    [__NR_creat] = {PATH(0)},
    [__NR_stat] = {PATH(0)},
    [__NR_lstat] = {PATH(0)},
    [__NR_newfstatat] = {PATH(1)},
    [__NR_statx] = {PATH(1)},
    [__NR_statfs] = {PATH(0)},
    [__NR_access] = {PATH(0)},
    [__NR_faccessat] = {PATH(1)},
    [__NR_faccessat2] = {PATH(1)},
    [__NR_readlink] = {PATH(0)},
    [__NR_readlinkat] = {PATH(1)},
    [__NR_unlink] = {PATH(0)},
    [__NR_unlinkat] = {PATH(1)},
    [__NR_mkdir] = {PATH(0)},
    [__NR_mkdirat] = {PATH(1)},
    [__NR_rmdir] = {PATH(0)},
    [__NR_mknod] = {PATH(0)},
    [__NR_mknodat] = {PATH(1)},
    [__NR_rename] = {PATH(0), PATH(1)},
    [__NR_renameat] = {PATH(1), PATH(3)},
    [__NR_renameat2] = {PATH(1), PATH(3)},
    [__NR_link] = {PATH(0), PATH(1)},
    [__NR_linkat] = {PATH(1), PATH(3)},
    [__NR_symlink] = {PATH(0), PATH(1)},
    [__NR_symlinkat] = {PATH(0), PATH(2)},
    [__NR_chdir] = {PATH(0)},
    [__NR_chmod] = {PATH(0)},
    [__NR_fchmodat] = {PATH(1)},
    [__NR_chown] = {PATH(0)},
    [__NR_lchown] = {PATH(0)},
    [__NR_fchownat] = {PATH(1)},
    [__NR_truncate] = {PATH(0)},
    [__NR_utimensat] = {PATH(1), STRUCT(2, 32)},
    [__NR_getxattr] = {PATH(0), PATH(1)},
    [__NR_lgetxattr] = {PATH(0), PATH(1)},
    [__NR_inotify_add_watch] = {PATH(1)},
    [__NR_execve] = {PATH(0)},
    [__NR_poll] = {ITEMS(0, 1, 8)},
    [__NR_ppoll] = {ITEMS(0, 1, 8), STRUCT(2, 16)},
    [__NR_epoll_ctl] = {STRUCT(3, 12)},
    [__NR_nanosleep] = {STRUCT(0, 16)},
    [__NR_clock_nanosleep] = {STRUCT(2, 16)},
    [__NR_setitimer] = {STRUCT(1, 32)},
    [__NR_timerfd_settime] = {STRUCT(2, 32)},
    [__NR_prlimit64] = {STRUCT(2, 16)},
    [__NR_rt_sigaction] = {STRUCT(1, 32)},
    [__NR_rt_sigprocmask] = {STRUCT(1, 8)},
    [__NR_rt_sigsuspend] = {STRUCT(0, 8)},
    [__NR_rt_sigtimedwait] = {STRUCT(0, 8), STRUCT(2, 16)},
    [__NR_rt_sigreturn] = {{FRAME, 0, 0}},
    [__NR_clone3] = {STRUCT(0, 88)},
};

struct fill {
  struct rf_block *block;
  char *window;
  u32 used;
  u32 count;
};

static int add(struct fill *f, u64 address, u64 length, int string) {
  // What is not the guest's own, the stub's memory above all, is no argument.
  if (address < RF_MIN_ADDRESS || address >= RF_STUB_BASE || f->count == RF_IN_RANGES) return 0;
  if (string && length > RF_STUB_BASE - address) length = RF_STUB_BASE - address;
  if (length > RF_STUB_BASE - address || length > FETCH_MOST || length > RF_WINDOW_SIZE - f->used) return 0;
  char *to = f->window + f->used;
  if (string) {
    length = guest_read_string(to, address, length);
  } else if (guest_read(to, address, length) < 0) {
    return 0;
  }
  if (length == 0) return 0;
  struct rf_range *r = &((struct rf_window *)f->window)->in[f->count++];
  r->address = address;
  r->length = (u32)length;
  r->offset = f->used;
  f->used += ((u32)length + 15) & ~15U;
  return 1;
}

// A vector, and what its first elements point at as far as there are ranges for them.
static void add_vector(struct fill *f, u64 address, u64 count) {
  const u32 at = f->used;
  if (count == 0 || count > 64 || !add(f, address, count * 16, 0)) return;
  const u64 *v = (const u64 *)(f->window + at);
  for (u64 i = 0; i < count && f->count < RF_IN_RANGES; i++) add(f, v[2 * i], v[2 * i + 1], 0);
}

static void add_shape(struct fill *f, const struct shape *s, const u64 *args) {
  const u64 a = args[s->arg];
  switch (s->kind) {
  case STRING:
    add(f, a, RF_WINDOW_SIZE - f->used < STRING_LIMIT ? RF_WINDOW_SIZE - f->used : STRING_LIMIT, 1);
    break;
  case FIXED:
    add(f, a, s->n, 0);
    break;
  case COUNTED: {
    const u64 count = args[s->n & 7];
    if (count != 0 && count <= FETCH_MOST) add(f, a, count * ((s->n >> 3) + 1U), 0);
    break;
  }
  case VECTOR:
    add_vector(f, a, args[s->n]);
    break;
  case MESSAGE: {
    const u32 at = f->used;
    if (!add(f, a, 56, 0)) break;
    const u64 *m = (const u64 *)(f->window + at); // struct msghdr
    add_vector(f, m[2], m[3]);
    break;
  }
  case FRAME:
    add(f, f->block->regs[RF_RSP] - 8, SIGNAL_FRAME, 0);
    break;
  default:
    break;
  }
}

// The few bytes of a short write, where the arguments that it does not have would be. 1: they are there.
static int fetch_inline(struct rf_block *b, u64 address, u64 length) {
  if (length == 0 || length > RF_IN_INLINE || address < RF_MIN_ADDRESS || address > RF_STUB_BASE - RF_IN_INLINE) return 0;
  u64 data[RF_IN_INLINE / 8] = {0, 0, 0};
  if (guest_read(data, address, length) < 0) return 0;
  for (u32 i = 0; i < RF_IN_INLINE / 8; i++) b->call_args[3 + i] = data[i];
  return 1;
}

// Brings along what the call in the block points at, to its data window (NULL: it has none). Bits of the event: the count of ranges that it
// filled, or RF_EVENT_INLINE.
u32 fetch(struct rf_block *b, char *window) {
  const u64 nr = b->regs[RF_ORIG_RAX];
  if (nr >= sizeof shapes / sizeof shapes[0]) return 0;
  const struct shape *s = shapes[nr];
  if (s[0].kind == NONE) return 0;
  struct fill f = {b, window, sizeof(struct rf_window), 0};
  if (f.window == 0) return 0;
  const u64 *r = b->regs;
  const u64 args[8] = {r[14], r[13], r[12], r[7], r[9], r[8], 0, 0};
  if (nr == __NR_write && fetch_inline(b, args[1], args[2])) return RF_EVENT_INLINE;
  add_shape(&f, &s[0], args);
  if (s[1].kind != NONE) add_shape(&f, &s[1], args);
  return f.count << 8;
}
