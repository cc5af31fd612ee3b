// How long the Sentry believes what it learnt of trees that others change too (bind mounts, and a root that clients copy files into).
//
// What was learnt belongs to an epoch. An epoch ends BELIEF_NS after the first question in it, or at once when somebody outside is about to
// look (a process is started by the entrypoint: a client may just have copied a file in). Then every name and attribute is asked
// again before it is used: single names first, whole directories where many of their names are asked. Within an epoch all caches hold, whole
// paths too. A sandbox that asks nothing ends one epoch and begins no other.

import type { FileSystem } from '../../vfs/filesystem.ts';
import { changed } from '../../vfs/pathcache.ts';

/** The longest that something is believed, ns of CLOCK_MONOTONIC. */
export const BELIEF_NS = 1e9;

export class Belief {
  /** What was learnt under another number is asked again. */
  epoch = 1;
  /** Has doubt() called in BELIEF_NS; given by who has timers. Without it epochs end only by doubt(). */
  arm: () => void = () => {};
  private armed = false;
  private readonly trees: FileSystem[] = [];

  /** `fs` is a tree that others change: its dentries follow the epochs. */
  add(fs: FileSystem): void {
    this.trees.push(fs);
    fs.epoch = this.epoch;
  }

  /** Something is learnt: the epoch must end some time. */
  begin(): void {
    if (this.armed) return;
    this.armed = true;
    this.arm();
  }

  /** Ends the epoch. */
  doubt(): void {
    this.armed = false;
    this.epoch++;
    for (const fs of this.trees) fs.epoch = this.epoch;
    if (this.trees.length > 0) changed();
  }
}
