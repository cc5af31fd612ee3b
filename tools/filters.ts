// What tools/gen-filters.mjs compiles the seccomp filters from.

export { goferFilter } from '../src/gofer/filter.ts';
export { compileFilter } from '../src/host/seccomp.ts';
export { sentryFilter } from '../src/sentry/boot/filter.ts';
