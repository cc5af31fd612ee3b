// What one send or receive carries between the system call layer and a protocol (Linux: struct msghdr inside the kernel).

import type { Pid } from '../kernel/pidns.ts';
import type { File } from '../vfs/file.ts';

/** Largest socket address (sizeof struct sockaddr_storage). */
export const SOCKADDR_MAX = 128;

/** struct ucred of SCM_CREDENTIALS and SO_PEERCRED. Never changed once made. */
export interface Ucred {
  /** Null: nobody that is known. */
  readonly pid: Pid | null;
  readonly uid: number;
  readonly gid: number;
}

/** One control message besides descriptors and credentials, as it goes to the guest. */
export interface ControlMessage {
  level: number;
  type: number;
  data: Uint8Array;
}

/** Reused: the owner resets it before each operation. */
export class Message {
  /** Data: to be sent from, or received into, buf[off, off+len). */
  buf: Uint8Array = new Uint8Array(0);
  off = 0;
  len = 0;
  /** MSG_* as given. */
  flags = 0;
  /** Send: destination (nameLen 0: none given). Receive: source. */
  readonly name: Uint8Array = new Uint8Array(SOCKADDR_MAX);
  nameLen = 0;
  /** SCM_RIGHTS: each file carries one reference. A protocol that takes them sets the field to null. */
  files: File[] | null = null;
  creds: Ucred | null = null;
  /** Receive: further control messages. */
  control: ControlMessage[] | null = null;
  /** Send: the peer address given by an IP_PKTINFO and such is kept by the protocol from this list. Receive: MSG_TRUNC, MSG_EOR, MSG_OOB. */
  outFlags = 0;
  /** Receive: length of the whole datagram, which MSG_TRUNC answers. */
  fullLength = 0;
  /** Receive on a stream: what follows belongs to another sender or carries descriptors, MSG_WAITALL ends here. */
  boundary = false;
  /** Receive: the bytes that are counted were thrown away and stand nowhere (MSG_TRUNC of tcp(7)). */
  discarded = false;

  reset(buf: Uint8Array, off: number, len: number, flags: number): this {
    this.buf = buf;
    this.off = off;
    this.len = len;
    this.flags = flags;
    this.nameLen = 0;
    this.files = null;
    this.creds = null;
    this.control = null;
    this.outFlags = 0;
    this.fullLength = 0;
    this.boundary = false;
    this.discarded = false;
    return this;
  }

  addControl(level: number, type: number, data: Uint8Array): void {
    if (this.control === null) this.control = [];
    this.control.push({ level, type, data });
  }
}
