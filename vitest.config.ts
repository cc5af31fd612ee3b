// Tests run in forked processes, two at a time: a crash in native code ends one file's process, not the run.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/oracle.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    teardownTimeout: 10_000,
    coverage: { provider: 'v8', include: ['src/**', 'runsc-compat/**'], reporter: ['text-summary', 'html'] },
  },
});
