// Control messages between guest memory and a Message (cmsg(3), SCM_RIGHTS and SCM_CREDENTIALS of unix(7)).

import { CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN } from '../../abi/capability.ts';
import { EBADF, EINVAL, EPERM, ESRCH } from '../../abi/errno.ts';
import { AF_UNIX, MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET } from '../../abi/socket.ts';
import { getI32, getU64, putU32, putU64 } from '../../base/bytes.ts';
import type { Task } from '../kernel/task.ts';
import type { File } from '../vfs/file.ts';
import type { Message } from './message.ts';
import type { NetNs } from './netns.ts';
import { mayFly } from './unix/flight.ts';

/** sizeof(struct cmsghdr); data follows it, and the next header is aligned to eight bytes. */
const CMSG_HEADER = 16;
/** Most descriptors in one message. */
const SCM_MAX_FD = 253;

/** Reads control messages from buf[0, len) into `m`, taking references to files. 0 or -errno (then no reference is held). */
export function parseControl(t: Task, ns: NetNs, family: number, buf: Uint8Array, len: number, m: Message): number {
  let at = 0;
  while (len - at >= CMSG_HEADER) {
    const size = getU64(buf, at);
    if (size < CMSG_HEADER || size > len - at) return fail(m, -EINVAL);
    const level = getI32(buf, at + 8);
    const type = getI32(buf, at + 12);
    const dataLen = size - CMSG_HEADER;
    if (level === SOL_SOCKET) {
      if (family !== AF_UNIX && (type === SCM_RIGHTS || type === SCM_CREDENTIALS)) {
        if (type === SCM_RIGHTS) return fail(m, -EINVAL);
      } else if (type === SCM_RIGHTS) {
        const err = takeFiles(t, ns, buf, at + CMSG_HEADER, Math.floor(dataLen / 4), m);
        if (err < 0) return fail(m, err);
      } else if (type === SCM_CREDENTIALS) {
        if (dataLen !== 12) return fail(m, -EINVAL);
        const pid = getI32(buf, at + CMSG_HEADER);
        const uid = getI32(buf, at + CMSG_HEADER + 4) >>> 0;
        const gid = getI32(buf, at + CMSG_HEADER + 8) >>> 0;
        if (!mayClaim(t, pid, uid, gid)) return fail(m, -EPERM);
        const sender = pid === t.tg.vtgid ? t.tg.pid : t.pidns.ids.get(pid);
        if (sender === undefined) return fail(m, -ESRCH);
        m.creds = { pid: sender, uid, gid };
      } else if (family === AF_UNIX) return fail(m, -EINVAL);
    }
    // Other levels carry hints (source address, hop limit) that make no difference on lo.
    at += (size + 7) & ~7;
  }
  return 0;
}

function fail(m: Message, err: number): number {
  dropMessageFiles(m);
  return err;
}

/** Gives back the references of descriptors that were not sent, or not taken. */
export function dropMessageFiles(m: Message): void {
  const files = m.files;
  m.files = null;
  if (files !== null) for (const f of files) f.unref();
}

function takeFiles(t: Task, ns: NetNs, buf: Uint8Array, at: number, count: number, m: Message): number {
  if (count === 0) return 0;
  const files: File[] = m.files ?? [];
  if (files.length + count > SCM_MAX_FD) return -EINVAL;
  const err = mayFly(ns, t);
  if (err < 0) return err;
  m.files = files;
  for (let i = 0; i < count; i++) {
    const f = t.fds.get(getI32(buf, at + 4 * i));
    if (f === null) return -EBADF;
    files.push(f.ref());
  }
  return 0;
}

/** May the task say that it is pid/uid/gid (scm_check_creds)? */
function mayClaim(t: Task, pid: number, uid: number, gid: number): boolean {
  const cr = t.creds;
  if (pid !== t.tg.vtgid && !cr.has(CAP_SYS_ADMIN)) return false;
  if (uid !== cr.ruid && uid !== cr.euid && uid !== cr.suid && !cr.has(CAP_SETUID)) return false;
  return gid === cr.rgid || gid === cr.egid || gid === cr.sgid || cr.has(CAP_SETGID);
}

/** Writes control messages one after another into a buffer of limited size, as put_cmsg does. */
export class ControlWriter {
  buf: Uint8Array = new Uint8Array(0);
  room = 0;
  length = 0;
  flags = 0;

  reset(buf: Uint8Array, room: number): void {
    this.buf = buf;
    this.room = room < buf.length ? room : buf.length;
    this.length = 0;
    this.flags = 0;
  }

  put(level: number, type: number, data: Uint8Array): void {
    const left = this.room - this.length;
    if (left < CMSG_HEADER) {
      this.flags |= MSG_CTRUNC;
      return;
    }
    let size = CMSG_HEADER + data.length;
    if (size > left) {
      this.flags |= MSG_CTRUNC;
      size = left;
    }
    this.header(size, level, type);
    this.buf.set(size === CMSG_HEADER + data.length ? data : data.subarray(0, size - CMSG_HEADER), this.length + CMSG_HEADER);
    this.advance(size);
  }

  private header(size: number, level: number, type: number): void {
    putU64(this.buf, this.length, size);
    putU32(this.buf, this.length + 8, level);
    putU32(this.buf, this.length + 12, type);
  }

  private advance(size: number): void {
    const padded = (size + 7) & ~7;
    const end = this.length + padded;
    this.buf.fill(0, this.length + size, end);
    this.length = end < this.room ? end : this.room;
  }

  /** Installs descriptors in the task and names them in an SCM_RIGHTS message; those without room are closed. */
  putFiles(t: Task, files: readonly File[], cloexec: boolean): void {
    const left = this.room - this.length;
    const fit = left < CMSG_HEADER ? 0 : Math.floor((left - CMSG_HEADER) / 4);
    let n = 0;
    for (const f of files) {
      if (n >= fit || (this.flags & MSG_CTRUNC) !== 0) {
        this.flags |= MSG_CTRUNC;
        f.unref();
        continue;
      }
      const fd = t.fds.install(f, cloexec);
      if (fd < 0) {
        this.flags |= MSG_CTRUNC;
        continue;
      }
      putU32(this.buf, this.length + CMSG_HEADER + 4 * n, fd);
      n++;
    }
    if (n === 0) return;
    this.header(CMSG_HEADER + 4 * n, SOL_SOCKET, SCM_RIGHTS);
    this.advance(CMSG_HEADER + 4 * n);
  }
}
