// The host addon: registration and argument access. The functions themselves are in io.c, fs.c, sock.c and proc.c.

#include "host.h"

int64_t arg_i64(struct args *a, int i) {
  int64_t x = 0;
  if (napi_get_value_int64(a->env, a->v[i], &x) != napi_ok) a->bad = EINVAL;
  return x;
}

int arg_int(struct args *a, int i) {
  int64_t x = arg_i64(a, i);
  if (x < INT32_MIN || x > UINT32_MAX) a->bad = EINVAL;
  return (int)(uint32_t)x;
}

double arg_num(struct args *a, int i) {
  double x = 0;
  if (napi_get_value_double(a->env, a->v[i], &x) != napi_ok) a->bad = EINVAL;
  return x;
}

static size_t element_size(napi_typedarray_type t) {
  switch (t) {
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    default:
      return 1;
  }
}

struct span arg_span(struct args *a, int i) {
  struct span s = {NULL, 0};
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_get_typedarray_info(a->env, a->v[i], &type, &s.len, &data, NULL, NULL) != napi_ok) {
    a->bad = EINVAL;
    s.len = 0;
    return s;
  }
  s.p = data;
  s.len *= element_size(type);
  return s;
}

struct span arg_slice(struct args *a, int i) {
  struct span s = arg_span(a, i);
  int64_t off = arg_i64(a, i + 1), len = arg_i64(a, i + 2);
  if (off < 0 || len < 0 || (uint64_t)off > s.len || (uint64_t)len > s.len - (uint64_t)off) a->bad = EINVAL;
  if (a->bad) return (struct span){NULL, 0};
  return (struct span){s.p + off, (size_t)len};
}

const char *arg_str(struct args *a, int i, char *out, size_t cap) {
  size_t len = 0;
  out[0] = 0;
  if (napi_get_value_string_latin1(a->env, a->v[i], NULL, 0, &len) != napi_ok) {
    a->bad = EINVAL;
  } else if (len >= cap) {
    a->bad = ENAMETOOLONG;
  } else {
    napi_get_value_string_latin1(a->env, a->v[i], out, cap, &len);
    if (memchr(out, 0, len) != NULL) a->bad = EINVAL;
  }
  return out;
}

double *arg_f64(struct args *a, int i, size_t n) {
  struct span s = arg_span(a, i);
  if (s.len < n * sizeof(double) || (uintptr_t)s.p % sizeof(double) != 0) a->bad = EINVAL;
  return (double *)(void *)s.p;
}

int32_t *arg_i32(struct args *a, int i, size_t n, size_t *count) {
  struct span s = arg_span(a, i);
  if (s.len < n * sizeof(int32_t) || (uintptr_t)s.p % sizeof(int32_t) != 0) a->bad = EINVAL;
  if (count != NULL) *count = s.len / sizeof(int32_t);
  return (int32_t *)(void *)s.p;
}

struct timespec *arg_timeout(struct args *a, int i, struct timespec *ts) {
  double ms = arg_num(a, i);
  if (!(ms >= 0)) return NULL;
  if (ms > 1e12) ms = 1e12;
  ts->tv_sec = (time_t)(ms / 1000);
  ts->tv_nsec = (long)((ms - (double)ts->tv_sec * 1000) * 1e6);
  if (ts->tv_nsec > 999999999) ts->tv_nsec = 999999999;
  if (ts->tv_nsec < 0) ts->tv_nsec = 0;
  return ts;
}

static napi_value call(napi_env env, napi_callback_info info) {
  struct args a = {.env = env, .bad = 0};
  size_t argc = MAX_ARGS;
  void *data = NULL;
  napi_value out = NULL;
  if (napi_get_cb_info(env, info, &argc, a.v, NULL, &data) != napi_ok) return NULL;
  const struct host_entry *e = data;
  if (e->raw != NULL) return e->raw(&a);
  napi_create_double(env, e->fn(&a), &out);
  return out;
}

static void add(napi_env env, napi_value exports, const struct host_entry *e) {
  for (; e->name != NULL; e++) {
    napi_value fn;
    if (napi_create_function(env, e->name, NAPI_AUTO_LENGTH, call, (void *)(uintptr_t)e, &fn) == napi_ok)
      napi_set_named_property(env, exports, e->name, fn);
  }
}

NAPI_MODULE_INIT() {
  add(env, exports, io_entries);
  add(env, exports, fs_entries);
  add(env, exports, sock_entries);
  add(env, exports, proc_entries);
  add(env, exports, spawn_entries);
  return exports;
}
