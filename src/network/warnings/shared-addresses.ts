// Finds addresses that this host has and that are reserved for machines: both answer for them. Pure.
import { type Ipv4, prefixContains } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { Link } from '../kernel/links.ts';

/** An address of the host that is reserved for a machine. The names are hostile. */
export interface SharedAddress {
  readonly address: Ipv4;
  readonly prefixLength: number;
  readonly link: string;
  readonly machine: string;
}

/**
 * Returns the addresses of links that are up and that machines of the network have. `machineOf` returns the name of the
 * machine that an address is reserved for; null for none.
 */
export function findSharedAddresses(
  { subnet, gateway }: Pick<NetworkConfig, 'subnet' | 'gateway'>,
  links: readonly Link[],
  machineOf: (address: Ipv4) => string | null,
): SharedAddress[] {
  return links
    .filter(({ up }) => up)
    .flatMap(({ name: link, addresses }) =>
      addresses.flatMap(({ ip, prefixLength }) => {
        if (typeof ip !== 'number' || ip === gateway || !prefixContains(subnet, ip)) return [];
        const machine = machineOf(ip);
        return machine === null ? [] : [{ address: ip, prefixLength, link, machine }];
      }),
    );
}
