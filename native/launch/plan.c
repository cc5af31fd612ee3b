// The plan: a 32-bit length (little endian), then strings that each end in a NUL: a directive's name and its arguments.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PLAN (16u << 20)

static char *text;
static char *limit;

static void read_all(int fd, void *to, size_t n) {
  char *at = to;
  while (n > 0) {
    ssize_t r = read(fd, at, n);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) die("the plan is cut short");
    at += r;
    n -= (size_t)r;
  }
}

static const char *word(void) {
  if (text >= limit) die("a directive of the plan lacks an argument");
  const char *w = text;
  text += strlen(text) + 1;
  return w;
}

static int number(void) {
  const char *w = word();
  char *end;
  long v = strtol(w, &end, 10);
  if (end == w || *end != 0 || v < -1 || v > 1 << 20) die("not a descriptor number in the plan: %s", w);
  return (int)v;
}

static void add(struct list *l, const char *w) {
  if (l->v == NULL) l->v = need(sizeof *l->v * (MAX_ITEMS + 1));
  if (l->n == MAX_ITEMS) die("the plan is too long");
  l->v[l->n++] = w;
}

static void add_fd(struct program *p) {
  if (p->nfds == 500) die("too many descriptors");
  p->fds[p->nfds].from = number();
  p->fds[p->nfds++].to = number();
}

static void add_item(struct plan *p, int kind, const char *a, const char *b) {
  if (p->nitems == MAX_ITEMS) die("the plan is too long");
  p->items[p->nitems++] = (struct rootitem){.kind = kind, .a = a, .b = b, .tree = {-1, -1}};
}

static unsigned long long big(void) {
  const char *w = word();
  char *end;
  unsigned long long v = strtoull(w, &end, 10);
  if (end == w || *end != 0) die("not a number in the plan: %s", w);
  return v;
}

static void add_map(struct idmaps *m) {
  if (m->n == sizeof m->v / sizeof *m->v) die("too many id mappings");
  struct idmap *l = &m->v[m->n++];
  l->inside = (unsigned)big();
  l->outside = (unsigned)big();
  l->count = (unsigned)big();
}

struct plan *read_plan(int fd) {
  uint32_t n;
  read_all(fd, &n, sizeof n);
  if (n == 0 || n > MAX_PLAN) die("the plan has an impossible length");
  text = need(n + 1);
  limit = text + n;
  read_all(fd, text, n);
  struct plan *p = need(sizeof *p);
  p->items = need(sizeof *p->items * MAX_ITEMS);
  p->attach = need(sizeof *p->attach * MAX_ITEMS);
  p->exit_fd = p->entrypoint_fd = p->socket_fd = p->gofer_socket_fd = p->tty_fd = p->ctty_fd = p->stub_device_fd = -1;
  p->root_tree = p->view_device = p->view_tree = -1;
  p->cont = need(sizeof *p->cont * MAX_ITEMS);
  p->mode = "";
  while (text < limit) {
    const char *d = word();
    if (!strcmp(d, "dir")) add_item(p, ROOT_DIR, word(), NULL);
    else if (!strcmp(d, "link")) {
      const char *target = word();
      add_item(p, ROOT_LINK, target, word());
    } else if (!strcmp(d, "bind")) {
      const char *source = word();
      add_item(p, ROOT_BIND, source, word());
    } else if (!strcmp(d, "attach")) {
      if (p->nattach == MAX_ITEMS) die("too many mounts");
      struct attach *a = &p->attach[p->nattach++];
      a->source = word();
      const char *flags = word();
      a->readonly = strchr(flags, 'o') != NULL;
      a->recursive = strchr(flags, 'r') != NULL;
      a->tree = -1;
    } else if (!strcmp(d, "root")) {
      p->root = word();
      p->root_propagation = word();
      p->root_readonly = *word() != 0;
    } else if (!strcmp(d, "mount")) {
      if (p->ncont == MAX_ITEMS) die("too many mounts");
      struct contmount *m = &p->cont[p->ncont++];
      m->target = word();
      m->type = word();
      m->source = word();
      m->propagation = word();
      const char *flags = word();
      m->readonly = strchr(flags, 'o') != NULL;
      m->noexec = strchr(flags, 'x') != NULL;
      m->recursive = strchr(flags, 'r') != NULL;
      m->tree = m->mounted = -1;
    } else if (!strcmp(d, "hooks")) p->hooks = true;
    else if (!strcmp(d, "hook-env")) add(&p->hook_env, word());
    else if (!strcmp(d, "hook-arg")) add(&p->hook_args, word());
    else if (!strcmp(d, "hook-cwd")) p->hook_cwd = word();
    else if (!strcmp(d, "prune")) add(&p->prune, word());
    else if (!strcmp(d, "env")) add(&p->env, word());
    else if (!strcmp(d, "cgroup")) add(&p->cgroups, word());
    else if (!strcmp(d, "namespace")) {
      add(&p->spaces, word());
      add(&p->spaces, word());
    } else if (!strcmp(d, "hostname")) p->hostname = word();
    else if (!strcmp(d, "domainname")) p->domainname = word();
    else if (!strcmp(d, "mode")) p->mode = word();
    else if (!strcmp(d, "passed")) p->passed = number();
    else if (!strcmp(d, "uid-map")) add_map(&p->uids);
    else if (!strcmp(d, "gid-map")) add_map(&p->gids);
    else if (!strcmp(d, "join")) {
      p->join_pid = (pid_t)big();
      p->join_start = big();
    }
    else if (!strcmp(d, "stub")) p->stub = word();
    else if (!strcmp(d, "stub-device")) p->stub_device = word();
    else if (!strcmp(d, "sentry-arg")) add(&p->sentry.args, word());
    else if (!strcmp(d, "gofer-arg")) add(&p->gofer.args, word());
    else if (!strcmp(d, "sentry-fd")) add_fd(&p->sentry);
    else if (!strcmp(d, "gofer-fd")) add_fd(&p->gofer);
    else if (!strcmp(d, "sentry-config")) p->sentry.config = word();
    else if (!strcmp(d, "gofer-config")) p->gofer.config = word();
    else if (!strcmp(d, "lifeline")) p->lifeline = true;
    else if (!strcmp(d, "exit-fd")) p->exit_fd = number();
    else if (!strcmp(d, "ctty")) p->ctty_fd = number();
    else if (!strcmp(d, "socket")) p->socket_fd = number();
    else if (!strcmp(d, "gofer-socket")) p->gofer_socket_fd = number();
    else if (!strcmp(d, "tty")) {
      p->tty_fd = number();
      p->tty_state = word();
    } else if (!strcmp(d, "oom-score-adj")) p->oom_score_adj = word();
    else if (!strcmp(d, "guest-oom")) p->guest_oom = number();
    else die("the plan has an unknown directive: %s", d);
  }
  if (p->sentry.args.v != NULL) p->sentry.args.v[p->sentry.args.n] = NULL;
  if (p->gofer.args.v != NULL) p->gofer.args.v[p->gofer.args.n] = NULL;
  if (p->hook_args.v != NULL) p->hook_args.v[p->hook_args.n] = NULL;
  if (p->hook_env.v == NULL) p->hook_env.v = need(sizeof *p->hook_env.v * 2);
  p->hook_env.v[p->hook_env.n] = NULL;
  if (p->env.v == NULL) p->env.v = need(sizeof *p->env.v);
  return p;
}
