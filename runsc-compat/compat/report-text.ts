// The report of a run for people: what differs, then a table, then one sentence.

import { decoded, firstDifference } from './capture.ts';
import { columns, counted, styled } from './columns.ts';
import { count } from './compare.ts';
import { caseArguments } from './choose.ts';
import type { CaseComparison, Change, Comparison } from './model.ts';
import { visible } from './visible.ts';
import type { World } from './worlds.ts';

/** Lines of a reason, and differences of one program in output, that are shown. */
const REASON_LINES = 12;
const OUTPUTS = 3;

const WORDS: Record<Change, string> = {
  same: 'same',
  fails: 'fails inside',
  skips: 'is skipped inside',
  passes: 'passes inside only',
  differs: 'fails in another way',
};

function indented(text: string): string {
  const lines = text.split('\n');
  const more = lines.length > REASON_LINES ? [`... ${counted(lines.length - REASON_LINES, 'line')} more`] : [];
  return [...lines.slice(0, REASON_LINES), ...more].map((l) => `      ${visible(l)}\n`).join('');
}

function difference(c: Comparison, k: CaseComparison, colour: boolean, world: World): string {
  const style = k.change === 'fails' ? 'red' : 'yellow';
  const title = c.host.kind === 'plain' ? c.program.name : `${c.program.name}  ${k.name}`;
  const width = Math.max(4, c.world.length);
  const half = (name: string, verdict: string, detail: string): string =>
    `  ${name.padEnd(width)}  ${verdict}\n${detail === '' ? '' : indented(detail)}`;
  const again = world.typed([c.program.path, ...caseArguments(c.program, k.name)]);
  return (
    `${styled(style, `${c.world}  ${visible(title)}  ${WORDS[k.change]}`, colour)}\n` +
    half('host', k.host.verdict, k.host.detail) +
    half(c.world, k.inside.verdict, k.inside.detail) +
    `  ${'again'.padEnd(width)}  ${again}\n`
  );
}

function outputDifference(c: Comparison, k: CaseComparison): string {
  const stdout = firstDifference(k.host.output, k.inside.output);
  const stderr = c.host.kind === 'plain' ? firstDifference(c.host.stderr, c.inside.stderr) : null;
  const d = stdout ?? stderr;
  const title = c.host.kind === 'plain' ? c.program.name : `${c.program.name}  ${k.name}`;
  const where = d === null ? 'far behind' : `in line ${d.line}${stdout === null ? ' of standard error' : ''}`;
  const width = Math.max(4, c.world.length);
  const lines =
    d === null ? '' : `  ${'host'.padEnd(width)}  ${visible(decoded(d.a))}\n  ${c.world.padEnd(width)}  ${visible(decoded(d.b))}\n`;
  return `${c.world}  ${visible(title)}  prints something else ${where}\n${lines}`;
}

function differences(c: Comparison, colour: boolean, world: World): string {
  let out = '';
  for (const k of c.cases) if (k.change !== 'same') out += difference(c, k, colour, world);
  const printed = c.cases.filter((k) => k.output && k.change === 'same');
  for (const k of printed.slice(0, OUTPUTS)) out += outputDifference(c, k);
  if (printed.length > OUTPUTS)
    out += `${c.world}  ${c.program.name}  ${counted(printed.length - OUTPUTS, 'more case')} print something else\n`;
  return out;
}

/** The whole report. `fails`: what passes on the host fails somewhere. */
export function textReport(all: readonly Comparison[], worlds: readonly World[], colour: boolean): string {
  let out = '';
  for (const c of all) {
    const world = worlds.find((w) => w.name === c.world) as World;
    const text = differences(c, colour, world);
    if (text !== '') out += `${text}\n`;
  }
  const number = (n: number): string => (n === 0 ? '-' : String(n));
  const red = (cell: string) => (cell === '-' ? null : ('red' as const));
  const yellow = (cell: string) => (cell === '-' || cell === '' ? null : ('yellow' as const));
  out += columns(
    [
      { title: 'PROGRAM' },
      { title: 'KIND' },
      { title: 'PLATFORM' },
      { title: 'CASES', right: true },
      { title: 'HOST PASSES', right: true },
      { title: 'FAILS INSIDE', right: true, style: red },
      { title: 'SKIPPED', right: true, style: yellow },
      { title: 'OTHERWISE', right: true, style: yellow },
      { title: 'OUTPUT', right: true, style: yellow },
      { title: 'SECONDS', right: true },
      { title: 'UNSUPPORTED', style: yellow },
    ],
    all.map((c) => [
      c.program.name,
      c.host.kind,
      c.world,
      String(c.cases.length),
      String(c.cases.filter((k) => k.host.verdict === 'pass').length),
      number(count(c, 'fails')),
      number(count(c, 'skips')),
      number(count(c, 'passes') + count(c, 'differs')),
      number(c.cases.filter((k) => k.output && k.change === 'same').length),
      (c.inside.milliseconds / 1000).toFixed(1),
      c.inside.unsupported.join(' '),
    ]),
    colour,
  );
  return `${out}\n${verdictLines(all, colour)}`;
}

function verdictLines(all: readonly Comparison[], colour: boolean): string {
  return [...new Set(all.map((c) => c.world))]
    .map((world) => {
      const here = all.filter((c) => c.world === world);
      const passes = here.reduce((n, c) => n + c.cases.filter((k) => k.host.verdict === 'pass').length, 0);
      const bad = here.reduce((n, c) => n + count(c, 'fails'), 0);
      const text = `${world}: ${bad} of ${counted(passes, 'case')} that ${passes === 1 ? 'passes' : 'pass'} on the host ${bad === 1 ? 'fails' : 'fail'} inside`;
      return `${styled(bad === 0 ? 'green' : 'red', text, colour)}\n`;
    })
    .join('');
}
