// Rows: memory calls and page faults.
#include "bench.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, FAULT_PAGES = 2048, MAPPED_PAGES = 4 };

static char *area;

static void op_mmap(long n) {
  while (n-- > 0) {
    char *p = mmap(NULL, MAPPED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) fail("mmap: %m");
    for (int i = 0; i < MAPPED_PAGES; i++) p[i * PAGE] = 1;
    MUST(munmap(p, MAPPED_PAGES * PAGE));
  }
}

// First touches of pages, one at a time; the call that gives all of them back is 1 of 2,048 touches.
static void prepare_fault(void) {
  area = mmap(NULL, (long)FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) fail("mmap: %m");
  // Huge pages would make one fault of 512; a kernel without them refuses the advice.
  madvise(area, (long)FAULT_PAGES * PAGE, MADV_NOHUGEPAGE);
}

static void op_fault(long n) {
  for (long i = 0; n-- > 0; i = (i + 1) % FAULT_PAGES) {
    if (i == 0) MUST(madvise(area, (long)FAULT_PAGES * PAGE, MADV_DONTNEED));
    area[i * PAGE] = 1;
  }
}

// One operation is a call of brk: the break goes up and down in turns.
static void op_brk(long n) {
  char *base = sbrk(0);
  for (long i = 0; i < n; i++)
    if (brk(i & 1 ? base : base + 65536) < 0) fail("brk: %m");
  MUST(brk(base));
}

static void prepare_mprotect(void) {
  area = mmap(NULL, 3 * MAPPED_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) fail("mmap: %m");
  area += MAPPED_PAGES * PAGE;
  MUST(mprotect(area, MAPPED_PAGES * PAGE, PROT_READ | PROT_WRITE));
  memset(area, 1, MAPPED_PAGES * PAGE);
}

// Between areas that allow nothing, so that neither protection makes it one with a neighbour.
static void op_mprotect(long n) {
  for (long i = 0; i < n; i++) MUST(mprotect(area, MAPPED_PAGES * PAGE, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
}

const struct row memory_rows[] = {
    {"mmap", NULL, op_mmap},
    {"fault", prepare_fault, op_fault},
    {"brk", NULL, op_brk},
    {"mprotect", prepare_mprotect, op_mprotect},
    {NULL, NULL, NULL},
};
