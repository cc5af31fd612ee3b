// ringfence completion: a script that teaches the shell the commands and options.

import type { Command } from 'commander';
import { CliError } from '../errors.ts';
import { print } from '../output.ts';
import { ENGINES } from '../platforms.ts';

/** Values that options may have, for the word behind them. `where`: command and what stands below it. */
function valueCases(c: Command, where: string): string[] {
  return c.options.flatMap((o) => {
    const known = o.argChoices ?? (o.long === '--platform' ? [...ENGINES.map((e) => e.name), 'auto'] : undefined);
    return known === undefined || o.hidden ? [] : [`    '${where} ${o.long}') values='${known.join(' ')}' ;;`];
  });
}

/** What stands below a command: its options, or the commands and options below it. */
function optionCases(c: Command): string {
  const below = c.commands.map((x) => `    '${c.name()} ${x.name()}') options='${longOptions(x)}' ;;`);
  return [...below, `    '${c.name()} '*) options='${longOptions(c)}' ;;`].join('\n');
}

function longOptions(c: Command): string {
  return [...c.options.filter((o) => !o.hidden).map((o) => o.long ?? o.short ?? ''), '--help'].join(' ');
}

/** The completion script for bash. */
export function bashCompletion(program: Command): string {
  const commands = program.commands.map((c) => c.name());
  const withId = program.commands
    .filter((c) => c.registeredArguments[0]?.name() === 'id' && !['create', 'run'].includes(c.name()))
    .map((c) => c.name());
  const cases = program.commands.map(optionCases).join('\n');
  const values = [
    ...valueCases(program, ' '),
    ...program.commands.flatMap((c) => [
      ...valueCases(c, `${c.name()} `),
      ...c.commands.flatMap((x) => valueCases(x, `${c.name()} ${x.name()}`)),
    ]),
  ].join('\n');
  const groups = program.commands.filter((c) => c.commands.length > 0);
  const below = groups.map((c) => `    ${c.name()}) below='${c.commands.map((x) => x.name()).join(' ')}' ;;`).join('\n');
  return `# bash completion of ringfence: source this, or put it into /etc/bash_completion.d/ringfence
_ringfence() {
  local word=\${COMP_WORDS[COMP_CWORD]} command='' sub='' below='' options='' values='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    --) return ;;
    -*) ;;
    *)
      if [[ -n $below ]]; then
        case " $below " in *" \${COMP_WORDS[i]} "*) sub=\${COMP_WORDS[i]}; break ;; esac
        continue
      fi
      case ' ${commands.join(' ')} ' in *" \${COMP_WORDS[i]} "*) command=\${COMP_WORDS[i]} ;; *) continue ;; esac
      case $command in
${below}
      *) break ;;
      esac ;;
    esac
  done
  case "$command $sub" in
${cases}
    *) options='${longOptions(program)} --version' ;;
  esac
  case "$command $sub \${COMP_WORDS[COMP_CWORD - 1]}" in
${values}
  esac
  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '${commands.join(' ')}' -- "$word"))
  elif [[ -n $below && -z $sub ]]; then
    COMPREPLY=($(compgen -W "$below" -- "$word"))
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
