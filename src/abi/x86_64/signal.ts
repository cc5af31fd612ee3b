// Numbers of sigaction(2) and sigaltstack(2) that each architecture has its own way.

export const MINSIGSTKSZ = 2048;
export const SA_RESTORER = 67108864;
export const SIGSTKSZ = 8192;
