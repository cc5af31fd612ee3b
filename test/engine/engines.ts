// The engines that the suites of this folder can drive: what starts one's native half, and its Platform. A further engine is a row here.
import type { HostOptions, HostPlatform } from '../../src/platform/common/platform.ts';
import { KvmPlatform } from '../../src/platform/kvm/platform.ts';
import { PtracePlatform } from '../../src/platform/ptrace/platform.ts';
import { SystrapPlatform } from '../../src/platform/systrap/platform.ts';

/** An engine as the suites start it. */
export interface TestEngine {
  readonly name: string;
  /** Folders of native/ whose build.sh makes what it needs. */
  readonly parts: readonly string[];
  /** Its program there. The socket to the Sentry is its descriptor 3, as the launcher gives it. */
  readonly program: string;
  /** Files that the program gets as descriptors 5 (RF_DEVICE_FD) and up, as the launcher gives a device. */
  readonly files: readonly string[];
  /** What it does not do by nature, in words: the suite prints it, and does not look for it. */
  readonly without: readonly Without[];
  platform(options: HostOptions): HostPlatform;
}

/** Things that an engine may lack and still be right: they change what a call costs, not what it does. */
export type Without =
  | 'rewriting of call sites'
  | 'calls of its own'
  | 'cold contexts'
  | 'a region in guest memory'
  | 'a stub in guest memory'
  | 'GS bases by instruction beside rewritten call sites';

const engines: readonly TestEngine[] = [
  {
    name: 'systrap',
    parts: ['platform', 'systrap'],
    program: 'stub',
    files: [],
    without: ['GS bases by instruction beside rewritten call sites'],
    platform: (o) => new SystrapPlatform(o),
  },
  {
    name: 'ptrace',
    parts: ['platform', 'ptrace'],
    program: 'tracer',
    files: [],
    without: ['rewriting of call sites', 'calls of its own', 'a region in guest memory'],
    platform: (o) => new PtracePlatform(o),
  },
  {
    name: 'kvm',
    parts: ['platform', 'kvm'],
    program: 'kvmstub',
    files: ['/dev/kvm'],
    without: ['rewriting of call sites', 'a region in guest memory', 'a stub in guest memory'],
    platform: (o) => new KvmPlatform(o),
  },
];

/** That which RINGFENCE_TEST_PLATFORM names; systrap by default. */
export function testEngine(): TestEngine {
  const name = process.env['RINGFENCE_TEST_PLATFORM'] ?? 'systrap';
  const found = engines.find((e) => e.name === name);
  if (found === undefined)
    throw new Error(`RINGFENCE_TEST_PLATFORM=${name}: test/engine/engines.ts has ${engines.map((e) => e.name).join(', ')}`);
  return found;
}
