// What containers cost through real clients: time and memory for 1, 10 and 100 by podman and by the CRI, beside runc and runsc; and 10,000
// small files in a container's root, written through and in memory. Run: npm run bench -- clients [podman|cri|files]...

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pods } from '../test/clients/containerd/pods.ts';
import { busybox, pause } from '../test/clients/kit/images.ts';
import { Podman } from '../test/clients/kit/podman.ts';
import { ringfence, type Runtime, runc } from '../test/clients/kit/runtimes.ts';
import { table } from './table/report.ts';

const COUNTS = [1, 10, 100];
const PARTS = ['podman', 'cri', 'files'];
const SETTLE_MS = 3000;
const FILES = 10_000;
const IMAGE = 'localhost/bb:latest';
/** How many requests a client has under way at a time. */
const WORKERS = 4;

const progress = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function several(n: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < n) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(n, WORKERS) }, worker));
}

/** Processes of the control group at `path` and of those below it, but of helpers of the client. */
function members(path: string): number[] {
  if (!existsSync(path)) return [];
  const own = readFileSync(join(path, 'cgroup.procs'), 'latin1')
    .split('\n')
    .filter((l) => l !== '')
    .map(Number);
  const below = readdirSync(path, { withFileTypes: true }).filter((e) => e.isDirectory() && !e.name.includes('conmon'));
  return [...own, ...below.flatMap((e) => members(join(path, e.name)))];
}

/** MiB of all processes of containers below a group: pages that several share are counted in parts (PSS). */
function memoryBelow(group: string): number {
  const root = existsSync('/sys/fs/cgroup/memory') ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
  let kib = 0;
  for (const pid of members(join(root, group))) {
    try {
      kib += Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0);
    } catch {
      // it ended meanwhile
    }
  }
  return kib / 1024;
}

/** Time to start and to remove containers, seconds, and their memory while they are idle, MiB. */
interface Cost {
  start: number;
  remove: number;
  memory: number;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - begin) / 1e9;
}

async function byPodman(runtime: Runtime): Promise<Map<number, Cost>> {
  const costs = new Map<number, Cost>();
  const p = new Podman(runtime);
  const flags = runtime.name === 'runsc' ? ['--runtime-flag=network=none'] : [];
  try {
    await p.load(busybox());
    await p.run([...flags, 'run', '--rm', '--network', 'none', IMAGE, 'true']);
    for (const n of COUNTS) {
      progress(`podman, ${runtime.name}, ${n}`);
      const names = Array.from({ length: n }, (_, i) => `c${n}-${i}`);
      const start = await timed(() =>
        several(n, (i) => p.must([...flags, 'run', '-d', '--name', names[i]!, '--network', 'none', IMAGE, 'sleep', '10000'])),
      );
      await sleep(SETTLE_MS);
      const memory = memoryBelow('libpod_parent');
      const remove = await timed(() => p.must(['rm', '-f', '--time', '0', ...names], { timeout: 300_000 }));
      costs.set(n, { start, remove, memory });
    }
  } finally {
    await p.run(['rm', '-af', '--time', '0']);
    await p.close();
  }
  return costs;
}

async function byCri(pods: Pods, handler: string): Promise<Map<number, Cost>> {
  const costs = new Map<number, Cost>();
  for (const n of COUNTS) {
    progress(`CRI, ${handler}, ${n}`);
    const made: Awaited<ReturnType<Pods['run']>>[] = [];
    const start = await timed(async () => {
      await several(Math.ceil(n / 10), async () => made.push(await pods.run(handler)));
      await several(n, (i) => made[i % made.length]!.run(`c${i}`, ['sleep', '10000']));
    });
    await sleep(SETTLE_MS);
    const memory = memoryBelow(pods.machine.podGroup);
    const remove = await timed(() => several(made.length, (i) => made[i]!.remove()));
    costs.set(n, { start, remove, memory });
  }
  return costs;
}

function costTable(title: string, all: Map<string, Map<number, Cost> | string>): string {
  const rows: string[][] = [];
  const notes: string[] = [];
  for (const n of COUNTS) {
    for (const [name, costs] of all) {
      if (typeof costs === 'string') continue;
      const c = costs.get(n)!;
      rows.push([String(n), name, c.start.toFixed(2), c.remove.toFixed(2), c.memory.toFixed(0)]);
    }
  }
  for (const [name, costs] of all) if (typeof costs === 'string') notes.push(`\n${name}: ${costs}`);
  const head = ['containers', 'runtime', 'start, s', 'remove, s', 'memory, MiB'];
  return `${title}\n\n${table(head, ['right', 'left', 'right', 'right', 'right'], rows)}\n${notes.join('\n')}`;
}

/** Milliseconds that a command in a fresh container takes by its own clock: the median of five. */
function inContainer(bundle: string, states: string, flags: string[]): number {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const r = spawnSync(ringfence.path, ['--root', states, ...flags, 'run', '--bundle', bundle, `files-${i}`], { encoding: 'utf8' });
    if (r.status !== 0) throw new Error(`ringfence run: ${r.stderr}`);
    times.push(Number(r.stdout));
    rmSync(join(bundle, 'rootfs/out'), { recursive: true, force: true });
  }
  return times.sort((a, b) => a - b)[2]!;
}

/** Milliseconds that the host's own busybox takes for the same beside the bundle: the median of five. */
function onHost(dir: string, archive: string): number {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const out = mkdtempSync(join(dir, 'out-'));
    const begin = process.hrtime.bigint();
    spawnSync('/bin/busybox', ['tar', '-C', out, '-xf', archive]);
    times.push(Number(process.hrtime.bigint() - begin) / 1e6);
    rmSync(out, { recursive: true, force: true });
  }
  return Math.round(times.sort((a, b) => a - b)[2]!);
}

/** Unpacks FILES files of 1 KiB in a container, into its root on the host, and into memory. `where`: a folder of the host for the root. */
function files(where: string): string[] {
  const dir = mkdtempSync(join(where, 'ringfence-files-'));
  try {
    const bundle = join(dir, 'bundle');
    busybox().unpack(join(bundle, 'rootfs'));
    for (let d = 0; d < FILES / 100; d++) {
      mkdirSync(join(dir, `tree/${d}`), { recursive: true });
      for (let f = 0; f < 100; f++) writeFileSync(join(dir, `tree/${d}/${f}`), Buffer.alloc(1024, f));
    }
    spawnSync('tar', ['-C', join(dir, 'tree'), '-cf', join(bundle, 'rootfs/tree.tar'), '.']);
    const script =
      'mkdir /out; read a _ </proc/uptime; tar -C /out -xf /tree.tar; read b _ </proc/uptime; awk "BEGIN { print int(($b - $a) * 1000 + 0.5) }"';
    const spec = JSON.parse(
      spawnSync(ringfence.path, ['spec', '--bundle', bundle], { encoding: 'utf8' }).stdout ||
        readFileSync(join(bundle, 'config.json'), 'utf8'),
    );
    spec.process.args = ['sh', '-c', script];
    spec.process.terminal = false;
    spec.root.readonly = false;
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
    const states = join(dir, 'states');
    const through = inContainer(bundle, states, []);
    const memory = inContainer(bundle, states, ['--overlay2=root:memory']);
    const host = onHost(dir, join(bundle, 'rootfs/tree.tar'));
    return [where, String(host), String(through), String(memory), (through / memory).toFixed(2), (through / host).toFixed(2)];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(words: string[]): Promise<void> {
  for (const w of words) if (!PARTS.includes(w)) throw new Error(`no part '${w}'; there are ${PARTS.join(', ')}`);
  const parts = words.length === 0 ? PARTS : words;
  const out: string[] = [];
  const runsc: Runtime = { name: 'runsc', path: '/usr/bin/runsc', states: '/run/runsc' };
  if (parts.includes('podman')) {
    const all = new Map<string, Map<number, Cost> | string>();
    for (const r of [runc, runsc, ringfence]) all.set(r.name, existsSync(r.path) ? await byPodman(r) : 'not installed');
    out.push(costTable('By podman: `podman run -d --network none`, four at a time', all));
  }
  if (parts.includes('cri')) {
    const all = new Map<string, Map<number, Cost> | string>();
    const pods = await Pods.start();
    try {
      await pods.machine.import(pause());
      for (const r of [runc, ringfence]) all.set(r.name, await byCri(pods, r.name));
      all.set('runsc', 'through io.containerd.runc.v2 a container in a pod does not start, and Debian does not have its own shim');
    } finally {
      await pods.stop();
    }
    out.push(costTable('By the CRI of containerd: pods of ten containers, four requests at a time', all));
  }
  if (parts.includes('files')) {
    const head = ['root in', 'host, ms', 'written through, ms', '--overlay2=root:memory, ms', 'to overlay', 'to host'];
    const rows = [tmpdir(), '/dev/shm'].map(files);
    out.push(
      `${FILES} files of 1 KiB, unpacked by busybox tar: on the host, and in a container (medians of five)\n\n${table(head, ['left', 'right', 'right', 'right', 'right', 'right'], rows)}`,
    );
  }
  process.stdout.write(`${out.join('\n\n')}\n`);
}

main(process.argv.slice(2)).catch((e: unknown) => {
  process.stderr.write(`bench: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`);
  process.exitCode = 1;
});
