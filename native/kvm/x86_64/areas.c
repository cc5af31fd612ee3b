// What the guest has mapped, and how it may use it: a list of addresses without gaps between equals, in order. The Sentry knows areas of
// its own; this record is of the calls that were carried out, and has nothing but what a page fault asks.
#include "kvm.h"

struct area {
  u64 start, end;
  u64 prot;
};

#define MOST_AREAS 131072 // twice vm.max_map_count, as hosts have it
#define AREAS ((struct area *)RECORD_BASE)

static u64 count;

void areas_prepare(void) {
  const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (sys6(__NR_mmap, RECORD_BASE, MOST_AREAS * sizeof(struct area), PROT_READ | PROT_WRITE, flags, (u64)-1, 0) < 0) die(80);
}

// The first area that ends behind `address`.
static u64 first_after(u64 address) {
  u64 low = 0, high = count;
  while (low < high) {
    const u64 middle = (low + high) / 2;
    if (AREAS[middle].end > address) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Protection at `address`, and how far it holds.
u32 area_at(u64 address, u64 *end) {
  const u64 i = first_after(address);
  if (i == count) {
    *end = ~0ULL;
    return 0;
  }
  const struct area *a = &AREAS[i];
  *end = a->start > address ? a->start : a->end;
  return a->start > address ? 0 : (u32)a->prot;
}

int areas_full(void) { return count + 4 > MOST_AREAS; }

static void replace(u64 from, u64 to, const struct area *put, u64 n) {
  const u64 rest = count - to;
  struct area *a = AREAS;
  if (from + n > to) {
    for (u64 i = rest; i > 0; i--) a[from + n + i - 1] = a[to + i - 1];
  } else if (from + n < to) {
    for (u64 i = 0; i < rest; i++) a[from + n + i] = a[to + i];
  }
  for (u64 i = 0; i < n; i++) a[from + i] = put[i];
  count = from + n + rest;
}

static int joins(const struct area *a, const struct area *b) { return a->end == b->start && a->prot == b->prot; }

// [start, end) has protection `prot` from now on. 0, or -ENOMEM.
s64 area_set(u64 start, u64 end, u32 prot) {
  if (start >= end) return 0;
  if (areas_full()) return -ENOMEM;
  struct area put[3];
  u64 n = 0;
  u64 from = first_after(start);
  u64 to = from;
  while (to < count && AREAS[to].start < end) to++;
  if (to > from && AREAS[from].start < start) put[n++] = (struct area){AREAS[from].start, start, AREAS[from].prot};
  if (prot != 0) put[n++] = (struct area){start, end, prot};
  if (to > from && AREAS[to - 1].end > end) put[n++] = (struct area){end, AREAS[to - 1].end, AREAS[to - 1].prot};
  for (u64 i = 1; i < n; i++) {
    if (!joins(&put[i - 1], &put[i])) continue;
    put[i - 1].end = put[i].end;
    for (u64 k = i; k + 1 < n; k++) put[k] = put[k + 1];
    n--;
    i--;
  }
  if (n > 0 && from > 0 && joins(&AREAS[from - 1], &put[0])) put[0].start = AREAS[--from].start;
  if (n > 0 && to < count && joins(&put[n - 1], &AREAS[to])) put[n - 1].end = AREAS[to++].end;
  replace(from, to, put, n);
  return 0;
}
