// Layouts that each architecture has its own way: sizes and offsets in bytes. tools/check-abi.mjs compares them with the headers.

/** struct stat <asm/stat.h> */
export const STAT = {
  size: 144,
  st_dev: 0,
  st_ino: 8,
  st_nlink: 16,
  st_mode: 24,
  st_uid: 28,
  st_gid: 32,
  st_rdev: 40,
  st_size: 48,
  st_blksize: 56,
  st_blocks: 64,
  st_atime: 72,
  st_atime_nsec: 80,
  st_mtime: 88,
  st_mtime_nsec: 96,
  st_ctime: 104,
  st_ctime_nsec: 112,
} as const;

/** struct epoll_event <linux/eventpoll.h> */
export const EPOLL_EVENT = { size: 12, events: 0, data: 4 } as const;

/** struct user_regs_struct <sys/user.h> */
export const USER_REGS = {
  size: 216,
  r15: 0,
  r14: 8,
  r13: 16,
  r12: 24,
  rbp: 32,
  rbx: 40,
  r11: 48,
  r10: 56,
  r9: 64,
  r8: 72,
  rax: 80,
  rcx: 88,
  rdx: 96,
  rsi: 104,
  rdi: 112,
  orig_rax: 120,
  rip: 128,
  cs: 136,
  eflags: 144,
  rsp: 152,
  ss: 160,
  fs_base: 168,
  gs_base: 176,
  ds: 184,
  es: 192,
  fs: 200,
  gs: 208,
} as const;

/** struct sigcontext <asm/sigcontext.h> */
export const SIGCONTEXT = {
  size: 256,
  r8: 0,
  r9: 8,
  r10: 16,
  r11: 24,
  r12: 32,
  r13: 40,
  r14: 48,
  r15: 56,
  rdi: 64,
  rsi: 72,
  rbp: 80,
  rbx: 88,
  rdx: 96,
  rax: 104,
  rcx: 112,
  rsp: 120,
  rip: 128,
  eflags: 136,
  cs: 144,
  gs: 146,
  fs: 148,
  ss: 150,
  err: 152,
  trapno: 160,
  oldmask: 168,
  cr2: 176,
  fpstate: 184,
} as const;

/** struct ucontext <asm/ucontext.h> */
export const UCONTEXT = { size: 304, uc_flags: 0, uc_link: 8, uc_stack: 16, uc_mcontext: 40, uc_sigmask: 296 } as const;

/** struct _fpstate_64 <asm/sigcontext.h> */
export const FPSTATE = {
  size: 512,
  cwd: 0,
  swd: 2,
  twd: 4,
  fop: 6,
  rip: 8,
  rdp: 16,
  mxcsr: 24,
  mxcsr_mask: 28,
  st_space: 32,
  xmm_space: 160,
  sw_reserved: 464,
} as const;

/** struct _fpx_sw_bytes <asm/sigcontext.h> */
export const FPX_SW_BYTES = { size: 48, magic1: 0, extended_size: 4, xfeatures: 8, xstate_size: 16 } as const;

/** What the kernel pushes for a handler (struct rt_sigframe, arch/x86/include/asm/sigframe.h): return address, ucontext, siginfo. */
export const RT_SIGFRAME = { size: 440, pretcode: 0, uc: 8, info: 312 } as const;

/** struct semid64_ds <asm/sembuf.h> */
export const SEMID64_DS = { size: 104, sem_perm: 0, sem_otime: 48, sem_ctime: 64, sem_nsems: 80 } as const;
