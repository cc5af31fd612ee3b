// The engines that this program can run on, by the name that the configuration gives.

import type { HostOptions, HostPlatform } from '../../platform/common/platform.ts';
import { KvmPlatform } from '../../platform/kvm/platform.ts';
import { PtracePlatform } from '../../platform/ptrace/platform.ts';
import { SystrapPlatform } from '../../platform/systrap/platform.ts';
import type { PlatformName } from '../../wire/boot.ts';

const ENGINES: Partial<Record<PlatformName, new (options: HostOptions) => HostPlatform>> = {
  systrap: SystrapPlatform,
  ptrace: PtracePlatform,
  kvm: KvmPlatform,
};

/** The engine of that name. Throws one line where there is none, or where its program does not answer. */
export function makePlatform(name: PlatformName, options: HostOptions): HostPlatform {
  const Engine = ENGINES[name];
  if (Engine === undefined) throw new Error(`the Sentry has no engine ${name}`);
  return new Engine(options);
}
