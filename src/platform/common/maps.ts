// A batch of mappings as the message that a stub takes from its socket (struct rf_maps).
import { MAP_ZERO, type MapBatch, type MapStep } from '../mapbatch.ts';
import { MAP_COPY, MAPS, MAPS_BYTES, MAPS_FDS, MESSAGE_MAPS } from './layout.ts';

const HEAD_WORDS = 2;
const STEP_WORDS = 10; // struct rf_map
const TWO32 = 4294967296;

/** Builds one message at a time. */
export class MapMessage {
  private readonly words = new Uint32Array(MAPS_BYTES / 4);
  readonly bytes = new Uint8Array(this.words.buffer);
  readonly fds = new Int32Array(MAPS_FDS);
  /** Bytes of the message, and its descriptors. */
  length = 0;
  count = 0;

  /** Takes as many steps as fit from `first` on; how many. `fixed` is or-ed to the flags of each mapping. */
  fill(steps: readonly MapStep[], first: number, fixed: number, anonymous: number): number {
    const w = this.words;
    let n = 0;
    let at = HEAD_WORDS;
    this.count = 0;
    for (; n < MAPS && first + n < steps.length; n++, at += STEP_WORDS) {
      const s = steps[first + n] as MapStep;
      let index = s.fd === MAP_ZERO ? MAP_ZERO : -1;
      if (s.fd >= 0) {
        index = this.fds.subarray(0, this.count).indexOf(s.fd);
        if (index < 0) {
          if (this.count === MAPS_FDS) break;
          index = this.count++;
          this.fds[index] = s.fd;
        }
      }
      w[at] = s.address;
      w[at + 1] = s.address / TWO32;
      w[at + 2] = s.length;
      w[at + 3] = s.length / TWO32;
      w[at + 4] = s.offset;
      w[at + 5] = s.offset / TWO32;
      w[at + 6] = s.prot;
      w[at + 7] = s.flags | fixed | (s.fd === -1 ? anonymous : 0);
      w[at + 8] = index;
      w[at + 9] = 0;
    }
    w[0] = MESSAGE_MAPS;
    w[1] = n;
    this.length = at * 4;
    return n;
  }

  /** Adds a batch's data behind its last steps; false if there is no room. */
  addData(batch: MapBatch): boolean {
    const data = batch.data;
    if (data === null) return true;
    const w = this.words;
    const n = w[1] as number;
    const at = HEAD_WORDS + n * STEP_WORDS;
    const from = (at + STEP_WORDS) * 4;
    if (n === MAPS || from + data.length > MAPS_BYTES) return false;
    w.fill(0, at, at + STEP_WORDS);
    w[at] = batch.dataAddress;
    w[at + 1] = batch.dataAddress / TWO32;
    w[at + 2] = data.length;
    w[at + 8] = MAP_COPY;
    w[1] = n + 1;
    this.bytes.set(data, from);
    this.length = from + data.length;
    return true;
  }
}
