// Vector state as a signal frame has it, to guest memory and back.
#include "../common.h"

#define MXCSR_OFFSET 24
#define MXCSR_INITIAL 0x1f80U
#define MXCSR_MASK_OFFSET 28

// The trailer that this processor's frames have, learnt from the first of them. Zero: FXSAVE alone.
struct fp_software fp_known;

// Bytes of the vector state in a frame at `fp`, with its trailer.
u32 fp_bytes(const char *fp) {
  const struct fp_software *sw = (const struct fp_software *)(fp + FP_SW_OFFSET);
  return sw->magic1 == FP_MAGIC1 ? sw->extended_size : FP_LEGACY;
}

void fp_learn(const char *fp) {
  const struct fp_software *sw = (const struct fp_software *)(fp + FP_SW_OFFSET);
  if (sw->magic1 == FP_MAGIC1 && fp_known.magic1 == 0 && sw->extended_size <= FP_LIMIT) fp_known = *sw;
}

// Makes the plain XSAVE area at `fp` what a frame has.
void fp_mark(char *fp) {
  if (fp_known.magic1 == 0) return;
  memcpy(fp + FP_SW_OFFSET, &fp_known, sizeof fp_known);
  const u32 magic2 = FP_MAGIC2;
  __builtin_memcpy(fp + fp_known.state_size, &magic2, 4);
}

// Bytes of the vector state in a frame.
u32 fp_frame_bytes(void) { return fp_known.magic1 == 0 ? FP_LEGACY : fp_known.extended_size; }

// The state at `fp` as a frame has it, to guest memory.
s64 fp_save(const char *fp, u64 address) { return guest_write(address, fp, fp_bytes(fp)); }

static void fp_reset(char *fp, u64 bytes) {
  u32 mask;
  __builtin_memcpy(&mask, fp + MXCSR_MASK_OFFSET, 4);
  memset(fp, 0, FP_SW_OFFSET);
  if (bytes > FP_LEGACY) memset(fp + FP_LEGACY, 0, bytes - FP_LEGACY);
  fp[0] = 0x7f;
  fp[1] = 0x03;
  const u32 mxcsr = MXCSR_INITIAL;
  __builtin_memcpy(fp + MXCSR_OFFSET, &mxcsr, 4);
  __builtin_memcpy(fp + MXCSR_MASK_OFFSET, &mask, 4);
}

// Loads the frame's vector state as rt_sigreturn(2) does: with a whole extended area if its marks are right, else only the 512 bytes
// of FXSAVE. What would make the processor refuse the state is -EINVAL. The frame's own marks never change.
s64 fp_load(char *fp, u64 address) {
  const struct fp_software own = *(const struct fp_software *)(fp + FP_SW_OFFSET);
  const u64 bytes = own.magic1 == FP_MAGIC1 ? own.state_size : FP_LEGACY;
  u32 own_mask;
  __builtin_memcpy(&own_mask, fp + MXCSR_MASK_OFFSET, 4);
  if (address == 0) {
    fp_reset(fp, bytes);
    return 0;
  }
  struct fp_software sw;
  u32 magic2 = 0;
  u64 header[8];
  if (guest_read(&sw, address + FP_SW_OFFSET, sizeof sw) < 0) return -EFAULT;
  int extended = bytes > FP_LEGACY && sw.magic1 == FP_MAGIC1 && sw.state_size == own.state_size && sw.extended_size == own.extended_size;
  if (extended && guest_read(&magic2, address + bytes, 4) < 0) return -EFAULT;
  if (magic2 != FP_MAGIC2) extended = 0;
  if (extended) {
    if (guest_read(header, address + FP_LEGACY, FP_HEADER) < 0) return -EFAULT;
    if (header[0] & ~own.features) return -EINVAL;
    for (int i = 1; i < 8; i++) {
      if (header[i] != 0) return -EINVAL;
    }
  }
  u32 mxcsr;
  if (guest_read(&mxcsr, address + MXCSR_OFFSET, 4) < 0) return -EFAULT;
  if (mxcsr & ~(own_mask ? own_mask : 0xffbfU)) return -EINVAL;
  s64 r = guest_read(fp, address, FP_SW_OFFSET);
  if (r == 0 && extended) r = guest_read(fp + FP_LEGACY + FP_HEADER, address + FP_LEGACY + FP_HEADER, bytes - FP_LEGACY - FP_HEADER);
  if (!extended) {
    memset(header, 0, sizeof header);
    header[0] = 3; // x87 and SSE
  }
  if (bytes > FP_LEGACY) memcpy(fp + FP_LEGACY, header, FP_HEADER);
  // Another thread may have changed guest memory meanwhile: what counts is what was checked.
  __builtin_memcpy(fp + MXCSR_OFFSET, &mxcsr, 4);
  __builtin_memcpy(fp + MXCSR_MASK_OFFSET, &own_mask, 4);
  if (r < 0) fp_reset(fp, bytes);
  return r;
}
