// The options of virlan as data, and the types of their values.
import { paths } from '../system/paths.ts';

/** An option that takes no value. */
interface Flag {
  readonly kind: 'flag';
}

/** An option whose value is the path of a file. */
interface FileValue {
  readonly kind: 'file';
  readonly placeholder: string;
  readonly default: string;
}

/** An option whose value is the name of a network; null if it is not given. */
interface NetworkValue {
  readonly kind: 'network';
  readonly placeholder: string;
}

/** An option whose value is a number that counts from 0. */
interface IndexValue {
  readonly kind: 'index';
  readonly placeholder: string;
  readonly default: number;
}

/** An option whose value is the path of a file to write; null if it is not given. */
interface OutputValue {
  readonly kind: 'output';
  readonly placeholder: string;
}

/** An option whose value is the name of a machine; null if it is not given. */
interface MachineValue {
  readonly kind: 'machine';
  readonly placeholder: string;
}

export interface Option {
  /** Without the dashes. */
  readonly flag: string;
  /** The one-letter form, without the dash. */
  readonly short: string | null;
  readonly value: Flag | FileValue | OutputValue | NetworkValue | MachineValue | IndexValue;
  /** Accepted by each command, only by those that list it, or only by `virlan` without a command. */
  readonly scope: 'each-command' | 'some-commands' | 'program';
  /** A few words for help, completions and, as a sentence, the manual page. */
  readonly help: string;
}

/**
 * The options, by name in `Values`. A new option is a row here, and its name at the commands that take it.
 */
export const options = {
  config: {
    flag: 'config',
    short: null,
    value: { kind: 'file', placeholder: 'FILE', default: paths.config },
    scope: 'each-command',
    help: `configuration file (default: ${paths.config})`,
  },
  json: {
    flag: 'json',
    short: null,
    value: { kind: 'flag' },
    scope: 'each-command',
    help: 'print JSON, for programs',
  },
  network: {
    flag: 'network',
    short: null,
    value: { kind: 'network', placeholder: 'NETWORK' },
    scope: 'some-commands',
    help: 'network (default: the first in virlan.ini)',
  },
  nic: {
    flag: 'nic',
    short: null,
    value: { kind: 'index', placeholder: 'N', default: 0 },
    scope: 'some-commands',
    help: 'NIC of the machine on that network (default: 0, the first)',
  },
  restoreDefault: {
    flag: 'restore-default',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: "also restore libvirt's own networks as they were before",
  },
  remove: {
    flag: 'remove',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'remove these forwards',
  },
  fix: {
    flag: 'fix',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'repair what virlan can repair, then check again',
  },
  follow: {
    flag: 'follow',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'with --json: a line for the checks of each subject as they are made, then the result',
  },
  watch: {
    flag: 'watch',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'follow what changes, until q is pressed; with --json: a line for each change',
  },
  verbose: {
    flag: 'verbose',
    short: 'v',
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'show the checks or reasons behind the result',
  },
  output: {
    flag: 'output',
    short: null,
    value: { kind: 'output', placeholder: 'FILE' },
    scope: 'some-commands',
    help: 'write to this file, which is replaced as a whole',
  },
  list: {
    flag: 'list',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'all machines, which is the default: Ansible calls it so',
  },
  host: {
    flag: 'host',
    short: null,
    value: { kind: 'machine', placeholder: 'NAME' },
    scope: 'some-commands',
    help: 'only the variables of this machine',
  },
  withMachines: {
    flag: 'with-machines',
    short: null,
    value: { kind: 'flag' },
    scope: 'some-commands',
    help: 'also delete the reservations of its machines',
  },
  help: {
    flag: 'help',
    short: 'h',
    value: { kind: 'flag' },
    scope: 'each-command',
    help: 'show this help',
  },
  version: {
    flag: 'version',
    short: 'V',
    value: { kind: 'flag' },
    scope: 'program',
    help: 'show the version of virlan',
  },
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof options;

/** The names of all options, in the order of the table. */
export const optionNames = Object.keys(options) as OptionName[];

/** The type of an option's value, by the kind of the option. */
interface ValueTypes {
  readonly flag: boolean;
  readonly file: string;
  readonly output: string | null;
  readonly network: string | null;
  readonly machine: string | null;
  readonly index: number;
}

/** The value of each option: the one that was given, or its default. */
export type Values = {
  readonly [Name in OptionName]: ValueTypes[(typeof options)[Name]['value']['kind']];
};
