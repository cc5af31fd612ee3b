// The TCP and UDP ports of a network.

import type { NetNs } from '../netns.ts';
import { type PortHolder, PortTable } from './ports.ts';

class InetTables {
  readonly tcp: PortTable<PortHolder> = new PortTable();
  readonly udp: PortTable<PortHolder> = new PortTable();
}

const tables = new WeakMap<NetNs, InetTables>();

export function inetTables(ns: NetNs): InetTables {
  let t = tables.get(ns);
  if (t === undefined) {
    t = new InetTables();
    tables.set(ns, t);
  }
  return t;
}
