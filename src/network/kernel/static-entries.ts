// Reads the static entries of a bridge's table of MACs. libvirt adds one for each NIC of a network with
// macTableManager='libvirt', whose ports learn nothing and are flooded nothing. Pure.
//
//   [{"mac": "52:54:00:00:00:0a", "ifname": "vnet0", "flags": [], "master": "k8s-br0", "state": "static"}, …]
import { type Mac, parseMac } from '../../address/mac.ts';
import type { StaticEntry } from '../state/port-options.ts';

interface FdbEntry {
  readonly mac?: string;
  readonly ifname?: string;
  readonly flags?: readonly string[];
  readonly vlan?: number;
  readonly state?: string;
}

/**
 * Reads `bridge -json fdb show br BRIDGE state static`. An entry without a VLAN stands for those of all VLANs of its
 * port, which the kernel adds with it. Returns the entries by port, in the order of their MACs.
 */
export function parseStaticEntries(output: string): Map<string, StaticEntry[]> {
  const byPort = new Map<string, StaticEntry[]>();
  for (const { mac = '', ifname = '', flags = [], vlan, state } of JSON.parse(output || '[]') as FdbEntry[]) {
    const known = parseMac(mac);
    if (known === null || vlan !== undefined || state !== 'static' || flags.includes('self')) continue;
    byPort.set(ifname, [...(byPort.get(ifname) ?? []), { mac: known, isSticky: flags.includes('sticky') }]);
  }
  for (const entries of byPort.values()) entries.sort((a, b) => (a.mac < b.mac ? -1 : 1));
  return byPort;
}

/** Returns whether `bridge -json fdb show br BRIDGE state permanent` lists a MAC: frames with it are for the host. */
export function isOwnMac(output: string, mac: Mac): boolean {
  return (JSON.parse(output || '[]') as FdbEntry[]).some(
    entry => entry.mac === mac && !entry.flags?.includes('self'),
  );
}

/** The size of an entry of /sys/class/net/BRIDGE/brforward (struct __fdb_entry of linux/if_bridge.h). */
const entryBytes = 16;

/** The offsets of two fields: whether an entry is the port's own, and the time since the last frame from its MAC. */
const ownAt = 7;
const ageAt = 8;

/**
 * Returns whether a bridge may have static entries, by its table in /sys: they have no age. Neither has an entry of
 * which a frame has just come in. Saves the process that lists them.
 */
export function mayHaveStaticEntries(table: Buffer): boolean {
  for (let at = 0; at + entryBytes <= table.length; at += entryBytes)
    if (table[at + ownAt] === 0 && table.readUInt32LE(at + ageAt) === 0) return true;
  return false;
}
