// Steps for the tunnel of a network to the other hosts of its cluster.
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Tunnel } from '../../cluster/tunnel.ts';
import type { RuleDrift } from '../../firewall/drift.ts';
import type { Kinds } from './step-kind.ts';
import { changeCount, describeDrift, driftFault, line } from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind. */
export interface TunnelFields {
  /** Adds the link to the other hosts, which is in no bridge yet. */
  'add tunnel': { readonly link: string; readonly tunnel: Tunnel };
  /** Changes to which hosts a tunnel sends frames whose receiver is not known. */
  'set peers': {
    readonly link: string;
    readonly missing: readonly Ipv4[];
    readonly surplus: readonly Ipv4[];
  };
  /** Loads the filter of a tunnel, and puts its link into the bridge. */
  'connect tunnel': {
    readonly link: string;
    readonly bridge: string;
    readonly tunnel: Tunnel;
    readonly drift: readonly RuleDrift[];
  };
  'remove tunnel filter': { readonly bridge: string };
}

export const tunnelKinds: Kinds<TunnelFields> = {
  'add tunnel': {
    describe: ({ link, tunnel: { vni, local, mtu } }) =>
      line('+', `tunnel ${link}`, `VNI ${vni} from ${formatIp(local)}, MTU ${mtu}`),
    unit: tunnelUnit,
    goal: () => 'there',
    check: () => 'tunnel',
    fault: ({ link }) => `there is no tunnel ${link}`,
  },
  'set peers': {
    describe: ({ link, missing, surplus }) =>
      line('~', `hosts behind ${link}`, changeCount(missing.length + surplus.length), [
        ...missing.map(peer => `+ ${formatIp(peer)}`),
        ...surplus.map(peer => `- ${formatIp(peer)}`),
      ]),
    unit: tunnelUnit,
    goal: ({ missing, surplus }) => JSON.stringify([missing, surplus]),
    check: () => 'tunnel',
    fault: ({ link, missing: [lacking], surplus: [other] }) =>
      lacking === undefined
        ? `${link} leads to ${other === undefined ? '' : formatIp(other)}, which is not configured`
        : `${link} does not lead to ${formatIp(lacking)}`,
  },
  'connect tunnel': {
    describe: ({ link, bridge, drift }) =>
      line('~', link, `into ${bridge}, behind its filter`, drift.map(describeDrift)),
    unit: tunnelUnit,
    goal: ({ tunnel: { filter } }) => filter,
    check: () => 'tunnel',
    fault: ({ link, bridge, drift: [first] }) =>
      first === undefined
        ? `${link} is not in ${bridge}, or has no filter`
        : `the filter of ${link} was changed: ${driftFault(first)}`,
  },
  'remove tunnel filter': {
    describe: ({ bridge }) => line('-', 'filter of the tunnel', `of ${bridge}`),
    unit: tunnelUnit,
    goal: () => 'gone',
    check: () => 'tunnel',
    fault: ({ bridge }) => `the filter of a tunnel of ${bridge} is not needed`,
  },
};

function tunnelUnit(_: unknown, bridge: string): Unit {
  return { kind: 'tunnel', bridge };
}
