// ringfence events: what a container uses, and when it runs out of memory.

import type { Command } from 'commander';
import { oomKills } from '../cgroups/cgroup.ts';
import { type Json, jsonText, stats } from '../cgroups/stats.ts';
import type { GlobalOptions } from '../context.ts';
import { ask, containers } from '../container.ts';
import { CliError } from '../errors.ts';
import { print } from '../output.ts';
import type { ContainerState, State } from '../state.ts';

const LOOK_MS = 500;

/** A duration as Go writes it ("5s", "1m30s", "100ms"), in milliseconds. */
export function duration(text: string): number {
  const unit: Record<string, number> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  let ms = 0;
  const rest = text.replace(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g, (_, n: string, u: string) => {
    ms += Number(n) * (unit[u] as number);
    return '';
  });
  if (rest !== '' || text === '' || ms <= 0) throw new CliError(`duration interval must be greater than 0, not "${text}"`);
  return ms;
}

function event(type: string, id: string, data?: Json): void {
  print(`${jsonText({ type, id, ...(data === undefined ? {} : { data }) })}\n`);
}

async function statsEvent(c: ContainerState, state: State): Promise<void> {
  let tasks: number | null = null;
  try {
    const answer = await ask(c, { method: 'statistics', id: state.id });
    if (answer.ok) tasks = answer.statistics?.tasks ?? null;
  } catch {
    tasks = null; // it is ending
  }
  event('stats', state.id, stats(state.cgroups, tasks));
}

async function stream(c: ContainerState, state: State, interval: number): Promise<void> {
  let kills = oomKills(state.cgroups);
  let next = Date.now() + interval;
  while (c.alive(state)) {
    await new Promise((done) => setTimeout(done, Math.min(LOOK_MS, Math.max(1, next - Date.now()))));
    const now = oomKills(state.cgroups);
    if (now > kills) event('oom', state.id);
    kills = now;
    if (Date.now() < next) continue;
    next = Date.now() + interval;
    if (c.alive(state)) await statsEvent(c, state);
  }
}

/** Defines the command. */
export function defineEvents(program: Command, globals: () => GlobalOptions): void {
  program
    .command('events')
    .summary('print what a container uses')
    .description(
      'Prints what a container uses, again and again until its end, and tells when it ran out of memory. One JSON object a line.',
    )
    .argument('<id>', 'name of the container')
    .option('--interval <duration>', 'time between two lines, as in 100ms, 5s, 1m', '5s')
    .option('--stats', 'once')
    .addHelpText('after', '\nExamples:\n  ringfence events --stats web\n  ringfence events --interval 1s web')
    .action(async (id: string, o: { interval: string; stats?: boolean }) => {
      const interval = duration(o.interval);
      const c = containers(globals()).open(id);
      const state = c.load();
      if (c.statusOf(state) === 'stopped') throw new CliError(`container with id ${id} is not running`);
      if (o.stats === true) await statsEvent(c, state);
      else await stream(c, state, interval);
    });
}
