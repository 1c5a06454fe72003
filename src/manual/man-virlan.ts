// install/man/virlan.8: the manual page virlan(8).
import { type OptionName, options } from '../cli/options.ts';
import { type Command, commands, optionsWithScope, writtenOption } from '../cli/table.ts';
import { example, heading, item, paragraph, title } from './roff.ts';

/** Returns the page; the date is its day of change, `2026-11-25`. */
export function renderManVirlan(date: string): string {
  return [
    title('virlan', 8, date, 'System administration'),
    heading('Name'),
    'virlan \\- a NAT network for libvirt machines that sets itself up',
    heading('Synopsis'),
    '.B virlan',
    '.I COMMAND',
    '[\\fIOPTIONS\\fR]',
    heading('Description'),
    ...paragraph(
      'virlan gives the machines of a libvirt host a network of their own: a bridge, firewall rules, and a DHCP and DNS server. A hook sets it up when libvirtd starts, and each machine has the same MAC and the same address at every boot. `virsh start` is all you need to type; the commands below show what is there and do what goes beyond that. All of them need root.',
    ),
    heading('Commands'),
    ...commands.flatMap(describe),
    heading('Options'),
    ...[...optionsWithScope('each-command'), ...optionsWithScope('program')].flatMap(option),
    heading('Exit status'),
    ...item('0', ['Done.']),
    ...item('1', paragraph('Failed. A line on standard error says what failed, where, and what to do.')),
    ...item('2', ['The command line is not valid.']),
    ...item('3', paragraph('There are changes to make (`virlan plan` only).')),
    heading('Environment'),
    ...item('`NO_COLOR`', ['Turns off colours.']),
    ...item(
      '`VIRLAN_DEBUG`',
      paragraph(
        'With an error, also prints where in the program it was raised, and the errors that caused it.',
      ),
    ),
    heading('Files'),
    ...Object.entries(files).flatMap(([path, text]) => item(`\`${path}\``, paragraph(text))),
    heading('See also'),
    '.BR virlan.ini (5),',
    '.BR virsh (1),',
    '.BR dnsmasq (8),',
    '.BR nft (8)',
    '',
  ].join('\n');
}

const files = {
  [options.config.value.default]: 'The configuration. It is optional.',
  '/etc/virlan/dnsmasq.d/NETWORK/*.conf': 'Options that you add for dnsmasq.',
  '/var/lib/dnsmasq/BRIDGE/':
    'The files of dnsmasq, and its leases. Lines that you write into `hostsfile` are kept.',
  '/var/lib/virlan/': 'Which machine has which address, and how the host was before virlan.',
  '/run/virlan/socket':
    'Where hooks and commands reach the watcher, by HTTP. `/metrics` has figures for Prometheus.',
  '/var/log/virlan.log': 'What virlan did, one JSON object per line.',
};

function describe({ name, operands, summary, details, options: own, examples }: Command): string[] {
  return [
    `.SS virlan ${name} ${operands.text}`.trimEnd().replace('…', ' ...'),
    ...paragraph(`${sentence(summary)} ${details}`),
    ...own.flatMap(option),
    ...example(examples.flatMap(([line, meaning]) => [line, `    ${meaning}`])),
  ];
}

function option(name: OptionName): string[] {
  return item(`\`${writtenOption(name)}\``, paragraph(sentence(options[name].help)));
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
