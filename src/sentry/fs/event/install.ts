// Gives the kernel the parts of pipes and events that it reaches by hooks. Called once by boot.

import { S_IFIFO } from '../../../abi/stat.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { registerSpecialOpen } from '../../vfs/devices.ts';
import { openFifo, sweepFifoOpens } from '../pipe/fifo.ts';
import { PidFile, pidfdGroup } from './pidfd.ts';

export function installEvents(kernel: Kernel): void {
  registerSpecialOpen(S_IFIFO, openFifo);
  kernel.groupEnded.push(sweepFifoOpens);
  kernel.makePidfd = (t, g) => t.fds.install(new PidFile(g, 0), true);
  kernel.pidfdGroup = pidfdGroup;
}
