import { hostReference, type Key, networkReference } from './keys.ts';

/** docs/virlan.ini.md. */
export function renderPage(): string {
  const { name, keys } = networkReference();
  return [
    '# virlan.ini',
    '',
    '<!-- Written by "npm run generate" from src/config: changes here are lost. -->',
    '',
    `\`/etc/virlan/virlan.ini\` may be left out or empty: then there is one network, \`${name}\`, with the defaults below.`,
    'A line is `key = value` below the `[header]` of its section; what stands behind `;` or `#` is a comment. What is not',
    'known or makes no sense is an error that names file, line and key: `virlan plan` shows it and touches nothing.',
    '',
    '## `[network.NAME]`',
    '',
    'A network of that name: letters, digits, `-` and `_`. Several sections make several networks.',
    '',
    ...keys.flatMap(entry),
    '## `[host.NAME]`',
    '',
    'A fixed reservation for something in the network that is no libvirt machine. All keys are needed.',
    '',
    ...hostReference().flatMap(entry),
    '## More',
    '',
    'Options of dnsmasq go into `/etc/virlan/dnsmasq.d/NETWORK/*.conf`. What a single machine asks for goes into its',
    'definition: see [who gets which address](identity.md#when-it-is-otherwise).',
    '',
  ].join('\n');
}

function entry({ name, text, choices, form, standard }: Key): string[] {
  return [
    `### \`${name}\``,
    '',
    text,
    '',
    ...(choices.length === 0
      ? [`- Value: ${form}`]
      : choices.map(([value, meaning]) => `- \`${value}\`: ${meaning}`)),
    ...(standard === null ? [] : [`- Default: ${standard}`]),
    '',
  ];
}
