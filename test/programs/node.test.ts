// node 20: workers, child_process, fs.watch, http, a TypeScript build.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'vitest';
import { repository } from '../support/build.ts';
import { hostAndSandbox } from '../support/compare.ts';

const long = { timeout: 200_000 };
const run = (code: string, timeout = 60_000): ReturnType<typeof hostAndSandbox> =>
  hostAndSandbox('cat > main.mjs && node main.mjs', { input: code, timeout });

describe('node', () => {
  test('files, buffers, crypto, zlib', async () => {
    await run(`
      import fs from 'node:fs'; import { createHash } from 'node:crypto'; import { gzipSync, gunzipSync } from 'node:zlib';
      import os from 'node:os';
      fs.mkdirSync('a/b', { recursive: true }); for (let i = 0; i < 200; i++) fs.writeFileSync('a/b/' + i, 'x'.repeat(i));
      console.log(fs.readdirSync('a/b').length, createHash('sha256').update(fs.readFileSync('a/b/199')).digest('hex'));
      console.log(gunzipSync(gzipSync(Buffer.alloc(1e6, 'z'))).length, os.platform(), fs.statSync('a/b/7').size);
      await fs.promises.cp('a', 'c', { recursive: true });
      await Promise.all(fs.readdirSync('c/b').map((f) => fs.promises.appendFile('c/b/' + f, 'y')));
      console.log(fs.readFileSync('c/b/3', 'utf8')); fs.rmSync('c', { recursive: true }); console.log(fs.existsSync('c'));
      try { fs.readFileSync('absent') } catch (e) { console.log(e.code) }
      fs.symlinkSync('a', 'l'); console.log(fs.readlinkSync('l'), fs.realpathSync('l').endsWith('/a'));
      for await (const chunk of fs.createReadStream('a/b/150', { highWaterMark: 64 })) process.stdout.write(chunk.length + ' ');`);
  });

  test('workers', long, async () => {
    await run(
      `
      import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'; import { fileURLToPath } from 'node:url';
      if (isMainThread) {
        const shared = new Int32Array(new SharedArrayBuffer(8));
        const jobs = Array.from({ length: 4 }, (_, n) => new Promise((done, fail) => {
          const w = new Worker(fileURLToPath(import.meta.url), { workerData: { n, shared } }); w.on('message', done); w.on('error', fail);
        }));
        console.log(await Promise.all(jobs), shared[0]);
      } else {
        let s = 0; for (let i = 0; i < 1e6; i++) s += i % (workerData.n + 2); Atomics.add(workerData.shared, 0, 1);
        parentPort.postMessage(s);
      }`,
    );
  });

  test('child_process', long, async () => {
    await run(`
      import { execFileSync, spawn, spawnSync, fork, exec } from 'node:child_process'; import { once } from 'node:events';
      import fs from 'node:fs';
      console.log(execFileSync('echo', ['hi']).toString(), spawnSync('sh', ['-c', 'exit 4']).status);
      console.log(spawnSync('sleep', ['9'], { timeout: 100 }).signal);
      const c = spawn('cat'); c.stdin.end('x'.repeat(300000)); let n = 0; for await (const d of c.stdout) n += d.length; console.log(n);
      fs.writeFileSync('kid.cjs', "process.on('message', (m) => { process.send({ got: m }); process.disconnect(); })");
      const k = fork('./kid.cjs'); k.send({ a: 1 }); console.log((await once(k, 'message'))[0], (await once(k, 'exit'))[0]);
      const s = spawn('sleep', ['100']); s.kill('SIGTERM'); console.log(await once(s, 'exit'));
      console.log(await new Promise((r) => exec('echo out; echo err >&2; exit 3', (e, o, x) => r([e.code, o, x]))));
      console.log(await new Promise((r) => spawn('/no/such').on('error', (e) => r(e.code))));`);
  });

  test('fs.watch', async () => {
    await run(`
      import fs from 'node:fs'; import { once } from 'node:events';
      fs.mkdirSync('d'); const w = fs.watch('d'); const seen = new Set(); w.on('change', (t, f) => seen.add(t + ' ' + f));
      fs.writeFileSync('d/new', 'x'); await new Promise((r) => setTimeout(r, 100)); fs.renameSync('d/new', 'd/moved');
      await new Promise((r) => setTimeout(r, 100));
      fs.unlinkSync('d/moved'); await new Promise((r) => setTimeout(r, 100)); w.close(); console.log([...seen].sort());`);
  });

  test('http and net', async () => {
    await run(`
      import http from 'node:http'; import net from 'node:net'; import { once } from 'node:events';
      const answer = (q, r) => { let n = 0; q.on('data', (d) => (n += d.length)).on('end', () => r.end(q.method + q.url + n)); };
      const s = http.createServer(answer).listen(0, '127.0.0.1');
      await once(s, 'listening');
      const url = 'http://127.0.0.1:' + s.address().port;
      const post = (i) => fetch(url + '/' + i, { method: 'POST', body: 'z'.repeat(i * 1000) }).then((r) => r.text());
      console.log(await Promise.all(Array.from({ length: 20 }, (_, i) => post(i))));
      s.closeAllConnections(); s.close(); const u = net.createServer((c) => c.pipe(c)).listen('sock'); await once(u, 'listening');
      const c = net.connect('sock'); c.end('over unix'); let t = ''; for await (const d of c) t += d; console.log(t); u.close();
      const r = net.connect(1, '127.0.0.1'); console.log((await once(r, 'error').catch((e) => [e]))[0].code);`);
  });

  test('timers, signals, standard input', async () => {
    await hostAndSandbox(
      `printf 'a\\nb\\n' | node -e "
        const rl = require('node:readline').createInterface({ input: process.stdin }); rl.on('line', (l) => console.log('line', l));
        process.on('SIGUSR2', () => { console.log('signal'); clearInterval(t) }); let n = 0;
        const t = setInterval(() => { if (++n === 3) process.kill(process.pid, 'SIGUSR2') }, 5);
        process.on('exit', (c) => console.log('exit', c)); process.exitCode = 6"`,
      { status: 6 },
    );
  });

  test('a TypeScript build by tsc and esbuild', { timeout: 300_000 }, async () => {
    await hostAndSandbox(
      `
        node node_modules/typescript/bin/tsc -p . && node out/main.js &&
        node_modules/.bin/esbuild src/main.ts --bundle --platform=node --outfile=b.js --log-level=error && node b.js`,
      {
        timeout: 140_000,
        setup: (directory) => {
          symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'));
          const options = { target: 'es2022', module: 'commonjs', strict: true, outDir: 'out', rootDir: 'src', types: [] };
          writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['src'] }));
          write(
            directory,
            'src/shape.ts',
            'export interface Shape { area(): number }\n' +
              'export class Square implements Shape { constructor(private s: number) {} area(): number { return this.s ** 2; } }\n',
          );
          write(
            directory,
            'src/main.ts',
            "import { type Shape, Square } from './shape';\n" +
              'const all: Shape[] = [1, 2, 3].map((n) => new Square(n));\nconsole.log(all.reduce((t, s) => t + s.area(), 0));\n',
          );
        },
      },
    );
  });
});

function write(directory: string, path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}
