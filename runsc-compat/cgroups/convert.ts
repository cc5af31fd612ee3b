// v1 values as v2 has them: the conversions that runc makes.

import { CliError } from '../errors.ts';

/** cpu.shares (2 to 262144) as cpu.weight (1 to 10000); 0: unset. */
export function cpuWeight(shares: number): number {
  return shares === 0 ? 0 : 1 + Math.floor(((shares - 2) * 9999) / 262142);
}

/** blkio.weight (10 to 1000) as io.weight (1 to 10000); 0: unset. */
export function ioWeight(weight: number): number {
  return weight === 0 ? 0 : 1 + Math.floor(((weight - 10) * 9999) / 990);
}

/**
 * memory+swap of v1 as swap of v2, in bytes; -1: no limit, 0: unset. Throws for limits that say nothing together.
 */
export function swapOnly(memorySwap: number, memory: number): number {
  if (memory === -1 && memorySwap === 0) return -1;
  if (memorySwap === -1 || memorySwap === 0) return memorySwap;
  if (memory === 0 || memory === -1) throw new CliError('unable to set swap limit without memory limit');
  if (memory < 0) throw new CliError(`invalid memory value: ${memory}`);
  if (memorySwap < memory) throw new CliError('memory+swap limit should be >= memory limit');
  return memorySwap - memory;
}

/** A limit as v2 files take it: '' when unset, "max" for none. */
export function limitText(n: number): string {
  return n === 0 ? '' : n < 0 ? 'max' : integerText(n);
}

/** All digits of a whole number, however large. */
export function integerText(n: number): string {
  return Number.isSafeInteger(n) ? String(n) : BigInt(Math.trunc(n)).toString();
}
