// The native launcher: namespaces, roots, credentials and the processes of a sandbox. See launch.c for the whole picture.
#ifndef RINGFENCE_LAUNCH_H
#define RINGFENCE_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Descriptors at birth. The entrypoint writes the same numbers into the configuration of the Sentry and the Gofer (runsc-compat/launch.ts).
enum {
  FD_CONFIG = 3,
  SENTRY_FD_STUB = 5,
  SENTRY_FD_GOFER = 6,
  SENTRY_FD_STANDIN = 7,
  SENTRY_FD_READY = 8,
  GOFER_FD_SOCKET = 4,
  STUB_FD_SOCKET = 3,
  STUB_FD_DEVICE = 5,
  PLAN_FD = 3, // the socket to the entrypoint: the plan comes in, error lines and the ready byte go out
};

#define MAX_ITEMS 8192

struct fdmap {
  int from;
  int to;
};

struct list {
  const char **v;
  int n;
};

// A program that the launcher starts: its arguments, descriptors and configuration.
struct program {
  struct list args;
  struct fdmap fds[512];
  int nfds;
  const char *config;
};

// One thing to put into a new root, in the order of the plan.
struct rootitem {
  enum { ROOT_DIR, ROOT_LINK, ROOT_BIND } kind;
  const char *a; // directory; link's target; source of the bind
  const char *b; // link's path; target of the bind
  int tree[2];   // open_tree descriptors, one for each root
  bool is_dir;
};

// Whose root is made: the sandbox's, or the Gofer's with the container's trees.
enum whose { OF_SANDBOX, OF_GOFER };

// A line of uid_map or gid_map (user_namespaces(7)).
struct idmap {
  unsigned inside;
  unsigned outside;
  unsigned count;
};

struct idmaps {
  struct idmap v[340]; // the kernel takes no more lines
  int n;
};

struct attach {
  const char *source;
  bool readonly;
  bool recursive;
  int tree;
  bool is_dir;
};

// A mount of the container as its stand-in shows it.
struct contmount {
  const char *target;
  const char *type;
  const char *source; // of a bind mount, else ""
  const char *propagation;
  bool readonly;
  bool noexec;
  bool recursive;
  bool is_dir;
  int tree;    // open_tree descriptor of a bind mount's source
  int mounted; // the mount itself
};

struct plan {
  struct program sentry;
  struct program gofer;
  const char *stub;        // the engine's program
  const char *stub_device; // a device that it gets; NULL: none
  int stub_device_fd;
  struct rootitem *items;
  int nitems;
  struct attach *attach;
  int nattach;
  struct list prune;
  struct list env;
  struct list cgroups;
  struct list spaces; // pairs: kind of namespace, path of one to join or "" for a new one
  struct idmaps uids;
  struct idmaps gids;
  const char *root; // of the container; NULL: the stand-in keeps the caller's
  const char *root_propagation;
  bool root_readonly;
  int view_device; // /dev/fuse; -1: not open
  int view_tree;   // what is mounted from it
  ino_t view_user; // the user namespace of that
  char *view_ids;  // message to the Sentry
  size_t nview_ids;
  int root_tree;
  struct contmount *cont;
  int ncont;
  bool hooks;    // wait for 'G' before the root is entered
  bool recorded; // the entrypoint has written down that we exist
  struct list hook_env;
  struct list hook_args; // the program, its arguments from 0 on
  const char *hook_cwd;
  const char *hostname;
  const char *domainname;
  const char *mode; // sandbox, container or standin: see launch.c
  pid_t join_pid;   // exec: the container's stand-in, whose namespaces are entered
  uint64_t join_start;
  int passed; // descriptors from this number on are not ours
  bool opened; // sources are open already
  bool lifeline;
  int entrypoint_fd; // exec without a lifeline: the entrypoint's /proc/PID/stat, which cannot be read any more when it has been reaped; -1: none
  int exit_fd;
  int socket_fd;       // the stand-in's socket to the Sentry, where the plan gives it
  int gofer_socket_fd; // the Gofer's, likewise
  int ctty_fd;   // becomes the controlling terminal of the stand-in, which learns of new window sizes by SIGWINCH
  int tty_fd;
  const char *tty_state; // struct termios in hexadecimal
  const char *oom_score_adj;
  int guest_oom; // how much sooner than Sentry and Gofer the kernel takes a guest when memory runs out (oom_score_adj)
};

// launch.c
void forget_title(void);

// util.c
extern int report_fd;
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *need(size_t bytes);
bool write_file(const char *path, const char *text);
void close_other_fds(const int *keep, int n);
int memfd_with(const char *name, const char *text);
void place_fds(struct fdmap *map, int n);

// plan.c
struct plan *read_plan(int fd);

// root.c
void open_sources(struct plan *p, bool privileged, bool sandbox, bool gofer);
void make_root(struct plan *p, enum whose whose);
int clone_tree(const char *source, bool recursive, bool privileged, bool *is_dir);

// controot.c
void open_container(struct plan *p, bool privileged);
void make_container(struct plan *p);
void enter_container(struct plan *p, int socket);
int open_inside(int root, const char *path);

// view.c
void open_view(struct plan *p, bool standin);
void name_view(struct plan *p);
void show_view(struct plan *p, int socket);

// hook.c
_Noreturn void hook_main(struct plan *p);

// spaces.c
bool owns_mounts(void);
void join_spaces(struct plan *p);
void join_process(struct plan *p);
pid_t clone_standin(struct plan *p);
void settle_in_spaces(struct plan *p);

// maps.c
void write_maps(pid_t pid, const struct idmaps *uids, const struct idmaps *gids);
int own_folder(void);
void ask_maps(int sync, int folder);
bool serve_maps(int sync, bool privileged);

// creds.c
bool is_privileged(void);
void raise_nofile(void);
void drop_all_capabilities(void);
void keep_file_capabilities(void);
bool has_id(const char *map, unsigned long id);
bool has_capability(int capability);
pid_t clone_with(uint64_t flags);
void no_new_privs(void);
void refuse_io_uring(void);
void die_with_parent(void);

// oom.c
struct oom {
  int fd;
  int base;
};
struct oom oom_begin(int lead);
void oom_set(struct oom *o, int lead);

// filter.c
void confine_init(void);
void confine_standin(pid_t box, pid_t gofer);

// sandbox.c, gofer.c
#define SANDBOX_ID 65534 // user and group of a privileged caller's sandboxes
_Noreturn void sandbox_main(struct plan *p, bool privileged, int sync, int stub_sentry, int stub_stub, int gofer, int standin);
_Noreturn void gofer_main(struct plan *p, bool privileged, int sync, int socket);

// standin.c
_Noreturn void standin_main(struct plan *p, int socket, pid_t box, pid_t gofer);
void standin_signals(void);

#endif
