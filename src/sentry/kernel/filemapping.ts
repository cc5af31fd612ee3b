// What a mapping of a file keeps: the open description, for as long as the mapping lives.

import type { MapObject } from '../mm/vma.ts';
import type { File } from '../vfs/file.ts';
import { filePath } from '../vfs/path.ts';

export class FileMapping implements MapObject {
  readonly file: File;

  /** Takes no reference: each area takes its own through ref(). */
  constructor(file: File) {
    this.file = file;
  }

  ref(): unknown {
    return this.file.ref();
  }

  unref(): void {
    this.file.unref();
  }

  mapName(): string {
    return filePath(this.file);
  }

  get dev(): number {
    return this.file.inode.fs.dev;
  }

  get ino(): number {
    return this.file.inode.ino;
  }

  get key(): object {
    return this.file.inode;
  }
}

/** The program file of an address space: may not be written while it runs (ETXTBSY). */
export class ExeMapping extends FileMapping {
  override ref(): unknown {
    this.file.inode.denyWrite++;
    return super.ref();
  }

  override unref(): void {
    this.file.inode.denyWrite--;
    super.unref();
  }
}

/** Anonymous shared memory: a memfd that all areas of one mmap keep open. */
export class SharedMemory implements MapObject {
  readonly fd: number;
  readonly name: string;
  readonly dev: number = 1;
  readonly ino: number;
  private refs = 0;
  private readonly close: (fd: number) => void;

  constructor(fd: number, name: string, ino: number, close: (fd: number) => void) {
    this.fd = fd;
    this.name = name;
    this.ino = ino;
    this.close = close;
  }

  ref(): unknown {
    this.refs++;
    return this;
  }

  unref(): void {
    if (--this.refs === 0) this.close(this.fd);
  }

  mapName(): string {
    return this.name;
  }

  get key(): object {
    return this;
  }
}
