// Measures system calls as a program makes them, through the C library's wrappers.
//
//   guest [--ms N] [--fixtures DIR] [--scratch DIR] [--busy N] [--files N] [--tasks N] [--maps N] [--crowd DIR] ROW...
//
// Each row prints one line: `NAME MIN MEDIAN MEAN`, nanoseconds an operation over batches that fill N ms together, or `NAME ! REASON`.
// With surroundings (--files and so on) a line `# KIND N` says how many there were in the end, where the host gave less than was asked for.
// Without a row it lists the names.
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BATCHES = 200, BATCHES = 12 };

const char *fixtures = ".", *scratch = "/tmp", *crowd;
static const char *current;
static const struct row *const families[] = {file_rows, memory_rows, process_rows, wake_rows};

void fail(const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  printf("%s ! %s\n", current, text);
  fflush(stdout);
  _exit(3);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static double timed(const struct row *row, long n) {
  double start = now();
  row->op(n);
  return now() - start;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Finds how many operations make a batch of the budget's share, then runs batches until the budget is used.
static void measure(const struct row *row, double budget) {
  if (row->prepare) row->prepare();
  long n = 1;
  double took = timed(row, n);
  while (took < budget / BATCHES && n < 1L << 40) {
    double factor = took > 0 ? budget / BATCHES / took * 1.2 : 8;
    n = (long)(n * (factor > 8 ? 8 : factor < 1.5 ? 1.5 : factor)) + 1;
    took = timed(row, n);
  }
  static double batch[MAX_BATCHES];
  double sum = 0;
  int count = 0;
  do {
    double t = timed(row, n);
    sum += t;
    batch[count++] = t / n;
  } while (count < MAX_BATCHES && (sum < budget || count < 3));
  qsort(batch, count, sizeof *batch, ascending);
  printf("%s %.2f %.2f %.2f\n", row->name, batch[0], batch[count / 2], sum / count / n);
  fflush(stdout);
}

static const struct row *find(const char *name) {
  for (unsigned f = 0; f < sizeof families / sizeof *families; f++)
    for (const struct row *r = families[f]; r->name; r++)
      if (!strcmp(r->name, name)) return r;
  fprintf(stderr, "guest: no row '%s'\n", name);
  exit(2);
}

static void list(void) {
  for (unsigned f = 0; f < sizeof families / sizeof *families; f++)
    for (const struct row *r = families[f]; r->name; r++) puts(r->name);
}

static void surround(const char *kind, long n, long (*make)(long)) {
  if (n == 0) return;
  long made = make(n);
  if (made != n) printf("# %s %ld\n", kind, made);
}

static void usage(const char *text) {
  fprintf(stderr, "guest: %s\n", text);
  exit(2);
}

int main(int argc, char **argv) {
  double budget = 200e6;
  long busy = 0, files = 0, tasks = 0, maps = 0;
  int i = 1;
  for (; i < argc && !strncmp(argv[i], "--", 2); i += 2) {
    const char *option = argv[i] + 2, *value = argv[i + 1];
    if (!value) usage("an option lacks its value");
    if (!strcmp(option, "ms")) budget = atof(value) * 1e6;
    else if (!strcmp(option, "fixtures")) fixtures = value;
    else if (!strcmp(option, "scratch")) scratch = value;
    else if (!strcmp(option, "crowd")) crowd = value;
    else if (!strcmp(option, "busy")) busy = atol(value);
    else if (!strcmp(option, "files")) files = atol(value);
    else if (!strcmp(option, "tasks")) tasks = atol(value);
    else if (!strcmp(option, "maps")) maps = atol(value);
    else usage("an option that there is not");
  }
  if (i == argc) list();
  for (; i < argc; i++) {
    const struct row *row = find(argv[i]);
    current = row->name;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) fail("fork: %m");
    if (pid == 0) {
      surround("files", files, surround_files);
      surround("maps", maps, surround_maps);
      surround("tasks", tasks, surround_tasks);
      surround("busy", busy, surround_busy);
      measure(row, budget);
      _exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) fail("waitpid: %m");
    if (WIFSIGNALED(status)) {
      printf("%s ! ended by signal %d\n", row->name, WTERMSIG(status));
      fflush(stdout);
    }
  }
  return 0;
}
