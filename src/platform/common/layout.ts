// Generated from native/include/context.h by native/platform/build.sh --update-layout. Do not edit.

// Addresses and sizes, bytes.
export const MIN_ADDRESS = 0x110000;
export const STUB_BASE = 0x7ff000000000;
export const STUB_END = 0x7ff040000000;
export const VDSO_BASE = 0x7ff030000000;
export const CONTEXTS = 0x800;
export const BLOCK_SIZE = 0x200;
export const WINDOWS = 0x40;
export const WINDOW_DATA = 0x10000;
export const WINDOW_SIZE = 0x11000;
export const WINDOWS_OFFSET = 0x100000;
export const REGION_SIZE = 0x540000;
export const IN_RANGES = 0x3;
export const OUT_RANGES = 0x8;
export const CONTROL_SIZE = 0x1000;
export const INTERRUPT_SIGNAL = 0xa;

// State, event and command words.
export const STATE_NONE = 0;
export const STATE_GUEST = 0x1;
export const STATE_STOPPED = 0x2;
export const STATE_SLEEPING = 0x3;
export const EVENT_SYSCALL = 0x1;
export const EVENT_FAULT = 0x2;
export const EVENT_INTERRUPTED = 0x3;
export const EVENT_RESTART = 0x5;
export const EVENT_SITE = 0x10000;
export const EVENT_INLINE = 0x20000;
export const COMMAND_INLINE = 0x80000;
export const IN_INLINE = 0x18;
export const OUT_INLINE = 0x20;
export const COMMAND_RESUME = 0x1;
export const COMMAND_RESUME_FULL = 0x2;
export const COMMAND_SAVES = 0x10000;
export const COMMAND_LOADS = 0x20000;
export const COMMAND_HOSTCALL = 0x3;
export const COMMAND_MMAP_FD = 0x4;
export const COMMAND_CLONE = 0x5;
export const COMMAND_FORK = 0x6;
export const COMMAND_FP_SAVE = 0x7;
export const COMMAND_FP_LOAD = 0x8;
export const COMMAND_EXIT = 0x9;
export const COMMAND_USAGE = 0xa;
export const COMMAND_PATCH = 0xb;
export const COMMAND_SLEEP = 0xc;
export const COMMAND_UNPATCH = 0xd;
export const NATIVE_FUTEX = 0x1;
export const NATIVE_MADVISE = 0x2;
export const COMMAND_MAPS = 0xe;
export const COMMAND_START = 0xf;

// Messages.
export const MESSAGE_INIT = 0x52460001;
export const MESSAGE_NEW = 0x52460002;
export const MESSAGE_FORK = 0x52460003;
export const MESSAGE_MAP = 0x52460004;
export const MESSAGE_HELLO = 0x52460005;
export const MESSAGE_INFO = 0x52460006;
export const MESSAGE_REFUSED = 0x52460009;
export const MESSAGE_MAPS = 0x52460007;
export const MESSAGE_STUB = 0x52460008;
export const MAPS = 0x20;
export const MAPS_FDS = 0x10;
export const MAPS_BYTES = 0x3000;
export const MAP_COPY = -3;

// Fields of a block as indices of 32-bit words.
export const W_STATE = 0;
export const W_COMMAND = 1;
export const W_EVENT = 2;
export const W_WANT_INTERRUPT = 17;
export const W_TID = 18;
export const W_FAULT_SIGNAL = 19;
export const W_FAULT_CODE = 20;
export const W_FAULT_ADDRESS = 24;
export const W_FAULT_TRAP = 21;
export const W_FAULT_ERROR = 22;
export const W_CALL_NR = 3;
export const W_CALL_ARGS = 4;
export const W_FP_SIZE = 23;
export const W_COLD = 26;
export const W_NATIVE = 27;
export const W_NATIVE_WAIT = 28;
export const W_USAGE_READY = 29;
export const W_REGS = 32;
export const W_OUT = 96;

// Fields of the control page.
export const CONTROL_ASLEEP = 0;
export const CONTROL_SPIN = 1;
export const CONTROL_SHORT_SPIN = 2;
export const CONTROL_PATCH = 3;
