// What tools/table.mjs reads of the system call table.

export { absent } from '../src/sentry/syscalls/absent.ts';
export { names, table } from '../src/sentry/syscalls/table.ts';
