// Parts of a network's subnet that rules and routes are about. Pure.
import {
  broadcastOf,
  formatIp,
  formatPrefix,
  type Ipv4,
  ipv4After,
  isHostOf,
  type Prefix,
  prefixesOverlap,
} from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';

/** Returns what a subnet and a prefix have in common, `null` standing for every address; null for nothing. */
export function commonPart(subnet: Prefix<Ipv4>, prefix: Prefix | null): Prefix<Ipv4> | null {
  if (prefix === null) return subnet;
  if (!prefixesOverlap(subnet, prefix)) return null;
  return prefix.length > subnet.length ? (prefix as Prefix<Ipv4>) : subnet;
}

/**
 * Returns addresses of machines that stand for a part of the subnet: its first and its last one, as something more
 * specific may be about one of them; for all of it the last one of the DHCP range. None in a part without machines.
 */
export function machinesOf(
  part: Prefix<Ipv4>,
  { subnet, gateway, range }: Pick<NetworkConfig, 'subnet' | 'gateway' | 'range'>,
): Ipv4[] {
  if (part.length <= subnet.length) return [range.last];
  const [first, last] = [part.network, broadcastOf(part)];
  const isMachine = (address: Ipv4) =>
    address >= first && address <= last && isHostOf(subnet, address) && address !== gateway;
  // At most the gateway and the first or the last address of the subnet belong to no machine.
  const ends = [first, last].map((end, at) =>
    [0, 1, 2].map(count => ipv4After(end, at === 0 ? count : -count)).find(isMachine),
  );
  return [...new Set(ends.filter(address => address !== undefined))];
}

/** Returns the part as a user writes it; null for all of the subnet. */
export function partText(part: Prefix<Ipv4> | null): string | null {
  if (part === null) return null;
  return part.length === 32 ? formatIp(part.network) : formatPrefix(part);
}
