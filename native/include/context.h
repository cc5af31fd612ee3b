// The context region: the one contract between an engine's native half and its TypeScript half.
//
// An address space (one host process) owns one memfd of RF_REGION_SIZE bytes, mapped shared by that process and by the Sentry, and by
// nobody else. It holds an array of context blocks, one for each guest thread, and behind them a data window for each of the first
// RF_WINDOWS of them. Every word of it can be written by the guest at any time. One further page, the control page, is written by the
// Sentry alone and mapped read-only into every address space.
//
// src/platform/common/layout.ts is generated from this file by native/platform/layout.c; build.sh fails when they differ.
#ifndef RINGFENCE_CONTEXT_H
#define RINGFENCE_CONTEXT_H

#include "arch.h"

#include <stddef.h>
#include <stdint.h>

// Where things stand in every guest process. Guests own the addresses below RF_STUB_BASE. All of it lies in one gigabyte, and what a
// single-threaded process touches in 4 MiB of it, so that it costs a fork few page-table pages.
//
// A rewritten call site jumps to a slot by a 32-bit displacement: programs linked to low addresses reach the low island, what stands in
// the last one and a half gigabytes below RF_STUB_BASE reaches the high one.
#define RF_LOW_ISLAND 0x10000ULL          // slots of rewritten call sites; the host's vm.mmap_min_addr must allow it
#define RF_MIN_ADDRESS 0x110000ULL
#define RF_STUB_BASE 0x7ff000000000ULL    // the stub's program: text, constants, the pristine stub's own stack
#define RF_CONTROL_BASE 0x7ff000100000ULL // the control page, read-only
#define RF_REGION_BASE 0x7ff000200000ULL  // the context region: blocks, then windows
#define RF_AREA_BASE 0x7ff000800000ULL    // private areas (signal stacks), one for each context
#define RF_HIGH_ISLAND 0x7ff020000000ULL  // slots of rewritten call sites
#define RF_VDSO_BASE 0x7ff030000000ULL    // where the vDSO and its data pages are moved to, if the host lets us
#define RF_STUB_END 0x7ff040000000ULL

#define RF_CONTEXTS 2048
#define RF_BLOCK_SIZE 512
#define RF_WINDOWS 64
#define RF_WINDOW_DATA 65536 // of one call, one way
#define RF_WINDOW_SIZE (RF_WINDOW_DATA + 4096)
#define RF_WINDOWS_OFFSET (RF_CONTEXTS * RF_BLOCK_SIZE)
#define RF_REGION_SIZE (RF_WINDOWS_OFFSET + RF_WINDOWS * RF_WINDOW_SIZE)
#define RF_ISLAND_SIZE 0x100000
#define RF_AREA_SIZE 65536     // a power of two, and RF_AREA_BASE a multiple of it: rsp tells the context
#define RF_AREA_PRIVATE 1024   // bytes at the top of an area that belong to the stub (struct rf_thread)
#define RF_CONTROL_SIZE 4096

// Descriptors of a guest process.
#define RF_SOCKET_FD 3
#define RF_DOORBELL_FD 4
#define RF_DEVICE_FD 5 // of the engine's program at birth, where it was given a device

// The host signal that interrupts a running thread (SIGUSR1).
#define RF_INTERRUPT_SIGNAL 10

// struct rf_block.state
#define RF_STATE_NONE 0     // no thread
#define RF_STATE_GUEST 1    // the guest runs, or the stub carries out a command: the Sentry waits
#define RF_STATE_STOPPED 2  // an event or an answer is ready: the stub waits and spins
#define RF_STATE_SLEEPING 3 // the same, but the stub sleeps on this word: wake it with futex(2)

// struct rf_block.event: in the low byte EVENT_* of src/platform/platform.ts, in the next one the count of `in` ranges.
#define RF_EVENT_SYSCALL 1
#define RF_EVENT_FAULT 2
#define RF_EVENT_INTERRUPTED 3
#define RF_EVENT_RESTART 5
#define RF_EVENT_INLINE 0x20000 // write(2) of at most RF_IN_INLINE bytes: they stand in call_args[3..5]
#define RF_EVENT_SITE 0x10000 // this call site traps again and again: it is worth rewriting

// struct rf_block.command: in the low byte one of these, in the next one the count of `out` ranges (for the two RESUMEs). What RESUME
// brings is nearest when it is little: RF_COMMAND_INLINE, as many bytes as the highest byte says stand in call_args[2..5] for the address
// in [1]; a single range stands in call_args[1] (address) and [2] (length, offset in the high half) instead of `out`.
#define RF_COMMAND_INLINE 0x80000
#define RF_IN_INLINE 24
#define RF_OUT_INLINE 32
#define RF_COMMAND_RESUME 1      // rax = result, go on
#define RF_COMMAND_RESUME_FULL 2 // all of regs, go on
#define RF_COMMAND_SAVES 0x10000 // RESUME_FULL: first, vector state to guest memory at call_args[0]
#define RF_COMMAND_LOADS 0x20000 // RESUME_FULL: first, vector state from there; if that fails, a SIGSEGV
#define RF_COMMAND_HOSTCALL 3    // call_nr(call_args): answer in result
#define RF_COMMAND_MMAP_FD 4     // receive a descriptor from the socket, mmap(args 0..3, that, arg 5), close it: answer in result
#define RF_COMMAND_CLONE 5       // new thread in context call_args[0]: its tid in result
#define RF_COMMAND_FORK 6        // receive region and socket, copy the process: call_args[0] is 1 if other threads exist
#define RF_COMMAND_FP_SAVE 7     // vector state to guest memory at call_args[0]
#define RF_COMMAND_FP_LOAD 8     // vector state from there; 0: initial state
#define RF_COMMAND_EXIT 9        // end this thread
#define RF_COMMAND_USAGE 10      // of the thread, or with call_args[0] 1 of the process: a struct rf_usage in place of `out`
#define RF_COMMAND_PATCH 11      // rewrite the call site at call_args[0], its pages have protection [1], other threads may run it if [2]
#define RF_COMMAND_UNPATCH 13    // put all call sites back and rewrite no more
#define RF_COMMAND_SLEEP 12      // no command: the answer will take a while, do not spin for it
#define RF_COMMAND_MAPS 14       // receive struct rf_maps, carry it out: 0, or the error of the step that failed
#define RF_COMMAND_START 15      // the same, then RF_COMMAND_RESUME_FULL; call_args[0] is 0 in between. A failure ends the process

// struct rf_block.native: calls that the stub may make by itself.
#define RF_NATIVE_FUTEX 1
#define RF_NATIVE_MADVISE 2

// Guest bytes [address, address + length) stand in the window at `offset`.
struct rf_range {
  uint64_t address;
  uint32_t length;
  uint32_t offset;
};

#define RF_IN_RANGES 3
#define RF_OUT_RANGES 8

// A data window begins with what the stub has copied there before the event, so that a short path comes with the same cache line.
struct rf_window {
  struct rf_range in[RF_IN_RANGES];
};

struct rf_block {
  // One cache line holds all that an ordinary call and its answer need: two transfers between processors are the cost of a call.
  uint32_t state;
  uint32_t command;
  uint32_t event;
  uint32_t call_nr;      // of the guest's call (an int: the lower half of rax), or of RF_COMMAND_HOSTCALL
  uint64_t call_args[6]; // the same; [0] is the place of every result
  // The second line: what is rarely touched.
  uint32_t sentry_waits;   // the Sentry sleeps on `state` for the answer to a command
  uint32_t want_interrupt; // an interrupt signal that finds 0 here is stale
  uint32_t tid;            // host tid; cleared and woken by the kernel when the thread is gone (CLONE_CHILD_CLEARTID)
  uint32_t fault_signal;
  int32_t fault_code;
  uint32_t fault_trap;
  uint32_t fault_error;
  uint32_t fp_size; // bytes of vector state in a signal frame, with its trailer
  uint64_t fault_address;
  uint32_t cold;        // the Sentry does not look here: ring the doorbell after an event
  uint32_t native;      // RF_NATIVE_*
  uint32_t native_wait; // 1 while the thread waits in a call of its own
  uint32_t usage_ready; // `out` holds struct rf_usage of the process: left there by a call that ends it or its program
  uint32_t tracer;      // of the ptrace engine: the host pid of the process that sleeps in the place of this thread
  uint32_t reserved;
  uint64_t regs[RF_REGS];
  uint64_t reserved2[9];
  struct rf_range out[RF_OUT_RANGES]; // to be copied by the stub when it resumes
};

// Answer to RF_COMMAND_USAGE: clock_gettime(2) of the CPU clock and getrusage(2).
struct rf_usage {
  uint64_t cpu;    // ns
  uint64_t user;   // us
  uint64_t system; // us
  uint64_t max_rss; // KiB
  uint64_t minor_faults;
  uint64_t major_faults;
};

// The control page.
struct rf_control {
  uint32_t asleep; // the Sentry is about to block: ring the doorbell after an event
  uint32_t spin;   // how often a stub may look for its command before it sleeps
  uint32_t short_spin; // the same while no processor is free, but the Sentry is awake
  uint32_t patch;  // after how many traps a call site is worth rewriting; 0: never
};

// Messages from the Sentry to the pristine stub, and from stubs to the Sentry.
#define RF_MESSAGE_INIT 0x52460001 // descriptors: control page, doorbell. Answered with struct rf_info
#define RF_MESSAGE_NEW 0x52460002  // descriptors: region, socket of the new address space
#define RF_MESSAGE_FORK 0x52460003 // the same, to a stub that was told RF_COMMAND_FORK
#define RF_MESSAGE_MAP 0x52460004  // descriptor to map
#define RF_MESSAGE_HELLO 0x52460005 // from a new address space; the pid comes from SCM_CREDENTIALS
#define RF_MESSAGE_INFO 0x52460006
#define RF_MESSAGE_STUB 0x52460008 // to the pristine stub: a region (not used), and the socket of another pristine stub
#define RF_MESSAGE_REFUSED 0x52460009 // in the place of RF_MESSAGE_INFO: hwcap2 is why (errno, or RF_REFUSED_* of kvm)
#define RF_MESSAGE_MAPS 0x52460007 // struct rf_maps with descriptors, to a stub that is told RF_COMMAND_MAPS

// Why the KVM engine cannot serve here.
#define RF_REFUSED_DEVICE 1     // there is no /dev/kvm, or it is something else
#define RF_REFUSED_CAPABILITY 2 // it lacks something
#define RF_REFUSED_SLOTS 3      // too few memory slots
#define RF_REFUSED_VM 4         // no VM or virtual processor can be made
#define RF_REFUSED_HANGS 5      // a trial did not end
#define RF_REFUSED_TRIAL 6      // a trial ended otherwise than it must

struct rf_message {
  uint32_t kind;
  uint32_t zero;
};

// Steps of RF_MESSAGE_MAPS: mmap(2) of descriptor `fd` of the message (-1: anonymous), or with RF_MAP_ZERO zeroes inside one page.
#define RF_MAPS 32     // at most, in a message
#define RF_MAPS_FDS 16 // the same of descriptors
#define RF_MAP_ZERO (-2)
#define RF_MAP_COPY (-3) // what stands behind the last step
#define RF_MAPS_BYTES 12288 // at most, of a message

struct rf_map {
  uint64_t address;
  uint64_t length;
  uint64_t offset;
  uint32_t prot;
  uint32_t flags;
  int32_t fd;
  uint32_t zero;
};

struct rf_maps {
  uint32_t kind;
  uint32_t count;
  struct rf_map map[]; // then bytes to copy
};

struct rf_info {
  uint32_t kind;
  uint32_t hwcap2;
  uint64_t vdso_address;
  uint64_t vdso_size;
  uint64_t data_address; // first of the data pages before the vDSO
};

_Static_assert(sizeof(struct rf_block) == RF_BLOCK_SIZE, "block size");
_Static_assert(offsetof(struct rf_block, sentry_waits) == 64, "the first line holds a call");
_Static_assert(offsetof(struct rf_block, regs) == 128, "regs stand at 128");
_Static_assert(sizeof(struct rf_map) == 40, "ten words");
_Static_assert(sizeof(struct rf_usage) <= sizeof(((struct rf_block *)0)->out), "usage stands in place of ranges");
_Static_assert(RF_REGION_SIZE <= RF_AREA_BASE - RF_REGION_BASE, "region fits");
_Static_assert(RF_AREA_BASE % RF_AREA_SIZE == 0, "areas are aligned");
_Static_assert((uint64_t)RF_CONTEXTS *RF_AREA_SIZE <= RF_HIGH_ISLAND - RF_AREA_BASE, "areas fit");
_Static_assert(RF_LOW_ISLAND + RF_ISLAND_SIZE <= RF_MIN_ADDRESS && RF_HIGH_ISLAND + RF_ISLAND_SIZE <= RF_VDSO_BASE, "islands fit");

#endif
