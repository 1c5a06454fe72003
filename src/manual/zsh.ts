// contrib/completions/_virlan: completion for zsh.
import { type OptionName, options } from '../cli/options.ts';
import { type Command, commands, optionsOf, optionsWithScope } from '../cli/table.ts';
import { defaultNetworkName } from '../config/parse.ts';
import {
  generatedBy,
  type Lookup,
  listMachines,
  listNetworks,
  longOption,
  operandLookup,
  quoted,
  valueLookup,
} from './completion.ts';

/** Returns the script. */
export function renderZsh(): string {
  return [
    '#compdef virlan',
    `# Completion of virlan for zsh. ${generatedBy}`,
    '',
    '_virlan_networks() {',
    '  local -a names expl',
    `  names=(\${(f)"$(${listNetworks})"})`,
    `  (( $#names )) || names=(${defaultNetworkName})`,
    '  _wanted networks expl network compadd -a names',
    '}',
    '',
    '_virlan_machines() {',
    '  local -a names expl',
    `  names=(\${(f)"$(${listMachines})"})`,
    '  _wanted machines expl machine compadd -a names',
    '}',
    '',
    '_virlan() {',
    '  local context state state_descr line curcontext=$curcontext',
    '  local -A opt_args',
    '  local -a commands',
    '  commands=(',
    ...commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`),
    '  )',
    `  _arguments -C ${[...optionsWithScope('each-command'), ...optionsWithScope('program')].map(option).join(' ')} '1: :->command' '*:: :->rest'`,
    '  case $state in',
    '    command) _describe command commands ;;',
    '    rest)',
    '      case $words[1] in',
    ...commands.map(command => `        ${command.name}) _arguments ${specifications(command).join(' ')} ;;`),
    '      esac',
    '      ;;',
    '  esac',
    '}',
    '',
    '_virlan "$@"',
    '',
  ].join('\n');
}

const actions: Record<Lookup, string> = {
  files: 'file:_files',
  networks: 'network:_virlan_networks',
  machines: 'machine:_virlan_machines',
  nothing: 'value: ',
};

function specifications(command: Command): string[] {
  const operands = operandLookup(command);
  const place = Number.isFinite(command.operands.max) ? '1' : '*';
  return [
    ...optionsOf(command).map(option),
    ...(operands === 'nothing' ? [] : [quoted(`${place}:${actions[operands]}`)]),
  ];
}

function option(name: OptionName): string {
  const value = valueLookup(name);
  const meaning = options[name].help.replace(/[\\:[\]]/g, '\\$&');
  return quoted(
    `${longOption(name)}${value === null ? '' : '='}[${meaning}]${value === null ? '' : `:${actions[value]}`}`,
  );
}
