// The tracer: one thread that is parent and tracer of all guest processes, and their inhabitant from the outside. What the stub of another
// engine does in the guest's own process, this one does by ptrace(2): it shows events in the context blocks, and carries out commands by
// having the stopped thread make a host call. No word of a region can be reached by a guest.
#ifndef RINGFENCE_TRACER_H
#define RINGFENCE_TRACER_H

#include "sys.h"

// One guest address space: a host process, or one that is ending.
struct space {
  struct space *next; // of the free ones
  char *region;       // struct rf_block[], then windows
  int socket;         // to the Sentry
  int pid;
  u32 threads; // host threads that were not reaped yet
};

enum status {
  LEAVES, // new, told to exit, or dead: nothing is done with it but to wait
  RUNS,   // in guest code
  SHOWN,  // stopped, its event or answer is shown: the Sentry's command is looked for
  ASLEEP, // the same, but the Sentry has to wake us
};

struct thread {
  struct thread *chain;           // threads with the same hash
  struct thread *next, *previous; // of the same status, for SHOWN and ASLEEP
  struct space *space;
  struct rf_block *block;
  u32 index;
  int tid;
  enum status status;
  int gone;  // it was reaped
  u64 held;  // signals that came while it carried out a command, and SIGSTOP if its process was stopped then
  u32 dirty; // the processor's registers are not those of the stop any more
  struct user_regs_struct regs; // the guest's
};

struct list {
  struct thread *first, *last;
};

struct fault {
  u32 signal;
  int code;
  u64 address;
  u32 trap, error;
};

#define CONTROL ((const struct rf_control *)RF_CONTROL_BASE)

// In a guest process, beside its own memory and the page of page.S: where the kernel and the tracer leave things. A guest may write there
// what it likes: what is read from there concerns it alone.
#define SCRATCH_BASE RF_AREA_BASE
#define SCRATCH_SIZE 65536

// page.S: the one page of text in guest processes.
extern const char page_start[], page_syscall[], page_trapped[], page_handler[], page_handled[], page_hello[];

// entry.S
extern const char sleep_start[], sleep_end[], sleep_interrupted[];
s64 tracer_sleep(int *status, const volatile u32 *alarm);
void tracer_restorer(void);

// main.c
void die(int code) __attribute__((noreturn));
void take_messages(u64 flags);
extern int tracer_pid;

// threads.c
struct space *new_space(int region, int socket);
void free_space(struct space *s);
struct thread *add_thread(struct space *s, u32 index, int tid);
struct thread *find_thread(int tid);
void ended(int tid);
void bury(void);
void forget_all(void);
void set_status(struct thread *t, enum status status);
extern struct list shown, asleep;
extern u32 running;

static inline struct rf_block *block_of(const struct space *s, u32 index) {
  return (struct rf_block *)(s->region + (u64)index * RF_BLOCK_SIZE);
}

// The data window of a context; NULL: it has none.
static inline char *window_of(const struct thread *t) {
  return t->index < RF_WINDOWS ? t->space->region + RF_WINDOWS_OFFSET + (u64)t->index * RF_WINDOW_SIZE : 0;
}

// seed.c
extern struct thread seed;
extern u32 tracer_request; // PTRACE_SYSEMU, or PTRACE_SYSCALL where that is missing
extern u32 tracer_yama;
s64 make_seed(void);

// births.c
void birth(int region, int socket);
s64 clone_thread(struct thread *t, u32 index);
s64 fork_process(struct thread *t);

// inject.c
int wait_for(int tid, int *status);
int get_regs(struct thread *t);
int set_regs(struct thread *t);
void kill_process(struct thread *t);
void hold(struct thread *t, int status);
int run_to(struct thread *t, const char *trap, u64 signal, struct user_regs_struct *now);
s64 inject(struct thread *t, s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
s64 inject_clone(struct thread *t, u64 flags);
void leave(struct thread *t);

// loop.c
void loop(void) __attribute__((noreturn));
void on_signal(int signal, void *info, void *context);

// events.c
void stopped(struct thread *t, int status);
void show(struct thread *t, u32 event);
void show_fault(struct thread *t, const struct fault *f);
void resume(struct thread *t);
void resume_as_it_is(struct thread *t, u64 signal);

// fault.c
int explain_fault(struct thread *t, u32 signal, struct fault *f);

// commands.c
void serve(struct thread *t);

// memory.c
struct descriptors {
  u32 kind;
  int count;
  int fd[2];
};
extern int guest_pid; // whose memory guest_read() and its kin copy
int receive(int socket, struct descriptors *out, u64 flags);
void drop(const struct descriptors *d);
s64 map_received(struct thread *t);
s64 mmap_received(struct thread *t);

// fp.c
u32 vector_bytes(void);
s64 get_vectors(struct thread *t);
s64 put_vectors(struct thread *t);
s64 save_vectors(struct thread *t, u64 address);
s64 load_vectors(struct thread *t, u64 address);

// usage.c
s64 usage(struct thread *t, int process);
void last_usage(struct thread *t, u64 nr);

// filter.c
struct filter {
  uint16_t length;
  const void *program;
};
extern const struct filter guest_filter;
s64 install_filter(void);

#endif
