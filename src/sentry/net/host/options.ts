// Options of donated sockets that are asked of the host, and set there. Its seccomp filter (boot/filter.ts) allows these and no others.

import {
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_PASSCRED,
  SO_PEERCRED,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SO_TYPE,
  SOL_SOCKET,
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
} from '../../../abi/socket.ts';

/** Names by level. */
export type OptionNames = readonly (readonly [number, readonly number[]])[];

const SET_SOCKET = [SO_BROADCAST, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE, SO_PASSCRED, SO_RCVBUF, SO_REUSEADDR, SO_SNDBUF];
const TCP = [
  TCP_CORK,
  TCP_DEFER_ACCEPT,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_LINGER2,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
];

export const HOST_OPTIONS: { readonly get: OptionNames; readonly set: OptionNames } = {
  get: [
    [SOL_SOCKET, [...SET_SOCKET, SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_PEERCRED, SO_PROTOCOL, SO_TYPE]],
    [IPPROTO_TCP, TCP],
    [IPPROTO_IPV6, [IPV6_V6ONLY]],
  ],
  set: [
    [SOL_SOCKET, SET_SOCKET],
    [IPPROTO_TCP, TCP],
  ],
};

/** True if option `name` of `level` is among `names`. */
export function isHostOption(names: OptionNames, level: number, name: number): boolean {
  for (const [l, n] of names) if (l === level) return n.includes(name);
  return false;
}
