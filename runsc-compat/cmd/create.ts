// ringfence create: a container up to the point where `start` runs its process.

import { type Command, Option } from 'commander';
import type { GlobalOptions } from '../context.ts';
import { createContainer } from '../container.ts';
import { CliError } from '../errors.ts';

export interface BundleOptions {
  bundle: string;
  consoleSocket?: string;
  pidFile?: string;
  preserveFds: number;
}

/** A count of descriptors from an option. */
export function descriptorCount(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0 || n > 256) throw new CliError(`--preserve-fds takes a number from 0 to 256, not "${text}"`);
  return n;
}

/** The options that create and run share, under runc's names. */
export function bundleOptions(command: Command): Command {
  return command
    .option('-b, --bundle <dir>', 'folder with config.json', '.')
    .option('--console-socket <path>', 'unix socket that receives the master of the terminal')
    .option('--pid-file <file>', 'where to write the pid that stands for the container')
    .option('--preserve-fds <n>', 'how many descriptors from 3 on the process gets', descriptorCount, 0)
    .option('--no-pivot', 'accepted; the sandbox has no use for it')
    .option('--no-new-keyring', 'accepted; the sandbox has its own keyring')
    .addOption(new Option('--user-log <file>', 'accepted').hideHelp())
    .option('--no-subreaper', 'accepted; nothing is reparented to this command');
}

/** Defines the command. */
export function defineCreate(program: Command, globals: () => GlobalOptions): void {
  bundleOptions(
    program
      .command('create')
      .summary('create a container')
      .description('Creates a container from a bundle, up to its start.')
      .argument('<id>', 'name of the container'),
  )
    .addHelpText('after', '\nExample:\n  ringfence create --bundle /srv/web --pid-file /run/web.pid web && ringfence start web')
    .action(async (id: string, o: BundleOptions) => {
      const { standin } = await createContainer(id, { ...o, foreground: false }, globals());
      standin.release();
    });
}
