// What uname(2) and /proc/version say the kernel is.

export * from './x86_64/utsname.ts';

export const UTS_SYSNAME = 'Linux';
export const UTS_RELEASE = '6.6.0-ringfence';
export const UTS_VERSION = '#1 SMP PREEMPT_DYNAMIC';
/** Bytes of each field, NUL included (__NEW_UTS_LEN + 1). */
export const UTS_FIELD = 65;
