// The bases of the FS and GS segments.
#include "../../../stub/sys.h"
#include "../systrap.h"

u64 get_base(int gs) {
  u64 base = 0;
  if (HAS_FSGSBASE) {
    if (gs) {
      __asm__ volatile("rdgsbase %0" : "=r"(base));
    } else {
      __asm__ volatile("rdfsbase %0" : "=r"(base));
    }
  } else {
    sys3(__NR_arch_prctl, gs ? ARCH_GET_GS : ARCH_GET_FS, (u64)&base, 0);
  }
  return base;
}

// A base that is no user address would fault in the processor: arch_prctl(2) checks it.
void set_base(int gs, u64 base) {
  if (base == get_base(gs)) return;
  if (HAS_FSGSBASE && base < (1ULL << 47)) {
    if (gs) {
      __asm__ volatile("wrgsbase %0" : : "r"(base));
    } else {
      __asm__ volatile("wrfsbase %0" : : "r"(base));
    }
  } else {
    sys3(__NR_arch_prctl, gs ? ARCH_SET_GS : ARCH_SET_FS, base, 0);
  }
}
