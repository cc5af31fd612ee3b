// The loopback interface: what ioctl, netlink and /proc/net say about it.

import { IFF_LOOPBACK, IFF_RUNNING, IFF_UP } from '../../abi/socket.ts';

export const LO = 'lo';
export const LO_INDEX = 1;
export const LO_MTU = 65536;
export const LO_TXQLEN = 1000;
const LO_FLAGS = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;

/** State and traffic counters of lo, for /proc/net/dev and RTM_GETLINK: both directions are the same. */
export class LinkCounters {
  packets = 0;
  bytes = 0;
  /** Down until somebody sets it up, but in the first network namespace. */
  up = true;

  /** IFF_* as SIOCGIFFLAGS shows them. */
  get flags(): number {
    return this.up ? LO_FLAGS : IFF_LOOPBACK;
  }

  count(bytes: number): void {
    this.packets++;
    this.bytes += bytes;
  }
}
