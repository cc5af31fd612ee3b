// What the files of the host addon share: argument access, results and the function table.
//
// Every exported function takes numbers, strings (latin1: one char per byte) and typed arrays, and returns a number: >= 0 or -errno.
// Nothing throws. A missing or ill-typed argument marks the call bad and it answers -EINVAL without a system call.

#ifndef RINGFENCE_HOST_H
#define RINGFENCE_HOST_H

#define _GNU_SOURCE
#define NAPI_VERSION 8

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS 10

struct args {
  napi_env env;
  int bad; // 0, or the errno that the whole call answers
  napi_value v[MAX_ARGS];
};

struct span {
  uint8_t *p;
  size_t len;
};

typedef double (*host_fn)(struct args *a);
typedef napi_value (*host_raw_fn)(struct args *a);

struct host_entry {
  const char *name;
  host_fn fn;
  host_raw_fn raw; // for the few functions that return something other than a number
};

#define FN(name) static double fn_##name(struct args *a)
#define ENTRY(name) {#name, fn_##name, NULL}
#define END_OF_TABLE {NULL, NULL, NULL}
// To be placed after all arguments are fetched and before the system call.
#define CHECK_ARGS()          \
  do {                        \
    if (a->bad) return -a->bad; \
  } while (0)

// A libc-style result as >= 0 or -errno.
static inline double result(long r) { return r < 0 ? (double)-errno : (double)r; }

int64_t arg_i64(struct args *a, int i);
// An int, or an unsigned 32-bit number taken for its bits.
int arg_int(struct args *a, int i);
double arg_num(struct args *a, int i);
// A typed array, DataView or Buffer.
struct span arg_span(struct args *a, int i);
// Arguments i, i+1, i+2: a byte array, an offset and a length that must lie within it.
struct span arg_slice(struct args *a, int i);
// A latin1 string without NUL bytes, at most cap-1 long.
const char *arg_str(struct args *a, int i, char *out, size_t cap);
// A typed array of at least n elements of the given type.
double *arg_f64(struct args *a, int i, size_t n);
int32_t *arg_i32(struct args *a, int i, size_t n, size_t *count);
// Milliseconds (may be fractional, negative: for ever) as a timespec; NULL for ever.
struct timespec *arg_timeout(struct args *a, int i, struct timespec *ts);

extern const struct host_entry io_entries[];
extern const struct host_entry fs_entries[];
extern const struct host_entry sock_entries[];
extern const struct host_entry proc_entries[];
extern const struct host_entry spawn_entries[];

#endif
