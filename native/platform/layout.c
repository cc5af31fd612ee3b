// Prints src/platform/common/layout.ts from native/include/context.h.
#include "../include/context.h"

#include <stdio.h>

static void number(const char *name, unsigned long long value) {
  printf("export const %s = %#llx;\n", name, value);
}

// A word index (32-bit words) into a block.
static void word(const char *name, size_t offset) {
  printf("export const %s = %zu;\n", name, offset / 4);
}

#define N(n) number(#n, RF_##n)
#define W(n, field) word("W_" #n, offsetof(struct rf_block, field))

int main(void) {
  printf("// Generated from native/include/context.h by native/platform/build.sh --update-layout. Do not edit.\n\n");
  printf("// Addresses and sizes, bytes.\n");
  N(MIN_ADDRESS);
  N(STUB_BASE);
  N(STUB_END);
  N(VDSO_BASE);
  N(CONTEXTS);
  N(BLOCK_SIZE);
  N(WINDOWS);
  N(WINDOW_DATA);
  N(WINDOW_SIZE);
  N(WINDOWS_OFFSET);
  N(REGION_SIZE);
  N(IN_RANGES);
  N(OUT_RANGES);
  N(CONTROL_SIZE);
  N(INTERRUPT_SIGNAL);
  printf("\n// State, event and command words.\n");
  N(STATE_NONE);
  N(STATE_GUEST);
  N(STATE_STOPPED);
  N(STATE_SLEEPING);
  N(EVENT_SYSCALL);
  N(EVENT_FAULT);
  N(EVENT_INTERRUPTED);
  N(EVENT_RESTART);
  N(EVENT_SITE);
  N(EVENT_INLINE);
  N(COMMAND_INLINE);
  N(IN_INLINE);
  N(OUT_INLINE);
  N(COMMAND_RESUME);
  N(COMMAND_RESUME_FULL);
  N(COMMAND_SAVES);
  N(COMMAND_LOADS);
  N(COMMAND_HOSTCALL);
  N(COMMAND_MMAP_FD);
  N(COMMAND_CLONE);
  N(COMMAND_FORK);
  N(COMMAND_FP_SAVE);
  N(COMMAND_FP_LOAD);
  N(COMMAND_EXIT);
  N(COMMAND_USAGE);
  N(COMMAND_PATCH);
  N(COMMAND_SLEEP);
  N(COMMAND_UNPATCH);
  N(NATIVE_FUTEX);
  N(NATIVE_MADVISE);
  N(COMMAND_MAPS);
  N(COMMAND_START);
  printf("\n// Messages.\n");
  N(MESSAGE_INIT);
  N(MESSAGE_NEW);
  N(MESSAGE_FORK);
  N(MESSAGE_MAP);
  N(MESSAGE_HELLO);
  N(MESSAGE_INFO);
  N(MESSAGE_REFUSED);
  N(MESSAGE_MAPS);
  N(MESSAGE_STUB);
  N(MAPS);
  N(MAPS_FDS);
  N(MAPS_BYTES);
  printf("export const MAP_COPY = %d;\n", RF_MAP_COPY);
  printf("\n// Fields of a block as indices of 32-bit words.\n");
  W(STATE, state);
  W(COMMAND, command);
  W(EVENT, event);
  W(WANT_INTERRUPT, want_interrupt);
  W(TID, tid);
  W(FAULT_SIGNAL, fault_signal);
  W(FAULT_CODE, fault_code);
  W(FAULT_ADDRESS, fault_address);
  W(FAULT_TRAP, fault_trap);
  W(FAULT_ERROR, fault_error);
  W(CALL_NR, call_nr);
  W(CALL_ARGS, call_args);
  W(FP_SIZE, fp_size);
  W(COLD, cold);
  W(NATIVE, native);
  W(NATIVE_WAIT, native_wait);
  W(USAGE_READY, usage_ready);
  W(REGS, regs);
  W(OUT, out);
  printf("\n// Fields of the control page.\n");
  word("CONTROL_ASLEEP", offsetof(struct rf_control, asleep));
  word("CONTROL_SPIN", offsetof(struct rf_control, spin));
  word("CONTROL_SHORT_SPIN", offsetof(struct rf_control, short_spin));
  word("CONTROL_PATCH", offsetof(struct rf_control, patch));
  return 0;
}
