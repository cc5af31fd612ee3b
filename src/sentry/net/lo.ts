// The loopback interface: what ioctl, netlink and /proc/net say about it.

import { IFF_LOOPBACK, IFF_RUNNING, IFF_UP } from '../../abi/socket.ts';

export const LO = 'lo';
export const LO_INDEX = 1;
export const LO_MTU = 65536;
export const LO_TXQLEN = 1000;
export const LO_FLAGS: number = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;

/** Traffic counters of lo, for /proc/net/dev and RTM_GETLINK: both directions are the same. */
export class LinkCounters {
  packets = 0;
  bytes = 0;

  count(bytes: number): void {
    this.packets++;
    this.bytes += bytes;
  }
}
