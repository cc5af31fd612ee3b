// Rows measured from outside: a sandbox's start and end, an idle one, many at once.

import { spawn, spawnSync } from 'node:child_process';
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

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** How a command that failed is told of. */
function refusal(argv: string[], how: string, complaint: string): Refusal {
  return new Refusal(`${argv[0]} ... ${argv.at(-1)}: ${how}: ${lastLine(complaint)}`);
}

/**
 * Runs a command to its end. Throws a Refusal unless it succeeds.
 * @param keepsStreams what it leaves behind keeps its streams, so that they must not be pipes: we would wait for it
 */
function must(argv: string[], keepsStreams: boolean = false): Promise<void> {
  return new Promise((done, failed) => {
    let complaint = '';
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: '/',
      env: environment,
      stdio: ['ignore', 'ignore', keepsStreams ? 'ignore' : 'pipe'],
      timeout: PATIENCE,
      killSignal: 'SIGKILL',
    });
    child.stderr?.on('data', (d) => (complaint = (complaint + d).slice(-2000)));
    child.on('error', (e) => failed(refusal(argv, e.message, '')));
    child.on('close', (code, signal) => (code === 0 ? done() : failed(refusal(argv, `ended with status ${code ?? signal}`, complaint))));
  });
}

let containers = 0;

/** Containers that were created and not deleted yet. */
const living = new Set<Container>();

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

  async start(): Promise<void> {
    living.add(this);
    await must([...this.runtime, 'create', '--bundle', this.bundle, '--pid-file', this.pidFile, this.id], true);
    await must([...this.runtime, 'start', this.id]);
  }

  /** Waits until the process that clients watch has ended. */
  async ended(): Promise<void> {
    const pid = Number(readFileSync(this.pidFile, 'utf8'));
    const late = Date.now() + PATIENCE;
    while (alive(pid)) {
      if (Date.now() > late) throw new Refusal('the container did not end');
      await pause(1);
    }
  }

  async delete(): Promise<void> {
    await must([...this.runtime, 'delete', this.id]);
    living.delete(this);
  }

  /** Removes it whatever it is doing and however far it came; what cannot be removed ends with the keeper. Blocks. */
  discard(): void {
    if (!living.delete(this)) return;
    const argv = [...this.runtime, 'delete', '--force', this.id];
    spawnSync(argv[0]!, argv.slice(1), { cwd: '/', env: environment, stdio: 'ignore', timeout: PATIENCE });
  }
}

/** Removes the containers that an interrupted row left. Blocks. */
export function discardAll(): void {
  if (living.size > 0) process.stderr.write(`bench: removing ${living.size} sandboxes\n`);
  for (const c of [...living]) c.discard();
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
async function timed(work: () => Promise<void>): Promise<number> {
  const start = milliseconds();
  await work();
  return (milliseconds() - start) * 1e6;
}

/** Nanoseconds of `do -- true`; for runc, which has no such command, of `run` with the busybox bundle. */
function doTrue(p: Places, engine: Engine): Promise<number> {
  if (engine.family !== 'runc') return timed(() => must(engine.inside(p, ['/bin/true'])));
  const bundle = bundleFor(p, 'true', ['/bin/true']);
  return timed(() => must([...engine.oci!(p), 'run', '--bundle', bundle, `bench-${process.pid}-${containers++}`]));
}

async function bundleLife(p: Places, engine: Engine): Promise<number> {
  const c = new Container(p, engine, bundleFor(p, 'true', ['/bin/true']));
  try {
    return await timed(async () => {
      await c.start();
      await c.ended();
      await c.delete();
    });
  } finally {
    c.discard();
  }
}

/** The processes below the keeper that were not there before. */
function born(before: ReadonlySet<number>): number[] {
  return descendants(process.ppid).filter((pid) => !before.has(pid) && pid !== process.pid);
}

async function idle(p: Places, engine: Engine, samples: Samples): Promise<void> {
  const before = new Set(descendants(process.ppid));
  const c = new Container(p, engine, bundleFor(p, 'sleep', ['/bin/sleep', '1000000']));
  try {
    await c.start();
    await pause(SETTLE);
    const pids = born(before);
    if (pids.length === 0) throw new Refusal('its processes are not to be found');
    const start = activity(pids);
    await pause(WATCH);
    const end = activity(pids);
    samples.add('idle-pss', engine.name, pss(pids));
    samples.add('idle-switches', engine.name, ((end.switches - start.switches) / WATCH) * 1000);
    samples.add('idle-cpu', engine.name, end.cpu - start.cpu);
  } finally {
    c.discard();
  }
}

/** Starts n sandboxes one after the other; values are those of all n together. */
async function many(p: Places, engine: Engine, samples: Samples, n: number): Promise<void> {
  const before = new Set(descendants(process.ppid));
  const bundle = bundleFor(p, 'sleep', ['/bin/sleep', '1000000']);
  const running: Container[] = [];
  try {
    const took = await timed(async () => {
      while (running.length < n) {
        if (available() < RESERVE) throw new Refusal(`this host's memory is full with ${running.length} of them`);
        const c = new Container(p, engine, bundle);
        running.push(c);
        await c.start();
      }
    });
    samples.add('many-time', engine.name, took);
    samples.add('many-pss', engine.name, pss(born(before)));
  } finally {
    for (const c of running) c.discard();
  }
}

/** Rows that are measured together with another one, their leader. */
const followers: Record<string, string[]> = { 'idle-pss': ['idle-switches', 'idle-cpu'], 'many-time': ['many-pss'] };

/** The row that a row is measured together with: itself, or its leader. */
export function lifeLeader(row: string): string {
  return Object.keys(followers).find((leader) => followers[leader]!.includes(row)) ?? row;
}

async function measure(p: Places, engine: Engine, leader: string, samples: Samples): Promise<void> {
  if (leader === 'do-true') samples.add(leader, engine.name, await doTrue(p, engine));
  else if (engine.oci === undefined) throw new Refusal('there is no sandbox');
  else if (leader === 'bundle') samples.add(leader, engine.name, await bundleLife(p, engine));
  else if (leader === 'idle-pss') await idle(p, engine, samples);
  else if (leader === 'many-time') await many(p, engine, samples, 100);
  else throw new Error(`no life cycle row '${leader}'`);
}

/** Measures a life cycle row and those that it leads once in one engine; a failure is noted as the reason of all of them. */
export async function measureLife(p: Places, engine: Engine, leader: string, samples: Samples): Promise<void> {
  try {
    await measure(p, engine, leader, samples);
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    for (const r of [leader, ...(followers[leader] ?? [])]) samples.refuse(r, engine.name, e.message);
  }
}
