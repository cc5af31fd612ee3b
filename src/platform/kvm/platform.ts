// The KVM engine: guest code runs at privilege level 3 of a virtual machine, one for each address space, which its stub (native/kvm/x86_64)
// drives. The machine's memory is the stub's own process. Whatever leaves the machine, the stub shows as all engines do.

import { EngineKind } from '../common/kind.ts';
import { type HostOptions, HostPlatform } from '../common/platform.ts';

/** By RF_REFUSED_*. */
const REFUSALS = [
  '',
  'its program got no descriptor of /dev/kvm',
  '/dev/kvm lacks a capability that is needed (sync registers, immediate exit, XSAVE)',
  '/dev/kvm offers too few memory slots',
  'no virtual machine can be made',
  'a trial of /dev/kvm did not end within a second',
  'a trial of /dev/kvm ended wrong: it emulates what cannot be emulated here',
];

class Kvm extends EngineKind {
  constructor() {
    super('kvm', false);
  }

  override refused(reason: number): string {
    return `kvm: ${REFUSALS[reason] ?? `reason ${reason}`}`;
  }
}

/** Guest threads in virtual machines. The constructor throws when the stub does not answer, or says why it cannot serve. */
export class KvmPlatform extends HostPlatform {
  constructor(options: HostOptions) {
    super(new Kvm(), options);
  }
}
