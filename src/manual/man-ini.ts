// install/man/virlan.ini.5: the manual page virlan.ini(5).
import { type Key, networkReference, type SectionReference, sectionReferences } from './keys.ts';
import { example, heading, item, paragraph, title } from './roff.ts';

/** Returns the page; the date is its day of change, `2026-11-25`. */
export function renderManIni(date: string): string {
  const { name } = networkReference();
  const sections = sectionReferences();
  const printer = sections.find(({ header }) => header === 'host.NAME');
  if (printer === undefined) throw new Error('no section host.NAME');
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
    ...sections.flatMap(section),
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
      ...printer.keys.map(key => `${key.name} = ${key.value}`),
    ]),
    heading('See also'),
    '.BR virlan (8),',
    '.BR dnsmasq (8)',
    '',
  ].join('\n');
}

function section({ header, text, keys }: SectionReference): string[] {
  const [kind = '', name] = header.split('.');
  const titleText = `${kind} section${name === undefined ? '' : 's'}`;
  return [heading(titleText), ...paragraph(`\`[${header}]\`: ${text}`), ...keys.flatMap(entry)];
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
