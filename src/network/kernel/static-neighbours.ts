// The static entries of the host's neighbour table: no answer to ARP changes them.
//   [{"dst": "192.168.100.155", "lladdr": "52:54:00:00:00:66", "state": ["PERMANENT"]}, …]
import { type Ipv4, parseIpv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { PromisedAddress } from '../../dnsmasq/leases.ts';
import type { System } from '../../system/system.ts';

export interface StaticNeighbour {
  readonly ip: Ipv4;
  readonly mac: string;
}

/** A static entry with another MAC than that of the machine which owns its address. */
export interface MisleadingNeighbour extends StaticNeighbour {
  readonly bridge: string;
  readonly owner: Mac;
}

interface Entry {
  readonly dst?: string;
  readonly lladdr?: string;
  /** Present, and null, in an entry that a program for routing keeps, such as FRR for machines of other hosts. */
  readonly extern_learn?: null;
}

/** Reads the static entries of a link: those that ip calls permanent, and without ARP. None where it fails. */
export async function readStaticNeighbours(
  { run }: Pick<System, 'run'>,
  link: string,
): Promise<StaticNeighbour[]> {
  const args = ['-json', 'neighbour', 'show', 'dev', link, 'nud', 'permanent', 'nud', 'noarp'];
  return parseStaticNeighbours(await run('ip', args).catch(() => ''));
}

/** Reads what ip lists. */
export function parseStaticNeighbours(output: string): StaticNeighbour[] {
  return (JSON.parse(output || '[]') as Entry[]).flatMap(({ dst = '', lladdr, ...entry }) => {
    const ip = parseIpv4(dst);
    return ip === null || lladdr === undefined || 'extern_learn' in entry ? [] : { ip, mac: lladdr };
  });
}

/** Returns the first entry that leads to another MAC than those that its address is promised to; null for none. */
export function misleadingNeighbour(
  bridge: string,
  entries: readonly StaticNeighbour[],
  promised: readonly PromisedAddress[],
): MisleadingNeighbour | null {
  for (const { ip, mac } of entries) {
    const own = promised.filter(each => each.ip === ip).flatMap(({ macs }) => macs);
    const [owner] = own;
    if (owner !== undefined && !own.some(each => each === mac)) return { bridge, ip, mac, owner };
  }
  return null;
}
