// contrib/completions/virlan.bash: completion for bash.
import { commands, optionsOf, optionsWithScope } from '../cli/table.ts';
import { defaultNetworkName } from '../config/parse.ts';
import {
  generatedBy,
  type Lookup,
  listMachines,
  listNetworks,
  longOption,
  operandLookup,
  optionsWithValue,
  valueLookup,
} from './completion.ts';

/** Returns the script. It does not need the package bash-completion. */
export function renderBash(): string {
  return [
    '# shellcheck shell=bash',
    `# Completion of virlan for bash. ${generatedBy}`,
    '',
    ...offerFunctions,
    ...completionFunction(),
    'complete -F _virlan virlan',
    '',
  ].join('\n');
}

/** The functions that offer words; `_virlan_LOOKUP` for each kind of lookup. */
const offerFunctions: readonly string[] = [
  '# Reads words from stdin, one on a line, and offers those that begin with the word at the cursor. Names of machines',
  '# are hostile: they are quoted, and nothing in them is expanded.',
  '_virlan_offer() {',
  '  local line word',
  '  while IFS= read -r line; do',
  '    [[ -n $line ]] || continue',
  '    printf -v word %q "$line"',
  '    [[ $word == "$cur"* || $line == "$cur"* ]] && COMPREPLY+=("$word")',
  '  done',
  '}',
  '',
  '_virlan_words() {',
  '  _virlan_offer < <(printf \'%s\\n\' "$@")',
  '}',
  '',
  '_virlan_files() {',
  '  compopt -o filenames 2>/dev/null',
  '  mapfile -t COMPREPLY < <(compgen -f -- "$cur")',
  '}',
  '',
  '_virlan_networks() {',
  '  local names',
  `  names=$(${listNetworks})`,
  `  _virlan_offer <<<"\${names:-${defaultNetworkName}}"`,
  '}',
  '',
  '_virlan_machines() {',
  `  _virlan_offer < <(${listMachines})`,
  '}',
  '',
];

/**
 * Returns the function that bash calls: it finds the command and the place of the cursor, and offers words.
 */
function completionFunction(): string[] {
  const withValue = optionsWithValue().map(longOption);
  const programOptions = [...optionsWithScope('each-command'), ...optionsWithScope('program')].map(
    longOption,
  );
  return [
    '_virlan() {',
    `  local cur=\${COMP_WORDS[COMP_CWORD]} command='' operands=0 index`,
    '  COMPREPLY=()',
    `  case \${COMP_WORDS[COMP_CWORD - 1]} in`,
    ...optionsWithValue().map(
      option => `    ${longOption(option)}) ${offer(valueLookup(option))}; return ;;`,
    ),
    '  esac',
    '  for ((index = 1; index < COMP_CWORD; index++)); do',
    `    case \${COMP_WORDS[index]} in`,
    `      ${withValue.join(' | ')}) ((index++)) ;;`,
    '      -*) ;;',
    `      *) if [[ -z $command ]]; then command=\${COMP_WORDS[index]}; else ((operands++)); fi ;;`,
    '    esac',
    '  done',
    '  case $command:$cur in',
    `    :-*) _virlan_words ${programOptions.join(' ')} ;;`,
    `    :*) _virlan_words ${commands.map(({ name }) => name).join(' ')} ;;`,
    ...commands.flatMap(command => [
      `    ${command.name}:-*) _virlan_words ${optionsOf(command).map(longOption).join(' ')} ;;`,
      ...(operandLookup(command) === 'nothing'
        ? []
        : [
            `    ${command.name}:*) ${
              Number.isFinite(command.operands.max) ? `((operands < ${command.operands.max})) && ` : ''
            }${offer(operandLookup(command))} ;;`,
          ]),
    ]),
    '  esac',
    '}',
    '',
  ];
}

function offer(lookup: Lookup | null): string {
  return lookup === null || lookup === 'nothing' ? ':' : `_virlan_${lookup}`;
}
