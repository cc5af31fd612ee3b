// Ports in use, one table a protocol: binding rules (socket(7) SO_REUSEADDR, SO_REUSEPORT) and ephemeral ports.

import { EADDRINUSE } from '../../../abi/errno.ts';
import { overlaps } from './addr.ts';

/** net.ipv4.ip_local_port_range. */
export const EPHEMERAL_FIRST = 32768;
export const EPHEMERAL_LAST = 60999;
const EPHEMERAL_COUNT = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;

/** What a table needs to know of a socket that holds a port. */
export interface PortHolder {
  localIp: number;
  localPort: number;
  readonly v6only: boolean;
  readonly reuseAddr: boolean;
  readonly reusePort: boolean;
  readonly uid: number;
  /** TCP: SO_REUSEADDR does not help against a listener. */
  readonly listening: boolean;
}

export class PortTable<T extends PortHolder> {
  private readonly ports: Map<number, Set<T>> = new Map();
  private next: number = EPHEMERAL_FIRST + Math.floor(Math.random() * EPHEMERAL_COUNT);

  /** Who holds `port`. */
  at(port: number): Set<T> | undefined {
    return this.ports.get(port);
  }

  /** True if `s` may hold `port` with address `ip`. */
  private free(s: T, ip: number, port: number): boolean {
    const holders = this.ports.get(port);
    if (holders === undefined) return true;
    for (const o of holders) {
      if (o === s || !overlaps(ip, s.v6only, o.localIp, o.v6only)) continue;
      if (s.reuseAddr && o.reuseAddr && !o.listening) continue;
      if (s.reusePort && o.reusePort && s.uid === o.uid) continue;
      return false;
    }
    return true;
  }

  /** Gives `s` the address `ip` and `port` (0: a free ephemeral one). 0 or -EADDRINUSE. */
  bind(s: T, ip: number, port: number): number {
    let p = port;
    if (p === 0) {
      p = this.ephemeral();
      if (p < 0) return p;
    } else if (!this.free(s, ip, p)) return -EADDRINUSE;
    s.localIp = ip;
    s.localPort = p;
    this.add(s);
    return 0;
  }

  /** True if `s`, which holds its port already, may begin to listen there. */
  mayListen(s: T): boolean {
    return this.free(s, s.localIp, s.localPort);
  }

  /** Puts a socket whose port is set into the table (accepted connections share their listener's). */
  add(s: T): void {
    let holders = this.ports.get(s.localPort);
    if (holders === undefined) {
      holders = new Set();
      this.ports.set(s.localPort, holders);
    }
    holders.add(s);
  }

  remove(s: T): void {
    const holders = this.ports.get(s.localPort);
    if (holders === undefined) return;
    holders.delete(s);
    if (holders.size === 0) this.ports.delete(s.localPort);
  }

  /** An ephemeral port that nobody holds, or -EADDRINUSE. */
  private ephemeral(): number {
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const p = this.next;
      this.next = p === EPHEMERAL_LAST ? EPHEMERAL_FIRST : p + 1;
      if (!this.ports.has(p)) return p;
    }
    return -EADDRINUSE;
  }

  /** All holders, port by port. */
  forEach(fn: (s: T) => void): void {
    for (const holders of this.ports.values()) for (const s of holders) fn(s);
  }
}
