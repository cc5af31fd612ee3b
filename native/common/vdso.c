// The host's vDSO in guest processes.
#include "common.h"

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2

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
  for (u32 i = 0; i < 16 && mapped(from - 4096); i++) from -= 4096;
  vdso.data = from;
  const u64 end = vdso.address + vdso.size;
  const u64 first = from;
  while (from < end) {
    u64 length = end - from;
    for (; length > 0; length -= 4096) {
      const s64 r = sys6(__NR_mremap, from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, RF_VDSO_BASE + (from - first), 0);
      if (r >= 0) break;
    }
    if (length == 0) break; // nothing moved yet, or a half that cannot serve
    from += length;
  }
  if (from < end) return vdso.address + vdso.size <= RF_STUB_BASE || vdso.data >= RF_VDSO_BASE;
  vdso.address = RF_VDSO_BASE + (vdso.address - first);
  vdso.data = RF_VDSO_BASE;
  return 1;
}
