// Linux numbers of poll(2).

export const POLLERR = 8;
export const POLLHUP = 0x10;
export const POLLIN = 1;
export const POLLMSG = 0x400;
export const POLLNVAL = 0x20;
export const POLLOUT = 4;
export const POLLPRI = 2;
export const POLLRDBAND = 0x80;
export const POLLRDHUP = 0x2000;
export const POLLRDNORM = 0x40;
export const POLLREMOVE = 0x1000;
export const POLLWRBAND = 0x200;
export const POLLWRNORM = 0x100;
