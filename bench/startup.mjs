// What it takes to start and end one small command, beside the host and the other runtimes that are installed. Run: npm run bench -- startup

import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import Benchmark from 'benchmark';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const candidates = [
  { name: 'host: true', argv: ['/bin/true'] },
  { name: 'ringfence do -- true', argv: [join(root, 'bin/ringfence'), 'do', '--', '/bin/true'] },
  { name: 'runsc do true', argv: ['runsc', 'do', '/bin/true'] },
];

const suite = new Benchmark.Suite();
for (const { name, argv } of candidates) {
  const start = () => spawnSync(argv[0], argv.slice(1), { stdio: 'ignore' });
  const first = start();
  if (first.error !== undefined) process.stdout.write(`${name}: not here\n`);
  else if (first.status !== 0) process.stdout.write(`${name}: ended with status ${first.status}\n`);
  else suite.add(name, start, { minSamples: 20, maxTime: 3 });
}
suite.on('cycle', ({ target }) => {
  const sorted = target.stats.sample.map((s) => s * 1000).sort((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(1);
  process.stdout.write(
    `${target.name.padEnd(24)} min ${at(0)} ms   median ${at(0.5)} ms   p90 ${at(0.9)} ms   (${sorted.length} samples)\n`,
  );
});
suite.run();
