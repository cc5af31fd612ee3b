// System V shared memory segments (shmget(2), shmat(2), shmctl(2)): a memfd each, mapped by guests and held by the Sentry.

import { EINVAL } from '../../abi/errno.ts';
import { SHM_DEST } from '../../abi/ipc.ts';
import { putU32, putU64 } from '../../base/bytes.ts';
import type { HostIO } from '../../platform/hostio.ts';
import type { MapObject } from '../mm/vma.ts';
import { numberIn, type Pid, type PidNamespace } from '../kernel/pidns.ts';
import type { Credentials } from '../vfs/creds.ts';
import { IpcObject, IpcTable, nowSec, PERM_SIZE, putTime } from './ids.ts';

/** sizeof(struct shmid64_ds). */
export const SHMID_DS_SIZE = 112;
export const SHMMNI = 4096;
export const SHMMIN = 1;
/** kernel.shmmax and shmall as Linux sets them: no limit worth the name. */
export const SHMMAX = 2 ** 64 - 2 ** 24;
/** What one segment may have here, bytes. The host counts pages only when they are touched. */
const SEGMENT_MAX = 2 ** 46;

export class ShmSegment extends IpcObject {
  readonly size: number;
  readonly cpid: Pid;
  lpid: Pid | null = null;
  atime = 0;
  dtime = 0;
  /** Areas that map it (shm_nattch). */
  attached = 0;
  /** Host descriptor of its memory. */
  readonly fd: number;
  /** What areas refer to. */
  readonly mapping: ShmMapping;
  /** shmctl(SHM_LOCK) and the last detach work on the table. */
  private readonly table: ShmTable;

  constructor(table: ShmTable, cr: Credentials, key: number, mode: number, size: number, fd: number, pid: Pid) {
    super(cr, key, mode);
    this.table = table;
    this.size = size;
    this.fd = fd;
    this.cpid = pid;
    this.mapping = new ShmMapping(this, key);
  }

  /** Fills a struct shmid64_ds as it looks to `viewer`. */
  putDs(b: Uint8Array, viewer: PidNamespace): void {
    this.putPerm(b);
    b.fill(0, PERM_SIZE, SHMID_DS_SIZE);
    putU64(b, 48, this.size);
    putTime(b, 56, this.atime);
    putTime(b, 64, this.dtime);
    putTime(b, 72, this.ctime);
    putU32(b, 80, this.cpid.in(viewer));
    putU32(b, 84, numberIn(this.lpid, viewer));
    putU64(b, 88, this.attached);
  }

  attach(): void {
    this.attached++;
    this.atime = nowSec();
  }

  detach(): void {
    this.attached--;
    this.dtime = nowSec();
    if (this.attached === 0 && (this.mode & SHM_DEST) !== 0) this.table.destroy(this);
  }
}

/** A segment as the memory manager sees it: every area holds one reference, which is one attachment. */
export class ShmMapping implements MapObject {
  readonly segment: ShmSegment;
  readonly dev: number = 1;
  private readonly name: string;

  constructor(segment: ShmSegment, key: number) {
    this.segment = segment;
    this.name = `/SYSV${(key >>> 0).toString(16).padStart(8, '0')} (deleted)`;
  }

  ref(): unknown {
    this.segment.attach();
    return this;
  }

  unref(): void {
    this.segment.detach();
  }

  mapName(): string {
    return this.name;
  }

  get ino(): number {
    return this.segment.id;
  }

  get key(): object {
    return this.segment;
  }
}

export class ShmTable extends IpcTable<ShmSegment> {
  private readonly host: HostIO;

  constructor(host: HostIO) {
    super(SHMMNI);
    this.host = host;
  }

  /** Makes a segment of `size` bytes. Its identifier or -errno. */
  create(cr: Credentials, key: number, mode: number, size: number, pid: Pid): number {
    if (size < SHMMIN || size > SEGMENT_MAX) return -EINVAL;
    const fd = this.host.memfd('SYSV');
    if (fd < 0) return fd;
    const r = this.host.ftruncate(fd, Math.ceil(size / 4096) * 4096);
    if (r < 0) {
      this.host.close(fd);
      return r;
    }
    return this.add(new ShmSegment(this, cr, key, mode, size, fd, pid));
  }

  /** IPC_RMID: gone at once when nobody maps it, else with the last detach. */
  markForRemoval(s: ShmSegment): void {
    if (s.attached === 0) {
      this.destroy(s);
      return;
    }
    s.mode |= SHM_DEST;
    this.hideKey(s);
  }

  destroy(s: ShmSegment): void {
    if (s.removed) return;
    this.remove(s);
    this.host.close(s.fd);
  }

  /** Pages of all segments. */
  get pages(): number {
    let n = 0;
    this.forEach((s) => {
      n += Math.ceil(s.size / 4096);
    });
    return n;
  }
}
