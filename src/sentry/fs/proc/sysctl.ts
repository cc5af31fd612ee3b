// /proc/sys: what the kernel computes, what was configured, and what was written since.

import { EINVAL, EPERM } from '../../../abi/errno.ts';
import { UTS_RELEASE, UTS_SYSNAME, UTS_VERSION } from '../../../abi/utsname.ts';
import { CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN } from '../../../abi/capability.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { sysctlHome } from '../../kernel/namespaces.ts';
import { PID_MAX } from '../../kernel/pidns.ts';

import type { Task } from '../../kernel/task.ts';
import type { Caller } from '../../vfs/caller.ts';
import type { SynthDir } from '../synthetic.ts';
import type { ProcExtras } from './extras.ts';

const LAST_CAP = 40;
const NAME_MOST = 64;

function uuid(b: Uint8Array): string {
  const h = [...b].map((x) => x.toString(16).padStart(2, '0')).join('');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

/** Marks a random UUID (RFC 9562, version 4). */
function version4(b: Uint8Array): Uint8Array {
  b[6] = (b[6]! & 0x0f) | 0x40;
  b[8] = (b[8]! & 0x3f) | 0x80;
  return b;
}

/** Values that are kept as text and may be written. */
const KEPT: readonly (readonly [string, string])[] = [
  ['kernel.core_pattern', 'core'],
  ['kernel.core_uses_pid', '0'],
  ['kernel.ctrl-alt-del', '0'],
  ['kernel.dmesg_restrict', '0'],
  ['kernel.kptr_restrict', '1'],
  ['kernel.panic', '0'],
  ['kernel.panic_on_oops', '0'],
  ['kernel.perf_event_paranoid', '2'],
  ['kernel.printk', '4\t4\t1\t7'],
  ['kernel.randomize_va_space', '2'],
  ['kernel.sched_autogroup_enabled', '0'],
  ['kernel.shm_rmid_forced', '0'],
  ['kernel.sysrq', '0'],
  ['kernel.unprivileged_bpf_disabled', '2'],
  ['kernel.keys.maxkeys', '200'],
  ['kernel.keys.maxbytes', '20000'],
  ['kernel.keys.root_maxkeys', '1000000'],
  ['kernel.keys.root_maxbytes', '25000000'],
  ['vm.overcommit_memory', '0'],
  ['vm.overcommit_ratio', '50'],
  ['vm.max_map_count', '65530'],
  ['vm.swappiness', '60'],
  ['vm.dirty_ratio', '20'],
  ['vm.dirty_background_ratio', '10'],
  ['vm.min_free_kbytes', '67584'],
  ['vm.nr_hugepages', '0'],
  ['vm.oom_kill_allocating_task', '0'],
  ['vm.panic_on_oom', '0'],
  ['vm.vfs_cache_pressure', '100'],
  ['vm.zone_reclaim_mode', '0'],
  ['fs.file-max', '9223372036854775807'],
  ['fs.nr_open', '1048576'],
  ['fs.aio-max-nr', '65536'],
  ['fs.pipe-max-size', '1048576'],
  ['fs.pipe-user-pages-hard', '0'],
  ['fs.pipe-user-pages-soft', '16384'],
  ['fs.lease-break-time', '45'],
  ['fs.leases-enable', '0'],
  ['fs.mount-max', '100000'],
  ['fs.overflowuid', '65534'],
  ['fs.overflowgid', '65534'],
  ['fs.protected_hardlinks', '1'],
  ['fs.protected_symlinks', '0'],
  ['fs.protected_fifos', '0'],
  ['fs.protected_regular', '0'],
  ['fs.suid_dumpable', '0'],
  ['fs.inotify.max_queued_events', '16384'],
  ['fs.inotify.max_user_instances', '128'],
  ['fs.inotify.max_user_watches', '65536'],
  ['fs.epoll.max_user_watches', '1048576'],
  ['fs.mqueue.msg_default', '10'],
  ['fs.mqueue.msg_max', '10'],
  ['fs.mqueue.msgsize_default', '8192'],
  ['fs.mqueue.msgsize_max', '8192'],
  ['fs.mqueue.queues_max', '256'],
];

/** Values of the System V IPC objects, unless their part brings its own. */
const IPC: readonly (readonly [string, string])[] = [
  ['kernel.shmmax', '18446744073692774399'],
  ['kernel.shmall', '18446744073692774399'],
  ['kernel.shmmni', '4096'],
  ['kernel.sem', '32000\t1024000000\t500\t32000'],
  ['kernel.msgmax', '8192'],
  ['kernel.msgmnb', '16384'],
  ['kernel.msgmni', '32000'],
];

class Builder {
  readonly kernel: Kernel;
  readonly root: SynthDir;

  constructor(kernel: Kernel, root: SynthDir) {
    this.kernel = kernel;
    this.root = root;
  }

  /** The directory of a dotted name, and its last part. */
  private place(name: string): [SynthDir, string] {
    const parts = name.split('.');
    let d = this.root;
    for (let i = 0; i + 1 < parts.length; i++) d = d.dir(parts[i]!);
    return [d, parts[parts.length - 1]!];
  }

  /** Read only, computed. */
  shown(name: string, shows: () => string): void {
    const [d, last] = this.place(name);
    d.text(last, () => `${shows()}\n`);
  }

  /** A value that is kept (sysctlHome), with its text as long as nobody wrote. */
  kept(name: string, initial: string): void {
    const [d, last] = this.place(name);
    if (d.fixed.has(last)) return;
    const k = this.kernel;
    const number = /^-?\d+$/.test(initial);
    d.text(
      last,
      (c) => `${sysctlHome(k, (c as Task).ns, name).get(name) ?? initial}\n`,
      (c, s) => {
        const v = s.trim();
        if (number && !/^-?\d+$/.test(v)) return -EINVAL;
        sysctlHome(k, (c as Task).ns, name).set(name, v);
        return 0;
      },
    );
  }

  named(name: string, shows: (c: Caller) => string, takes: (c: Caller, s: string) => number): void {
    const [d, last] = this.place(name);
    d.text(last, (c) => `${shows(c)}\n`, takes);
  }
}

function nameTaker(set: (t: Task, s: string) => void): (c: Caller, s: string) => number {
  return (c, s) => {
    const v = s.split('\n')[0]!;
    if (v.length > NAME_MOST) return -EINVAL;
    set(c as Task, v);
    return 0;
  };
}

/** Fills /proc/sys. */
export function fillSysctls(kernel: Kernel, root: SynthDir, x: ProcExtras): void {
  const b = new Builder(kernel, root);
  b.shown('kernel.ostype', () => UTS_SYSNAME);
  b.shown('kernel.osrelease', () => UTS_RELEASE);
  b.shown('kernel.version', () => UTS_VERSION);
  b.named(
    'kernel.hostname',
    (c) => (c as Task).ns.uts.hostname,
    nameTaker((t, s) => {
      t.ns.uts.hostname = s;
    }),
  );
  b.named(
    'kernel.domainname',
    (c) => (c as Task).ns.uts.domainname,
    nameTaker((t, s) => {
      t.ns.uts.domainname = s;
    }),
  );
  b.shown('kernel.pid_max', () => String(PID_MAX));
  b.shown('kernel.threads-max', () => String(PID_MAX - 1));
  b.shown('kernel.cap_last_cap', () => String(LAST_CAP));
  b.shown('vm.mmap_min_addr', () => String(kernel.platform.minAddress));
  b.shown('kernel.ngroups_max', () => '65536');
  b.shown('kernel.overflowuid', () => '65534');
  b.shown('kernel.overflowgid', () => '65534');
  b.shown('kernel.tainted', () => '0');
  b.named(
    'kernel.ns_last_pid',
    (c) => String((c as Task).pidns.last),
    (c, s) => {
      if (!c.creds.has(CAP_CHECKPOINT_RESTORE) && !c.creds.has(CAP_SYS_ADMIN)) return -EPERM;
      if (!/^\d+\s*$/.test(s) || Number(s) >= PID_MAX) return -EINVAL;
      (c as Task).pidns.last = Number(s);
      return 0;
    },
  );
  b.shown('kernel.random.uuid', () => {
    const bytes = new Uint8Array(16);
    kernel.host.random(bytes);
    return uuid(version4(bytes));
  });
  b.shown('kernel.random.boot_id', () => uuid(version4(kernel.bootId.slice())));
  b.shown('kernel.random.entropy_avail', () => '256');
  b.shown('kernel.random.poolsize', () => '256');
  b.shown('fs.file-nr', () => {
    let n = 0;
    kernel.forEachGroup((g) => g.leader.fds.forEach(() => n++));
    return `${n}\t0\t9223372036854775807`;
  });
  for (const kind of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts']) b.shown(`user.max_${kind}_namespaces`, () => '31231');
  for (const kind of ['time', 'user']) b.shown(`user.max_${kind}_namespaces`, () => '0');
  b.shown('fs.inode-nr', () => '0\t0');
  b.shown('fs.dentry-state', () => '0\t0\t45\t0\t0\t0');
  b.named(
    'vm.drop_caches',
    () => '0',
    (_c, s) => (/^[1-4]\s*$/.test(s) ? 0 : -EINVAL),
  );
  for (const map of x.sysctls) for (const [name, v] of map) b.kept(name, v);
  for (const [name, v] of KEPT) b.kept(name, v);
  for (const [name, v] of IPC) b.kept(name, v);
  // Names that only the configuration knows.
  for (const name of kernel.sysctlNames) b.kept(name, '');
  root.dir('net');
}
