import { type Command, commands, commonOptions, optionTable } from './table.ts';
import { style, wrap } from './terminal.ts';

export function programHelp(): string[] {
  return [
    'Usage: virlan COMMAND [OPTIONS]',
    '',
    'A NAT network for the machines of this libvirt host, which sets itself up:',
    'each machine has the same MAC and the same address at every boot.',
    '',
    style('Commands', 'bold'),
    ...columns(commands.map(({ name, operands, summary }) => [`${name} ${operands.text}`.trim(), summary])),
    '',
    style('Options of every command', 'bold'),
    ...columns(commonOptions.map(name => optionTable[name].help)),
    '',
    'Configuration: /etc/virlan/virlan.ini; none is needed.',
    '"virlan COMMAND --help" says more.',
  ];
}

export function commandHelp(command: Command): string[] {
  const { name, operands, summary, details, options, examples } = command;
  return [
    `Usage: virlan ${`${name} ${operands.text}`.trim()} [OPTIONS]`,
    '',
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`,
    ...wrap(details, 0),
    '',
    style('Options', 'bold'),
    ...columns([...options, ...commonOptions].map(option => optionTable[option].help)),
    '',
    style('Examples', 'bold'),
    ...examples.flatMap(([line, meaning]) => [`  ${line}`, ...(meaning === '' ? [] : [`      ${meaning}`])]),
  ];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}
