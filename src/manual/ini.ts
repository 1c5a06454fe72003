// install/virlan.ini: every key with its default, commented out.
//   ; mtu = 1500                    ; in bytes
import { type Key, type SectionReference, sectionReferences } from './keys.ts';

/** Returns the file. */
export function renderIni(): string {
  return [
    '; Configuration of virlan. All lines may stay commented out: then there is one network, as shown here.',
    '; "man virlan.ini" explains each key. "virlan plan" shows what a change would do, "virlan up" applies it.',
    '',
    ...sectionReferences().flatMap(each => [...section(each), '']),
  ].join('\n');
}

function section({ example, note: meaning, keys }: SectionReference): string[] {
  const rows = [
    [`[${example}]`, meaning],
    ...keys.map(key => [`${key.name} = ${key.value}`.trim(), comment(key)]),
  ] as const;
  return rows.map(([setting, note]) => `; ${note === '' ? setting : `${setting.padEnd(29)} ; ${note}`}`);
}

function comment({ note, choices }: Key): string {
  const values = choices.map(([value]) => value).join(' | ');
  return [note, values].filter(part => part !== '').join(': ');
}
