// Mappings that one stopped thread makes in one go: a new program's segments, its zeroes and its stack cost one exchange with the engine.

/** One step of a batch. */
export interface MapStep {
  address: number;
  length: number;
  prot: number;
  /** MAP_* bits of mmap(2); MAP_FIXED is understood. */
  flags: number;
  /** Descriptor that the Sentry holds; -1: anonymous memory; MAP_ZERO: no mapping, the bytes become zero. */
  fd: number;
  /** Offset in the file, bytes. */
  offset: number;
}

export const MAP_ZERO = -2;

/** Records what Context.mapAll() is to do, in order. Takes the place of a Context wherever only mmap() is asked of it. */
export class MapBatch {
  readonly steps: MapStep[] = [];
  /** Bytes that are copied to `dataAddress` after all steps; null: none. */
  data: Uint8Array | null = null;
  dataAddress = 0;

  /** As Context.mmap; nothing can fail yet. */
  mmap(address: number, length: number, prot: number, flags: number, fd: number, offset: number): number {
    this.steps.push({ address, length, prot, flags, fd, offset });
    return 0;
  }

  /** All of `data` goes to `address` in the end. At most one of these is in a batch. */
  copy(address: number, data: Uint8Array): void {
    this.dataAddress = address;
    this.data = data;
  }

  /** The bytes of [address, address + length) inside one page that an earlier step maps writable become zero. */
  zero(address: number, length: number): void {
    this.steps.push({ address, length, prot: 0, flags: 0, fd: MAP_ZERO, offset: 0 });
  }
}
