import { hostReference, type Key, networkReference } from './keys.ts';

/** virlan.ini as it is installed: every key with its default, commented out. */
export function renderIni(): string {
  const { name, keys } = networkReference();
  return [
    "; virlan's configuration. All of it may stay commented out: then there is one network as shown here.",
    '; "man virlan.ini" explains each key. "virlan plan" shows what a change comes to, "virlan up" does it.',
    '',
    ...section(`network.${name}`, 'names the network', keys),
    '',
    ...section(
      'host.printer',
      'a fixed reservation for something that is no libvirt machine',
      hostReference(),
    ),
    '',
  ].join('\n');
}

function section(header: string, meaning: string, keys: readonly Key[]): string[] {
  const rows = [
    [`[${header}]`, meaning],
    ...keys.map(key => [`${key.name} = ${key.value}`.trim(), comment(key)]),
  ] as const;
  return rows.map(([setting, note]) => `; ${note === '' ? setting : `${setting.padEnd(29)} ; ${note}`}`);
}

function comment({ note, choices }: Key): string {
  const values = choices.map(([value]) => value).join(' | ');
  return [note, values].filter(part => part !== '').join(': ');
}
