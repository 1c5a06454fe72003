import type { ParseArgsConfig } from 'node:util';
import { doctor } from '../commands/doctor.ts';
import { down } from '../commands/down.ts';
import { adopt, forget, ip, mac } from '../commands/identity.ts';
import { plan } from '../commands/plan.ts';
import { status } from '../commands/status.ts';
import { up } from '../commands/up.ts';
import { watch } from '../commands/watch.ts';

/** A command line that makes no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Values {
  readonly config?: string;
  readonly json: boolean;
  readonly fix: boolean;
  readonly verbose: boolean;
  readonly network?: string;
  readonly nic: number;
  readonly restoreDefault: boolean;
}

/** Those that not every command has. */
export const someOptions = ['network', 'nic', 'restore-default', 'fix', 'verbose'] as const;

type OptionName = (typeof someOptions)[number];

/** One verb: the table of them is what is parsed, what is run and what the help says. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** How the operands are written, and how many there are. Shells complete NETWORK and NAME (of a machine). */
  readonly operands: { readonly text: string; readonly least: number; readonly most: number };
  readonly options: readonly OptionName[];
  readonly details: string;
  readonly examples: readonly (readonly [command: string, meaning: string])[];
  run(values: Values, operands: readonly string[]): Promise<number>;
}

const networks = { text: '[NETWORK…]', least: 0, most: Number.POSITIVE_INFINITY };
const machine = { text: 'NAME', least: 1, most: 1 };
const none = { text: '', least: 0, most: 0 };

export const commands: readonly Command[] = [
  {
    name: 'up',
    summary: 'establish networks; does nothing where all is right',
    operands: networks,
    options: [],
    details: 'Without a name, all networks of virlan.ini. What fails half-way is undone.',
    examples: [
      ['virlan up', 'all networks'],
      ['virlan up k8s-br0', 'this one'],
    ],
    run: (values, names) => up(values, names),
  },
  {
    name: 'down',
    summary: 'take networks down and put back what was there before',
    operands: networks,
    options: ['restore-default'],
    details: 'Reservations and leases are kept, so that the next "up" goes on with them.',
    examples: [
      ['virlan down k8s-br0', 'running machines lose their link until the next "virlan up"'],
      ['virlan down --restore-default', 'and libvirt has its own network again'],
    ],
    run: (values, names) => down(values, names),
  },
  {
    name: 'plan',
    summary: 'show what "up" would change; changes nothing',
    operands: networks,
    options: [],
    details: 'Exit code 0: nothing to do. 3: there are changes.',
    examples: [
      ['virlan plan', 'the difference between virlan.ini and this host'],
      ['virlan plan --config new.ini', 'try a configuration before it is used'],
    ],
    run: (values, names) => plan(values, names),
  },
  {
    name: 'status',
    summary: 'networks, machines, addresses, leases and what is wrong',
    operands: none,
    options: [],
    details: '',
    examples: [
      ['virlan status', 'at a glance'],
      ['virlan status --json', 'for programs; fields are added, never renamed'],
    ],
    run: values => status(values),
  },
  {
    name: 'doctor',
    summary: 'say why a machine has no address or no internet, and mend it',
    operands: { text: '[NAME]', least: 0, most: 1 },
    options: ['fix', 'verbose'],
    details:
      "Sends a probe through each network: a namespace in a machine's stead, gone afterwards. With STP its port takes four seconds to forward. Exit code 0: all is well, 1: something is wrong.",
    examples: [
      ['virlan doctor', 'this host and its networks'],
      ['virlan doctor web', 'and the way of the packets of the machine web'],
      ['virlan doctor web --fix', 'mend what virlan can mend, and look again'],
    ],
    run: (values, [name]) => doctor(values, name ?? null),
  },
  {
    name: 'watch',
    summary: 'follow libvirt in the foreground and keep all right',
    operands: none,
    options: [],
    details: 'Gives machines their MAC as they are defined, and answers the hooks in milliseconds.',
    examples: [['virlan watch', 'until it is interrupted; the network stays']],
    run: values => watch(values),
  },
  {
    name: 'mac',
    summary: 'the MAC that a machine of this name has, or would get',
    operands: machine,
    options: ['network', 'nic'],
    details: '',
    examples: [['virsh attach-interface web bridge k8s-br0 --mac $(virlan mac web --nic 1)', 'a second NIC']],
    run: (values, [name = '']) => mac(values, name),
  },
  {
    name: 'ip',
    summary: 'the address that a machine of this name has, or would get',
    operands: machine,
    options: ['network', 'nic'],
    details: '',
    examples: [['ssh root@$(virlan ip web)', '']],
    run: (values, [name = '']) => ip(values, name),
  },
  {
    name: 'adopt',
    summary: 'give a booted machine its formula MAC at its next start',
    operands: machine,
    options: [],
    details:
      'A machine keeps the MAC it first booted with, because its system may be bound to it; this is your word that it is not.',
    examples: [['virlan adopt old-web', '']],
    run: (values, [name = '']) => adopt(values, name),
  },
  {
    name: 'forget',
    summary: 'drop the reservations of a machine that is not running',
    operands: machine,
    options: [],
    details: 'A machine of that name is a new one the next time it starts.',
    examples: [['virlan forget old-web', '']],
    run: (values, [name = '']) => forget(values, name),
  },
];

/** What every command takes. */
export const commonOptions = ['config', 'json', 'help'] as const;

/** Options by name, as `parseArgs` and the help want them. */
export const optionTable = {
  config: { type: 'string', help: ['--config FILE', 'instead of /etc/virlan/virlan.ini'] },
  json: { type: 'boolean', help: ['--json', 'for programs'] },
  network: { type: 'string', help: ['--network N', 'the network, where virlan.ini has several (the first)'] },
  nic: { type: 'string', help: ['--nic I', "which of the machine's NICs on the network, from 0 (0)"] },
  'restore-default': {
    type: 'boolean',
    help: ['--restore-default', "put libvirt's own networks back as they were before virlan"],
  },
  fix: { type: 'boolean', help: ['--fix', 'mend what virlan can mend, then look again'] },
  verbose: {
    type: 'boolean',
    short: 'v',
    help: ['-v, --verbose', 'show each check, also where all is well'],
  },
  help: { type: 'boolean', short: 'h', help: ['-h, --help', 'this help'] },
  version: { type: 'boolean', short: 'V', help: ['-V, --version', 'the version of virlan'] },
} as const satisfies Record<
  string,
  NonNullable<ParseArgsConfig['options']>[string] & { help: readonly [string, string] }
>;
