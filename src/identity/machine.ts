import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { isLabel } from '../names/label.ts';

/** The namespace of a machine's own wishes in its `<metadata>`. */
export const machineNamespace = 'urn:virlan:machine:1';

/** A libvirt domain as one network sees it. */
export interface Machine {
  readonly name: string;
  readonly uuid: string;
  /** The MACs of its NICs on this network, in XML order. */
  readonly macs: readonly Mac[];
  readonly wishes: Wishes;
}

/** What `<virlan:machine …/>` asks for. A value that makes no sense counts as not given and is a problem to report. */
export interface Wishes {
  readonly mac: 'keep' | null;
  readonly ip: Ipv4 | null;
  readonly hostname: string | null;
  readonly problems: readonly string[];
}

export const noWishes: Wishes = { mac: null, ip: null, hostname: null, problems: [] };

/** The domain's NICs on a network: those on its bridge, or on a libvirt network that passes through to it. */
export function machineOn(bridge: string, passThrough: ReadonlySet<string>, domain: Domain): Machine {
  const nics = domain.nics.filter(
    nic =>
      nic.bridge === bridge || (nic.bridge === null && nic.network !== null && passThrough.has(nic.network)),
  );
  return {
    name: domain.name,
    uuid: domain.uuid,
    macs: nics.flatMap(nic => nic.mac ?? []),
    wishes: readWishes(domain.metadata.get(machineNamespace)),
  };
}

function readWishes(attributes: ReadonlyMap<string, string> | undefined): Wishes {
  if (attributes === undefined) return noWishes;
  const problems: string[] = [];
  const read = <T>(key: string, parse: (text: string) => T | null, remedy: string): T | null => {
    const text = attributes.get(key);
    const value = text === undefined ? null : parse(text);
    if (text !== undefined && value === null)
      problems.push(`its metadata's ${key} makes no sense: ${remedy}`);
    return value;
  };
  return {
    mac: read('mac', text => (text === 'keep' ? text : null), 'only mac="keep" does'),
    ip: read('ip', parseIpv4, 'write an address'),
    hostname: read(
      'hostname',
      text => (isLabel(text) ? text : null),
      'write a host name of a-z, 0-9 and "-"',
    ),
    problems,
  };
}
