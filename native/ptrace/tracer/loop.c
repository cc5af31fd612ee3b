// Where the tracer waits: for commands of the Sentry, for guest threads that stop, and for messages.
//
// It sleeps in one place, wait4(2), which guests end by stopping and everybody else by a signal: the Sentry, when it has a command for a
// thread whose state word says that we sleep, and the kernel, when a message has come. A signal that arrives after the last look and before
// the sleep is not lost (tracer_sleep).
#include "tracer.h"

// Between two looks for stops, so many looks for commands.
#define LOOKS 32

static volatile u32 alarm; // something is to be looked at
static volatile u32 mail;  // on our own socket

void on_signal(int signal, void *info, void *context) {
  struct {
    u64 flags, link, stack[3];
    struct sigcontext mcontext;
  } *const uc = context;
  (void)info;
  fp_learn((const char *)uc->mcontext.fpstate);
  if (signal == SIGIO) mail = 1;
  alarm = 1;
  if (uc->mcontext.rip >= (u64)sleep_start && uc->mcontext.rip < (u64)sleep_end) uc->mcontext.rip = (u64)sleep_interrupted;
}

// Commands for threads of a list. How many there were.
static u32 look(const struct list *l) {
  u32 found = 0;
  for (struct thread *t = l->first, *next; t != 0; t = next) {
    next = t->next;
    if (load(&t->block->state) != RF_STATE_GUEST) continue;
    found++;
    serve(t);
    if (t->gone || (next != 0 && next->gone)) break; // seen again in the next round
  }
  return found;
}

static void take_stop(int tid, int status) {
  if ((status & 0xff) != 0x7f) {
    ended(tid);
    return;
  }
  struct thread *t = find_thread(tid);
  if (t != 0) stopped(t, status);
  else sys3(__NR_kill, (u64)tid, SIGKILL, 0); // of a process whose maker died: nothing runs that is not known
}

// Takes one stop if there is any.
static int take_any(void) {
  int status;
  const s64 tid = sys4(__NR_wait4, (u64)-1, (u64)&status, WNOHANG | WALL, 0);
  if (tid <= 0) return 0;
  take_stop((int)tid, status);
  return 1;
}

// How often to look before sleep.
static u32 patience(void) {
  const u32 n = load(&CONTROL->spin);
  return n != 0 || load(&CONTROL->asleep) != 0 ? n : load(&CONTROL->short_spin);
}

// The Sentry is told that from now on it has to wake us. How many commands came meanwhile: they are found by the next look.
static u32 fall_asleep(void) {
  u32 late = 0;
  for (struct thread *t = shown.first, *next; t != 0; t = next) {
    next = t->next;
    u32 expected = RF_STATE_STOPPED;
    if (__atomic_compare_exchange_n(&t->block->state, &expected, RF_STATE_SLEEPING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      set_status(t, ASLEEP);
    } else {
      late++;
    }
  }
  return late;
}

// Whoever waits for nothing but us says so.
static int slow(const struct list *l) { return l->first == l->last && load(&l->first->block->command) == RF_COMMAND_SLEEP; }

void loop(void) {
  int status;
  u32 looks = 0;
  for (;;) {
    bury();
    if (alarm) {
      alarm = 0;
      if (mail) {
        mail = 0;
        take_messages(MSG_DONTWAIT);
      }
      look(&asleep);
    }
    if (shown.first != 0) {
      if (look(&shown) != 0) {
        looks = 0;
        continue;
      }
      if (looks++ < patience() && !slow(&shown)) {
        if (looks % LOOKS == 0 && running != 0 && take_any()) looks = 0;
        else rf_pause();
        continue;
      }
      if (fall_asleep() != 0) continue;
    }
    looks = 0;
    const s64 tid = tracer_sleep(&status, &alarm);
    if (tid > 0) take_stop((int)tid, status);
    else if (tid == -ECHILD) take_messages(0); // no guest, and no seed
  }
}
