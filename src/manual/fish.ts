import { type Command, commands, commonOptions, optionTable } from '../cli/table.ts';
import {
  generatedBy,
  type Lookup,
  listMachines,
  listNetworks,
  type Option,
  operandLookup,
  optionsWithValue,
  valueLookup,
} from './completion.ts';

/** Completion for fish. */
export function renderFish(): string {
  return [
    `# Completion of virlan for fish. ${generatedBy}`,
    '',
    'function __virlan_networks',
    `    set -l names (${listNetworks})`,
    '    set -q names[1]; or set names k8s-br0',
    "    printf '%s\\n' $names",
    'end',
    '',
    'function __virlan_machines',
    `    ${listMachines}`,
    'end',
    '',
    '# Whether the command on the line is this one; without a name, whether there is none yet.',
    'function __virlan_on',
    '    set -l words (commandline -opc)[2..]',
    '    while set -q words[1]; and string match --quiet -- "-*" $words[1]',
    `        contains -- $words[1] ${optionsWithValue()
      .map(name => `--${name}`)
      .join(' ')}; and set -e words[1]`,
    '        set -e words[1]',
    '    end',
    '    test "$words[1]" = "$argv[1]"',
    'end',
    '',
    'complete -c virlan -f',
    ...commonOptions.map(name => option(name)),
    option('version', '__virlan_on'),
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

function option(name: Option, condition?: string): string {
  const value = valueLookup(name);
  const argument = value === null ? '' : value === 'files' ? ' -r -F' : ` -x -a ${lookup(value)}`;
  const where = condition === undefined ? '' : ` -n '${condition}'`;
  return `complete -c virlan${where} -l ${name}${argument} -d ${quoted(optionTable[name].help[1])}`;
}

function lookup(what: Lookup): string {
  return what === 'nothing' ? "''" : `'(__virlan_${what})'`;
}

/** A word in single quotes, as fish reads it. */
function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
