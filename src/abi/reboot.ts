// Linux numbers of reboot(2), getrandom(2), membarrier(2), close_range(2), kcmp(2), rseq(2).

export const CLOSE_RANGE_UNSHARE = 2;
export const CLOSE_RANGE_CLOEXEC = 4;
export const GRND_NONBLOCK = 1;
export const GRND_RANDOM = 2;
export const GRND_INSECURE = 4;
export const LINUX_REBOOT_CMD_CAD_OFF = 0;
export const LINUX_REBOOT_CMD_RESTART = 0x1234567;
export const LINUX_REBOOT_MAGIC2A = 0x5121996;
export const LINUX_REBOOT_MAGIC2B = 0x16041998;
export const LINUX_REBOOT_MAGIC2C = 0x20112000;
export const LINUX_REBOOT_MAGIC2 = 0x28121969;
export const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;
export const LINUX_REBOOT_CMD_KEXEC = 0x45584543;
export const LINUX_REBOOT_CMD_CAD_ON = 0x89abcdef;
export const LINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4;
export const LINUX_REBOOT_CMD_HALT = 0xcdef0123;
export const LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000fce2;
export const LINUX_REBOOT_MAGIC1 = 0xfee1dead;
