// Vector state of the processor, which is that of the guest thread that stands here, to guest memory and back. See vectors.c.
#include "../sys.h"

// Writes the processor's state to `fp` as the kernel would put it into a frame.
static void save_live(char *fp) {
  if (fp_known.magic1 == 0) {
    __asm__ volatile("fxsave64 (%0)" : : "r"(fp) : "memory");
    return;
  }
  memset(fp + FP_LEGACY, 0, FP_HEADER); // XSAVE reads the header's reserved bytes back
  __asm__ volatile("xsave64 (%0)" : : "r"(fp), "a"((u32)fp_known.features), "d"((u32)(fp_known.features >> 32)) : "memory");
  fp_mark(fp);
}

// The processor's state, that of the guest thread that stands here, to guest memory as a frame has it. 0 or -EFAULT.
s64 fp_save_live(u64 address) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  save_live(buffer);
  return fp_save(buffer, address);
}

// The same the other way round; address 0 is the initial state. 0, -EFAULT or -EINVAL.
s64 fp_load_live(u64 address) {
  char buffer[FP_LIMIT] __attribute__((aligned(64)));
  save_live(buffer);
  const s64 r = fp_load(buffer, address);
  if (fp_known.magic1 == 0) {
    __asm__ volatile("fxrstor64 (%0)" : : "r"(buffer) : "memory");
  } else {
    __asm__ volatile("xrstor64 (%0)" : : "r"(buffer), "a"((u32)fp_known.features), "d"((u32)(fp_known.features >> 32)) : "memory");
  }
  return r;
}
