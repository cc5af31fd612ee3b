// Descriptors in flight (SCM_RIGHTS, unix(7)): counts, limits, and the collector of sockets that only messages in their own cycle hold.

import { ETOOMANYREFS } from '../../../abi/errno.ts';
import { RLIMIT_NOFILE } from '../../../abi/resource.ts';
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE } from '../../../abi/capability.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { File } from '../../vfs/file.ts';
import type { NetNs } from '../netns.ts';
import { SocketFile } from '../socket.ts';

/** How many sockets in flight one close pays for. */
const CLOSES_A_SOCKET = 16;

class Flight {
  /** Sockets that messages hold. */
  readonly sockets: Set<SocketFile> = new Set();
  /** Descriptors in flight by user. */
  readonly byUser: Map<number, number> = new Map();
  /** Files whose reference is to be dropped: a list, because dropping one may drop the queue of the next, to any depth. */
  readonly doomed: File[] = [];
  dropping = false;
  collecting = false;
  /** Closed sockets since the last collection. */
  closed = 0;
}

const flights = new WeakMap<NetNs, Flight>();

function flightOf(ns: NetNs): Flight {
  let f = flights.get(ns);
  if (f === undefined) {
    f = new Flight();
    flights.set(ns, f);
    ns.orphaned = () => mayCollect(ns);
  }
  return f;
}

/** 0, or -ETOOMANYREFS when the user has more descriptors in flight than RLIMIT_NOFILE. */
export function mayFly(ns: NetNs, c: Caller): number {
  const n = flightOf(ns).byUser.get(c.creds.ruid) ?? 0;
  if (n > c.rlimit(RLIMIT_NOFILE) && !c.creds.has(CAP_SYS_RESOURCE) && !c.creds.has(CAP_SYS_ADMIN)) return -ETOOMANYREFS;
  return 0;
}

/** Files enter a queue on behalf of user `uid`. */
export function takeOff(ns: NetNs, files: readonly File[], uid: number): void {
  const flight = flightOf(ns);
  flight.byUser.set(uid, (flight.byUser.get(uid) ?? 0) + files.length);
  for (const f of files) {
    if (!(f instanceof SocketFile)) continue;
    f.inflight++;
    flight.sockets.add(f);
  }
}

/** Files leave a queue; their references go to whoever took them out. */
export function land(ns: NetNs, files: readonly File[], uid: number): void {
  const flight = flightOf(ns);
  const left = (flight.byUser.get(uid) ?? 0) - files.length;
  if (left > 0) flight.byUser.set(uid, left);
  else flight.byUser.delete(uid);
  for (const f of files) {
    if (f instanceof SocketFile && --f.inflight === 0) flight.sockets.delete(f);
  }
}

/** Drops one reference of each file, without recursion however long the chain of queues is. */
export function dropFiles(ns: NetNs, files: readonly File[]): void {
  const flight = flightOf(ns);
  for (const f of files) flight.doomed.push(f);
  if (flight.dropping) return;
  flight.dropping = true;
  for (let f = flight.doomed.pop(); f !== undefined; f = flight.doomed.pop()) f.unref();
  flight.dropping = false;
}

/** A socket was closed: collects if that is worth while. The work is shared by many closes when many sockets are in flight. */
export function mayCollect(ns: NetNs): void {
  const flight = flights.get(ns);
  if (flight === undefined || flight.sockets.size === 0 || flight.collecting) return;
  if (++flight.closed * CLOSES_A_SOCKET < flight.sockets.size) return;
  flight.closed = 0;
  collect(flight, ns);
}

/** Frees sockets that nothing but messages in unreachable sockets refers to. */
function collect(flight: Flight, ns: NetNs): void {
  const inner = new Map<SocketFile, number>();
  for (const f of flight.sockets) if (f.refs === f.inflight) inner.set(f, 0);
  if (inner.size === 0) return;
  const count = (f: File): void => {
    const n = inner.get(f as SocketFile);
    if (n !== undefined) inner.set(f as SocketFile, n + 1);
  };
  for (const f of inner.keys()) f.sock.eachHeldFile(count);
  // What a queue outside of the candidates holds is alive, and so is all that it holds in turn.
  const alive: SocketFile[] = [];
  for (const [f, n] of inner) if (n < f.inflight) alive.push(f);
  for (const f of alive) inner.delete(f);
  for (let f = alive.pop(); f !== undefined; f = alive.pop()) {
    f.sock.eachHeldFile((held) => {
      if (inner.delete(held as SocketFile)) alive.push(held as SocketFile);
    });
  }
  flight.collecting = true;
  const garbage = [...inner.keys()];
  for (const f of garbage) f.ref();
  for (const f of garbage) f.sock.dropHeldFiles();
  dropFiles(ns, garbage);
  flight.collecting = false;
}
