// The file system types that mount(2) and the container's configuration may name.

import { EINVAL } from '../../abi/errno.ts';
import { Cgroup1Fs, Cgroup2Fs } from '../fs/cgroup/cgroupfs.ts';
import type { ProcExtras } from '../fs/proc/extras.ts';
import { ProcFs } from '../fs/proc/proc.ts';
import { SysFs } from '../fs/sys/sysfs.ts';
import { parseTmpfsOptions } from '../fs/tmpfs/options.ts';
import { TmpFs } from '../fs/tmpfs/tmpfs.ts';
import { createDevpts } from '../fs/tty/devpts.ts';
import { mqueuesOf } from '../ipc/mqueue.ts';
import { IPC_SYSCTLS, procSysvipc } from '../ipc/namespace.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { callerLimits, containerOf } from '../kernel/limits.ts';
import { type NamespaceSet, sysctlHome } from '../kernel/namespaces.ts';
import type { PidNamespace } from '../kernel/pidns.ts';
import { groupCpuNs, taskCpuNs } from '../kernel/usage.ts';
import { NET_SYSCTLS, procNet } from '../net/procnet.ts';
import type { Caller } from '../vfs/caller.ts';
import { registerFileSystem } from '../vfs/fstypes.ts';

const DEFAULT_MEMORY = 8 * 2 ** 30;

function tmpfs(kernel: Kernel, name: string, options: readonly string[]): TmpFs | number {
  const o = parseTmpfsOptions(options, kernel.memoryBytes > 0 ? kernel.memoryBytes : DEFAULT_MEMORY);
  return typeof o === 'number' ? o : new TmpFs(kernel.host, o, name);
}

/** The namespaces of the task that mounts, or of the container that is being built. */
function namespacesOf(kernel: Kernel, c: Caller | null): NamespaceSet {
  return (c as { ns?: NamespaceSet } | null)?.ns ?? kernel.namespaces;
}

/** Puts sysctls of a configuration where they belong. */
export function configureSysctls(kernel: Kernel, ns: NamespaceSet, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) {
    kernel.sysctlNames.add(name);
    sysctlHome(kernel, ns, name).set(name, value);
  }
}

/** What /proc shows of the parts that it may not know. `cpuLines`: the lines of one processor for /proc/cpuinfo. */
function procExtras(kernel: Kernel, cpuLines: readonly string[]): ProcExtras {
  return { groupCpuNs, taskCpuNs, net: procNet(kernel), sysvipc: procSysvipc(kernel), sysctls: [NET_SYSCTLS, IPC_SYSCTLS], cpuLines };
}

/** Registers all types. Once for a kernel. */
export function registerFileSystems(kernel: Kernel, cpuLines: readonly string[] = []): void {
  const extras = procExtras(kernel, cpuLines);
  registerFileSystem('sysfs', (c) => new SysFs(kernel, containerOf(c)));
  registerFileSystem('tmpfs', (_c, _source, options) => tmpfs(kernel, 'tmpfs', options));
  registerFileSystem('proc', (c, _source, options) => {
    const by = c as { pidns?: PidNamespace } | null;
    return new ProcFs(kernel, by?.pidns ?? namespacesOf(kernel, c).pid, extras, options);
  });
  registerFileSystem('cgroup', (c, _source, options) => {
    const controllers = options.filter((o) => callerLimits(kernel, c).config.hierarchies.some((h) => h.controllers.includes(o)));
    return controllers.length === 0 ? -EINVAL : new Cgroup1Fs(kernel, containerOf(c), controllers);
  });
  registerFileSystem('cgroup2', (c) => new Cgroup2Fs(kernel, containerOf(c)));
  // A configured tmpfs that is to get device nodes still calls itself what the configuration does.
  registerFileSystem('devtmpfs', (_c, source, options) => {
    return tmpfs(kernel, source === 'tmpfs' ? 'tmpfs' : 'devtmpfs', options.length > 0 ? options : ['mode=755']);
  });
  registerFileSystem('ramfs', (_c, _source, options) => tmpfs(kernel, 'ramfs', options));
  registerFileSystem('devpts', (_c, _source, options) => createDevpts(options.join(',')));
  registerFileSystem('mqueue', (c) => mqueuesOf(namespacesOf(kernel, c).ipc.key).fs);
}
