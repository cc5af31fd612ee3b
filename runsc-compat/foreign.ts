// Global flags of other runtimes (runc, crun, runsc) that configurations and wrappers carry. Those that mean something here are options of
// the program itself (main.ts); the rest is here: taken without effect where nothing that a container can see depends on it, else refused
// in one line, because a container that runs under other rules than those asked for is worse than none.

import { CliError } from './errors.ts';

/** Switches and settings without a counterpart whose absence nobody notices: tuning, packet offloading, what Go's runtime does, retired flags. */
const SWITCHES = [
  'EXPERIMENTAL-xdp-need-wakeup',
  'allow-connected-on-save',
  'allow-flag-override',
  'allow-suid',
  'alsologtostderr',
  'app-huge-pages',
  'buffer-pooling',
  'cgroupfs',
  'cpu-num-from-quota',
  'debug-to-user-log',
  'directfs',
  'fuse',
  'gso',
  'gvisor-gro',
  'lisafs',
  'log-packets',
  'net-disconnect-ok',
  'net-raw',
  'oci-seccomp',
  'rx-checksum-offload',
  'software-gso',
  'strace-event',
  'systrap-disable-fast-path',
  'tx-checksum-offload',
  'vfs2',
] as const;

const VALUES = [
  'control-rpc-stop-timeout',
  'criu',
  'dcache',
  'debug-command',
  'debug-log-format',
  'fdlimit',
  'gofer-network-namespace',
  'network-processors-per-channel',
  'num-network-channels',
  'panic-signal',
  'ref-leak-mode',
  'restore-spec-validation',
  'strace-log-size',
  'traceback',
  'user-log',
] as const;

/** Switches that would change what a container can do or see. */
const REFUSED: Record<string, string> = {
  'enable-core-tags': 'the sandbox does not tag its threads for core scheduling',
  'fsgofer-host-uds': 'a container cannot reach unix sockets of the host',
  iouring: 'the sandbox has no io_uring',
  nvproxy: 'GPUs of the host are not passed on',
  'nvproxy-docker': 'GPUs of the host are not passed on',
  profile: 'there is no Go profiler here',
  rdmaproxy: 'RDMA devices of the host are not passed on',
  'reproduce-nat': "the host's NAT rules are not copied into the sandbox",
  'reproduce-nftables': "the host's nftables rules are not copied into the sandbox",
  tpuproxy: 'TPUs of the host are not passed on',
};

/** Settings with values that can be honoured (`allowed`) and values that cannot. */
const CHECKED: Record<string, { allowed: RegExp; why: string }> = {
  'EXPERIMENTAL-xdp': { allowed: /^off$/, why: 'the sandbox does not use XDP' },
  'character-device-policy': { allowed: /^(emulated-only|prefer-emulated)$/, why: "the host's devices are not passed on" },
  'coverage-report': { allowed: /^$/, why: 'the sandbox writes no coverage report' },
  'host-fifo': { allowed: /^none$/, why: 'a container cannot open FIFOs of the host' },
  'host-settings': { allowed: /^(check|ignore)$/, why: "the host's settings are never changed" },
  'host-uds': { allowed: /^none$/, why: 'a container cannot reach unix sockets of the host' },
  'metric-server': { allowed: /^$/, why: 'there is no metric server; `ringfence events --stats` tells the numbers of a container' },
  'nvproxy-driver-version': { allowed: /^$/, why: 'GPUs of the host are not passed on' },
  'pcap-log': { allowed: /^$/, why: 'packets are not recorded' },
  'pod-init-config': { allowed: /^$/, why: 'there are no trace sessions' },
  qdisc: { allowed: /^(fifo|none)$/, why: 'the sandbox does not shape its traffic' },
  'profile-block': { allowed: /^$/, why: 'there is no Go profiler here' },
  'profile-cpu': { allowed: /^$/, why: 'there is no Go profiler here' },
  'profile-heap': { allowed: /^$/, why: 'there is no Go profiler here' },
  'profile-mutex': { allowed: /^$/, why: 'there is no Go profiler here' },
  'profiling-metrics': { allowed: /^$/, why: 'there are no profiling metrics' },
  'profiling-metrics-log': { allowed: /^$/, why: 'there are no profiling metrics' },
  'profiling-metrics-rate-us': { allowed: /^\d+$/, why: 'it takes a number' },
  trace: { allowed: /^$/, why: 'there is no Go execution trace here' },
  'watchdog-action': { allowed: /^(log|logwarning)$/i, why: 'a slow system call never ends the sandbox' },
};

const switches: ReadonlySet<string> = new Set(SWITCHES);
const values: ReadonlySet<string> = new Set(VALUES);

export type ForeignKind = 'switch' | 'value';

/** Whether `name` (without dashes) is a foreign flag, and whether it takes a value. */
export function foreignKind(name: string): ForeignKind | null {
  if (switches.has(name) || name in REFUSED) return 'switch';
  return values.has(name) || name in CHECKED ? 'value' : null;
}

/** Throws one line where a foreign flag asks for what cannot be given. A switch's value is 'true' or 'false'. */
export function checkForeign(name: string, value: string): void {
  const why = REFUSED[name];
  if (why !== undefined && value === 'true') throw new CliError(`--${name} cannot be honoured: ${why}`);
  const rule = CHECKED[name];
  if (rule !== undefined && !rule.allowed.test(value)) throw new CliError(`--${name}=${value} cannot be honoured: ${rule.why}`);
}
