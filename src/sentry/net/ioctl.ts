// ioctl(2) on sockets: byte counts, and the questions about interfaces of netdevice(7). The sandbox has one interface, lo.

import { CAP_NET_ADMIN } from '../../abi/capability.ts';
import { EADDRNOTAVAIL, EFAULT, EINVAL, ENODEV, ENOTTY, EPERM } from '../../abi/errno.ts';
import {
  FIOGETOWN,
  FIONREAD,
  FIOSETOWN,
  SIOCATMARK,
  SIOCETHTOOL,
  SIOCGIFADDR,
  SIOCGIFBRDADDR,
  SIOCGIFCONF,
  SIOCGIFDSTADDR,
  SIOCGIFFLAGS,
  SIOCGIFHWADDR,
  SIOCGIFINDEX,
  SIOCGIFMAP,
  SIOCGIFMETRIC,
  SIOCGIFMTU,
  SIOCGIFNAME,
  SIOCGIFNETMASK,
  SIOCGIFTXQLEN,
  SIOCGPGRP,
  SIOCGSTAMP,
  SIOCGSTAMPNS,
  SIOCSIFADDR,
  SIOCSIFFLAGS,
  SIOCSIFHWADDR,
  SIOCSIFMTU,
  SIOCSIFNAME,
  SIOCSIFNETMASK,
  SIOCSPGRP,
  TIOCOUTQ,
} from '../../abi/ioctl.ts';
import { AF_INET, IFF_UP } from '../../abi/socket.ts';
import { getU16, getU32, getU64, latin1DecodeZ, latin1Write, putU16, putU32, putU64 } from '../../base/bytes.ts';
import { setSignedOwner, signedOwner } from '../kernel/fileowner.ts';
import type { Task } from '../kernel/task.ts';
import type { Caller } from '../vfs/caller.ts';
import type { File } from '../vfs/file.ts';
import { LO, LO_INDEX, LO_MTU, LO_TXQLEN } from './lo.ts';
import type { NetNs } from './netns.ts';

/** What the byte counts are asked of. */
interface Counted {
  pendingBytes(): number;
  outstandingBytes(): number;
  file: File | null;
  readonly ns: NetNs;
}

const IFNAMSIZ = 16;
/** sizeof(struct ifreq). */
const IFREQ = 40;
const LOOPBACK_IP = 0x7f000001;
const LOOPBACK_MASK = 0xff000000;
const ARPHRD_LOOPBACK = 772;

/** Handles `cmd` for a socket. 0, or -errno (-ENOTTY: unknown). */
export function socketIoctl(c: Caller, sock: Counted, cmd: number, arg: number): number {
  switch (cmd) {
    case FIONREAD:
      return putInt(c, arg, sock.pendingBytes());
    case TIOCOUTQ:
      return putInt(c, arg, sock.outstandingBytes());
    case SIOCATMARK:
      return putInt(c, arg, 0);
    case FIOGETOWN:
    case SIOCGPGRP:
      return putInt(c, arg, sock.file === null ? 0 : signedOwner(c as Task, sock.file));
    case FIOSETOWN:
    case SIOCSPGRP: {
      const b = new Uint8Array(4);
      if (c.copyIn(arg, b, 0, 4) < 0) return -EFAULT;
      return sock.file === null ? 0 : setSignedOwner(c as Task, sock.file, getU32(b, 0) | 0);
    }
    case SIOCGSTAMP:
    case SIOCGSTAMPNS:
      return -ENOTTY;
    default:
      return (cmd & 0xff00) === 0x8900 ? interfaceIoctl(c, sock.ns, cmd, arg) : -ENOTTY;
  }
}

function putInt(c: Caller, addr: number, v: number): number {
  if (v < 0) return v;
  const b = new Uint8Array(4);
  putU32(b, 0, v);
  return c.copyOut(addr, b, 0, 4);
}

function interfaceIoctl(c: Caller, ns: NetNs, cmd: number, arg: number): number {
  if (cmd === SIOCGIFCONF) return listInterfaces(c, arg);
  const b = new Uint8Array(IFREQ);
  switch (cmd) {
    case SIOCSIFFLAGS:
      if (!c.creds.has(CAP_NET_ADMIN)) return -EPERM;
      break;
    case SIOCSIFADDR:
    case SIOCSIFHWADDR:
    case SIOCSIFMTU:
    case SIOCSIFNAME:
    case SIOCSIFNETMASK:
      return c.creds.has(CAP_NET_ADMIN) ? -EINVAL : -EPERM;
    case SIOCGIFNAME:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFTXQLEN:
    case SIOCGIFMAP:
    case SIOCETHTOOL:
      break;
    default:
      return -ENOTTY;
  }
  if (c.copyIn(arg, b, 0, IFREQ) < 0) return -EFAULT;
  if (cmd === SIOCGIFNAME) {
    if (getU32(b, IFNAMSIZ) !== LO_INDEX) return -ENODEV;
    b.fill(0, 0, IFNAMSIZ);
    latin1Write(LO, b, 0);
    return c.copyOut(arg, b, 0, IFREQ);
  }
  if (latin1DecodeZ(b, 0, IFNAMSIZ) !== LO) return -ENODEV;
  if (cmd === SIOCETHTOOL) return -EINVAL;
  if (cmd === SIOCSIFFLAGS) {
    ns.lo.up = (getU16(b, IFNAMSIZ) & IFF_UP) !== 0;
    return 0;
  }
  b.fill(0, IFNAMSIZ);
  switch (cmd) {
    case SIOCGIFFLAGS:
      putU16(b, IFNAMSIZ, ns.lo.flags);
      break;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
      putInet(b, LOOPBACK_IP);
      break;
    case SIOCGIFBRDADDR:
      putInet(b, 0);
      break;
    case SIOCGIFNETMASK:
      putInet(b, LOOPBACK_MASK);
      break;
    case SIOCGIFMETRIC:
    case SIOCGIFMAP:
      break;
    case SIOCGIFMTU:
      putU32(b, IFNAMSIZ, LO_MTU);
      break;
    case SIOCGIFHWADDR:
      putU16(b, IFNAMSIZ, ARPHRD_LOOPBACK);
      break;
    case SIOCGIFINDEX:
      putU32(b, IFNAMSIZ, LO_INDEX);
      break;
    case SIOCGIFTXQLEN:
      putU32(b, IFNAMSIZ, LO_TXQLEN);
      break;
    default:
      return -EADDRNOTAVAIL;
  }
  return c.copyOut(arg, b, 0, IFREQ);
}

/** Puts a struct sockaddr_in behind the name of a struct ifreq. */
function putInet(b: Uint8Array, ip: number): void {
  putU16(b, IFNAMSIZ, AF_INET);
  for (let i = 0; i < 4; i++) b[IFNAMSIZ + 4 + i] = ip >>> (24 - 8 * i);
}

/** SIOCGIFCONF: struct ifconf { int len; void *buf; }. */
function listInterfaces(c: Caller, arg: number): number {
  const conf = new Uint8Array(16);
  if (c.copyIn(arg, conf, 0, 16) < 0) return -EFAULT;
  const room = getU32(conf, 0) | 0;
  const buf = getU64(conf, 8);
  let len = IFREQ;
  if (buf !== 0) {
    if (room < IFREQ) len = 0;
    else {
      const b = new Uint8Array(IFREQ);
      latin1Write(LO, b, 0);
      putInet(b, LOOPBACK_IP);
      if (c.copyOut(buf, b, 0, IFREQ) < 0) return -EFAULT;
    }
  }
  putU32(conf, 0, len);
  putU64(conf, 8, buf);
  return c.copyOut(arg, conf, 0, 16);
}
