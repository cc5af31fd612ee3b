// The guest's page tables, and the memory slots behind them.
//
// A guest-physical address stands for one of the process's own: granules of 64 MiB that the guest touches get numbers in the order of their
// first use, and a memory slot each. So an entry for an address never points anywhere else: it is there or not, with these rights or those,
// and once a table was made for 2 MiB it is theirs for ever. What pages are in memory, copied on write or not there is the host kernel's
// business.
//
// Nothing here flushes a processor's translations. An entry that grows rights is found when the lack of them faults. One that loses them is
// changed before the host call that takes the memory's own rights: that call makes the host's kernel drop what it told the VM about these
// pages, and whoever touches them next has these tables read anew.
#include "kvm.h"

#define GRANULE_BITS 26
#define GRANULE (1ULL << GRANULE_BITS)
#define MOST_GRANULES 32000
#define FIRST_GRANULE (4ULL << 30) // guest-physical: above the arena and what KVM keeps for itself
#define USER_BITS 47
#define NUMBERS_BYTES (sizeof(u16) << (USER_BITS - GRANULE_BITS))
#define numbers ((u16 *)NUMBERS_BASE) // of granules, from 1
#define REGION (1ULL << 21) // what one table of the last level covers

#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4

#define PROBE (2ULL << 30) // guest-physical, and offset from ARENA_BASE
#define PROBE_PAGES 128
#define SLOT_PROBE ARENA_SLOTS
#define SLOT_GRANULE (ARENA_SLOTS + 1)

static u32 lock;
static u64 arena_used = PAGE_FREE;
static u32 arena_slots; // in this VM
static u32 granules;
static u64 most_granules = MOST_GRANULES;
static u32 places[MOST_GRANULES]; // granules by number
static u32 here[MOST_GRANULES / 32 + 1]; // has this VM a slot for it?
static u32 probe_here;
static u64 probe_used;

void lock_space(void) {
  u32 seen = 0;
  if (__atomic_compare_exchange_n(&lock, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE) != 0) sys6(__NR_futex, (u64)&lock, FUTEX_WAIT, 2, 0, 0, 0);
}

void unlock_space(void) {
  if (__atomic_exchange_n(&lock, 0, __ATOMIC_RELEASE) == 2) sys6(__NR_futex, (u64)&lock, FUTEX_WAKE, 1, 0, 0, 0);
}

u64 *arena_page(u64 number) { return (u64 *)(ARENA_BASE + number * PAGE); }

static s64 set_slot(u32 slot, u64 physical, u64 virtual, u64 bytes) {
  const struct kvm_userspace_memory_region r = {slot, 0, physical, bytes, virtual};
  return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, (u64)&r);
}

static u64 arena_end(u32 slots) { return slots == 0 ? 0 : ARENA_FIRST + (u64)(slots - 1) * 2 * ARENA_FIRST; }

// `bits` is what the VM's processors have for an address, `slots` what KVM has.
void tables_prepare(u32 bits, u64 slots) {
  const u64 fit = bits < 36 || bits > 52 ? 0 : ((1ULL << bits) - FIRST_GRANULE) >> GRANULE_BITS;
  if (fit < most_granules) most_granules = fit;
  if (slots - SLOT_GRANULE < most_granules) most_granules = slots - SLOT_GRANULE;
  const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  const u64 prot = PROT_READ | PROT_WRITE;
  if (sys6(__NR_mmap, ARENA_BASE, arena_end(ARENA_SLOTS) * PAGE, prot, flags, (u64)-1, 0) < 0) die(81);
  if (sys6(__NR_mmap, ARENA_BASE + PROBE, PROBE_PAGES * PAGE, prot, flags, (u64)-1, 0) < 0) die(81);
  if (sys6(__NR_mmap, NUMBERS_BASE, NUMBERS_BYTES, prot, flags, (u64)-1, 0) < 0) die(81);
  sys3(__NR_madvise, ARENA_BASE, arena_end(ARENA_SLOTS) * PAGE, MADV_NOHUGEPAGE);
  const u64 link = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_DONE;
  arena_page(PAGE_TOP)[511] = PAGE_KERNEL * PAGE | link;
  arena_page(PAGE_KERNEL)[511] = (PAGE_KERNEL + 1) * PAGE | link;
  for (u64 i = 0; i < 3; i++) arena_page(PAGE_KERNEL + 1)[i] = (PAGE_KERNEL + 2 + i) * PAGE | link;
}

// Maps an arena page in the kernel half.
void tables_map_kernel(u64 virtual, u64 number, u64 flags) {
  const u64 i = (virtual - KERNEL_BASE) / PAGE;
  arena_page(PAGE_KERNEL + 2 + i / 512)[i % 512] = number * PAGE | PTE_PRESENT | PTE_DONE | flags;
}

// The slots that a new VM begins with. 0 or -errno.
s64 tables_slots(void) {
  while (arena_slots == 0 || arena_end(arena_slots) < arena_used) {
    const u64 from = arena_end(arena_slots);
    const s64 r = set_slot(arena_slots, from * PAGE, (u64)arena_page(from), (arena_end(arena_slots + 1) - from) * PAGE);
    if (r < 0) return r;
    arena_slots++;
  }
  return 0;
}

// A fresh page of the arena, zero: there is none.
u64 arena_take(void) {
  if (arena_used == PAGE_VCPUS) arena_used += MOST_VCPUS;
  if (arena_used == arena_end(ARENA_SLOTS)) return 0;
  const u64 number = arena_used++;
  if (tables_slots() < 0) {
    arena_used--;
    return 0;
  }
  return number;
}

static u64 entry_of(u64 address, u32 prot) {
  const u64 at = address >> GRANULE_BITS;
  if ((prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) == 0) return 0;
  u64 e = FIRST_GRANULE + ((u64)(numbers[at] - 1) << GRANULE_BITS) + (address & (GRANULE - 1));
  e |= PTE_PRESENT | PTE_USER | PTE_DONE;
  if (prot & PROT_WRITE) e |= PTE_WRITE;
  if (!(prot & PROT_EXEC)) e |= PTE_NX;
  return e;
}

// Where the table of the last level for an address is entered; NULL: there is no such table, or no room for it.
static u64 *region_of(u64 address, int make) {
  u64 *t = arena_page(PAGE_TOP);
  for (u32 shift = 39; shift > 21; shift -= 9) {
    u64 *e = &t[address >> shift & 511];
    if (*e == 0) {
      const u64 number = make ? arena_take() : 0;
      if (number == 0) return 0;
      __atomic_store_n(e, number * PAGE | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_DONE, __ATOMIC_RELEASE);
    }
    t = arena_page((*e & PTE_ADDRESS) / PAGE);
  }
  return &t[address >> 21 & 511];
}

static u64 *table_of(u64 region) { return arena_page((region & PTE_ADDRESS) / PAGE); }

// Enters what the record says about [start, end), which is in one region, into its table.
static void fill(u64 *table, u64 start, u64 end) {
  while (start < end) {
    u64 stop;
    const u32 prot = area_at(start, &stop);
    if (stop > end) stop = end;
    for (; start < stop; start += PAGE) __atomic_store_n(&table[start >> 12 & 511], entry_of(start, prot), __ATOMIC_RELEASE);
  }
}

static u64 next_of(u64 address, u32 shift, u64 end) {
  const u64 next = ((address >> shift) + 1) << shift;
  return next < end ? next : end;
}

// Has the tables that there are say about [start, end) what the record says, or with `nothing` that nothing is there.
static void update(u64 start, u64 end, int nothing) {
  if (end > 1ULL << USER_BITS) end = 1ULL << USER_BITS;
  while (start < end) {
    const u64 *t = arena_page(PAGE_TOP);
    u32 shift = 39;
    for (; shift > 21; shift -= 9) {
      const u64 e = t[start >> shift & 511];
      if (e == 0) break;
      t = arena_page((e & PTE_ADDRESS) / PAGE);
    }
    const u64 stop = next_of(start, shift, end);
    if (shift == 21 && t[start >> 21 & 511] != 0) {
      u64 *table = table_of(t[start >> 21 & 511]);
      if (nothing) {
        for (u64 a = start; a < stop; a += PAGE) __atomic_store_n(&table[a >> 12 & 511], 0, __ATOMIC_RELEASE);
      } else {
        fill(table, start, stop);
      }
    }
    start = stop;
  }
}

// Sees to it that the granule of an address has a number, and a slot in this VM. 0 or -errno.
static s64 provide(u64 address) {
  const u64 at = address >> GRANULE_BITS;
  if (numbers[at] == 0) {
    if (granules >= most_granules) return -ENOMEM;
    places[granules] = (u32)at;
    numbers[at] = (u16)++granules;
  }
  const u32 i = numbers[at] - 1U;
  if (here[i / 32] & 1U << i % 32) return 0;
  const s64 r = set_slot(SLOT_GRANULE + i, FIRST_GRANULE + ((u64)i << GRANULE_BITS), at << GRANULE_BITS, GRANULE);
  if (r < 0) return r;
  here[i / 32] |= 1U << i % 32;
  // Its tables, made in the process that this one is a copy of, count again.
  for (u64 a = at << GRANULE_BITS; a < (at + 1) << GRANULE_BITS; a += REGION) {
    u64 *e = region_of(a, 0);
    if (e != 0 && *e != 0) __atomic_store_n(e, *e | PTE_PRESENT, __ATOMIC_RELEASE);
  }
  return 0;
}

// In a copy of the process: it has a VM of its own, which begins without the slots of the other. The tables are copied with all memory.
void tables_forget(void) {
  lock = 0;
  arena_slots = 0;
  probe_here = 0;
  memset(here, 0, sizeof here);
  for (u32 i = 0; i < granules; i++) {
    const u64 start = (u64)places[i] << GRANULE_BITS;
    for (u64 a = start; a < start + GRANULE; a += REGION) {
      u64 *e = region_of(a, 0);
      if (e == 0) break; // all 32 are in one table
      if (*e & PTE_PRESENT) *e &= ~PTE_PRESENT;
    }
  }
}

static int permits(u32 prot, u32 error) {
  if (error & ERROR_WRITE) return (prot & PROT_WRITE) != 0;
  if (error & ERROR_FETCH) return (prot & PROT_EXEC) != 0;
  return (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) != 0;
}

// A page fault of the guest: its tables become what the record says, or it is the guest's own.
enum fault tables_fault(u64 address, u32 error) {
  enum fault result = FAULT_AGAIN;
  u64 end;
  if (address >> USER_BITS != 0) return FAULT_NO_AREA;
  lock_space();
  const u32 prot = area_at(address, &end);
  if (!permits(prot, error)) {
    result = prot == 0 ? FAULT_NO_AREA : FAULT_DENIED;
  } else if (provide(address) < 0) {
    result = FAULT_FULL;
  } else {
    u64 *e = region_of(address, 1);
    const u64 start = address & ~(REGION - 1);
    if (e == 0) {
      result = FAULT_FULL;
    } else if (*e == 0) {
      const u64 number = arena_take();
      if (number == 0) {
        result = FAULT_FULL;
      } else {
        fill(arena_page(number), start, start + REGION);
        __atomic_store_n(e, number * PAGE | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_DONE, __ATOMIC_RELEASE);
      }
    }
  }
  unlock_space();
  return result;
}

// mremap(2) was done: [to, ...) has what [from, ...) had.
static void record_move(u64 from, u64 old, u64 length, u64 to, u64 flags) {
  const u64 kept = old == 0 || old > length ? length : old;
  u32 prot = 0;
  u64 end;
  if (from != to) {
    area_set(to, to + length, 0);
    for (u64 a = from; a < from + kept;) {
      prot = area_at(a, &end);
      if (end > from + kept) end = from + kept;
      area_set(to + (a - from), to + (end - from), prot);
      a = end;
    }
    if (old != 0 && !(flags & MREMAP_DONTUNMAP)) area_set(from, from + old, 0);
  } else {
    prot = old == 0 ? 0 : area_at(from + kept - 1, &end);
    if (old > length) area_set(from + length, from + old, 0);
  }
  if (length > kept) area_set(to + kept, to + length, prot);
}

static u64 whole_pages(u64 length) { return (length + PAGE - 1) & ~(PAGE - 1); }

// A host call that the Sentry asks for. What takes memory away, or rights to it, is done in the tables first.
s64 memory_call(s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  if (nr != __NR_mmap && nr != __NR_munmap && nr != __NR_mprotect && nr != __NR_mremap) return sys6(nr, a, b, c, d, e, f);
  const u64 end = a + whole_pages(b);
  const u64 to = nr == __NR_mremap && (d & MREMAP_FIXED) ? e : a;
  const u64 to_end = nr == __NR_mremap ? to + whole_pages(c) : to;
  if (end < a || to_end < to) return -EINVAL;
  lock_space();
  if (areas_full()) {
    unlock_space();
    return -ENOMEM;
  }
  update(a, end, 1);
  if (to_end > to) update(to, to_end, 1);
  const s64 r = sys6(nr, a, b, c, d, e, f);
  if (r >= 0) {
    if (nr == __NR_mremap) {
      record_move(a, whole_pages(b), whole_pages(c), (u64)r, d);
    } else {
      area_set(a, end, nr == __NR_munmap ? 0 : (u32)(c & 7) | AREA_MAPPED);
    }
  }
  update(a, end, 0);
  if (to_end > to) update(to, to_end, 0);
  unlock_space();
  return r;
}

// KVM with shadow page tables keeps what it has read of ours until a slot goes away.
void tables_drop_shadows(void) {
  lock_space();
  if (probe_here) set_slot(SLOT_PROBE, PROBE, ARENA_BASE + PROBE, 0);
  probe_here = set_slot(SLOT_PROBE, PROBE, ARENA_BASE + PROBE, PROBE_PAGES * PAGE) == 0;
  unlock_space();
}

// Tables in which nothing is but the kernel half, for one thread that looks for an address by its faults: the space is locked from here to
// probe_done(). Their address in the VM goes to `top`.
s64 probe_tables(u64 *top) {
  lock_space();
  if (!probe_here) probe_here = set_slot(SLOT_PROBE, PROBE, ARENA_BASE + PROBE, PROBE_PAGES * PAGE) == 0;
  if (!probe_here) {
    unlock_space();
    return -ENOMEM;
  }
  sys3(__NR_madvise, ARENA_BASE + PROBE, PROBE_PAGES * PAGE, MADV_DONTNEED);
  arena_page(PROBE / PAGE)[511] = arena_page(PAGE_TOP)[511];
  probe_used = 1;
  *top = PROBE;
  return 0;
}

// Enters one page there, as the record has it. 0, -EFAULT: the guest may not do this, or -ENOMEM.
s64 probe_map(u64 address, u32 error) {
  u64 end;
  const u32 prot = address >> USER_BITS ? 0 : area_at(address, &end);
  if (!permits(prot, error)) return -EFAULT;
  if (provide(address) < 0) return -ENOMEM;
  u64 *t = arena_page(PROBE / PAGE);
  for (u32 shift = 39; shift > 12; shift -= 9) {
    u64 *e = &t[address >> shift & 511];
    if (*e == 0) {
      if (probe_used == PROBE_PAGES) return -ENOMEM;
      *e = (PROBE + probe_used++ * PAGE) | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_DONE;
    }
    t = arena_page((*e & PTE_ADDRESS) / PAGE);
  }
  t[address >> 12 & 511] = entry_of(address & ~(PAGE - 1), prot);
  return 0;
}

void probe_done(void) {
  unlock_space();
  tables_drop_shadows();
}
