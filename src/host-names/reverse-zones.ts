// The zones of reverse DNS that a subnet's addresses are in: `100.168.192.in-addr.arpa`.
import { formatIp, ipv4After } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';

/** The bits of an address that are one label of a reverse name. */
const labelBits = 8;

/**
 * Returns the zones that hold the addresses of a subnet and no other address: several for a prefix that does not
 * end at an octet.
 */
export function reverseZones({ subnet: { network, length } }: Pick<NetworkConfig, 'subnet'>): string[] {
  const labels = Math.ceil(length / labelBits);
  const zones = 2 ** (labels * labelBits - length);
  return Array.from({ length: zones }, (_, number) => {
    const first = ipv4After(network, number * 2 ** (32 - labels * labelBits));
    return `${formatIp(first).split('.').slice(0, labels).reverse().join('.')}.in-addr.arpa`;
  });
}
