// Reads a command line: `virlan ip web --nic 1` is a command, an operand and the value of an option.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf, VirlanError } from '../errors.ts';
import { adviceFor } from '../names/nearest.ts';
import { type Option, type OptionName, optionNames, options, type Values } from './options.ts';
import { type Command, commands, optionsOf } from './table.ts';

export type Request =
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly values: Values;
      readonly operands: readonly string[];
    }
  /** The command is null for the help of virlan itself. */
  | { readonly kind: 'help'; readonly command: Command | null }
  | { readonly kind: 'version' };

/** The value that `parseArgs` returns for one option; undefined if it was not given. */
type Given = string | boolean | undefined;

/** Reads the arguments after the program's name. Throws VirlanError 'usage'. */
export function parseCommandLine(argv: readonly string[]): Request {
  const { given, positionals } = splitArguments(argv);
  const [name, ...operands] = positionals;
  if (given('version') === true) return { kind: 'version' };
  if (name === 'help') return { kind: 'help', command: findCommand(operands[0]) };
  const command = findCommand(name);
  if (command === null && name !== undefined) throw unknownCommand(name);
  if (given('help') === true) return { kind: 'help', command };
  if (command === null) throw new VirlanError('usage', 'a command is missing: see "virlan --help"');

  checkOperands(command, operands);
  const unaccepted = optionNames.find(
    option => given(option) !== undefined && !optionsOf(command).includes(option),
  );
  if (unaccepted !== undefined) {
    const message = `${command.name} has no option --${options[unaccepted].flag}: see "virlan ${command.name} --help"`;
    throw new VirlanError('usage', message);
  }
  const values = Object.fromEntries(
    optionNames.map(option => [option, readValue(options[option], given(option))]),
  );
  // The table gives each option the type that readValue returns for its kind.
  return { kind: 'run', command, operands, values: values as Values };
}

function splitArguments(argv: readonly string[]) {
  const config = Object.fromEntries(
    optionNames.map(name => {
      const { flag, short, value }: Option = options[name];
      const type = value.kind === 'flag' ? 'boolean' : 'string';
      return [flag, { type, ...(short === null ? {} : { short }) }] as const;
    }),
  ) satisfies ParseArgsConfig['options'];
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options: config, allowPositionals: true });
    return { given: (name: OptionName): Given => values[options[name].flag], positionals };
  } catch (error) {
    const unknown = findUnknownOption(argv, config);
    if (unknown !== null) {
      const known = Object.keys(config).map(flag => `--${flag}`);
      const message = `there is no option ${unknown}: ${adviceFor(unknown, known, 'virlan --help')}`;
      throw new VirlanError('usage', message, { cause: error });
    }
    // The first sentence names the problem; Node's advice after it does not fit virlan.
    const [first] = messageOf(error).split('. ');
    throw new VirlanError('usage', `${first}: see "virlan --help"`, { cause: error });
  }
}

/** Returns the first option that virlan does not have, as it is written; null if it has all. */
function findUnknownOption(
  argv: readonly string[],
  known: NonNullable<ParseArgsConfig['options']>,
): string | null {
  const { tokens } = parseArgs({
    args: [...argv],
    options: known,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const unknown = tokens.find(token => token.kind === 'option' && known[token.name] === undefined);
  return unknown?.kind === 'option' ? unknown.rawName : null;
}

function unknownCommand(name: string): VirlanError {
  const names = commands.map(command => command.name);
  return new VirlanError(
    'usage',
    `there is no command ${JSON.stringify(name)}: ${adviceFor(name, names, 'virlan --help')}`,
  );
}

function findCommand(name: string | undefined): Command | null {
  return commands.find(command => command.name === name) ?? null;
}

function checkOperands({ name, operands }: Command, given: readonly string[]): void {
  const needed = operands.kind === 'host' ? 'an address' : 'a name';
  const usage = `usage: virlan ${`${name} ${operands.text}`.trim()}`;
  if (given.length < operands.min) throw new VirlanError('usage', `${name} needs ${needed}; ${usage}`);
  if (given.length > operands.max) {
    const unexpected = JSON.stringify(given[operands.max]);
    throw new VirlanError('usage', `${name}: unexpected argument ${unexpected}; ${usage}`);
  }
}

function readValue({ flag, value }: Option, given: Given): Values[OptionName] {
  switch (value.kind) {
    case 'flag':
      return given === true;
    case 'file':
      return typeof given === 'string' ? given : value.default;
    case 'output':
    case 'network':
    case 'machine':
      return typeof given === 'string' ? given : null;
    case 'index':
      return typeof given === 'string' ? readIndex(flag, given) : value.default;
  }
}

function readIndex(flag: string, text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new VirlanError('usage', `--${flag} ${JSON.stringify(text)} is not a number from 0 to 999`);
}
