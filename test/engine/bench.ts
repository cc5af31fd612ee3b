// Prints what the engine costs; asserts nothing. From the project's root:
//   npx esbuild test/engine/bench.ts --bundle --platform=node --format=cjs --outfile=dist/engine-bench.cjs && node dist/engine-bench.cjs
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildEngine } from './harness.ts';
import { MiniKernel } from './kernel.ts';

async function main(): Promise<void> {
  const directory = buildEngine(process.cwd(), mkdtempSync(path.join(os.tmpdir(), 'ringfence-engine-')));
  const guest = path.join(directory, 'guest');
  console.log(`on the host\n${execFileSync(guest, ['bench'], { encoding: 'latin1' })}`);
  for (const cpus of [undefined, 1]) {
    const k = new MiniKernel(directory, cpus);
    if (cpus === undefined) k.spins = 10000;
    k.start(guest, ['bench']);
    await k.run(120000);
    console.log(`in the engine, ${cpus === undefined ? 'spinning' : 'sleeping'}\n${k.output}`);
    const count = 300;
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const c = k.platform.newAddressSpace();
      if (typeof c !== 'number') c.exit();
    }
    console.log(`new address space+exit ${Math.round(((performance.now() - start) * 1e6) / count)} ns\n`);
    k.close();
  }
  rmSync(directory, { recursive: true, force: true });
}

void main();
