// The host's vDSO in guest processes.
#include "common.h"

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MOST_PAGES 16 // of each half

struct vdso vdso;

struct elf_header {
  unsigned char ident[16];
  uint16_t type, machine;
  u32 version;
  u64 entry, phoff, shoff;
  u32 flags;
  uint16_t ehsize, phentsize, phnum;
};

struct program_header {
  u32 type, flags;
  u64 offset, vaddr, paddr, filesz, memsz, align;
};

static int mapped(u64 page) {
  unsigned char resident;
  return sys3(__NR_mincore, page, 4096, (u64)&resident) == 0;
}

static int moved(u64 from, u64 length, u64 to) { return sys6(__NR_mremap, from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0) >= 0; }

// Moves the mapping at `from`, which moves as a whole or not at all: its bytes, 0 if it stays. It is one of those up to `end`, where the image
// ends; its mapping may end behind that.
static u64 move_one(u64 from, u64 end, u64 to) {
  for (u64 length = end - from; length > 0; length -= 4096) {
    if (moved(from, length, to)) return length;
  }
  for (u64 last = end; last < end + MOST_PAGES * 4096 && mapped(last); last += 4096) {
    if (moved(from, last + 4096 - from, to)) return last + 4096 - from;
  }
  return 0;
}

// Moves the vDSO and the data pages before it out of the guests' address range, mapping by mapping: they keep their distances. A host
// that seals them leaves them where they are, and the Sentry keeps guests off that place. 0: there they are in our own way.
int move_vdso(u64 address) {
  vdso.address = address;
  if (address == 0) return 1;
  const struct elf_header *elf = (const struct elf_header *)vdso.address;
  const struct program_header *ph = (const struct program_header *)(vdso.address + elf->phoff);
  for (u32 i = 0; i < elf->phnum; i++) {
    if (ph[i].type == 1 && ph[i].memsz > vdso.size) vdso.size = ph[i].memsz;
  }
  vdso.size = (vdso.size + 4095) & ~4095ULL;
  u64 from = vdso.address;
  for (u32 i = 0; i < MOST_PAGES && mapped(from - 4096); i++) from -= 4096;
  vdso.data = from;
  const u64 end = vdso.address + vdso.size;
  const u64 first = from;
  while (from < end) {
    const u64 length = move_one(from, end, RF_VDSO_BASE + (from - first));
    if (length == 0) break;
    from += length;
  }
  if (from == first) return vdso.address + vdso.size <= RF_STUB_BASE || vdso.data >= RF_VDSO_BASE;
  if (from < end) return 0; // one half here, one there: it cannot serve
  vdso.size = from - vdso.address;
  vdso.address = RF_VDSO_BASE + (vdso.address - first);
  vdso.data = RF_VDSO_BASE;
  return 1;
}
