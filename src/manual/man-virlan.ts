import { type Command, commands, optionTable } from '../cli/table.ts';
import { example, heading, item, paragraph, title } from './roff.ts';

type Option = keyof typeof optionTable;

/** virlan(8). */
export function renderManVirlan(): string {
  return [
    title('virlan', 8, 'System administration'),
    heading('Name'),
    'virlan \\- a NAT network for libvirt machines that sets itself up',
    heading('Synopsis'),
    '.B virlan',
    '.I COMMAND',
    '[\\fIOPTIONS\\fR]',
    heading('Description'),
    ...paragraph(
      'virlan gives the machines of a libvirt host a network of their own: a bridge, firewall rules and a DHCP and DNS server. It is established when libvirtd starts, by a hook of libvirt, and each machine has the same MAC and the same address at every boot. `virsh start` is all there is to type; the commands below are for looking, and for what goes beyond.',
    ),
    heading('Commands'),
    ...commands.flatMap(describe),
    heading('Options'),
    ...(['config', 'json', 'help', 'version'] as const).flatMap(option),
    heading('Exit status'),
    ...item('0', ['Done.']),
    ...item('1', paragraph('Failed: a line on standard error says what, where, and what to do.')),
    ...item('2', ['The command line makes no sense.']),
    ...item('3', paragraph('There are changes to make: of `virlan plan` only.')),
    heading('Environment'),
    ...item('`NO_COLOR`', ['No colour on a terminal.']),
    ...item('`VIRLAN_DEBUG`', ['An error shows where in the program it came from.']),
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
  '/etc/virlan/virlan.ini': 'The configuration. None is needed.',
  '/etc/virlan/dnsmasq.d/NETWORK/*.conf': "Options of dnsmasq of the user's own.",
  '/var/lib/dnsmasq/BRIDGE/': 'What dnsmasq reads, and its leases. A line written into `hostsfile` is kept.',
  '/var/lib/virlan/': 'Who was given which address, and what the host was like before.',
  '/run/virlan/socket':
    'Where the hooks and the commands ask the watcher; HTTP, with figures for Prometheus at `/metrics`.',
  '/var/log/virlan.log': 'What virlan did, one JSON object a line.',
};

function describe({ name, operands, summary, details, options, examples }: Command): string[] {
  return [
    `.SS virlan ${name} ${operands.text}`.trimEnd().replace('…', ' ...'),
    ...paragraph(`${sentence(summary)} ${details}`),
    ...options.flatMap(option),
    ...example(examples.flatMap(([line, meaning]) => (meaning === '' ? [line] : [line, `    ${meaning}`]))),
  ];
}

function option(name: Option): string[] {
  const [written, meaning] = optionTable[name].help;
  return item(`\`${written}\``, paragraph(sentence(meaning)));
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
