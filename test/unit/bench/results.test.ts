import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { withResults } from '../../../bench/table/kept.ts';
import { merge } from '../../../bench/table/merge.ts';
import { compare } from '../../../bench/table/quick.ts';
import { Footnotes, report, table } from '../../../bench/table/report.ts';
import { judge, judgeGrowth, type Naming, type Results, resultGroups } from '../../../bench/table/results.ts';
import { type Group, groups, guestName, type Row, surroundings } from '../../../bench/table/rows.ts';
import { parseLine, Samples } from '../../../bench/table/samples.ts';
import { format, median, spread } from '../../../bench/table/stats.ts';
import { repository } from '../../support/build.ts';

const row: Row = { id: 'stat', title: 'stat of a known name', unit: 'ns', base: 'native', goal: 2, runscGoal: 0.5, quick: true };
const group: Group = { name: 'system calls', by: 'guest', rows: [row] };
const naming: Naming = { engines: ['native', 'runsc systrap', 'ours'], absent: {}, ours: 'ours', runsc: 'runsc systrap' };
const machine = {
  cpu: 'a processor',
  cores: 2,
  memory: 8e9,
  kernel: '6.1',
  architecture: 'x64',
  virtual: true,
  node: 'v20',
  runc: '1.1',
  runsc: 'not there',
  ringfence: 'abc',
  load: 0.5,
};

function samplesOf(values: Record<string, number[]>): Samples {
  const s = new Samples();
  for (const [engine, list] of Object.entries(values)) for (const v of list) s.add('stat', engine, v);
  return s;
}

function resultsOf(samples: Samples, n: Naming = naming): Results {
  return {
    command: 'npm run bench',
    date: '2026-01-01 00:00',
    runs: 3,
    machine,
    engines: n.engines,
    absent: n.absent,
    groups: resultGroups([group], samples, n),
    sizes: [1, 100],
    among: [],
  };
}

describe('what programs in the sandbox print', () => {
  test('values, reasons and surroundings are told apart', () => {
    expect(parseLine('getppid 85.91 88.79 90.00')).toEqual({ row: 'getppid', min: 85.91, median: 88.79, mean: 90 });
    expect(parseLine('fork ! fork: Cannot allocate memory')).toEqual({ row: 'fork', reason: 'fork: Cannot allocate memory' });
    expect(parseLine('# tasks 4096')).toEqual({ surrounding: 'tasks', made: 4096 });
  });

  test('anything else is nothing', () => {
    for (const text of ['', 'warning: 1 2 3', 'getppid 1 2', 'getppid a b c']) expect(parseLine(text)).toBeUndefined();
  });
});

describe('numbers', () => {
  test('median and spread', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(spread([90, 100, 110])).toBeCloseTo(0.2);
    expect(spread([5])).toBe(0);
  });

  test('three digits and the unit that fits', () => {
    expect(format(87.123, 'ns')).toBe('87.1 ns');
    expect(format(1234, 'ns')).toBe('1.23 us');
    expect(format(2.5e9, 'ns')).toBe('2.50 s');
    expect(format(30_200_000, 'bytes')).toBe('30.2 MB');
    expect(format(0, 'per second')).toBe('0.0 /s');
  });
});

describe('verdicts', () => {
  test('both goals count where both can be looked at', () => {
    expect(judge(row, 150, 1.5, 0.4)).toBe('met');
    expect(judge(row, 250, 2.5, 0.4)).toBe('missed (native)');
    expect(judge(row, 250, 2.5, 0.6)).toBe('missed (native, runsc)');
    expect(judge(row, 150, 1.5, undefined)).toBe('met');
  });

  test('without a value, or without anything to compare with, there is no verdict', () => {
    expect(judge(row, undefined, undefined, undefined)).toBe('not measured');
    expect(judge(row, 150, undefined, undefined)).toBe('not comparable');
  });

  test('a limit is on the value itself', () => {
    const limited: Row = { id: 'idle-switches', title: '', unit: 'per second', base: 'runc', limit: 0.5, quick: false };
    expect(judge(limited, 0.3, undefined, undefined)).toBe('met');
    expect(judge(limited, 3, 10, 0.1)).toBe('missed (limit)');
  });

  test('growth is measured against the growth on the host', () => {
    expect(judgeGrowth(1.4, 1)).toBe('flat');
    expect(judgeGrowth(1.6, 1)).toBe('grows');
    expect(judgeGrowth(40, 30)).toBe('flat');
    expect(judgeGrowth(1.4, 0.5)).toBe('flat');
    expect(judgeGrowth(undefined, 1)).toBe('not measured');
  });

  test('medians of the runs are what is compared', () => {
    const [g] = resultGroups([group], samplesOf({ native: [100, 90, 900], ours: [180, 170, 5000], 'runsc systrap': [1000] }), naming);
    expect(g!.rows[0]).toMatchObject({ toBase: 1.8, toRunsc: 0.18, verdict: 'met' });
  });
});

describe('the report', () => {
  test('a row that could not be measured stays, with the reason below the table', () => {
    const samples = samplesOf({ native: [100] });
    samples.refuse('stat', 'ours', 'hung for 30 s');
    const text = report(resultsOf(samples, { ...naming, absent: { 'runsc systrap': 'runsc is not installed' } }));
    expect(text).toMatch(/\| stat of a known name +\| 100 ns \| +- \(1\) \| - \(2\) \| +- \(2\) \| +- \(0\.5\) \| not measured \|/);
    expect(text).toContain('(1) runsc is not installed');
    expect(text).toContain('(2) hung for 30 s');
    expect(text).toContain('- runsc systrap did not run: runsc is not installed');
  });

  test('growth is shown for the engines that were measured among many, with how many there really were', () => {
    const among = [
      {
        row: 'stat',
        kind: 'tasks',
        values: { native: [{ value: 100 }, { value: 110 }], ours: [{ value: 200 }, { value: 500, made: 70 }] },
        verdict: 'grows',
      },
    ];
    const text = report({ ...resultsOf(samplesOf({ native: [100] })), among });
    expect(text).toMatch(/\| stat \| tasks \| native +\| +100 ns \| +110 ns \| +1\.10 \| +\|/);
    expect(text).toMatch(/\| stat \| tasks \| ours +\| +200 ns \| 500 ns \[70\] \| +2\.50 \|/);
  });

  test('the same reason has one number', () => {
    const notes = new Footnotes();
    expect([notes.mark('a'), notes.mark('b'), notes.mark('a')]).toEqual(['- (1)', '- (2)', '- (1)']);
  });

  test('columns are aligned', () => {
    const lines = table(
      ['row', 'n'],
      ['left', 'right'],
      [
        ['a', '1'],
        ['long name', '1000'],
      ],
    ).split('\n');
    expect(new Set(lines.map((l) => l.length)).size).toBe(1);
    expect(lines[1]).toBe('| --------- | ---: |');
  });

  test('the document around the markers stays', () => {
    const document = 'before\n<!-- results: begin, written by npm run bench -->\nold\n<!-- results: end -->\nafter\n';
    const made = withResults(document, 'new\n');
    expect(made).toContain('before\n');
    expect(made).toContain('\nafter\n');
    expect(made).toContain('new');
    expect(made).not.toContain('old');
    expect(withResults(made, 'new\n')).toBe(made);
    expect(() => withResults('no markers', 'new')).toThrow('markers');
  });
});

describe('--quick', () => {
  const kept = resultsOf(samplesOf({ native: [100], ours: [200] }));

  test('a row is worse from more than twice its kept ratio on, by the best values', () => {
    expect(compare(row, samplesOf({ native: [100, 500], ours: [390, 5000] }), kept, 'ours')).toMatchObject({
      worse: false,
      ratio: 3.9,
      kept: 2,
    });
    expect(compare(row, samplesOf({ native: [100], ours: [410] }), kept, 'ours').worse).toBe(true);
  });

  test('a disturbance of the kept medians does not count', () => {
    const disturbed = resultsOf(samplesOf({ native: [100, 900, 900], ours: [400, 400, 400] }));
    expect(compare(row, samplesOf({ native: [100], ours: [700] }), disturbed, 'ours')).toMatchObject({ worse: false, kept: 4 });
  });

  test('a row that does not run any more is worse, one whose base does not run is not', () => {
    const lost = samplesOf({ native: [100] });
    lost.refuse('stat', 'ours', 'ended by signal 11');
    expect(compare(row, lost, kept, 'ours')).toMatchObject({ worse: true, reason: 'ended by signal 11' });
    expect(compare(row, samplesOf({ ours: [100] }), kept, 'ours').worse).toBe(false);
  });

  test('without a kept ratio nothing is worse', () => {
    expect(compare(row, samplesOf({ native: [1], ours: [1000] }), undefined, 'ours')).toMatchObject({ worse: false, kept: undefined });
  });
});

describe('rows measured anew', () => {
  test('take their places, and the verdict is made of old and new values', () => {
    const kept = resultsOf(samplesOf({ native: [100], 'runsc systrap': [1000], ours: [900] }));
    const fresh = resultsOf(samplesOf({ ours: [150] }), { ...naming, engines: ['ours'] });
    const merged = merge(kept, { ...fresh, command: 'npm run bench -- --keep stat' }, naming);
    expect(merged.groups[0]!.rows[0]).toMatchObject({ toBase: 1.5, toRunsc: 0.15, verdict: 'met' });
    expect(merged.command).toBe('npm run bench, then npm run bench -- --keep stat');
  });
});

describe('the rows', () => {
  test('have names of their own, and those of programs and calls a goal each', () => {
    const rows = groups.flatMap((g) => g.rows);
    expect(new Set(rows.map((r) => r.id)).size).toBe(rows.length);
    for (const r of groups.filter((g) => g.name !== 'no call').flatMap((g) => g.rows))
      expect(r.goal ?? r.runscGoal ?? r.limit, r.id).toBeDefined();
  });

  test('are known to the program that measures them', () => {
    const source = (name: string): string => readFileSync(join(repository, 'bench/guest', name), 'utf8');
    const calls = ['files.c', 'memory.c', 'processes.c', 'wakes.c'].map(source).join('');
    const script = source('programs.sh');
    const inCalls = [
      ...groups.filter((g) => g.by === 'guest').flatMap((g) => g.rows.map((r) => r.id)),
      ...surroundings.flatMap((s) => s.rows),
    ];
    for (const id of inCalls) expect(calls, id).toContain(`{"${guestName(id)}", `);
    for (const r of groups.filter((g) => g.by === 'programs').flatMap((g) => g.rows))
      expect(script, r.id).toContain(`    ${r.id}) `.trimEnd());
  });
});
