// What the guests of the engine's tests share. The same program runs on the host, where nobody answers ask().
#ifndef RINGFENCE_TEST_GUEST_H
#define RINGFENCE_TEST_GUEST_H

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_ASK 1001   // (what, ...): the test answers. ENOSYS on the host
#define SYS_BLOCK 1002 // returns BLOCK_RESULT after somebody's SYS_RELEASE
#define SYS_RELEASE 1003 // how many it released: 1, or 0 when nobody blocks
#define BLOCK_RESULT 77

enum {
  ASK_HOSTED,    // 1
  ASK_PATCHING,  // 1: call sites are rewritten
  ASK_PATCHED,   // how many were
  ASK_REFUSED,   // and how many could not be
  ASK_UNPATCH,   // Context.unpatch
  ASK_STEP,      // (on): single-step from here on, or no more
  ASK_REPAIR,    // (address): the next fault's rdx shall be that
  ASK_STORM,     // (count): interrupts at random moments, until so many have come
  ASK_COUNT,     // (nr): how many calls of that number the kernel saw
  ASK_RESTARTS,  // calls of the engine's own that were interrupted
  ASK_NATIVE,    // (calls): AddressSpace.setNative, a little later
  ASK_INTERRUPT, // (count): interrupts other threads so often, until each has come
  ASK_SAVE,      // (address): fpSaveLater
  ASK_LOAD,      // (address): fpLoadLater
  ASK_FRAME,     // (bytes, vectors or NULL): memory and vector state with a resume that is interrupted at once
  ASK_COLD,      // the most contexts that were cold
  ASK_DELIVER,   // (address, bytes, pieces): bytes of 0x5a, as a call's result
  ASK_NATIVELY,  // how many threads wait in calls of the engine's own
};

static inline void fail_at(const char *what, int line) {
  printf("FAILED: line %d: %s\n", line, what);
  fflush(stdout);
  _exit(1);
}

#define SAME(e, value) \
  do { \
    const long got_ = (e); \
    if (got_ != (long)(value)) { \
      printf("FAILED: line %d: %s is %ld\n", __LINE__, #e, got_); \
      fflush(stdout); \
      _exit(1); \
    } \
  } while (0)

#define MUST(e) ((e) ? (void)0 : fail_at(#e, __LINE__))
#define ask(...) syscall(SYS_ASK, __VA_ARGS__)

#define PAGE 4096

static inline unsigned char *map_at(uint64_t at, size_t bytes) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0);
  unsigned char *p = mmap((void *)at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  MUST(p != MAP_FAILED);
  return p;
}

#endif
