// The systrap engine: guests run under a seccomp filter that turns their system calls into SIGSYS, and call sites that trap again and
// again are rewritten. Its native half (native/systrap/stub) is in every guest process.

import type { Engine } from '../common/engine.ts';
import { EngineKind } from '../common/kind.ts';
import { type HostOptions, HostPlatform } from '../common/platform.ts';

class Systrap extends EngineKind {
  constructor() {
    super('systrap');
  }

  override statistics(engine: Engine): Readonly<Record<string, number>> {
    return { 'call sites rewritten': engine.patched, 'call sites left alone': engine.refused };
  }
}

/** Guest threads trapped by seccomp SIGSYS. The constructor throws when the stub does not answer. */
export class SystrapPlatform extends HostPlatform {
  constructor(options: HostOptions) {
    super(new Systrap(), options);
  }
}
