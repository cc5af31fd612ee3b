// The kept results: docs/performance.json, and docs/performance.md between its markers.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { report } from './report.ts';
import type { Results } from './results.ts';

const BEGIN = '<!-- results: begin, written by npm run bench -->';
const END = '<!-- results: end -->';

const file = (root: string, ending: string): string => join(root, 'docs', `performance.${ending}`);

/** The kept results; undefined if there are none yet. */
export function readKept(root: string): Results | undefined {
  const path = file(root, 'json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Results) : undefined;
}

/** The document with what stands between the markers replaced. Throws if it has lost them. */
export function withResults(document: string, text: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the document lacks its markers, "${BEGIN}" and "${END}"`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${text}\n${document.slice(end)}`;
}

export function json(results: Results): string {
  return `${JSON.stringify(results, (_, v) => (typeof v === 'number' ? Number(v.toPrecision(5)) : v), 1)}\n`;
}

/** Keeps results in both files. */
export function keep(root: string, results: Results): void {
  const document = file(root, 'md');
  writeFileSync(document, withResults(readFileSync(document, 'utf8'), report(results)));
  writeFileSync(file(root, 'json'), json(results));
}
