// Netlink messages as bytes (netlink(7), rtnetlink(7)).

import { ByteBuffer, latin1Encode, putU16, putU32 } from '../../../base/bytes.ts';

/** sizeof(struct nlmsghdr). */
export const NLMSG_HEADER = 16;

/** Builds a row of messages in one buffer. */
export class NetlinkWriter {
  private readonly out: ByteBuffer = new ByteBuffer(1024);
  private start = 0;

  /** Begins a message; `pid` is the port that it goes to. */
  begin(type: number, flags: number, seq: number, pid: number): this {
    this.start = this.out.length;
    this.out.u32(0).u16(type).u16(flags).u32(seq).u32(pid);
    return this;
  }

  u8(v: number): this {
    this.out.u8(v);
    return this;
  }

  u16(v: number): this {
    this.out.u16(v);
    return this;
  }

  u32(v: number): this {
    this.out.u32(v);
    return this;
  }

  bytes(b: Uint8Array): this {
    this.out.bytes(b);
    return this;
  }

  attr(type: number, data: Uint8Array): this {
    this.out.align(4);
    this.out
      .u16(4 + data.length)
      .u16(type)
      .bytes(data);
    return this;
  }

  attr8(type: number, v: number): this {
    return this.attr(type, new Uint8Array([v]));
  }

  attr32(type: number, v: number): this {
    const b = new Uint8Array(4);
    putU32(b, 0, v);
    return this.attr(type, b);
  }

  attrString(type: number, s: string): this {
    return this.attr(type, latin1Encode(`${s}\0`));
  }

  /** Opens an attribute that holds attributes; `close` takes what this answers. */
  open(type: number): number {
    this.out.align(4);
    const at = this.out.length;
    this.out.u16(0).u16(type);
    return at;
  }

  close(at: number): this {
    putU16(this.out.buf, at, this.out.length - at);
    return this;
  }

  /** Ends the message: its length is known now. */
  end(): this {
    putU32(this.out.buf, this.start, this.out.length - this.start);
    this.out.align(4);
    return this;
  }

  get empty(): boolean {
    return this.out.length === 0;
  }

  take(): Uint8Array {
    const b = this.out.toBytes();
    this.out.reset();
    return b;
  }
}
