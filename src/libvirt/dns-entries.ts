// Sorts the entries of `<dns>` of libvirt's networks into those that are served on a bridge, and those that are not,
// with the reason. Pure.
import { formatIp } from '../address/ip.ts';
import { addressesByName } from '../dnsmasq/names.ts';
import { type DnsRecord, parseRecord, type RecordFault, recordName } from '../names/dns-record.ts';
import type { ActiveNetwork } from './active-network.ts';

/** An entry that is not served. The names of the network and of the entry are hostile. */
export interface RefusedEntry {
  readonly network: string;
  readonly kind: 'host' | 'txt' | 'srv';
  readonly name: string;
  /** `taken`: the name has another address. */
  readonly fault: RecordFault | 'taken';
}

/** Returns the records that can be served on a network with this domain. */
export function servedRecords(networks: readonly ActiveNetwork[], domain: string): DnsRecord[] {
  return networks
    .flatMap(({ dnsRecords }) => dnsRecords)
    .flatMap(text => {
      const parsed = parseRecord(text, domain);
      return parsed.ok ? [parsed.record] : [];
    });
}

/** Returns the entries that are not served; `names` is the text of the file of names. */
export function refusedEntries(
  networks: readonly ActiveNetwork[],
  domain: string,
  names: string,
): RefusedEntry[] {
  const hasHosts = networks.some(({ dnsHosts }) => dnsHosts.length > 0);
  const served = hasHosts ? addressesByName(names) : new Map<string, readonly string[]>();
  return networks.flatMap(({ name: network, dnsHosts, dnsRecords }) => [
    ...dnsHosts.flatMap(host => [
      ...host.invalid.map(name => ({ network, kind: 'host', name, fault: 'name' }) as const),
      ...host.names
        .filter(name => served.get(name)?.includes(formatIp(host.ip)) === false)
        .map(name => ({ network, kind: 'host', name, fault: 'taken' }) as const),
    ]),
    ...dnsRecords.flatMap(text => {
      const parsed = parseRecord(text, domain);
      return parsed.ok ? [] : { network, kind: text.kind, name: recordName(text), fault: parsed.fault };
    }),
  ]);
}
