// ELF headers (elf(5)): what execve needs of them, checked, since the file is the guest's.

import { ENOEXEC } from '../../abi/errno.ts';
import { ET_DYN, ET_EXEC, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR } from '../../abi/elf.ts';
import { getU16, getU32, getU64 } from '../../base/bytes.ts';

export interface Segment {
  flags: number;
  offset: number;
  vaddr: number;
  filesz: number;
  memsz: number;
}

export interface ElfImage {
  /** ET_EXEC (fixed addresses) or ET_DYN. */
  type: number;
  entry: number;
  phnum: number;
  phentsize: number;
  /** Where the program headers stand in memory, relative to the load bias; 0 if in no segment. */
  phdrAddress: number;
  segments: Segment[];
  /** Place of the interpreter's path in the file; length 0: none. */
  interpOffset: number;
  interpLength: number;
  executableStack: boolean;
  /** Largest alignment of a segment. */
  align: number;
  /** Where the last of the headers ends in the file. */
  headEnd: number;
}

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const EM_X86_64 = 62;
const LIMIT = 2 ** 47;
const MAX_PHDRS = 512;

/** Reads [off, off+len) of the file into buf; false if there are fewer bytes. */
export type ElfRead = (buf: Uint8Array, off: number, len: number) => boolean;

/** True if the bytes begin like an ELF file. */
export function isElf(b: Uint8Array): boolean {
  return b[0] === 0x7f && b[1] === 0x45 && b[2] === 0x4c && b[3] === 0x46;
}

/** Parses an executable or interpreter. The image, or -ENOEXEC. */
export function parseElf(head: Uint8Array, headLength: number, read: ElfRead): ElfImage | number {
  if (headLength < EHDR_SIZE || !isElf(head)) return -ENOEXEC;
  if (head[4] !== 2 || head[5] !== 1) return -ENOEXEC;
  const type = getU16(head, 16);
  if ((type !== ET_EXEC && type !== ET_DYN) || getU16(head, 18) !== EM_X86_64) return -ENOEXEC;
  const phoff = getU64(head, 32);
  const phentsize = getU16(head, 54);
  const phnum = getU16(head, 56);
  if (phentsize !== PHDR_SIZE || phnum === 0 || phnum > MAX_PHDRS) return -ENOEXEC;
  let table = head;
  let at = phoff;
  if (phoff + phnum * PHDR_SIZE > headLength) {
    table = new Uint8Array(phnum * PHDR_SIZE);
    at = 0;
    if (!read(table, phoff, table.length)) return -ENOEXEC;
  }
  const image: ElfImage = {
    type,
    entry: getU64(head, 24),
    phnum,
    phentsize,
    phdrAddress: 0,
    segments: [],
    interpOffset: 0,
    interpLength: 0,
    executableStack: false,
    align: 4096,
    headEnd: Math.max(EHDR_SIZE, phoff + phnum * PHDR_SIZE),
  };
  for (let i = 0; i < phnum; i++) {
    const p = at + i * PHDR_SIZE;
    const kind = getU32(table, p);
    const flags = getU32(table, p + 4);
    const offset = getU64(table, p + 8);
    const vaddr = getU64(table, p + 16);
    const filesz = getU64(table, p + 32);
    const memsz = getU64(table, p + 40);
    const align = getU64(table, p + 48);
    if (kind === PT_LOAD) {
      if (filesz > memsz || vaddr + memsz > LIMIT || offset > LIMIT || (offset - vaddr) % 4096 !== 0) return -ENOEXEC;
      if (memsz === 0) continue;
      const last = image.segments[image.segments.length - 1];
      if (last !== undefined && vaddr < last.vaddr + last.memsz) return -ENOEXEC;
      image.segments.push({ flags, offset, vaddr, filesz, memsz });
      if (align > image.align && align <= 1 << 30 && Number.isInteger(Math.log2(align))) image.align = align;
      if (phoff >= offset && phoff < offset + filesz && image.phdrAddress === 0) image.phdrAddress = vaddr + (phoff - offset);
    } else if (kind === PT_INTERP) {
      if (filesz < 2 || filesz > 4096) return -ENOEXEC;
      image.interpOffset = offset;
      image.interpLength = filesz;
    } else if (kind === PT_PHDR) {
      image.phdrAddress = vaddr;
    } else if (kind === PT_GNU_STACK) {
      image.executableStack = (flags & 1) !== 0;
    }
  }
  return image.segments.length === 0 ? -ENOEXEC : image;
}
