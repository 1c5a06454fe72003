// docs/virlan.ini.md: the reference of virlan.ini.
import { type Key, networkReference, type SectionReference, sectionReferences } from './keys.ts';

/** Returns the page. */
export function renderPage(): string {
  const { name } = networkReference();
  return [
    '# virlan.ini',
    '',
    '<!-- Written by "npm run generate" from src/config: changes here are lost. -->',
    '',
    `\`/etc/virlan/virlan.ini\` is optional. Without it, or if it is empty, there is one network, \`${name}\`, with the`,
    'defaults below. Each line is `key = value`, below the `[header]` of its section. A comment begins with `;` or `#`.',
    'Unknown keys and invalid values are errors with file, line and key; `virlan plan` shows them and changes nothing.',
    '',
    ...sectionReferences().flatMap(section),
    '## More',
    '',
    'Options of dnsmasq go into `/etc/virlan/dnsmasq.d/NETWORK/*.conf`. Settings of a single machine go into its',
    'definition: see [who gets which address](identity.md#when-the-formula-does-not-apply).',
    '',
  ].join('\n');
}

function section({ header, text, keys }: SectionReference): string[] {
  return [`## \`[${header}]\``, '', withLinks(text), '', ...keys.flatMap(entry)];
}

/** Makes links of the names of other pages. */
function withLinks(text: string): string {
  return text.replace(/docs\/([a-z-]+\.md)/g, '[$1]($1)');
}

function entry({ name, text, choices, form, defaultText }: Key): string[] {
  return [
    `### \`${name}\``,
    '',
    withLinks(text),
    '',
    ...(choices.length === 0
      ? [`- Value: ${form}`]
      : choices.map(([value, meaning]) => `- \`${value}\`: ${meaning}`)),
    ...(defaultText === null ? [] : [`- Default: ${defaultText}`]),
    '',
  ];
}
