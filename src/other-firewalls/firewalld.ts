import { digest } from '../names/digest.ts';
import { type ForeignFirewalls, isFirewalld, markOf } from './model.ts';

/** What takes every packet, and is there in every firewalld (zones/trusted.xml). */
export const trusted = 'trusted';

/**
 * The zone of a network's own. Its name goes into the names of chains, which leaves it 17 characters (firewalld.zone(5)),
 * and takes no dot.
 */
export function zoneName(bridge: string): string {
  const plain = markOf(bridge);
  if (plain.length <= 17 && !plain.includes('.')) return plain;
  return `virlan-${digest(bridge).toString('hex').slice(0, 10)}`;
}

/** The zone accepts everything: what machines may do virlan's own rules say, and no accept of others overrules them. */
export function zoneFile(bridge: string): string {
  return `<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>${zoneName(bridge)}</short>
  <description>Written by virlan, whose own rules say what the machines on ${bridge} may do.</description>
  <interface name="${bridge}"/>
</zone>
`;
}

/**
 * What firewalld needs: the file of a zone, which it reads when it starts or reloads, and until then the bridge in a zone
 * that it has already. A reload now would cost others what they told it only for the time being. A bridge that somebody
 * gave to another zone stays there.
 */
export function wantedInFirewalld(bridge: string, { firewalld, chains }: ForeignFirewalls): string[] {
  if (firewalld === null || firewalld.claimedBy !== null) return [];
  const own = zoneName(bridge);
  const { zone } = firewalld;
  if (!chains.some(isFirewalld) || zone === null) return [permanent(own)];
  if (zone === '') return [permanent(own), runtime(own)];
  return isOurs(bridge, firewalld) ? [permanent(own), runtime(zone)] : [];
}

export function foundInFirewalld(bridge: string, { firewalld }: ForeignFirewalls): string[] {
  if (firewalld === null) return [];
  const { zoneFile: file, zone } = firewalld;
  const isChanged = file !== null && file !== zoneFile(bridge);
  return [
    ...(file === null ? [] : [`${permanent(zoneName(bridge))}${isChanged ? ' (changed)' : ''}`]),
    ...(zone !== null && isOurs(bridge, firewalld) ? [runtime(zone)] : []),
  ];
}

/** Reads a line of the above. */
export function parseZoneLine(line: string): { readonly zone: string; readonly lasts: boolean } {
  const [when, , zone = ''] = line.split(' ');
  return { zone, lasts: when === 'permanent' };
}

/** In `trusted` at the time being, and nowhere else for good: virlan did that. */
function isOurs(
  bridge: string,
  { zone, zoneFile: file, claimedBy }: NonNullable<ForeignFirewalls['firewalld']>,
): boolean {
  return zone === zoneName(bridge) || (zone === trusted && file !== null && claimedBy === null);
}

function permanent(zone: string): string {
  return `permanent zone ${zone}`;
}

function runtime(zone: string): string {
  return `runtime zone ${zone}`;
}
