// config.json and process.json: read, checked against the schema, told in one line what is wrong.

import { readFileSync } from 'node:fs';
import { CliError, codeOf, messageOf } from '../errors.ts';
import type { Process, Spec } from './types.ts';

interface SchemaError {
  instancePath: string;
  keyword: string;
  params: Record<string, unknown>;
}

/** A compiled schema: true, or false and `errors`. */
interface Validator {
  (data: unknown): boolean;
  errors?: SchemaError[] | null;
}

const SHOWN = 80;

/** Leaves out what is null: Go writes an absent field so, and reads it so. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [k, v] of Object.entries(value)) if (v !== null) out[k] = withoutNulls(v);
  return out;
}

function valueAt(document: unknown, pointer: string): unknown {
  let at = document;
  for (const part of pointer.split('/').slice(1)) {
    at = (at as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return at;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN - 3)}...`;
}

function allowed(e: SchemaError): string {
  const p = e.params;
  switch (e.keyword) {
    case 'type':
      return `allowed is ${p.type === 'integer' || p.type === 'array' || p.type === 'object' ? 'an' : 'a'} ${p.type as string}`;
    case 'enum':
      return `allowed are ${(p.allowedValues as unknown[]).join(', ')}`;
    case 'pattern':
      return `allowed is what matches ${p.pattern as string}`;
    case 'minimum':
    case 'maximum':
      return `allowed is a number ${p.comparison as string} ${p.limit as number}`;
    case 'minItems':
      return `allowed are ${p.limit as number} or more elements`;
    default:
      return `it breaks the rule "${e.keyword}"`;
  }
}

/** One line for a schema error: JSON pointer, value, what is allowed. */
export function describe(document: unknown, e: SchemaError, file: string): string {
  if (e.keyword === 'required') return `${file}: ${e.instancePath}/${e.params.missingProperty as string} is missing`;
  return `${file}: ${e.instancePath || '/'} is ${shown(valueAt(document, e.instancePath))}, ${allowed(e)}`;
}

/** Parses JSON and treats null as absent. */
export function parseJson(text: string, file: string): unknown {
  try {
    return withoutNulls(JSON.parse(text));
  } catch (e) {
    throw new CliError(`${file} is not JSON: ${messageOf(e)}`);
  }
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (e) {
    if (codeOf(e) === 'ENOENT') throw new CliError(`JSON specification file ${file} not found`);
    throw new CliError(`cannot read ${file}: ${codeOf(e)}`);
  }
  return parseJson(text, file);
}

async function validators(): Promise<{ validateConfig: Validator; validateProcess: Validator }> {
  const module = (await import('./validator.gen.ts')) as unknown;
  return module as { validateConfig: Validator; validateProcess: Validator };
}

/** A checked configuration. Throws one line for the first thing that is wrong. */
export async function checkSpec(document: unknown, file: string): Promise<Spec> {
  const { validateConfig } = await validators();
  if (!validateConfig(document)) throw new CliError(describe(document, (validateConfig.errors as SchemaError[])[0] as SchemaError, file));
  return document as Spec;
}

export async function loadSpec(file: string): Promise<Spec> {
  return await checkSpec(readJson(file), file);
}

/** A checked process, as `exec --process` takes it. */
export async function loadProcess(file: string): Promise<Process> {
  const document = readJson(file);
  const { validateProcess } = await validators();
  if (!validateProcess(document)) throw new CliError(describe(document, (validateProcess.errors as SchemaError[])[0] as SchemaError, file));
  return document as Process;
}
