// Mount options of tmpfs(5).

import { EINVAL } from '../../../abi/errno.ts';

const PAGE = 4096;

export interface TmpfsOptions {
  /** Bytes; Infinity: no limit. */
  size: number;
  /** Inodes; Infinity: no limit. */
  inodes: number;
  mode: number;
  uid: number;
  gid: number;
  /** The options as given, for mountinfo. */
  shown: string;
}

/** Bytes of "64k", "1g", "50%" (of `total`); NaN when malformed. */
function parseSize(s: string, total: number): number {
  const m = /^(\d+)([kKmMgGtTpP%]?)$/.exec(s);
  if (m === null) return Number.NaN;
  const n = Number(m[1]);
  const unit = m[2]!.toLowerCase();
  if (unit === '%') return (total * n) / 100;
  return n * 1024 ** (unit === '' ? 0 : 'kmgtp'.indexOf(unit) + 1);
}

/** Reads mount options of tmpfs(5). `total`: bytes of memory, of which half is the default size. -EINVAL for unknown or bad ones. */
export function parseTmpfsOptions(options: readonly string[], total: number): TmpfsOptions | number {
  const o: TmpfsOptions = { size: Math.floor(total / 2), inodes: Infinity, mode: 0o1777, uid: 0, gid: 0, shown: '' };
  const shown: string[] = [];
  for (const word of options) {
    const eq = word.indexOf('=');
    const key = eq < 0 ? word : word.slice(0, eq);
    const value = eq < 0 ? '' : word.slice(eq + 1);
    let n = 0;
    switch (key) {
      case 'size':
        n = parseSize(value, total);
        o.size = n === 0 ? Infinity : Math.ceil(n / PAGE) * PAGE;
        shown.push(`size=${Math.ceil(n / 1024)}k`);
        break;
      case 'nr_blocks':
        n = parseSize(value, total);
        o.size = n === 0 ? Infinity : n * PAGE;
        shown.push(`size=${n * 4}k`);
        break;
      case 'nr_inodes':
        n = parseSize(value, total);
        o.inodes = n === 0 ? Infinity : n;
        shown.push(`nr_inodes=${value}`);
        break;
      case 'mode':
        n = /^[0-7]+$/.test(value) ? Number.parseInt(value, 8) : Number.NaN;
        o.mode = n & 0o7777;
        shown.push(`mode=${o.mode.toString(8)}`);
        break;
      case 'uid':
      case 'gid':
        n = /^\d+$/.test(value) ? Number(value) : Number.NaN;
        if (key === 'uid') o.uid = n;
        else o.gid = n;
        shown.push(word);
        break;
      case 'huge':
      case 'mpol':
      case 'noswap':
      case 'inode32':
      case 'inode64':
      case '':
        break;
      default:
        return -EINVAL;
    }
    if (Number.isNaN(n)) return -EINVAL;
  }
  o.shown = shown.join(',');
  return o;
}
