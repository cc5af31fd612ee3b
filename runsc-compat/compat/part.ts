// What `ringfence compat` does: a bundle of its own, so that other commands do not load it.

export { runCompat } from './run.ts';
export { printTable } from './table.ts';
export { printTrace, readPipe } from './trace.ts';
