// The ptrace engine: one native process (native/ptrace/tracer) is the tracer of all guest threads and stops them at their system calls. It
// answers the context blocks in the threads' place, so that what sleeps and is woken is this process. Guests map no part of a region.

import { EPERM } from '../../abi/errno.ts';
import type { Engine } from '../common/engine.ts';
import { EngineKind } from '../common/kind.ts';
import { type HostOptions, HostPlatform } from '../common/platform.ts';

class Ptrace extends EngineKind {
  constructor() {
    super('ptrace', false, 0);
  }

  override wake(engine: Engine, block: number): void {
    engine.addon.wakeTracer(block);
  }

  override refused(errno: number): string {
    if (errno !== EPERM) return super.refused(errno);
    return 'ptrace: the host lets no process trace its children: kernel.yama.ptrace_scope must be 0 or 1, and no seccomp profile or security module may refuse ptrace(2)';
  }
}

/** Guest threads stopped by ptrace(2). The constructor throws when the tracer does not answer, or may not trace. */
export class PtracePlatform extends HostPlatform {
  constructor(options: HostOptions) {
    super(new Ptrace(), options);
  }
}
