// ringfence run: create, start and, without --detach, wait and delete.

import type { Command } from 'commander';
import { hostPath } from '../../src/host/paths.ts';
import type { GlobalOptions } from '../context.ts';
import { afterStart, beforeStart, connect, createContainer, destroyContainer } from '../container.ts';
import { messageOf } from '../errors.ts';
import { commandError, Foreground } from '../foreground.ts';
import { passReadiness } from '../notify.ts';
import { complain } from '../output.ts';
import { type BundleOptions, bundleOptions } from './create.ts';

interface RunOptions extends BundleOptions {
  detach?: boolean;
  keep?: boolean;
}

/** Defines the command. */
export function defineRun(program: Command, globals: () => GlobalOptions): void {
  bundleOptions(
    program
      .command('run')
      .summary('create and start a container')
      .description('Creates and starts a container from a bundle and waits for its end.')
      .argument('<id>', 'name of the container'),
  )
    .option('-d, --detach', 'do not wait for the end')
    .option('--keep', 'do not delete the container at its end')
    .addHelpText(
      'after',
      '\nExamples:\n  ringfence run --bundle /srv/web web\n  ringfence run --detach --pid-file /run/web.pid --bundle /srv/web web',
    )
    .action(async (id: string, o: RunOptions) => {
      process.exitCode = await run(id, o, globals());
    });
}

async function run(id: string, o: RunOptions, globals: GlobalOptions): Promise<number> {
  const { container, state, spec, standin, terminal } = await createContainer(id, { ...o, foreground: o.detach !== true }, globals);
  const control = connect(container);
  const foreground = o.detach === true ? null : new Foreground(id, [control, ...(terminal === null ? [] : [connect(container)])], terminal);
  foreground?.begin(standin);
  try {
    await beforeStart(container, state, spec);
    const answer = await control.request({ method: 'start', id });
    if (!answer.ok) throw commandError(answer, hostPath(spec.process?.args?.[0] ?? ''));
    await afterStart(container, state, spec);
    const told = passReadiness(container, state);
    if (foreground === null) await told;
    else told.catch((e: unknown) => complain(messageOf(e)));
  } catch (e) {
    foreground?.end();
    await destroyContainer(container, state);
    throw e;
  }
  if (foreground === null) {
    standin.release();
    return 0;
  }
  const code = await foreground.stay(standin, true);
  if (o.keep !== true) await destroyContainer(container, state);
  return code;
}
