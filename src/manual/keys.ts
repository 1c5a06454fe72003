import * as v from 'valibot';
import { formatIp } from '../address/ip.ts';
import { hostKeys, networkKeys } from '../config/keys.ts';
import { parseConfig } from '../config/parse.ts';
import { hostSection, networkSection } from '../config/schema.ts';

/** All that is to be said of a key of virlan.ini. */
export interface Key {
  readonly name: string;
  /** The value of the network that needs no configuration, or of the host in the example. */
  readonly value: string;
  /** What the default is; null where a value is needed. */
  readonly standard: string | null;
  /** What may be written, in words; where `choices` are not all of it. */
  readonly form: string;
  readonly choices: readonly (readonly [value: string, meaning: string])[];
  readonly note: string;
  readonly text: string;
}

/** The name of the network that needs no configuration, and the keys of its section. */
export function networkReference(): { name: string; keys: Key[] } {
  const result = parseConfig('');
  const network = result.ok ? result.config.networks[0] : undefined;
  if (network === undefined) throw new Error('an empty virlan.ini is no longer right');
  const { name, bridge, domain, range } = network;
  const following: Record<string, string> = {
    bridge,
    domain,
    'dhcp-range': `${formatIp(range.first)}-${formatIp(range.last)}`,
  };
  const keys = Object.entries(networkKeys).map(([key, explanation]) => {
    const schema = networkSection.entries[key as keyof typeof networkKeys];
    const value = v.getDefault(schema) ?? following[key];
    if (value === undefined) throw new Error(`${key}: neither has a default nor follows from anything`);
    const nothing = value === '' ? 'nothing' : `\`${value}\``;
    return reference(key, explanation, schema.wrapped, value, explanation.follows ?? nothing);
  });
  return { name, keys };
}

/** The keys of a `[host.NAME]` section. */
export function hostReference(): Key[] {
  const printer = { network: networkReference().name, mac: '52:54:00:00:00:10', ip: '192.168.100.10' };
  return Object.entries(hostKeys).map(([name, explanation]) => {
    const key = name as keyof typeof hostKeys;
    return reference(key, explanation, hostSection.entries[key], printer[key], null);
  });
}

function reference(
  name: string,
  { note, text, ...more }: { note: string; text: string; choices?: Readonly<Record<string, string>> },
  schema: v.GenericSchema,
  value: string,
  standard: string | null,
): Key {
  const form = (v.getDescription(schema) ?? '').replace(/^write /, '');
  return { name, value, standard, form, choices: Object.entries(more.choices ?? {}), note, text };
}
