// Checks who imports whom (the table in CONTRIBUTING.md) and that no imports run in circles.
//
//   node tools/check-layers.mjs [ROOT]     prints each offending import as FILE:LINE and ends with status 1 when there is one
//
// `import type` counts like any other import for the layers. Within one folder it does not count for circles: a dentry names its inode's
// type and an inode its dentry's, and nothing of that is left at run time.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'));

/** Below src/sentry, from the bottom up: a folder may import itself and what has a lower number; equals are strangers. */
const sentryRank = { mm: 0, vfs: 1, kernel: 2, loader: 3, fs: 3, net: 3, ipc: 3, syscalls: 4, control: 5 };
const seam = ['platform/platform.ts', 'platform/hostio.ts', 'platform/mapbatch.ts'];

/** Layer of a file: what a rule speaks of. */
function layerOf(path) {
  const p = path.split('/');
  if (p[0] === 'runsc-compat') return 'runsc-compat';
  if (p[0] !== 'src') return p[0];
  if (p[1] === 'platform') return p.length === 3 ? `platform/${p[2]}` : `engine:${p[2]}`;
  if (p[1] === 'sentry') return p.length === 3 ? `sentry/${p[2]}` : `sentry:${p[2]}`;
  return p[1];
}

/** May a file of layer `from` import one of layer `to`? */
function allowed(from, to) {
  if (from === to) return true;
  if (from === 'base') return false;
  if (from === 'abi') return to === 'base';
  if (from === 'wire') return ['base', 'abi'].includes(to);
  if (from === 'host') return ['base', 'abi', 'platform/hostio.ts'].includes(to);
  if (from.startsWith('platform/')) return ['base', 'abi', ...seam].includes(to);
  if (from.startsWith('engine:'))
    return ['base', 'abi', 'host', ...seam, ...(from === 'engine:common' ? [] : ['engine:common'])].includes(to);
  if (from === 'sentry:boot') return to !== 'gofer' && to !== 'runsc-compat';
  if (from.startsWith('sentry:')) {
    if (['base', 'abi', 'wire', ...seam].includes(to)) return true;
    const a = sentryRank[from.slice(7)];
    const b = to.startsWith('sentry:') ? sentryRank[to.slice(7)] : undefined;
    return a !== undefined && b !== undefined && b < a;
  }
  if (from === 'gofer') return ['base', 'abi', 'wire', 'host', 'platform/hostio.ts'].includes(to);
  if (from === 'runsc-compat') return ['base', 'abi', 'wire', 'host', 'platform/hostio.ts', 'package.json'].includes(to);
  return false;
}

/** May a file of this layer import a module of Node or of npm? */
function allowedPackage(from, name) {
  const node = name.startsWith('node:');
  if (['host', 'gofer', 'sentry:boot'].includes(from) || from.startsWith('engine:')) return node;
  if (from === 'runsc-compat') return node || name === 'commander' || name === 'pino' || name.startsWith('ajv/dist/runtime/');
  return false;
}

/** Layers that run on any JavaScript engine: no global object of Node there. */
function isPure(layer) {
  return (
    ['base', 'abi', 'wire'].includes(layer) || layer.startsWith('platform/') || (layer.startsWith('sentry:') && layer !== 'sentry:boot')
  );
}

function sources(folder) {
  const out = [];
  if (!existsSync(join(root, folder))) return out;
  for (const e of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${e.name}`;
    if (e.isDirectory()) out.push(...sources(path));
    else if (/\.(ts|mts|js|mjs|cjs)$/.test(e.name)) out.push(path);
  }
  return out;
}

/** Blanks comments out, keeping line breaks, so that positions stay true. */
function withoutComments(text) {
  return text.replace(/('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (all, string) =>
    string === undefined ? all.replace(/[^\n]/g, ' ') : all,
  );
}

const importPattern =
  /(?:\b(?:import|export)\s+(type\s)[^;'"]*?\bfrom\s*|\bfrom\s*|\bimport\s*\(\s*|\bimport\s+|\brequire\s*\(\s*)(['"])([^'"\n]+)\2/g;
const globalPattern =
  /(?<![.\w$'"])(Buffer\b|process\.(?:env|argv|std|exit|next|hrtime|on|pid|cwd|binding|memory)|require\(|__dirname\b|set(?:Timeout|Interval|Immediate)\()/g;

const problems = [];
/** file -> files that it imports, with the line */
const graph = new Map();

for (const file of [...sources('src'), ...sources('runsc-compat')]) {
  const text = withoutComments(readFileSync(join(root, file), 'utf8'));
  const lineOf = (index) => text.slice(0, index).split('\n').length;
  const layer = layerOf(file);
  const edges = new Map();
  graph.set(file, edges);
  if (layer.startsWith('sentry/') || (layer.startsWith('sentry:') && layer !== 'sentry:boot' && sentryRank[layer.slice(7)] === undefined)) {
    problems.push(`${file}:1: no folder of src/sentry that the rules know`);
  }
  for (const m of text.matchAll(importPattern)) {
    const where = `${file}:${lineOf(m.index)}`;
    const name = m[3];
    if (!name.startsWith('.')) {
      if (!name.endsWith('.node') && !allowedPackage(layer, name)) problems.push(`${where}: ${layer} must not import '${name}'`);
      continue;
    }
    if (name.endsWith('.node')) continue;
    const target = relative(root, resolve(root, dirname(file), name));
    if (!/\.(ts|json|cjs|js|mjs)$/.test(name)) problems.push(`${where}: '${name}' lacks its extension`);
    else if (!existsSync(join(root, target))) {
      if (!/\.gen\.|oci/.test(target)) problems.push(`${where}: '${name}' does not exist`);
    } else if (!allowed(layer, layerOf(target))) problems.push(`${where}: ${layer} must not import ${target}`);
    if (m[1] === undefined || dirname(target) !== dirname(file)) edges.set(target, lineOf(m.index));
  }
  if (isPure(layer)) {
    for (const m of text.matchAll(globalPattern))
      problems.push(`${file}:${lineOf(m.index)}: ${layer} must not use ${m[1].replace(/\($/, '')}`);
  }
}

/** Reports each circle once: depth-first, a file that is met on the way down closes one. */
const done = new Set();
const way = [];
function visit(file) {
  if (done.has(file)) return;
  const at = way.indexOf(file);
  if (at >= 0) {
    const circle = [...way.slice(at), file];
    problems.push(`${circle[0]}:${graph.get(circle[0]).get(circle[1])}: imports in a circle: ${circle.join(' > ')}`);
    return;
  }
  way.push(file);
  for (const next of graph.get(file)?.keys() ?? []) visit(next);
  way.pop();
  done.add(file);
}
for (const file of graph.keys()) visit(file);

for (const p of problems.sort()) process.stdout.write(`${p}\n`);
if (problems.length > 0) {
  process.stdout.write(`${problems.length} forbidden imports\n`);
  process.exit(1);
}
