// The common part of the completions for all shells: the source of the words for an option or an operand.
import { type Option, type OptionName, optionNames, options } from '../cli/options.ts';
import type { Command } from '../cli/table.ts';

/** The source of the words that complete an option or an operand. */
export type Lookup = 'files' | 'networks' | 'machines' | 'nothing';

export const generatedBy = 'Written by "npm run generate" from src/cli/table.ts: changes here are lost.';

/** A command that prints the names of the networks in virlan.ini, one on a line. */
export const listNetworks = `sed -n 's/^[[:space:]]*\\[network\\.\\([A-Za-z0-9_-]*\\)\\].*/\\1/p' ${options.config.value.default} 2>/dev/null`;

/** A command that prints the names of the machines, one on a line: without a password prompt, within 2 s. */
export const listMachines =
  'timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null';

const operandLookups: Record<Command['operands']['kind'], Lookup> = {
  network: 'networks',
  machine: 'machines',
  host: 'nothing',
  none: 'nothing',
};

const valueLookups: Record<Option['value']['kind'], Lookup | null> = {
  flag: null,
  file: 'files',
  output: 'files',
  network: 'networks',
  machine: 'machines',
  index: 'nothing',
};

/** Returns the source of the words for a command's operands. */
export function operandLookup({ operands }: Command): Lookup {
  return operandLookups[operands.kind];
}

/** Returns the source of the words for an option's value; null if the option takes no value. */
export function valueLookup(option: OptionName): Lookup | null {
  return valueLookups[options[option].value.kind];
}

/** Returns the options that take a value. */
export function optionsWithValue(): OptionName[] {
  return optionNames.filter(option => valueLookup(option) !== null);
}

/** Returns the long form of an option: `--nic`. */
export function longOption(option: OptionName): string {
  return `--${options[option].flag}`;
}

/** Returns a text as a word in single quotes, for bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
