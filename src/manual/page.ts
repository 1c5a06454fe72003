// docs/virlan.ini.md: the reference of virlan.ini.
import {
  clusterReference,
  hostReference,
  type Key,
  machineReference,
  networkReference,
  watcherReference,
} from './keys.ts';

/** Returns the page. */
export function renderPage(): string {
  const { name, keys } = networkReference();
  return [
    '# virlan.ini',
    '',
    '<!-- Written by "npm run generate" from src/config: changes here are lost. -->',
    '',
    `\`/etc/virlan/virlan.ini\` is optional. Without it, or if it is empty, there is one network, \`${name}\`, with the`,
    'defaults below. Each line is `key = value`, below the `[header]` of its section. A comment begins with `;` or `#`.',
    'Unknown keys and invalid values are errors with file, line and key; `virlan plan` shows them and changes nothing.',
    '',
    '## `[network.NAME]`',
    '',
    'Defines a network. NAME has letters, digits, `-` and `_`. There may be several such sections.',
    '',
    ...keys.flatMap(entry),
    '## `[host.NAME]`',
    '',
    'Reserves an address for a device on the network that is not a libvirt machine. All keys are required.',
    '',
    ...hostReference().flatMap(entry),
    '## `[machine.NAME]`',
    '',
    'Settings of the libvirt machine NAME, for tools that cannot write them into its definition.',
    '',
    ...machineReference().flatMap(entry),
    '## `[cluster]`',
    '',
    'The hosts over which networks with `vni` extend: see [several hosts](cluster.md). `address` and `peers` are required.',
    '',
    ...clusterReference().flatMap(entry),
    '## `[watcher]`',
    '',
    'Settings of `virlan watch`, the service.',
    '',
    ...watcherReference().flatMap(entry),
    '## More',
    '',
    'Options of dnsmasq go into `/etc/virlan/dnsmasq.d/NETWORK/*.conf`. Settings of a single machine go into its',
    'definition: see [who gets which address](identity.md#when-the-formula-does-not-apply).',
    '',
  ].join('\n');
}

function entry({ name, text, choices, form, defaultText }: Key): string[] {
  return [
    `### \`${name}\``,
    '',
    text,
    '',
    ...(choices.length === 0
      ? [`- Value: ${form}`]
      : choices.map(([value, meaning]) => `- \`${value}\`: ${meaning}`)),
    ...(defaultText === null ? [] : [`- Default: ${defaultText}`]),
    '',
  ];
}
