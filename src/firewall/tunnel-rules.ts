// The rules for packets that the other hosts of a cluster send to this one. Pure.
import { bgpPort, vxlanPort } from '../address/port.ts';
import type { TunnelConfig } from '../config/config.ts';
import type { Ports, Rule, Verdict } from './rule.ts';

const vxlan: Ports = { first: vxlanPort, last: vxlanPort };
const accept: Verdict = { kind: 'accept' };

/** Returns the rules for packets of the other hosts of a cluster. */
export function tunnelInput([tunnel]: readonly TunnelConfig[]): Rule[] {
  // `[cluster]` says the same for all networks. A filter of its own decides which hosts may send into a tunnel.
  if (tunnel === undefined) return [];
  return [{ protocol: 'udp', ports: [vxlan], verdict: accept }, ...sessionsOf(tunnel)];
}

/** Neighbours open sessions of BGP with the host. */
function sessionsOf({ evpn, peers }: TunnelConfig): Rule[] {
  if (evpn === null) return [];
  return peers.map(network => ({
    source: { kind: 'in', prefix: { network, length: 32 } },
    protocol: 'tcp',
    ports: [{ first: bgpPort, last: bgpPort }],
    tracked: ['new'],
    verdict: accept,
  }));
}
