// System call numbers.

export * from './x86_64/nr.ts';
