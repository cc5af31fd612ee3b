// The vector state of a stopped task as a debugger sees it (ptrace(2) NT_X86_XSTATE): the XSAVE area without the signal frame's marks.
//
// Engines save and load it only to and from guest memory, as signal frames need it. A piece of stack far below the stack pointer lends
// itself; what stood there is put back.

import { EIO } from '../../abi/errno.ts';
import { getU32, putU32 } from '../../base/bytes.ts';
import { REG_RSP } from '../../platform/platform.ts';
import type { Task } from '../kernel/task.ts';

/** Bytes of the FXSAVE area. */
export const FP_LEGACY = 512;
const FP_XSTATE_MAGIC1 = 0x46505853;
/** struct _fpx_sw_bytes in it: magic1, extended_size, xfeatures (64 bits), xstate_size. */
const SW = 464;
const BELOW_STACK = 4096;

const nothing = new Uint8Array(0);
let frame = nothing;
let saved = nothing;

function place(o: Task): number {
  const r = o.ctx.regs;
  const at = r[2 * REG_RSP + 1]! * 4294967296 + r[2 * REG_RSP]! - BELOW_STACK - o.ctx.fpSize;
  return at - (at % 64);
}

/** The tracee's state; null where it has no room. The array is the caller's until the next call. */
export function readVectors(o: Task): Uint8Array | null {
  const size = o.ctx.fpSize;
  if (frame.length !== size) {
    frame = new Uint8Array(size);
    saved = new Uint8Array(size);
  }
  const at = place(o);
  const had = at > 0 && o.mm.read(at, saved, 0, size) >= 0;
  if (at <= 0 || o.ctx.fpSave(at) < 0 || o.mm.read(at, frame, 0, size) < 0) return null;
  if (had) o.mm.write(at, saved, 0, size);
  const extended = getU32(frame, SW) === FP_XSTATE_MAGIC1;
  const state = extended ? Math.min(size, getU32(frame, SW + 16)) : FP_LEGACY;
  const out = frame.slice(0, state);
  // Debuggers find the features (XCR0) where the marks were.
  out.fill(0, SW, FP_LEGACY);
  putU32(out, SW, getU32(frame, SW + 8));
  putU32(out, SW + 4, getU32(frame, SW + 12));
  return out;
}

/** Loads what readVectors gave, changed. 0 or -errno. */
export function writeVectors(o: Task, b: Uint8Array): number {
  const size = o.ctx.fpSize;
  const at = place(o);
  const had = o.mm.read(at, saved, 0, size) >= 0;
  // The marks and the trailer of the last save are still in `frame`.
  frame.set(b.subarray(0, SW), 0);
  if (b.length > FP_LEGACY) frame.set(b.subarray(FP_LEGACY), FP_LEGACY);
  const r = o.mm.write(at, frame, 0, size) < 0 ? -EIO : o.ctx.fpLoad(at);
  if (had) o.mm.write(at, saved, 0, size);
  return r;
}
