import { parseArgs } from 'node:util';
import { type Command, commands, optionTable, someOptions, UsageError, type Values } from './table.ts';

/** What a command line asks for. */
export type Request =
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly values: Values;
      readonly operands: readonly string[];
    }
  | { readonly kind: 'help'; readonly command: Command | null }
  | { readonly kind: 'version' };

/** Reads a command line, without the program's own name. Throws UsageError. */
export function parseCommandLine(argv: readonly string[]): Request {
  const { values, positionals } = parse(argv);
  const [name, ...operands] = positionals;
  const command = commands.find(each => each.name === name) ?? null;
  if (values.version) return { kind: 'version' };
  if (name === 'help')
    return { kind: 'help', command: commands.find(each => each.name === operands[0]) ?? null };
  if (command === null && name !== undefined)
    throw new UsageError(`there is no command ${name}: see "virlan --help"`);
  if (values.help || command === null) {
    if (!values.help) throw new UsageError('which command? See "virlan --help"');
    return { kind: 'help', command };
  }
  const { least, most, text } = command.operands;
  const usage = `write: virlan ${`${command.name} ${text}`.trim()}`;
  if (operands.length < least) throw new UsageError(`${command.name} needs a name; ${usage}`);
  if (operands.length > most)
    throw new UsageError(`${command.name} takes no ${JSON.stringify(operands[most])}; ${usage}`);
  for (const option of someOptions) {
    if (values[option] !== undefined && !command.options.includes(option)) {
      throw new UsageError(`${command.name} has no option --${option}: see "virlan ${command.name} --help"`);
    }
  }
  const nic = values.nic ?? '0';
  if (!/^\d{1,3}$/.test(nic)) throw new UsageError(`--nic ${nic} is no number: NICs count from 0`);
  const { config, network, json = false, fix = false, verbose = false } = values;
  const given = {
    ...(config === undefined ? {} : { config }),
    ...(network === undefined ? {} : { network }),
  };
  return {
    kind: 'run',
    command,
    operands,
    values: {
      ...given,
      json,
      nic: Number(nic),
      fix,
      verbose,
      restoreDefault: values['restore-default'] ?? false,
    },
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: optionTable, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}: see "virlan --help"`);
  }
}
