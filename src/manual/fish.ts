// contrib/completions/virlan.fish: completion for fish.
import { type OptionName, options } from '../cli/options.ts';
import { type Command, commands, optionsWithScope } from '../cli/table.ts';
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

/** Returns the script. */
export function renderFish(): string {
  return [
    `# Completion of virlan for fish. ${generatedBy}`,
    '',
    'function __virlan_networks',
    `    set -l names (${listNetworks})`,
    `    set -q names[1]; or set names ${defaultNetworkName}`,
    "    printf '%s\\n' $names",
    'end',
    '',
    'function __virlan_machines',
    `    ${listMachines}`,
    'end',
    '',
    '# Succeeds if the command on the line is $argv[1]; without an argument, if there is no command yet.',
    'function __virlan_on',
    '    set -l words (commandline -opc)[2..]',
    '    while set -q words[1]; and string match --quiet -- "-*" $words[1]',
    `        contains -- $words[1] ${optionsWithValue().map(longOption).join(' ')}; and set -e words[1]`,
    '        set -e words[1]',
    '    end',
    '    test "$words[1]" = "$argv[1]"',
    'end',
    '',
    'complete -c virlan -f',
    ...optionsWithScope('each-command').map(name => option(name, null)),
    ...optionsWithScope('program').map(name => option(name, '__virlan_on')),
    ...commands.map(
      ({ name, summary }) => `complete -c virlan -n __virlan_on -a ${name} -d ${quoted(summary)}`,
    ),
    ...commands.flatMap(describe),
    '',
  ].join('\n');
}

function describe(command: Command): string[] {
  const condition = `__virlan_on ${command.name}`;
  const operands = operandLookup(command);
  return [
    ...command.options.map(name => option(name, condition)),
    ...(operands === 'nothing' ? [] : [`complete -c virlan -n '${condition}' -a ${lookup(operands)}`]),
  ];
}

function option(name: OptionName, condition: string | null): string {
  const value = valueLookup(name);
  const argument = value === null ? '' : value === 'files' ? ' -r -F' : ` -x -a ${lookup(value)}`;
  const where = condition === null ? '' : ` -n '${condition}'`;
  return `complete -c virlan${where} -l ${options[name].flag}${argument} -d ${quoted(options[name].help)}`;
}

function lookup(what: Lookup): string {
  return what === 'nothing' ? "''" : `'(__virlan_${what})'`;
}

/** Returns a text as a word in single quotes, for fish. */
function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
