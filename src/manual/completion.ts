import { type Command, commonOptions, optionTable } from '../cli/table.ts';

/** What the completions of all shells know. */

export type Option = keyof typeof optionTable;

/** What stands for a word that is to be completed by looking something up. */
export type Lookup = 'files' | 'networks' | 'machines' | 'nothing';

export const generatedBy = 'Written by "npm run generate" from src/cli/commands.ts: changes here are lost.';

/** Prints the names of the networks, one on a line. */
export const listNetworks =
  "sed -n 's/^[[:space:]]*\\[network\\.\\([A-Za-z0-9_-]*\\)\\].*/\\1/p' /etc/virlan/virlan.ini 2>/dev/null";

/** Prints the names of the machines, one on a line. It asks nobody for a password, and waits no longer than a person does. */
export const listMachines =
  'timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null';

export function optionsOf(command: Command): Option[] {
  return [...command.options, ...commonOptions];
}

export function operandLookup({ operands }: Command): Lookup {
  if (operands.text.includes('NETWORK')) return 'networks';
  return operands.text.includes('NAME') ? 'machines' : 'nothing';
}

/** What follows an option; null where nothing does. */
export function valueLookup(option: Option): Lookup | null {
  if (optionTable[option].type === 'boolean') return null;
  if (option === 'config') return 'files';
  return option === 'network' ? 'networks' : 'nothing';
}

export function optionsWithValue(): Option[] {
  return (Object.keys(optionTable) as Option[]).filter(option => valueLookup(option) !== null);
}

/** A word in single quotes, as bash and zsh read it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
