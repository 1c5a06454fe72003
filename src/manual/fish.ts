import { type Command, commands, optionTable } from '../cli/commands.ts';
import {
  generatedBy,
  type Lookup,
  listMachines,
  listNetworks,
  type Option,
  operandLookup,
  optionsOf,
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
    `    ${listMachines} | string match --regex '.+'`,
    'end',
    '',
    'complete -c virlan -f',
    ...(['help', 'version'] as const).map(name => option('__fish_use_subcommand', name)),
    ...commands.map(
      ({ name, summary }) => `complete -c virlan -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ),
    ...commands.flatMap(describe),
    '',
  ].join('\n');
}

function describe(command: Command): string[] {
  const condition = quoted(`__fish_seen_subcommand_from ${command.name}`);
  const operands = operandLookup(command);
  return [
    ...optionsOf(command).map(name => option(condition, name)),
    ...(operands === 'nothing' ? [] : [`complete -c virlan -n ${condition} -a ${lookup(operands)}`]),
  ];
}

function option(condition: string, name: Option): string {
  const value = valueLookup(name);
  const argument = value === null ? '' : value === 'files' ? ' -r -F' : ` -x -a ${lookup(value)}`;
  return `complete -c virlan -n ${condition} -l ${name}${argument} -d ${quoted(optionTable[name].help[1])}`;
}

function lookup(what: Lookup): string {
  return what === 'nothing' ? "''" : `'(__virlan_${what})'`;
}

/** A word in single quotes, as fish reads it. */
function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
