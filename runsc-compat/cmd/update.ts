// ringfence update: other limits for a container that is there.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { setCgroup } from '../cgroups/cgroup.ts';
import { sentryLimits } from '../cgroups/limits.ts';
import { changed, merged, type Resources } from '../cgroups/resources.ts';
import type { GlobalOptions } from '../context.ts';
import { containers, demand } from '../container.ts';
import { CliError, codeOf } from '../errors.ts';
import { complain } from '../output.ts';
import { checkSpec, parseJson } from '../spec/validate.ts';
import { SPEC_VERSION } from '../version.ts';

interface UpdateOptions {
  resources?: string;
  blkioWeight?: string;
  cpuPeriod?: string;
  cpuQuota?: string;
  cpuShare?: string;
  cpuShares?: string;
  cpuBurst?: string;
  cpuIdle?: string;
  cpuRtPeriod?: string;
  cpuRtRuntime?: string;
  cpusetCpus?: string;
  cpusetMems?: string;
  memory?: string;
  memoryReservation?: string;
  memorySwap?: string;
  kernelMemory?: string;
  kernelMemoryTcp?: string;
  pidsLimit?: string;
}

const STDIN = 0;
const UNITS: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 };

/** A whole number of an option; undefined where it is not given. */
function whole(option: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const n = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(n)) throw new CliError(`invalid value for ${option}: "${text}" is not a whole number`);
  return n;
}

/** A size in bytes, with k, m, g, t or p for units of 1024; -1: no limit. */
function size(option: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (text === '-1') return -1;
  const m = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (m === null) throw new CliError(`invalid value for ${option}: "${text}" is not a size`);
  return Math.trunc(Number(m[1]) * (UNITS[(m[2] as string).toLowerCase()] as number));
}

function without<T extends object>(o: T): T {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as T;
}

function fromOptions(o: UpdateOptions): Resources {
  return {
    cpu: without({
      period: whole('cpu-period', o.cpuPeriod),
      quota: whole('cpu-quota', o.cpuQuota),
      burst: whole('cpu-burst', o.cpuBurst),
      idle: whole('cpu-idle', o.cpuIdle),
      shares: whole('cpu-share', o.cpuShare ?? o.cpuShares),
      realtimePeriod: whole('cpu-rt-period', o.cpuRtPeriod),
      realtimeRuntime: whole('cpu-rt-runtime', o.cpuRtRuntime),
      cpus: o.cpusetCpus,
      mems: o.cpusetMems,
    }) as Resources['cpu'] & object,
    memory: without({
      limit: size('memory', o.memory),
      reservation: size('memory-reservation', o.memoryReservation),
      swap: size('memory-swap', o.memorySwap),
    }) as Resources['memory'] & object,
    pids: { limit: whole('pids-limit', o.pidsLimit) ?? 0 },
    blockIO: without({ weight: whole('blkio-weight', o.blkioWeight) }) as Resources['blockIO'] & object,
  };
}

async function fromFile(name: string): Promise<Resources> {
  const what = name === '-' ? 'standard input' : name;
  let text: string;
  try {
    text = readFileSync(name === '-' ? STDIN : resolve(name), 'utf8');
  } catch (e) {
    throw new CliError(`open ${what}: ${codeOf(e) === 'ENOENT' ? 'no such file or directory' : codeOf(e)}`);
  }
  const spec = await checkSpec({ ociVersion: SPEC_VERSION, linux: { resources: parseJson(text, what) } }, what);
  return spec.linux?.resources ?? {};
}

/** Defines the command. */
export function defineUpdate(program: Command, globals: () => GlobalOptions): void {
  program
    .command('update')
    .summary('change the limits of a container')
    .description('Changes the limits of a container. What is not named stays as it is.')
    .argument('<id>', 'name of the container')
    .option('-r, --resources <file>', 'JSON as in /linux/resources of config.json, - for standard input; other options are ignored')
    .option('--blkio-weight <n>', 'weight of its input and output, 10 to 1000')
    .option('--cpu-period <us>', 'length of a period of processor time')
    .option('--cpu-quota <us>', 'processor time in a period; -1: no limit')
    .option('--cpu-burst <us>', 'unused processor time that may be saved up')
    .option('--cpu-share <n>', 'share of processor time, against other containers')
    .option('--cpu-shares <n>', 'the same')
    .option('--cpu-idle <0|1>', 'only processor time that nobody else wants')
    .option('--cpu-rt-period <us>', 'length of a period of real-time processes')
    .option('--cpu-rt-runtime <us>', 'their time in a period')
    .option('--cpuset-cpus <list>', 'processors to use')
    .option('--cpuset-mems <list>', 'memory nodes to use')
    .option('--kernel-memory <bytes>', 'accepted, without effect')
    .option('--kernel-memory-tcp <bytes>', 'accepted, without effect')
    .option('--memory <bytes>', 'limit of memory; -1: no limit')
    .option('--memory-reservation <bytes>', 'memory that it should be held to when memory is short')
    .option('--memory-swap <bytes>', 'limit of memory and swap together; -1: no limit')
    .option('--pids-limit <n>', 'limit of processes and threads; -1: no limit')
    .option('--l3-cache-schema <text>', 'refused')
    .option('--mem-bw-schema <text>', 'refused')
    .addHelpText(
      'after',
      '\nExamples:\n  ringfence update --memory 512m web\n  echo \'{"pids":{"limit":50}}\' | ringfence update --resources - web',
    )
    .action(async (id: string, o: UpdateOptions & { l3CacheSchema?: string; memBwSchema?: string }) => {
      const c = containers(globals()).open(id);
      const more = o.resources === undefined ? fromOptions(o) : await fromFile(o.resources);
      if ((o.l3CacheSchema ?? o.memBwSchema ?? '') !== '') throw new CliError('Intel RDT: L3 cache and memory bandwidth are not supported');
      if ((more.memory?.kernel ?? 0) !== 0 || (more.memory?.kernelTCP ?? 0) !== 0) complain('warning: limits of kernel memory are ignored');
      await c.locked(async () => {
        const state = c.load();
        if (c.statusOf(state) === 'stopped') throw new CliError('container not running');
        const spec = c.spec();
        const resources = merged(spec.linux?.resources ?? {}, more);
        if (state.cgroups !== undefined) await setCgroup(state.cgroups, changed(resources, more));
        await demand(c, { method: 'update', id, limits: sentryLimits(resources, state.cgroups) }, 'cannot tell the sandbox of its limits');
        spec.linux = { ...spec.linux, resources };
        c.saveSpec(spec);
      });
    });
}
