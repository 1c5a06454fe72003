// The text for an entry of libvirt's DNS that is not served. Pure.
import { excerpt, shellQuoted } from '../text.ts';
import type { RefusedEntry } from './dns-entries.ts';

/** Longest name in the text, in characters. */
const maxNameLength = 60;

const faultText: Readonly<Record<RefusedEntry['fault'], string>> = {
  name: 'its name is not a host name',
  value: 'its value has a control character',
  length: 'its name and value together are longer than a line of dnsmasq',
  target: 'its target is not a host name',
  number: 'its port, priority or weight is not a number from 0 to 65535',
  taken: 'that is the name of another address',
};

/** Describes an entry in one line, with the remedy. */
export function refusedEntryText({ network, kind, name, fault }: RefusedEntry): string {
  const entry = `dns-${kind} "${excerpt(name, maxNameLength)}" of libvirt's network ${excerpt(network, maxNameLength)}`;
  const remedy = `virsh net-update ${shellQuoted(excerpt(network, maxNameLength))} delete dns-${kind} …`;
  return `${entry} is not served, because ${faultText[fault]}: remove it: ${remedy}`;
}
