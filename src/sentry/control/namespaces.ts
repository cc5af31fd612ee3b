// Which namespaces the processes of a container begin in: shared with other containers of the sandbox as its configuration says.

import { CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET } from '../../abi/sched.ts';
import type { ContainerConfig, NamespaceWords } from '../../wire/boot.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { Namespace } from '../kernel/namespace.ts';
import { type NamespaceSet, UtsNamespace } from '../kernel/namespaces.ts';
import { PidNamespace } from '../kernel/pidns.ts';
import { netOf } from '../net/netns.ts';
import { nextNamespaceIno } from '../vfs/namespace.ts';

/** A container with the namespaces that it has. */
export interface Holder {
  readonly config: ContainerConfig;
  readonly namespaces: NamespaceSet;
}

/** The holder whose namespace of this kind `config` is to share, or null: one of its own. */
function sharer(config: ContainerConfig, kind: keyof NamespaceWords, others: readonly Holder[]): NamespaceSet | null {
  const word = config.namespaces?.[kind];
  if (word === undefined) return null;
  return others.find((o) => o.config.namespaces?.[kind] === word)?.namespaces ?? null;
}

/** Puts names into the UTS namespace; '' leaves one as it is. */
export function setNames(uts: UtsNamespace, config: ContainerConfig): void {
  if (config.hostname !== '') uts.hostname = config.hostname;
  if (config.domainname !== '') uts.domainname = config.domainname;
}

/** A pid namespace for a container, or for those that share one. */
export function containerPids(kernel: Kernel): PidNamespace {
  return new PidNamespace(kernel.pids, nextNamespaceIno(), null, true);
}

/** The namespaces of a further container, without mounts: a set of its own that the caller has one reference to. */
export function furtherNamespaces(kernel: Kernel, config: ContainerConfig, others: readonly Holder[]): NamespaceSet {
  const s = kernel.namespaces.bare();
  s.uts = sharer(config, 'uts', others)?.uts ?? new UtsNamespace(nextNamespaceIno(), 'ringfence', '(none)');
  s.ipc = sharer(config, 'ipc', others)?.ipc ?? new Namespace(CLONE_NEWIPC, nextNamespaceIno(), null);
  s.pid = sharer(config, 'pid', others)?.pid ?? containerPids(kernel);
  s.cgroup = sharer(config, 'cgroup', others)?.cgroup ?? new Namespace(CLONE_NEWCGROUP, nextNamespaceIno(), null);
  const net = sharer(config, 'network', others)?.net;
  if (net !== undefined) {
    s.net = net;
  } else {
    kernel.log.warn("a network namespace that is not the sandbox's: the container has a loopback interface of its own", { id: config.id });
    s.net = new Namespace(CLONE_NEWNET, nextNamespaceIno(), null);
    netOf(s.net.key).lo.up = true;
  }
  setNames(s.uts, config);
  return s;
}
