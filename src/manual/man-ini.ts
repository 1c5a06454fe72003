// install/man/virlan.ini.5: the manual page virlan.ini(5).
import {
  clusterReference,
  hostReference,
  type Key,
  machineReference,
  networkReference,
  watcherReference,
} from './keys.ts';
import { example, heading, item, paragraph, title } from './roff.ts';

/** Returns the page; the date is its day of change, `2026-11-25`. */
export function renderManIni(date: string): string {
  const { name, keys } = networkReference();
  return [
    title('virlan.ini', 5, date, 'File formats'),
    heading('Name'),
    'virlan.ini \\- configuration of virlan',
    heading('Synopsis'),
    '.I /etc/virlan/virlan.ini',
    heading('Description'),
    ...paragraph(
      `Without this file, or if it is empty, there is one network, \`${name}\`, with the defaults below. Each line is \`key = value\`, below the \`[header]\` of its section. A comment begins with \`;\` or \`#\`. Unknown keys and invalid values are errors with file, line and key; \`virlan plan\` shows them and changes nothing.`,
    ),
    '.PP',
    ...paragraph(
      'While `virlan watch` runs, a change is applied when the file is saved; otherwise `virlan up` applies it.',
    ),
    heading('Network sections'),
    ...paragraph(
      'Each section `[network.NAME]` defines a network. NAME has letters, digits, `-` and `_`. Its keys:',
    ),
    ...keys.flatMap(entry),
    heading('Host sections'),
    ...paragraph(
      'Each section `[host.NAME]` reserves an address for a device on the network that is not a libvirt machine. All keys are required:',
    ),
    ...hostReference().flatMap(entry),
    heading('Machine sections'),
    ...paragraph(
      'Each section `[machine.NAME]` has settings of the libvirt machine of that name, for tools that cannot write them into its definition:',
    ),
    ...machineReference().flatMap(entry),
    heading('Cluster section'),
    ...paragraph(
      'The section `[cluster]` says over which hosts networks with `vni` extend. `address` and `peers` are required:',
    ),
    ...clusterReference().flatMap(entry),
    heading('Watcher section'),
    ...paragraph('The section `[watcher]` has settings of `virlan watch`, the service:'),
    ...watcherReference().flatMap(entry),
    heading('Examples'),
    ...paragraph('Two networks, and a printer on the first:'),
    ...example([
      `[network.${name}]`,
      'host-allow = tcp/5000',
      '',
      '[network.lab]',
      'subnet = 10.20.0.0/16',
      '',
      '[host.printer]',
      ...hostReference().map(key => `${key.name} = ${key.value}`),
    ]),
    heading('See also'),
    '.BR virlan (8),',
    '.BR dnsmasq (8)',
    '',
  ].join('\n');
}

function entry({ name, text, choices, form, defaultText }: Key): string[] {
  return [
    ...item(`\`${name}\``, paragraph(text)),
    ...(choices.length === 0
      ? ['.IP', ...paragraph(`Value: ${form}.`)]
      : [
          '.RS',
          ...choices.flatMap(([value, meaning]) => item(`\`${value}\``, paragraph(`${meaning}.`))),
          '.RE',
        ]),
    ...(defaultText === null ? [] : ['.IP', ...paragraph(`Default: ${defaultText}.`)]),
  ];
}
