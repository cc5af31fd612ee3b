// The tree of names of a container: its root, its mounts in the order of the configuration, the nodes of /dev, masked and read-only paths.

import { totalmem } from 'node:os';
import { EPOLLIN } from '../../abi/epoll.ts';
import { EACCES, EEXIST, ENOENT } from '../../abi/errno.ts';
import { ST_NOATIME, ST_NODEV, ST_NODIRATIME, ST_NOEXEC, ST_NOSUID, ST_RDONLY, ST_RELATIME } from '../../abi/mount.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG } from '../../abi/stat.ts';
import { monotonicNs } from '../../base/clock.ts';
import type { ContainerConfig, HierarchyConfig, MountConfig } from '../../wire/boot.ts';
import type { ContainerFiles } from '../control/container.ts';
import { Cgroup1Fs } from '../fs/cgroup/cgroupfs.ts';
import { DEFAULT_DEVICES, DEFAULT_LINKS, registerMemDevices } from '../fs/dev/mem.ts';
import { REST_NS } from '../fs/gofer/behind.ts';
import { BELIEF_NS } from '../fs/gofer/belief.ts';
import type { GoferClient } from '../fs/gofer/client.ts';
import { connectGofer, GoferFileSystem } from '../fs/gofer/fs.ts';
import { OverlayFs } from '../fs/overlay/overlay.ts';
import { TmpFs } from '../fs/tmpfs/tmpfs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelCaller } from '../kernel/kernelcaller.ts';
import type { NamespaceSet } from '../kernel/namespaces.ts';
import { Timer } from '../kernel/timers.ts';
import { errnoName } from '../syscalls/strace.ts';
import type { Dentry } from '../vfs/dentry.ts';
import { makedev } from '../vfs/devices.ts';
import type { FileSystem } from '../vfs/filesystem.ts';
import { makeFileSystem } from '../vfs/fstypes.ts';
import { type Mount, newMount } from '../vfs/mount.ts';
import { bindMount, MountNamespace, mountAt } from '../vfs/namespace.ts';
import { mkdirPath, mknodPath, symlinkPath, unlinkPath } from '../vfs/ops.ts';
import { changeOwner } from '../vfs/setattr.ts';
import { LOOKUP_FOLLOW, resolve, Walk } from '../vfs/walk.ts';
import { copyUp } from './copyup.ts';
import { configureSysctls, registerFileSystems } from './filesystems.ts';

/** Memory that tmpfs limits are reckoned from when the kernel knows none. */
const DEFAULT_MEMORY = 8 * 2 ** 30;

/** Options that are about the mount, not about what the file system shows. */
const MOUNT_WORDS = new Set(['bind', 'rbind', 'strictatime', 'noatime', 'nodiratime', 'relatime', 'tmpcopyup']);

function fail(what: string, err: number): never {
  throw new Error(`${what}: ${errnoName(-err)}`);
}

class Builder {
  readonly kernel: Kernel;
  readonly config: ContainerConfig;
  readonly client: GoferClient;
  readonly root: Mount;
  readonly ns: MountNamespace;
  readonly c: KernelCaller;
  readonly walk = new Walk();

  constructor(kernel: Kernel, config: ContainerConfig, client: GoferClient, namespaces: NamespaceSet) {
    this.kernel = kernel;
    this.config = config;
    this.client = client;
    this.root = newMount(this.rootFs(), ST_RELATIME, config.overlay ? 'overlay' : 'root');
    this.ns = new MountNamespace(this.root);
    this.c = new KernelCaller(this.root, config.id, namespaces);
  }

  private get memory(): number {
    return this.kernel.memoryBytes > 0 ? this.kernel.memoryBytes : DEFAULT_MEMORY;
  }

  private attach(index: number, exclusive: boolean): GoferFileSystem {
    const fs = GoferFileSystem.attach(this.client, index, exclusive);
    return typeof fs === 'number' ? fail(`gofer tree ${index}`, fs) : fs;
  }

  private rootFs(): FileSystem {
    // Clients copy files into the root of a running container, but not into one that is read-only or covered by memory.
    const written = !this.config.overlay && !this.config.rootReadonly;
    const lower = this.attach(0, !written || this.config.rootExclusive === true);
    lower.session.late = written && !lower.session.exclusive;
    // Mount points that a read-only root lacks are made in memory: the root itself stays as it is.
    return written ? lower : this.overlaid(lower);
  }

  /** `lower` below a layer in memory. */
  private overlaid(lower: FileSystem): FileSystem {
    const size = this.config.overlaySize ?? this.memory;
    return new OverlayFs(new TmpFs(this.kernel.host, { size, inodes: Infinity, mode: 0o755, uid: 0, gid: 0, shown: '' }), lower);
  }

  /** The file system that a mount of the configuration shows. */
  private fsOf(m: MountConfig): FileSystem {
    if (m.type === 'bind') {
      const tree = this.attach(m.attach, this.config.mountsExclusive === true);
      return this.config.overlayMounts === true && (tree.root.mode & S_IFMT) === S_IFDIR ? this.overlaid(tree) : tree;
    }
    // Limits are version 2's, or there are none: the unified hierarchy is what there is to be seen.
    const type: string = m.type === 'cgroup' ? 'cgroup2' : m.type;
    let options = m.options.filter((o) => !MOUNT_WORDS.has(o));
    // As runc does: a tmpfs takes the permissions of the folder that it covers.
    if (type === 'tmpfs' && !options.some((o) => o.startsWith('mode='))) {
      const below = resolve(this.c, null, m.destination, LOOKUP_FOLLOW, this.walk) === 0 ? this.walk.dentry.inode : null;
      if (below !== null) options = [...options, `mode=${(below.mode & 0o7777).toString(8)}`];
    }
    const fs = makeFileSystem(this.c, type, m.source, options);
    return typeof fs === 'number' ? fail(`mount ${m.type} at ${m.destination}`, fs) : fs;
  }

  /** Finds `path`, making what is missing: directories, and at the end a file unless `asDir`. 0 or -errno with `walk` filled. */
  reach(path: string, asDir: boolean): number {
    const err = resolve(this.c, null, path, LOOKUP_FOLLOW, this.walk);
    if (err !== -ENOENT) return err;
    const parts = path.split('/').filter((p) => p !== '');
    let at = '';
    for (let i = 0; i < parts.length; i++) {
      at += `/${parts[i]}`;
      if (resolve(this.c, null, at, LOOKUP_FOLLOW, this.walk) === 0) continue;
      const made = i + 1 < parts.length || asDir ? mkdirPath(this.c, null, at, 0o755) : mknodPath(this.c, null, at, S_IFREG | 0o644, 0);
      if (made < 0 && made !== -EEXIST) return made;
    }
    return resolve(this.c, null, path, LOOKUP_FOLLOW, this.walk);
  }

  mount(m: MountConfig): void {
    const limits = this.config.limits;
    if (m.type === 'cgroup' && limits?.version === 1) this.hierarchies(m, limits.hierarchies);
    else this.place(this.fsOf(m), m, m.destination, m.source);
  }

  /** cgroup v1: a folder in memory with a mount for each hierarchy, and links for controllers that share one. */
  private hierarchies(m: MountConfig, all: readonly HierarchyConfig[]): void {
    const folder = makeFileSystem(this.c, 'tmpfs', 'tmpfs', ['mode=755']);
    if (typeof folder === 'number') fail(`mount ${m.type} at ${m.destination}`, folder);
    this.place(folder, { ...m, readonly: false }, m.destination, 'tmpfs');
    const at = m.destination.replace(/\/+$/, '');
    for (const h of all) {
      this.place(new Cgroup1Fs(this.kernel, this.config.id, h.controllers), m, `${at}/${h.folder}`, 'cgroup');
      for (const c of h.controllers) if (h.controllers.length > 1 && c !== h.folder) symlinkPath(this.c, h.folder, null, `${at}/${c}`);
    }
  }

  private place(fs: FileSystem, m: MountConfig, at: string, source: string): void {
    let flags = ST_RELATIME;
    if (m.options.includes('strictatime')) flags = 0;
    if (m.options.includes('noatime')) flags = ST_NOATIME;
    if (m.options.includes('nodiratime')) flags |= ST_NODIRATIME;
    if (m.readonly) flags |= ST_RDONLY;
    if (m.nosuid) flags |= ST_NOSUID;
    if (m.nodev) flags |= ST_NODEV;
    if (m.noexec) flags |= ST_NOEXEC;
    const mount = newMount(fs, flags, source === '' ? 'none' : source);
    const destination = at.startsWith('/') ? at : `/${at}`;
    let err = this.reach(destination, mount.root.isDir);
    if (err < 0) fail(`mount point ${destination}`, err);
    if (destination === '/' || this.walk.dentry === this.root.root) {
      fail(`mount over the root at ${destination}`, -EACCES);
    }
    const { mount: under, dentry } = this.walk;
    if (m.type === 'tmpfs' && m.options.includes('tmpcopyup')) {
      mount.flags &= ~ST_RDONLY;
      err = copyUp(this.c, under, dentry, mount);
      if (err < 0) fail(`tmpcopyup at ${destination}`, err);
      mount.flags = flags;
    }
    err = mountAt(mount, under, dentry);
    if (err < 0) fail(`mount ${source} at ${destination}`, err);
  }

  /** The nodes and links of /dev, where it is not somebody else's. */
  devices(): void {
    let err = this.reach('/dev', true);
    if (err < 0) return;
    if (this.walk.mount.fs instanceof GoferFileSystem) {
      if (this.walk.mount !== this.root) return;
      // Written through, the nodes would litter the root of the container: give it a /dev in memory.
      const fs = makeFileSystem(this.c, 'tmpfs', 'tmpfs', ['mode=755', 'size=65536k']);
      if (typeof fs === 'number') return;
      err = mountAt(newMount(fs, ST_NOSUID | ST_RELATIME, 'tmpfs'), this.walk.mount, this.walk.dentry);
      if (err < 0) return;
      mkdirPath(this.c, null, '/dev/shm', 0o1777);
    }
    for (const [name, major, minor] of DEFAULT_DEVICES) this.node(`/dev/${name}`, S_IFCHR | 0o666, makedev(major, minor), 0, 0);
    if (this.config.process.terminal) this.node('/dev/console', S_IFCHR | 0o620, makedev(5, 1), this.config.process.uid, 5);
    for (const d of this.config.devices) {
      const type = d.type === 'b' ? S_IFBLK : d.type === 'p' ? S_IFIFO : S_IFCHR;
      this.node(d.path, type | (d.mode & 0o7777), type === S_IFIFO ? 0 : makedev(d.major, d.minor), d.uid, d.gid, true);
    }
    const pts = resolve(this.c, null, '/dev/pts/ptmx', 0, this.walk) === 0;
    for (const [name, target] of DEFAULT_LINKS) {
      if (name === 'ptmx' && !pts) continue;
      symlinkPath(this.c, target, null, `/dev/${name}`);
    }
  }

  /** Makes a node. `strict`: what has the name already and is something else is an error (runtime specification, devices); else it is replaced. */
  private node(path: string, mode: number, rdev: number, uid: number, gid: number, strict = false): void {
    const slash = path.lastIndexOf('/');
    if (this.reach(slash <= 0 ? '/' : path.slice(0, slash), true) < 0) return;
    // A plain file of the image in the place of a device would be written to instead of it.
    if (resolve(this.c, null, path, 0, this.walk) === 0) {
      const have = this.walk.dentry.inode!;
      if ((have.mode & S_IFMT) === (mode & S_IFMT) && have.rdev === rdev) return;
      if (strict) fail(`device ${path}: another file has the name`, -EEXIST);
      if ((have.mode & S_IFMT) === S_IFDIR || unlinkPath(this.c, null, path) < 0) return;
    }
    const err = mknodPath(this.c, null, path, mode, rdev);
    if (err < 0) {
      this.kernel.log.warn('no device node', { path, errno: -err });
      return;
    }
    if ((uid !== 0 || gid !== 0) && resolve(this.c, null, path, 0, this.walk) === 0) {
      changeOwner(this.c, null, this.walk.dentry, this.walk.dentry.inode!, uid, gid);
    }
  }

  /** Hides a path: a directory behind an empty read-only one, a file behind /dev/null. */
  mask(path: string): void {
    if (resolve(this.c, null, path, LOOKUP_FOLLOW, this.walk) < 0) return;
    const mount = this.walk.mount;
    const dentry = this.walk.dentry;
    if (dentry.isDir) {
      const fs = makeFileSystem(this.c, 'tmpfs', 'tmpfs', ['mode=755']);
      if (typeof fs !== 'number') mountAt(newMount(fs, ST_RDONLY | ST_RELATIME, 'tmpfs'), mount, dentry);
      return;
    }
    if (resolve(this.c, null, '/dev/null', LOOKUP_FOLLOW, this.walk) < 0) return;
    mountAt(bindMount(this.walk.mount, this.walk.dentry, false), mount, dentry);
  }

  /** Makes a path read-only, with all that is mounted below it. */
  freeze(path: string): void {
    if (resolve(this.c, null, path, LOOKUP_FOLLOW, this.walk) < 0) return;
    const mount = this.walk.mount;
    const dentry: Dentry = this.walk.dentry;
    const m = bindMount(mount, dentry, true);
    m.flags |= ST_RDONLY;
    mountAt(m, mount, dentry);
  }
}

/** Parts that all containers of a sandbox share: device and file system types. `cpuLines` is what /proc/cpuinfo shows of each processor. */
export function registerParts(kernel: Kernel, cpuLines: readonly string[] = []): void {
  if (kernel.memoryBytes === 0) kernel.memoryBytes = totalmem();
  registerMemDevices(kernel.host);
  registerFileSystems(kernel, cpuLines);
}

/** Has what the Sentry knows and keeps of a gofer's files follow the times. The answer ends that, and the connection. */
function follow(kernel: Kernel, client: GoferClient, fd: number): () => void {
  const end = new Timer(() => {
    client.behind.enqueueOpen();
    client.sendLate();
    client.belief.doubt();
  });
  client.belief.arm = () => kernel.addTimer(end, monotonicNs() + BELIEF_NS);
  const outside = (): void => {
    client.settleAll();
    client.belief.doubt();
  };
  const send = new Timer(() => {
    client.sendLate(client.behind.still() ? 0 : 1);
    if (client.behind.queued()) client.behind.arm();
  });
  client.behind.arm = () => {
    if (!send.armed) kernel.addTimer(send, monotonicNs() + REST_NS);
  };
  kernel.outside.add(outside);
  client.onLost = (name, errno) => kernel.log.error('a file that was written could not be made', { name, errno: -errno });
  client.behind.onKept = (name, errno) => {
    client.belief.doubt();
    kernel.log.error('a name that was removed is still there', { name, errno: -errno });
  };
  kernel.host.watch(fd, EPOLLIN, () => {
    if (!client.hearLate()) kernel.host.unwatch(fd);
  });
  return () => {
    client.settleAll();
    kernel.outside.delete(outside);
    kernel.host.unwatch(fd);
    client.close();
    client.belief.arm = () => {};
    kernel.cancelTimer(end);
    kernel.cancelTimer(send);
  };
}

/**
 * Builds the mounts of a container from its configuration, in namespaces that have none yet; `goferFd`, the socket to its gofer, is taken
 * over. Throws an Error that says what could not be mounted where; `first` is told of it before anything is given up.
 */
export function buildFiles(
  kernel: Kernel,
  config: ContainerConfig,
  goferFd: number,
  namespaces: NamespaceSet,
  first: (e: unknown) => void,
): ContainerFiles {
  configureSysctls(kernel, namespaces, config.sysctl);
  const client = connectGofer(kernel.host, goferFd);
  const close = follow(kernel, client, goferFd);
  let b: Builder | null = null;
  try {
    b = new Builder(kernel, config, client, namespaces);
    for (const m of config.mounts) b.mount(m);
    b.devices();
    // As runc does; where it cannot be made, the process's start says so.
    if (config.process.cwd.startsWith('/')) b.reach(config.process.cwd, true);
    for (const p of config.readonlyPaths) b.freeze(p);
    for (const p of config.maskedPaths) b.mask(p);
    if (config.rootReadonly) b.root.flags |= ST_RDONLY;
    b.c.fs.unref();
    return { mounts: b.ns, messages: () => client.calls, close, hangUp: () => client.hangUp() };
  } catch (e) {
    first(e);
    b?.c.fs.unref();
    b?.ns.unref();
    close();
    client.hangUp();
    throw e;
  }
}
