// The keys of virlan.ini with their texts for the generated files.
import * as v from 'valibot';
import { formatIp } from '../address/ip.ts';
import { clusterKeys, hostKeys, machineKeys, networkKeys, watcherKeys } from '../config/keys.ts';
import { parseConfig } from '../config/parse.ts';
import {
  clusterSection,
  hostSection,
  machineSection,
  networkSection,
  watcherSection,
} from '../config/schema.ts';

/** A key of virlan.ini, explained. */
export interface Key {
  readonly name: string;
  /** The default, or an example in a host section. */
  readonly value: string;
  /** The default in words; null if the key is required. */
  readonly defaultText: string | null;
  /** The form of the value in words; used if `choices` is empty. */
  readonly form: string;
  readonly choices: readonly (readonly [value: string, meaning: string])[];
  readonly note: string;
  readonly text: string;
}

/** A section of virlan.ini, explained. */
export interface SectionReference {
  /** `network.NAME`, or `cluster`. */
  readonly header: string;
  /** The header with the name that the examples use. */
  readonly example: string;
  readonly note: string;
  readonly text: string;
  readonly keys: readonly Key[];
}

/** Returns the sections of virlan.ini. */
export function sectionReferences(): SectionReference[] {
  const { name, keys } = networkReference();
  return [
    {
      header: 'network.NAME',
      example: `network.${name}`,
      note: 'the name of the network',
      text: 'Defines a network. NAME has letters, digits, `-` and `_`. There may be several such sections.',
      keys,
    },
    {
      header: 'host.NAME',
      example: 'host.printer',
      note: 'a fixed address for a device that is not a libvirt machine',
      text: 'Reserves an address for a device on the network that is not a libvirt machine. All keys are required.',
      keys: hostReference(),
    },
    {
      header: 'machine.NAME',
      example: 'machine.web',
      note: 'a libvirt machine, by its name',
      text: 'Settings of the libvirt machine NAME, for tools that cannot write them into its definition.',
      keys: machineReference(),
    },
    {
      header: 'cluster',
      example: 'cluster',
      note: 'the hosts of networks with vni',
      text: 'Says over which hosts networks with `vni` extend: see docs/cluster.md. `address` and `peers` are required.',
      keys: clusterReference(),
    },
    {
      header: 'watcher',
      example: 'watcher',
      note: 'the watcher',
      text: 'Settings of `virlan watch`, the service.',
      keys: watcherReference(),
    },
  ];
}

/** Returns the name of the network that exists without a configuration, and the keys of its section. */
export function networkReference(): { name: string; keys: Key[] } {
  const result = parseConfig('');
  const network = result.ok ? result.config.networks[0] : undefined;
  if (network === undefined) throw new Error('an empty virlan.ini is no longer valid');
  const { name, bridge, domain, range } = network;
  const derived: Record<string, string> = {
    bridge,
    domain,
    'dhcp-range': `${formatIp(range.first)}-${formatIp(range.last)}`,
  };
  const keys = Object.entries(networkKeys).map(([key, explanation]) => {
    const schema = networkSection.entries[key as keyof typeof networkKeys];
    const value = v.getDefault(schema) ?? derived[key];
    if (value === undefined) throw new Error(`${key} has no default`);
    const nothing = value === '' ? 'nothing' : `\`${value}\``;
    return reference(key, explanation, schema.wrapped, value, explanation.derivedFrom ?? nothing);
  });
  return { name, keys };
}

/** Returns the keys of a `[host.NAME]` section. */
function hostReference(): Key[] {
  const printer = { network: networkReference().name, mac: '52:54:00:00:00:10', ip: '192.168.100.10' };
  return Object.entries(hostKeys).map(([name, explanation]) => {
    const key = name as keyof typeof hostKeys;
    return reference(key, explanation, hostSection.entries[key], printer[key], null);
  });
}

/** Returns the keys of a `[machine.NAME]` section. */
function machineReference(): Key[] {
  const web = {
    boot: 'http://boot.example/web.ipxe',
    aliases: 'api, www, *.apps',
    forward: 'tcp/8443:443, udp/30000-30010',
  };
  return Object.entries(machineKeys).map(([name, explanation]) => {
    const key = name as keyof typeof machineKeys;
    return reference(key, explanation, machineSection.entries[key].wrapped, web[key], 'nothing');
  });
}

/** Returns the keys of the `[cluster]` section. */
function clusterReference(): Key[] {
  const second = {
    address: '10.0.0.2',
    peers: '10.0.0.1, 10.0.0.3',
    as: '65000',
    hosts: '10.0.0.0/24',
    etcd: 'https://10.0.0.11:2379, https://10.0.0.12:2379',
    ca: '/etc/virlan/etcd-ca.pem',
    cert: '/etc/virlan/etcd.pem',
    key: '/etc/virlan/etcd.key',
    username: 'virlan',
    'password-file': '/etc/virlan/etcd.password',
  };
  return Object.entries(clusterKeys).map(([name, explanation]) => {
    const key = name as keyof typeof clusterKeys;
    const entry = clusterSection.entries[key];
    return entry.type === 'optional'
      ? reference(key, explanation, entry.wrapped, second[key], 'nothing')
      : reference(key, explanation, entry, second[key], null);
  });
}

/** Returns the keys of the `[watcher]` section. */
function watcherReference(): Key[] {
  const { metrics } = watcherSection.entries;
  return [reference('metrics', watcherKeys.metrics, metrics.wrapped, '', 'nothing')];
}

function reference(
  name: string,
  { note, text, ...more }: { note: string; text: string; choices?: Readonly<Record<string, string>> },
  schema: v.GenericSchema,
  value: string,
  defaultText: string | null,
): Key {
  const form = v.getDescription(schema) ?? '';
  const choices = Object.entries(more.choices ?? {});
  if (form === '' && choices.length === 0) throw new Error(`${name} has neither a description nor choices`);
  return { name, value, defaultText, form, choices, note, text };
}
