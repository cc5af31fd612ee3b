// Statistics of a few samples, and numbers as people read them.

/** What is in the middle of the samples; of an even number the mean of the two. NaN of none. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** How far the samples lie apart, as a part of their median; 0 of a single one. */
export function spread(samples: readonly number[]): number {
  return (Math.max(...samples) - Math.min(...samples)) / median(samples);
}

export type Unit = 'ns' | 'bytes' | 'per second';

const three = (v: number): string => (v >= 100 || v === 0 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2));

/** A value with three digits and the unit that fits: 87 ns, 1.23 us, 4.56 MB. */
export function format(value: number, unit: Unit): string {
  if (unit === 'per second') return `${value.toFixed(1)} /s`;
  if (unit === 'bytes') return `${three(value / 1e6)} MB`;
  if (value < 1e3) return `${three(value)} ns`;
  if (value < 1e6) return `${three(value / 1e3)} us`;
  if (value < 1e9) return `${three(value / 1e6)} ms`;
  return `${three(value / 1e9)} s`;
}

/** A ratio with as many digits as mean something. */
export function ratioText(ratio: number): string {
  return ratio >= 100 ? ratio.toFixed(0) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2);
}
