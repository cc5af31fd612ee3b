// ringfence completion: a script that teaches the shell the commands and options.

import type { Command } from 'commander';
import { CliError } from '../errors.ts';
import { print } from '../output.ts';

function longOptions(c: Command): string {
  return [...c.options.filter((o) => !o.hidden).map((o) => o.long ?? o.short ?? ''), '--help'].join(' ');
}

/** Lines of a case on the word before, for options that take one of a few words. */
function choiceCases(commands: readonly Command[]): string {
  const known = new Map<string, string>();
  for (const o of commands.flatMap((c) => c.options)) if (o.argChoices !== undefined) known.set(o.long ?? '', o.argChoices.join(' '));
  return [...known].map(([option, words]) => `  ${option}) COMPREPLY=($(compgen -W '${words}' -- "$word")); return ;;`).join('\n');
}

/** The completion script for bash. */
export function bashCompletion(program: Command): string {
  const commands = program.commands.map((c) => c.name());
  const withId = program.commands
    .filter((c) => c.registeredArguments[0]?.name() === 'id' && !['create', 'run'].includes(c.name()))
    .map((c) => c.name());
  const cases = program.commands.map((c) => `    ${c.name()}) options='${longOptions(c)}' ;;`).join('\n');
  return `# bash completion of ringfence: source this, or put it into /etc/bash_completion.d/ringfence
_ringfence() {
  local word=\${COMP_WORDS[COMP_CWORD]} command='' options='' i
  case \${COMP_WORDS[COMP_CWORD - 1]} in
${choiceCases([program, ...program.commands])}
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    --) return ;;
    -*) ;;
    *) case ' ${commands.join(' ')} ' in *" \${COMP_WORDS[i]} "*) command=\${COMP_WORDS[i]}; break ;; esac ;;
    esac
  done
  case $command in
${cases}
    *) options='${longOptions(program)} --version' ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '${commands.join(' ')}' -- "$word"))
  elif [[ ' ${withId.join(' ')} ' == *" $command "* ]]; then
    COMPREPLY=($(compgen -W "$(ringfence list --quiet 2>/dev/null)" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _ringfence ringfence
`;
}

/** Defines the command. */
export function defineCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script')
    .description('Prints a completion script for a shell.')
    .argument('<shell>', 'bash')
    .addHelpText('after', '\nExample:\n  source <(ringfence completion bash)')
    .action((shell: string) => {
      if (shell !== 'bash') throw new CliError(`there is a completion script for bash only, not for "${shell}"`);
      print(bashCompletion(program));
    });
}
