// Linux numbers of wait(2), waitid(2).

export const __WORDSIZE = 64;
export const __WCOREFLAG = 128;
export const __WNOTHREAD = 536870912;
export const __WALL = 1073741824;
export const __WCLONE = 2147483648;
export const P_ALL = 0;
export const P_PID = 1;
export const P_PGID = 2;
export const P_PIDFD = 3;
export const WCONTINUED = 8;
export const WCOREFLAG = 128;
export const WEXITED = 4;
export const WNOHANG = 1;
export const WNOWAIT = 16777216;
export const WSTOPPED = 2;
export const WUNTRACED = 2;
