// The commands of virlan as data. Parser, help, manual page and completions are made from it and from options.ts.
import { type Option, type OptionName, optionNames, options } from './options.ts';

/** The operands of a command. */
interface Operands {
  /** The form in the usage line. */
  readonly text: string;
  readonly kind: 'network' | 'machine' | 'host' | 'none';
  readonly min: number;
  readonly max: number;
}

interface CommandRow {
  readonly name: string;
  /** A few words without a capital letter and a full stop. */
  readonly summary: string;
  readonly operands: Operands;
  /** The options that it accepts besides those of each command. */
  readonly options: readonly OptionName[];
  /** Sentences; empty if the summary is enough. */
  readonly details: string;
  readonly examples: readonly (readonly [command: string, meaning: string])[];
}

const networks = { text: '[NETWORK…]', kind: 'network', min: 0, max: Number.POSITIVE_INFINITY } as const;
const machine = { text: 'NAME', kind: 'machine', min: 1, max: 1 } as const;
const optionalMachine = { text: '[NAME]', kind: 'machine', min: 0, max: 1 } as const;
const machineAndForwards = {
  text: 'NAME [FORWARD…]',
  kind: 'machine',
  min: 1,
  max: Number.POSITIVE_INFINITY,
} as const;
const host = { text: 'ADDRESS', kind: 'host', min: 1, max: 1 } as const;
const none = { text: '', kind: 'none', min: 0, max: 0 } as const;

const rows = [
  {
    name: 'up',
    summary: 'set up networks; changes nothing that is already right',
    operands: networks,
    options: [],
    details: 'Without a name: all networks in virlan.ini. If a step fails, the steps before it are undone.',
    examples: [
      ['virlan up', 'all networks'],
      ['virlan up k8s-br0', 'only this network'],
    ],
  },
  {
    name: 'down',
    summary: 'take networks down and restore what was there before',
    operands: networks,
    options: ['restoreDefault'],
    details:
      'Without a name: all networks. Reservations and leases are kept for the next "virlan up". Until then running machines have no network.',
    examples: [
      ['virlan down k8s-br0', 'only this network'],
      ['virlan down --restore-default', "all networks; libvirt gets its network 'default' back"],
    ],
  },
  {
    name: 'plan',
    summary: 'show what "virlan up" would change; changes nothing',
    operands: networks,
    options: [],
    details: 'Exit code 0: nothing to change. Exit code 3: there are changes.',
    examples: [
      ['virlan plan', 'compare virlan.ini with this host'],
      ['virlan plan --config new.ini', 'try a configuration before you use it'],
    ],
  },
  {
    name: 'status',
    summary: 'show networks, machines, addresses, leases and problems',
    operands: none,
    options: ['watch'],
    details:
      'With --watch: the same on the whole terminal, drawn again as it changes, with problems at the top. It needs the watcher, and waits for it while it restarts. The keys q, Esc and Ctrl-C end it. With --json it needs no terminal, and ends with the watcher.',
    examples: [
      ['virlan status', 'an overview'],
      ['virlan status --watch', 'see machines start and get their leases'],
      ['virlan status --json', 'for programs; fields may be added but are never renamed'],
    ],
  },
  {
    name: 'doctor',
    summary: 'find out why a machine has no address or no internet',
    operands: optionalMachine,
    options: ['fix', 'follow', 'verbose'],
    details:
      'Checks the host and each network. A probe does what a machine would do: it gets a lease, looks up a name and sends a packet to the outside. On a bridge with STP this takes four seconds longer. Exit code 0: no failure. Exit code 1: something failed.',
    examples: [
      ['virlan doctor', 'check this host and its networks'],
      ['virlan doctor web', 'and the path of the packets of the machine web'],
      ['virlan doctor web --fix', 'repair what virlan can repair, and check again'],
      ['virlan doctor web --json --follow', 'for programs: checks as they are made, the result last'],
    ],
  },
  {
    name: 'inventory',
    summary: 'print the machines as a dynamic inventory of Ansible',
    operands: none,
    options: ['list', 'host'],
    details:
      'Each network, and each state of machines (virlan_running, virlan_shut_off), is a group. The variable ansible_host is the address that is reserved for a machine, whether it runs or not. A machine whose name means something to Ansible is listed under its host name.',
    examples: [
      ['virlan inventory --list', 'all machines'],
      ['virlan inventory --host web', 'the variables of one'],
    ],
  },
  {
    name: 'metrics',
    summary: 'print metrics for Prometheus',
    operands: none,
    options: ['output'],
    details:
      'Prints what the watcher serves with "metrics =" in virlan.ini. Without a watcher it reads the host itself, and counters are 0. With --output it writes a file for the textfile collector of node_exporter; the timer virlan-metrics.timer does that twice a minute.',
    examples: [
      ['virlan metrics', 'all metrics, with their help'],
      ['virlan metrics --output /var/lib/prometheus/node-exporter/virlan.prom', 'for node_exporter'],
    ],
  },
  {
    name: 'watch',
    summary: 'follow libvirt and repair the networks, in the foreground',
    operands: none,
    options: [],
    details:
      'The service virlan.service runs this command. It gives machines their MAC when they are defined, repairs what others break, and answers the hooks within milliseconds.',
    examples: [['virlan watch', 'stop it with Ctrl-C; the networks stay up']],
  },
  {
    name: 'mac',
    summary: 'print the MAC that the machine has or would get',
    operands: machine,
    options: ['network', 'nic', 'verbose'],
    details: '',
    examples: [['virsh attach-interface web bridge k8s-br0 --mac $(virlan mac web --nic 1)', 'a second NIC']],
  },
  {
    name: 'ip',
    summary: 'print the address that the machine has or would get',
    operands: machine,
    options: ['network', 'nic', 'verbose'],
    details: '',
    examples: [
      ['ssh root@$(virlan ip web)', 'log in to a machine by its name'],
      ['virlan ip web --verbose', 'why it has this address'],
    ],
  },
  {
    name: 'forward',
    summary: 'list, add or remove port forwards of a machine',
    operands: machineAndForwards,
    options: ['remove'],
    details:
      "Without a FORWARD: lists those of the machine, and why one is not active. A FORWARD such as tcp/8443:443 leads port 8443 of the host to port 443 of the machine while it runs. It is written into the machine's definition, and applies at once.",
    examples: [
      ['virlan forward web', 'list the forwards of web'],
      ['virlan forward web tcp/8443:443 udp/30000-30010', 'add two'],
      ['virlan forward web "tcp/2222:22 on 192.0.2.5 from 10.0.0.0/8"', 'of one address, for some clients'],
      ['virlan forward web tcp/8443:443 --remove', 'remove one'],
    ],
  },
  {
    name: 'adopt',
    summary: 'give a machine that has booted its formula MAC',
    operands: machine,
    options: [],
    details:
      'A machine keeps the MAC that it first booted with, because its system may depend on it. With this command you say that it does not: the machine gets the MAC of the formula at its next start from power-off.',
    examples: [['virlan adopt old-web', 'it takes effect when old-web is started the next time']],
  },
  {
    name: 'forget',
    summary: 'delete the reservations of a machine that is not running',
    operands: machine,
    options: [],
    details: 'The next time a machine of that name starts, it counts as a new one.',
    examples: [['virlan forget old-web', 'the address of old-web is free again']],
  },
  {
    name: 'expel',
    summary: 'remove a host that died for good from the ledger that hosts share by etcd',
    operands: host,
    options: ['withMachines'],
    details:
      'ADDRESS is the one that the host had in [cluster]. The command refuses while that host is there. Other hosts may give the addresses of its blocks then, and do not count it as one of theirs any more. Its machines keep their MACs, addresses and names for the host that starts them next. With --with-machines they are forgotten.',
    examples: [
      ['virlan expel 10.0.0.3', 'its machines can be started on other hosts'],
      ['virlan expel 10.0.0.3 --with-machines', 'their addresses are free, too'],
    ],
  },
] as const satisfies readonly CommandRow[];

export type CommandName = (typeof rows)[number]['name'];

export interface Command extends CommandRow {
  readonly name: CommandName;
}

export const commands: readonly Command[] = rows;

/** Returns the names of the options with this scope, in the order of the table. */
export function optionsWithScope(scope: Option['scope']): OptionName[] {
  return optionNames.filter(name => options[name].scope === scope);
}

/** Returns the names of all options that a command accepts: its own first. */
export function optionsOf(command: Command): OptionName[] {
  return [...command.options, ...optionsWithScope('each-command')];
}

/** Returns the written form of an option: `-v, --verbose`, `--network NETWORK`. */
export function writtenOption(name: OptionName): string {
  const { flag, short, value }: Option = options[name];
  const letter = short === null ? '' : `-${short}, `;
  return `${letter}--${flag}${value.kind === 'flag' ? '' : ` ${value.placeholder}`}`;
}
