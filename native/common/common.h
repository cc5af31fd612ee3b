// What the native halves of several engines have in common. Freestanding.
#ifndef RINGFENCE_COMMON_H
#define RINGFENCE_COMMON_H

#include "../include/context.h"

#include <asm/unistd_64.h>

#pragma GCC visibility push(hidden)

typedef uint64_t u64;
typedef uint32_t u32;
typedef int64_t s64;

#define EFAULT 14
#define EINVAL 22

#if defined(__x86_64__)
#include "x86_64/call.h"
#endif

static inline s64 sys1(s64 nr, u64 a) { return sys3(nr, a, 0, 0); }

// bytes.c: what gcc may call, freestanding or not.
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

// Of the engine: copies from and to the memory of the guest whose event or command is at hand. 0 or -EFAULT.
s64 guest_read(void *to, u64 from, u64 bytes);
s64 guest_write(u64 to, const void *from, u64 bytes);
// Bytes copied, with the NUL if there is one among `limit`; fewer when `from` faults.
u64 guest_read_string(void *to, u64 from, u64 limit);

// fetch.c
u32 fetch(struct rf_block *b, char *window);

// vectors.c
#define FP_MAGIC1 0x46505853U
#define FP_MAGIC2 0x46505845U
#define FP_LEGACY 512
#define FP_HEADER 64
#define FP_SW_OFFSET 464 // struct _fpx_sw_bytes
#define FP_LIMIT 16384   // more than any processor's state

struct fp_software {
  u32 magic1;
  u32 extended_size;
  u64 features;
  u32 state_size;
  u32 padding[7];
};

extern struct fp_software fp_known;
void fp_learn(const char *fp);
u32 fp_bytes(const char *fp);
void fp_mark(char *fp);
u32 fp_frame_bytes(void);
s64 fp_save(const char *fp, u64 address);
s64 fp_load(char *fp, u64 address);

// vdso.c
struct vdso {
  u64 address, size;
  u64 data; // first of the data pages before it
};

extern struct vdso vdso;
int move_vdso(u64 address);

#pragma GCC visibility pop

#endif
