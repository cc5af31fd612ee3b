// Address spaces and their threads, and the lists that threads are in.
#include "tracer.h"

#define BUCKETS 4096
#define CHUNK 65536

static struct thread *buckets[BUCKETS];
static struct thread *free_threads;
static struct space *free_spaces;
static struct thread *dead; // reaped; somebody may be at work with them
struct list shown, asleep;
u32 running;

// Memory that is never given back. NULL: there is none.
static void *more_memory(u64 bytes) {
  static char *at;
  static u64 left;
  bytes = (bytes + 15) & ~15ULL;
  if (bytes > left) {
    const s64 p = sys6(__NR_mmap, 0, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (u64)-1, 0);
    if (p < 0) return 0;
    at = (char *)p;
    left = CHUNK;
  }
  void *const p = at;
  at += bytes;
  left -= bytes;
  return p;
}

static struct thread **bucket(int tid) { return &buckets[(u32)tid % BUCKETS]; }

// Takes over both descriptors, but for a failure (NULL).
struct space *new_space(int region, int socket) {
  struct space *s = free_spaces;
  if (s != 0) free_spaces = s->next;
  else s = more_memory(sizeof *s);
  if (s == 0) return 0;
  const s64 at = sys6(__NR_mmap, 0, RF_REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)region, 0);
  if (at < 0) {
    s->next = free_spaces;
    free_spaces = s;
    return 0;
  }
  sys1(__NR_close, (u64)region);
  *s = (struct space){0, (char *)at, socket, 0, 0};
  return s;
}

void free_space(struct space *s) {
  sys3(__NR_munmap, (u64)s->region, RF_REGION_SIZE, 0);
  sys1(__NR_close, (u64)s->socket);
  s->next = free_spaces;
  free_spaces = s;
}

// The host thread `tid`, stopped, as that of context `index`. NULL: no memory.
struct thread *add_thread(struct space *s, u32 index, int tid) {
  struct thread *t = free_threads;
  if (t != 0) free_threads = t->next;
  else t = more_memory(sizeof *t);
  if (t == 0) return 0;
  memset(t, 0, sizeof *t);
  t->space = s;
  t->block = block_of(s, index);
  t->index = index;
  t->tid = tid;
  t->status = LEAVES;
  t->chain = *bucket(tid);
  *bucket(tid) = t;
  t->block->tid = (u32)tid;
  t->block->tracer = (u32)tracer_pid;
  s->threads++;
  return t;
}

struct thread *find_thread(int tid) {
  struct thread *t = *bucket(tid);
  while (t != 0 && t->tid != tid) t = t->chain;
  return t;
}

// The host thread `tid` was reaped.
void ended(int tid) {
  struct thread **p = bucket(tid);
  while (*p != 0 && (*p)->tid != tid) p = &(*p)->chain;
  struct thread *t = *p;
  if (t == 0) {
    if (tid == seed.tid) seed.tid = 0;
    return;
  }
  *p = t->chain;
  set_status(t, LEAVES);
  t->gone = 1;
  t->next = dead;
  dead = t;
  __atomic_store_n(&t->block->tid, 0, __ATOMIC_SEQ_CST);
}

// To be called when nobody is at work with a thread. What a process had goes with its last thread.
void bury(void) {
  for (struct thread *t = dead; t != 0; t = dead) {
    dead = t->next;
    if (--t->space->threads == 0) free_space(t->space);
    t->next = free_threads;
    free_threads = t;
  }
}

// In a copy of this process: nothing here is ours.
void forget_all(void) {
  bury();
  for (u32 i = 0; i < BUCKETS; i++) {
    for (struct thread *t = buckets[i]; t != 0; t = t->chain) {
      if (t->space->region != 0) sys3(__NR_munmap, (u64)t->space->region, RF_REGION_SIZE, 0);
      t->space->region = 0;
    }
    buckets[i] = 0;
  }
  shown = asleep = (struct list){0, 0};
  running = 0;
}

static struct list *list_of(enum status status) { return status == SHOWN ? &shown : status == ASLEEP ? &asleep : 0; }

void set_status(struct thread *t, enum status status) {
  if (t->status == status || t->gone) return;
  struct list *l = list_of(t->status);
  if (l != 0) {
    *(t->previous != 0 ? &t->previous->next : &l->first) = t->next;
    *(t->next != 0 ? &t->next->previous : &l->last) = t->previous;
  }
  if (t->status == RUNS) running--;
  if (status == RUNS) running++;
  t->status = status;
  l = list_of(status);
  if (l == 0) return;
  t->next = 0;
  t->previous = l->last;
  *(l->last != 0 ? &l->last->next : &l->first) = t;
  l->last = t;
}
