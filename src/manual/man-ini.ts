import { hostReference, type Key, networkReference } from './keys.ts';
import { example, heading, item, paragraph, title } from './roff.ts';

/** virlan.ini(5). */
export function renderManIni(): string {
  const { name, keys } = networkReference();
  return [
    title('virlan.ini', 5, 'File formats'),
    heading('Name'),
    'virlan.ini \\- configuration of virlan',
    heading('Synopsis'),
    '.I /etc/virlan/virlan.ini',
    heading('Description'),
    ...paragraph(
      `Without this file, or with an empty one, there is one network, \`${name}\`, with the defaults below. A line is \`key = value\` below the \`[header]\` of its section; what stands behind \`;\` or \`#\` is a comment. What is not known or makes no sense is an error that names file, line and key: \`virlan plan\` shows it and touches nothing.`,
    ),
    '.PP',
    ...paragraph(
      'While `virlan watch` runs, a change is applied as the file is saved; `virlan up` does it too.',
    ),
    heading('Network sections'),
    ...paragraph(
      'Each section `[network.NAME]` makes a network of that name: letters, digits, `-` and `_`. Its keys:',
    ),
    ...keys.flatMap(entry),
    heading('Host sections'),
    ...paragraph(
      'Each section `[host.NAME]` is a fixed reservation for something in the network that is no libvirt machine. All keys are needed:',
    ),
    ...hostReference().flatMap(entry),
    heading('Examples'),
    ...paragraph('Two networks, one of them for a printer too:'),
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

function entry({ name, text, choices, form, standard }: Key): string[] {
  return [
    ...item(`\`${name}\``, paragraph(text)),
    ...(choices.length === 0
      ? ['.IP', ...paragraph(`Value: ${form}.`)]
      : [
          '.RS',
          ...choices.flatMap(([value, meaning]) => item(`\`${value}\``, paragraph(`${meaning}.`))),
          '.RE',
        ]),
    ...(standard === null ? [] : ['.IP', ...paragraph(`Default: ${standard}.`)]),
  ];
}
