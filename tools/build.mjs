// Builds everything that runs: native parts, one bundle a process, and a V8 code cache for each bundle.
//
//   node tools/build.mjs [--force] [--quiet] [native|bundles|generate]
//
// Each step notes its input files (size and mtime) in dist/.build.json and is skipped when none of them changed. Outputs:
//   dist/native/*            what native/{host,platform,systrap,ptrace,launch}/build.sh OUTDIR make
//   dist/NAME.cjs            a small loader, the file to hand to node
//   dist/NAME.bundle.js      the program (esbuild, CommonJS, names kept)
//   dist/NAME-HASH.cache     its V8 code cache; only a node with the same V8 and flags uses it, others compile as usual

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const stampFile = join(dist, '.build.json');
const args = process.argv.slice(2);
const force = args.includes('--force');
const quiet = args.includes('--quiet');
const only = args.find((a) => !a.startsWith('--'));

/** Native parts, and the files that each must leave behind. */
const nativeParts = [
  { name: 'host', target: join(dist, 'native'), outputs: ['dist/native/host.node'] },
  { name: 'platform', target: join(dist, 'native'), outputs: ['dist/native/platform.node'] },
  { name: 'systrap', target: join(dist, 'native'), outputs: ['dist/native/stub'] },
  { name: 'ptrace', target: join(dist, 'native'), outputs: ['dist/native/tracer'] },
  { name: 'kvm', target: join(dist, 'native'), outputs: ['dist/native/kvmstub'] },
  { name: 'launch', target: dist, outputs: ['dist/native/launch', 'bin/ringfence', 'bin/.node'] },
];

/** The options that each program is started with. */
const nodeFlagsFile = 'runsc-compat/nodeflags.json';
const nodeFlags = JSON.parse(readFileSync(join(root, nodeFlagsFile), 'utf8'));

/** Generators that must run before bundling: they write into src or dist and do nothing when they are up to date. */
const generators = ['tools/gen-oci.mjs', 'tools/gen-filters.mjs', 'tools/gen-table.mjs'];

const bundles = [
  { name: 'sentry', entry: 'src/sentry/boot/main.ts' },
  { name: 'gofer', entry: 'src/gofer/main.ts' },
  { name: 'ringfence', entry: 'runsc-compat/main.ts' },
  // Parts of the entrypoint that most commands do without, loaded at their import().
  { name: 'validator', entry: 'runsc-compat/spec/validator.gen.ts', partOf: 'ringfence' },
  { name: 'pino', entry: 'node_modules/pino/pino.js', partOf: 'ringfence' },
  { name: 'compat', entry: 'runsc-compat/compat/part.ts', partOf: 'ringfence' },
];

const flagsOf = (bundle) => nodeFlags[bundle.partOf ?? bundle.name];

function say(line) {
  if (!quiet) process.stdout.write(`${line}\n`);
}

function readStamps() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

/** Size and mtime of a file as one string; '-' for one that is missing. */
function stampOf(path) {
  const st = statSync(join(root, path), { throwIfNoEntry: false });
  return st === undefined ? '-' : `${st.size}:${st.mtimeMs}`;
}

function upToDate(stamp, outputs) {
  if (force || stamp === undefined) return false;
  for (const out of outputs) if (!existsSync(join(root, out))) return false;
  for (const [file, value] of Object.entries(stamp.inputs)) if (stampOf(file) !== value) return false;
  return true;
}

function stampAll(files) {
  const inputs = {};
  for (const f of files) inputs[f] = stampOf(f);
  return { inputs };
}

function filesBelow(folder) {
  const out = [];
  const walk = (dir) => {
    for (const e of readdirSync(join(root, dir), { withFileTypes: true })) {
      const path = `${dir}/${e.name}`;
      if (e.isDirectory()) walk(path);
      else if (e.isFile() && !/\.(o|d|node)$/.test(e.name)) out.push(path);
    }
  };
  if (existsSync(join(root, folder))) walk(folder);
  return out.sort();
}

/** Runs a command to its end; its output is shown only when it fails or says something on a success. */
function run(command, argv, options = {}) {
  return new Promise((done) => {
    const child = spawn(command, argv, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let text = '';
    child.stdout.on('data', (d) => (text += d));
    child.stderr.on('data', (d) => (text += d));
    child.on('error', (e) => done({ code: 127, text: String(e) }));
    child.on('close', (code) => done({ code: code ?? 1, text }));
  });
}

async function buildNative(part, stamps, problems) {
  const folder = `native/${part.name}`;
  const script = `${folder}/build.sh`;
  if (!existsSync(join(root, script))) {
    problems.push(`${script} is missing: native part '${part.name}' was not built`);
    return;
  }
  const key = `native:${part.name}`;
  if (stamps[key]?.node === process.execPath && upToDate(stamps[key], part.outputs)) return;
  const started = Date.now();
  const sources = [folder, 'native/include', 'native/common', 'native/stub'].flatMap(filesBelow);
  const stamp = { ...stampAll([...sources, nodeFlagsFile]), node: process.execPath };
  const { code, text } = await run('bash', [join(root, script), part.target], { cwd: join(root, folder) });
  if (text.trim() !== '') say(text.trimEnd());
  if (code !== 0) {
    delete stamps[key];
    problems.push(`${script} failed with status ${code}${quiet ? `:\n${text.trimEnd()}` : ''}`);
    return;
  }
  const missing = part.outputs.filter((o) => !existsSync(join(root, o)));
  if (missing.length > 0) {
    problems.push(`${script} did not make ${missing.join(', ')}`);
    return;
  }
  stamps[key] = stamp;
  say(`built ${folder} (${Date.now() - started} ms)`);
}

/** The file that node is started with: loads NAME.bundle.js, with the code cache if one fits this V8. */
function loaderText(name, hash) {
  return `'use strict';
// Loads ${name}.bundle.js through its V8 code cache. Written by tools/build.mjs; without a fitting cache the bundle is compiled as usual.
const fs = require('node:fs');
const vm = require('node:vm');
function load() {
  const file = __dirname + '/${name}.bundle.js';
  let cachedData;
  try {
    cachedData = fs.readFileSync(__dirname + '/${name}-${hash}-' + process.versions.v8 + '.cache');
  } catch {}
  return new vm.Script(fs.readFileSync(file, 'latin1'), { filename: file, cachedData }).runInThisContext();
}
// The program runs below this line until its end: nothing here may hold on to the cache or the script.
load()(exports, require, module, __filename, __dirname);
`;
}

/** Compiles a bundle with every function (not lazily), so that the cache serves code that runs late too. Flags are put back before
 * the cache is taken: V8 refuses a cache whose flags differ from those of the process that loads it. */
const cacheMaker = `
const fs = require('node:fs'), v8 = require('node:v8'), vm = require('node:vm');
for (const pair of process.argv.slice(1)) {
  const [bundle, cache] = pair.split('=');
  const source = fs.readFileSync(bundle, 'latin1');
  v8.setFlagsFromString('--no-lazy');
  const script = new vm.Script(source, { filename: bundle });
  v8.setFlagsFromString('--lazy');
  fs.writeFileSync(cache, script.createCachedData());
  const again = new vm.Script(source, { filename: bundle, cachedData: fs.readFileSync(cache) });
  if (again.cachedDataRejected) fs.rmSync(cache);
}`;

/** Node's modules that take milliseconds to load and that few runs need: loaded when something of them is first looked at. */
const lazyBuiltins = {
  name: 'lazy-builtins',
  setup(build) {
    build.onResolve({ filter: /^node:(child_process|crypto|diagnostics_channel|net|os|stream|tty|url|util)$/ }, (a) =>
      a.namespace === 'lazy' ? { path: a.path, external: true } : { path: a.path, namespace: 'lazy' },
    );
    build.onLoad({ filter: /.*/, namespace: 'lazy' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((n) => n !== 'default');
      const getters = names.map((n) => `get ${n}(){return m().${n}}`);
      return { contents: `let l;const m=()=>l??=require(${JSON.stringify(path)});module.exports={${getters.join(',')}};` };
    });
  },
};

/** An import() of something that is a bundle of its own loads that bundle. */
const separateParts = {
  name: 'separate-parts',
  setup(build) {
    build.onResolve({ filter: /^pino$|\/validator\.gen\.ts$|\/compat\/part\.ts$/ }, ({ kind, path }) => {
      const name = path === 'pino' ? path : path.endsWith('/part.ts') ? 'compat' : 'validator';
      return kind === 'dynamic-import' ? { path: `./${name}.cjs`, external: true } : undefined;
    });
  },
};

async function loadEsbuild() {
  try {
    return await import('esbuild');
  } catch {
    process.stderr.write('build: esbuild is not installed; run `npm install` with the development dependencies\n');
    process.exit(1);
  }
}

function bundleOutputs(name) {
  return [`dist/${name}.cjs`, `dist/${name}.bundle.js`];
}

async function buildBundle(bundle, stamps, problems) {
  if (!existsSync(join(root, bundle.entry))) {
    problems.push(`${bundle.entry} is missing: dist/${bundle.name}.cjs was not built`);
    return;
  }
  const key = `bundle:${bundle.name}`;
  if (upToDate(stamps[key], bundleOutputs(bundle.name))) return;
  const started = Date.now();
  const esbuild = await loadEsbuild();
  let result;
  try {
    result = await esbuild.build({
      absWorkingDir: root,
      entryPoints: [bundle.entry],
      bundle: true,
      write: false,
      metafile: true,
      outfile: `dist/${bundle.name}.bundle.js`,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      external: ['*.node'],
      plugins: [lazyBuiltins, separateParts],
      minifyWhitespace: true,
      minifySyntax: true,
      lineLimit: 160,
      charset: 'ascii',
      legalComments: 'none',
      logLevel: 'silent',
      supported: { 'dynamic-import': false },
      define: { 'import.meta.url': '__bundleUrl', 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    });
  } catch (e) {
    delete stamps[key];
    const errors = e.errors ?? [];
    const lines = await esbuild.formatMessages(errors, { kind: 'error', color: false });
    problems.push(`bundling ${bundle.entry} failed:\n${lines.join('').trimEnd() || String(e)}`);
    return;
  }
  const body = result.outputFiles[0].text;
  const head = "(function(exports,require,module,__filename,__dirname){const __bundleUrl='file://'+__filename;";
  const text = `${head}${body.startsWith('"use strict";') ? '' : '"use strict";'}${body}\n})`;
  const hash = createHash('sha256').update(text).update(flagsOf(bundle).join(' ')).digest('hex').slice(0, 16);
  for (const f of readdirSync(dist)) {
    if (f.startsWith(`${bundle.name}-`) && f.endsWith('.cache')) rmSync(join(dist, f));
  }
  put(`dist/${bundle.name}.bundle.js`, text);
  put(`dist/${bundle.name}.cjs`, loaderText(bundle.name, hash));
  const inputs = Object.keys(result.metafile.inputs).map((f) => relative(root, resolve(root, f)));
  stamps[key] = { ...stampAll([...inputs, 'tools/build.mjs', nodeFlagsFile]), hash };
  say(
    `built dist/${bundle.name}.cjs (${Math.round(text.length / 1024)} KiB, ${Object.keys(inputs).length} modules, ${Date.now() - started} ms)`,
  );
}

/** Writes a file whole or not at all. */
function put(path, text) {
  const full = join(root, path);
  writeFileSync(`${full}.${process.pid}`, text, 'latin1');
  renameSync(`${full}.${process.pid}`, full);
}

/** A cache holds only for the flags it was made under: each program's is made with its own. A node that refuses those starts nothing. */
async function buildCaches(stamps, problems) {
  for (const bundle of bundles) {
    const { name } = bundle;
    const stamp = stamps[`bundle:${name}`];
    if (stamp === undefined) continue;
    const cache = join(dist, `${name}-${stamp.hash}-${process.versions.v8}.cache`);
    if (existsSync(cache)) continue;
    const pair = `${join(dist, `${name}.bundle.js`)}=${cache}`;
    const { code, text } = await run(process.execPath, [...flagsOf(bundle), '-e', cacheMaker, pair], { env: {} });
    if (code !== 0) problems.push(`no code cache for ${name} with ${flagsOf(bundle).join(' ')}: ${text.trimEnd()}`);
  }
}

/** One line for each thing without which nothing can be built. */
function missingTools() {
  const problems = [];
  if (Number(process.versions.node.split('.')[0]) < 20) problems.push(`Node 20 or newer is needed, this is ${process.version}`);
  if (process.platform !== 'linux') problems.push(`Linux is needed, this is ${process.platform}`);
  else if (process.arch !== 'x64')
    problems.push(
      `x86-64 is needed, this is ${process.arch}: a port adds src/abi/${process.arch} and native/*/${process.arch} (docs/platforms.md)`,
    );
  const cc = process.env.CC ?? 'gcc';
  if (spawnSync(cc, ['--version']).status !== 0) problems.push(`${cc} is needed for the native parts (Debian: apt-get install make g++)`);
  const include = [resolve(process.execPath, '../../include/node'), '/usr/include/node'];
  if (!include.some((dir) => existsSync(join(dir, 'node_api.h'))))
    problems.push(`node_api.h is in none of ${include.join(' ')}: install Node's headers`);
  return problems;
}

async function main() {
  const started = Date.now();
  const lacking = missingTools();
  if (lacking.length > 0) {
    for (const line of lacking) process.stderr.write(`build: ${line}\n`);
    process.exit(1);
  }
  mkdirSync(join(dist, 'native'), { recursive: true });
  mkdirSync(join(root, 'bin'), { recursive: true });
  const stamps = readStamps();
  const problems = [];
  const jobs = [];
  if (only === undefined || only === 'native') jobs.push(...nativeParts.map((p) => buildNative(p, stamps, problems)));
  if (only !== 'native') {
    jobs.push(
      (async () => {
        for (const g of generators) {
          if (!existsSync(join(root, g))) continue;
          const { code, text } = await run(process.execPath, [join(root, g)]);
          if (code !== 0) problems.push(`${g} failed with status ${code}:\n${text.trimEnd()}`);
        }
        if (only === 'generate') return;
        for (const b of bundles) await buildBundle(b, stamps, problems);
        await buildCaches(stamps, problems);
      })(),
    );
  }
  await Promise.all(jobs);
  put('dist/.build.json', JSON.stringify(stamps));
  for (const p of problems) process.stderr.write(`build: ${p}\n`);
  if (problems.length > 0) process.exit(1);
  say(`dist is up to date (${Date.now() - started} ms)`);
}

await main();
