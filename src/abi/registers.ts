// The general registers of a guest thread, as engines show them.

export * from './x86_64/registers.ts';
