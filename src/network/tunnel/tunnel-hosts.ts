// The other hosts of a network. Pure.
import type { Ipv4 } from '../../address/ip.ts';
import type { TunnelConfig } from '../../config/config.ts';

/** Returns the hosts that virlan.ini names; where it names route reflectors, those that FRR has told the kernel. */
export function otherHosts(
  { peers, evpn }: TunnelConfig,
  found: { readonly peers: readonly Ipv4[] } | null,
): readonly Ipv4[] {
  return evpn === null || evpn.hosts === null ? peers : (found?.peers ?? []);
}
