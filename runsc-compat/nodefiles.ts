// What node needs to run in an otherwise empty root: its binary, its shared libraries with the dynamic linker, and our own dist folder.
//
// In the new root all libraries lie in /lib under the names that the dynamic linker asks for (DT_SONAME); the usual library folders, and those
// that this node's libraries come from, are links to it.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { codeOf, CliError } from './errors.ts';
import { distFile } from './host.ts';

export const NODE_IN_ROOT = '/bin/node';
export const DIST_IN_ROOT = '/dist';

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_STRTAB = 5;
const DT_SONAME = 14;

interface Header {
  type: number;
  offset: number;
  vaddr: number;
  size: number;
}

/** The few facts of an ELF file (elf(5), 64 bit little endian) that its place in the root depends on. */
class ElfFile {
  private readonly fd: number;
  private readonly headers: Header[] = [];

  constructor(path: string) {
    this.fd = openSync(path, 'r');
    const head = this.bytes(0, 4096);
    const at = Number(head.readBigUInt64LE(32));
    const count = head.readUInt16LE(56);
    const table = at + count * 56 <= head.length ? head.subarray(at) : this.bytes(at, count * 56);
    for (let i = 0; i < count; i++) {
      const p = i * 56;
      this.headers.push({
        type: table.readUInt32LE(p),
        offset: Number(table.readBigUInt64LE(p + 8)),
        vaddr: Number(table.readBigUInt64LE(p + 16)),
        size: Number(table.readBigUInt64LE(p + 32)),
      });
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private bytes(offset: number, length: number): Buffer {
    const b = Buffer.alloc(length);
    return b.subarray(0, readSync(this.fd, b, 0, length, offset));
  }

  private text(offset: number): string {
    const b = this.bytes(offset, 512);
    const end = b.indexOf(0);
    return b.toString('latin1', 0, end < 0 ? b.length : end);
  }

  get interpreter(): string {
    const h = this.headers.find((x) => x.type === PT_INTERP);
    return h === undefined ? '' : this.text(h.offset);
  }

  get soname(): string {
    const h = this.headers.find((x) => x.type === PT_DYNAMIC);
    if (h === undefined) return '';
    const d = this.bytes(h.offset, h.size);
    let name = -1;
    let strings = -1;
    for (let i = 0; i + 16 <= d.length; i += 16) {
      const tag = Number(d.readBigInt64LE(i));
      if (tag === 0) break;
      if (tag === DT_SONAME) name = Number(d.readBigUInt64LE(i + 8));
      if (tag === DT_STRTAB) strings = Number(d.readBigUInt64LE(i + 8));
    }
    if (name < 0 || strings < 0) return '';
    const load = this.headers.find((x) => x.type === PT_LOAD && strings >= x.vaddr && strings < x.vaddr + x.size);
    return load === undefined ? '' : this.text(load.offset + strings - load.vaddr + name);
  }
}

/** Directives of the launcher's plan (native/launch/plan.c) that fill a root with node's own files. */
export function nodeRootPlan(): string[] {
  const maps = readMaps();
  const plan: string[] = [];
  const folders = new Set(['/lib64', '/usr/lib', '/usr/lib64', '/lib/x86_64-linux-gnu']);
  const libraries = new Set<string>();
  for (const line of maps.split('\n')) {
    const at = line.indexOf('/');
    if (at < 0) continue;
    const path = line.slice(at);
    if (/\.so(\.|$)/.test(path) && !path.endsWith(' (deleted)')) libraries.add(path);
  }
  plan.push('bind', process.execPath, NODE_IN_ROOT, 'bind', distFile(''), DIST_IN_ROOT, 'dir', '/lib');
  const names = new Set<string>();
  for (const path of libraries) {
    const elf = new ElfFile(path);
    const name = elf.soname || basename(path);
    elf.close();
    if (names.has(name)) continue;
    names.add(name);
    plan.push('bind', path, `/lib/${name}`);
    folders.add(dirname(path));
  }
  const elf = new ElfFile(process.execPath);
  const interpreter = elf.interpreter;
  elf.close();
  if (interpreter !== '') {
    folders.add(dirname(interpreter));
    if (!names.has(basename(interpreter))) {
      const linker = [...names].find((n) => n.startsWith('ld-') || n.startsWith('libc.musl'));
      if (linker !== undefined) plan.push('link', linker, `/lib/${basename(interpreter)}`);
    }
  }
  // /usr/lib and /lib64 are links themselves: a folder below one of them is linked where it really is.
  const links = new Set<string>();
  for (const folder of folders) links.add(folder.replace(/^(\/usr)?\/lib(64)?\//, '/lib/'));
  for (const folder of links) if (folder !== '/lib') plan.push('link', '/lib', folder);
  return plan;
}

function readMaps(): string {
  try {
    return readFileSync('/proc/self/maps', 'latin1');
  } catch (e) {
    throw new CliError(`/proc is not mounted (${codeOf(e)}): mount it (mount -t proc proc /proc) and try again`);
  }
}
