// What is shown of a change: the lines that go and come, with a few around them.

const AROUND = 2;

/** Length of the longest common subsequence from (i, j) on, for all i and j. Configurations are short. */
function common(a: readonly string[], b: readonly string[]): number[][] {
  const t: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      t[i]![j] = a[i] === b[j] ? t[i + 1]![j + 1]! + 1 : Math.max(t[i + 1]![j]!, t[i]![j + 1]!);
    }
  }
  return t;
}

/** Lines of the change from `before` to `after`, each with '-', '+' or ' ' before it; '...' stands for lines that stay. */
export function changedLines(before: string, after: string): string[] {
  const split = (s: string): string[] => (s === '' ? [] : s.replace(/\n$/, '').split('\n'));
  const a = split(before);
  const b = split(after);
  const t = common(a, b);
  const all: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      all.push(` ${a[i]}`);
      i++;
      j++;
    } else if (i < a.length && (j === b.length || t[i + 1]![j]! >= t[i]![j + 1]!)) {
      all.push(`-${a[i++]}`);
    } else {
      all.push(`+${b[j++]}`);
    }
  }
  const near = all.map((_, k) => all.slice(Math.max(0, k - AROUND), k + AROUND + 1).some((l) => l[0] !== ' '));
  const out: string[] = [];
  for (let k = 0; k < all.length; k++) {
    if (near[k]) out.push(all[k]!);
    else if (k === 0 || near[k - 1]) out.push(' ...');
  }
  return out;
}
