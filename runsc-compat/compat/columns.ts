// Tables and colours for people.

import { styleText } from 'node:util';
import { isTerminal } from '../console.ts';

type Style = Parameters<typeof styleText>[0];

/** May this descriptor be written to in colour? `env`: the caller's. */
export function coloured(fd: number, env: Readonly<Record<string, string>>): boolean {
  return isTerminal(fd) && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

export interface Column {
  title: string;
  right?: boolean;
  /** How a cell looks on a terminal. */
  style?: (cell: string, row: readonly string[]) => Style | null;
}

/** Aligned lines; a last column keeps no blanks behind it, so that nothing is cut or wrapped before it must. */
export function columns(heads: readonly Column[], rows: readonly (readonly string[])[], colour: boolean): string {
  const widths = heads.map((h, i) => Math.max(h.title.length, ...rows.map((r) => (r[i] ?? '').length)));
  const line = (cells: readonly string[], look: (cell: string, i: number) => Style | null): string => {
    const padded = heads.map((h, i) => {
      const cell = cells[i] ?? '';
      const width = i === heads.length - 1 && h.right !== true ? 0 : (widths[i] as number);
      const text = h.right === true ? cell.padStart(width) : cell.padEnd(width);
      const style = colour ? look(cell, i) : null;
      return style === null ? text : styleText(style, text, { validateStream: false });
    });
    return `${padded.join('  ').trimEnd()}\n`;
  };
  const head = line(
    heads.map((h) => h.title),
    () => 'bold',
  );
  return head + rows.map((r) => line(r, (cell, i) => heads[i]?.style?.(cell, r) ?? null)).join('');
}

/** `text` in a style, on a terminal. */
export function styled(style: Style, text: string, colour: boolean): string {
  return colour ? styleText(style, text, { validateStream: false }) : text;
}

/** "1 case", "2 cases". */
export function counted(n: number, one: string): string {
  return `${n} ${one}${n === 1 ? '' : 's'}`;
}
