// Rows measured from outside: a sandbox's start and end, an idle one, many at once.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine, Places } from './engines.ts';
import { environment } from './engines.ts';
import { busyboxBundle } from './fixtures.ts';
import { activity, alive, available, descendants, pss } from './processes.ts';
import { lastLine } from './run.ts';
import type { Samples } from './samples.ts';

/** A command of a runtime may take so long, in milliseconds. */
const PATIENCE = 20_000;

/** What an idle sandbox is left alone before it is looked at, and how long it is watched, in milliseconds. */
const SETTLE = 1500;
const WATCH = 3000;

/** Memory that many sandboxes leave to the host, in bytes. */
const RESERVE = 1.5e9;

/** A command of a runtime failed; its message says which and how. */
class Refusal extends Error {}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Runs a command to its end. Throws a Refusal unless it succeeds. */
function must(argv: string[]): void {
  const r = spawnSync(argv[0]!, argv.slice(1), { cwd: '/', env: environment, stdio: ['ignore', 'ignore', 'pipe'], timeout: PATIENCE });
  if (r.status === 0) return;
  const how = r.error === undefined ? `ended with status ${r.status ?? r.signal}` : r.error.message;
  throw new Refusal(`${argv.slice(0, 1).concat(argv.slice(-1)).join(' ... ')}: ${how}: ${lastLine(r.stderr?.toString() ?? '')}`);
}

let containers = 0;

/** One container of a bundle. */
class Container {
  private readonly runtime: string[];
  private readonly id = `bench-${process.pid}-${containers++}`;
  private readonly pidFile: string;
  private readonly bundle: string;

  constructor(p: Places, engine: Engine, bundle: string) {
    this.runtime = engine.oci!(p);
    this.bundle = bundle;
    this.pidFile = join(p.work, `${this.id}.pid`);
  }

  start(): void {
    // The streams are not pipes of ours: the container keeps them, and spawnSync would wait for it.
    const command = [...this.runtime, 'create', '--bundle', this.bundle, '--pid-file', this.pidFile, this.id];
    const r = spawnSync(command[0]!, command.slice(1), { cwd: '/', env: environment, stdio: 'ignore', timeout: PATIENCE });
    if (r.status !== 0) throw new Refusal(`create ended with status ${r.status ?? r.signal}`);
    must([...this.runtime, 'start', this.id]);
  }

  /** Waits until the process that clients watch has ended. */
  ended(): void {
    const pid = Number(readFileSync(this.pidFile, 'utf8'));
    const late = Date.now() + PATIENCE;
    while (alive(pid)) {
      if (Date.now() > late) throw new Refusal('the container did not end');
      pause(1);
    }
  }

  delete(force: boolean): void {
    must([...this.runtime, 'delete', ...(force ? ['--force'] : []), this.id]);
  }
}

/** A bundle of an engine that runs a command; made once. */
function bundleFor(p: Places, name: string, args: string[]): string {
  const dir = join(p.work, `bundle-${name}`);
  if (existsSync(dir)) return dir;
  const { missing } = busyboxBundle(dir, args);
  if (missing !== undefined) throw new Refusal(missing);
  return dir;
}

const milliseconds = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Nanoseconds that `work` takes. */
function timed(work: () => void): number {
  const start = milliseconds();
  work();
  return (milliseconds() - start) * 1e6;
}

/** Nanoseconds of `do -- true`; for runc, which has no such command, of `run` with the busybox bundle. */
function doTrue(p: Places, engine: Engine): number {
  if (engine.family !== 'runc') return timed(() => must(engine.inside(p, ['/bin/true'])));
  const bundle = bundleFor(p, 'true', ['/bin/true']);
  return timed(() => must([...engine.oci!(p), 'run', '--bundle', bundle, `bench-${process.pid}-${containers++}`]));
}

function bundleLife(p: Places, engine: Engine): number {
  const c = new Container(p, engine, bundleFor(p, 'true', ['/bin/true']));
  try {
    return timed(() => {
      c.start();
      c.ended();
      c.delete(false);
    });
  } catch (e) {
    discard(c);
    throw e;
  }
}

/** Removes a container of which it is not known how far it came; what cannot be deleted ends with the keeper. */
function discard(c: Container): void {
  try {
    c.delete(true);
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
  }
}

/** The processes below the keeper that were not there before. */
function born(before: ReadonlySet<number>): number[] {
  return descendants(process.ppid).filter((pid) => !before.has(pid) && pid !== process.pid);
}

function idle(p: Places, engine: Engine, samples: Samples): void {
  const before = new Set(descendants(process.ppid));
  const c = new Container(p, engine, bundleFor(p, 'sleep', ['/bin/sleep', '1000000']));
  try {
    c.start();
    pause(SETTLE);
    const pids = born(before);
    if (pids.length === 0) throw new Refusal('its processes are not to be found');
    const start = activity(pids);
    pause(WATCH);
    const end = activity(pids);
    samples.add('idle-pss', engine.name, pss(pids));
    samples.add('idle-switches', engine.name, ((end.switches - start.switches) / WATCH) * 1000);
    samples.add('idle-cpu', engine.name, end.cpu - start.cpu);
  } finally {
    discard(c);
  }
}

/** Starts n sandboxes one after the other; values are those of all n together. */
function many(p: Places, engine: Engine, samples: Samples, n: number): void {
  const before = new Set(descendants(process.ppid));
  const bundle = bundleFor(p, 'sleep', ['/bin/sleep', '1000000']);
  const running: Container[] = [];
  try {
    const took = timed(() => {
      while (running.length < n) {
        if (available() < RESERVE) throw new Refusal(`this host's memory is full with ${running.length} of them`);
        const c = new Container(p, engine, bundle);
        running.push(c);
        c.start();
      }
    });
    samples.add('many-time', engine.name, took);
    samples.add('many-pss', engine.name, pss(born(before)));
  } finally {
    for (const c of running) discard(c);
  }
}

/** Measures one life cycle row once in one engine; rows that come together (idle, many) with the first of them. */
export function measureLife(p: Places, engine: Engine, row: string, samples: Samples): void {
  if (engine.oci === undefined) {
    if (row !== 'do-true') samples.refuse(row, engine.name, 'there is no sandbox');
    else samples.add(row, engine.name, doTrue(p, engine));
    return;
  }
  try {
    if (row === 'do-true') samples.add(row, engine.name, doTrue(p, engine));
    else if (row === 'bundle') samples.add(row, engine.name, bundleLife(p, engine));
    else if (row === 'idle-pss') idle(p, engine, samples);
    else if (row === 'many-time') many(p, engine, samples, 100);
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    samples.refuse(row, engine.name, e.message);
    if (row.startsWith('idle')) for (const r of ['idle-switches', 'idle-cpu']) samples.refuse(r, engine.name, e.message);
    if (row === 'many-time') samples.refuse('many-pss', engine.name, e.message);
  }
}

/** The row that a row is measured together with. */
export function lifeLeader(row: string): string {
  if (row.startsWith('idle-')) return 'idle-pss';
  if (row.startsWith('many-')) return 'many-time';
  return row;
}
