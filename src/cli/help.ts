// The texts of `virlan --help` and `virlan COMMAND --help`, made from the table of commands.
import { paths } from '../system/paths.ts';
import { wrap } from './layout.ts';
import { type OptionName, options } from './options.ts';
import { type Command, commands, optionsWithScope, writtenOption } from './table.ts';
import { style } from './terminal.ts';

/** Returns the lines of `virlan --help`. */
export function programHelp(): string[] {
  return [
    'Usage: virlan COMMAND [OPTIONS]',
    '',
    'A NAT network for the machines of this libvirt host. It sets itself up, and',
    'each machine has the same MAC and the same address at every boot.',
    '',
    style('Commands', 'bold'),
    ...columns(commands.map(command => [usage(command), command.summary])),
    '',
    style('Options', 'bold'),
    ...optionLines([...optionsWithScope('each-command'), ...optionsWithScope('program')]),
    '',
    `All commands need root. Configuration: ${paths.config} (optional).`,
    'More: "virlan COMMAND --help", man virlan, man virlan.ini.',
  ];
}

/** Returns the lines of `virlan COMMAND --help`. */
export function commandHelp(command: Command): string[] {
  const { summary, details, examples } = command;
  return [
    `Usage: virlan ${usage(command)} [OPTIONS]`,
    '',
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    '',
    ...(details === '' ? [] : [...wrap(details, 0), '']),
    style('Options', 'bold'),
    ...optionLines([...command.options, ...optionsWithScope('each-command')]),
    '',
    style('Examples', 'bold'),
    ...examples.flatMap(([line, meaning]) => [`  ${line}`, `      ${meaning}`]),
  ];
}

function usage({ name, operands }: Command): string {
  return `${name} ${operands.text}`.trim();
}

function optionLines(names: readonly OptionName[]): string[] {
  return columns(
    names.map(name => {
      const indent = options[name].short === null ? '    ' : '';
      return [indent + writtenOption(name), options[name].help];
    }),
  );
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.flatMap(([left, right]) => wrap(`  ${left.padEnd(width)}  ${right}`, width + 4));
}
