// Steps for the tunnel of a network to the other hosts of its cluster.
import * as v from 'valibot';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Tunnel } from '../../cluster/tunnel.ts';
import type { RuleDrift } from '../../firewall/drift.ts';
import { described, nullable } from '../../json-form.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds } from './step-kind.ts';
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
    json: ({ link, tunnel }) => ({ link, tunnel: tunnelJson(tunnel) }),
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
    json: ({ link, missing, surplus }) => ({
      link,
      missing: missing.map(peer => formatIp(peer)),
      surplus: surplus.map(peer => formatIp(peer)),
    }),
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
    json: ({ link, bridge, tunnel, drift }) => ({ link, bridge, tunnel: tunnelJson(tunnel), drift }),
  },
  'remove tunnel filter': {
    describe: ({ bridge }) => line('-', 'filter of the tunnel', `of ${bridge}`),
    unit: tunnelUnit,
    goal: () => 'gone',
    check: () => 'tunnel',
    fault: ({ bridge }) => `the filter of a tunnel of ${bridge} is not needed`,
  },
};

export function tunnelForms(): Forms<TunnelFields> {
  const { drift, integer, text } = formParts();
  const tunnel = v.object({
    mac: text,
    mtu: described(integer, 'In bytes.'),
    vni: integer,
    local: described(text, 'The address of this host.'),
    peers: described(v.array(text), 'The addresses of the other hosts; none where FRR names them.'),
    learns: described(
      v.boolean(),
      'Whether the kernel learns from frames where machines are; otherwise FRR does.',
    ),
    as: nullable(integer, 'The AS in which FRR learns it; null where it does not.'),
    filter: described(text, 'The tables of nftables.'),
  });
  return {
    'add tunnel': { link: text, tunnel },
    'set peers': { link: text, missing: v.array(text), surplus: v.array(text) },
    'connect tunnel': { link: text, bridge: text, tunnel, drift },
    'remove tunnel filter': { bridge: text },
  };
}

function tunnelJson({ local, peers, speaker, ...tunnel }: Tunnel): object {
  return {
    ...tunnel,
    local: formatIp(local),
    peers: peers.map(peer => formatIp(peer)),
    as: speaker?.as ?? null,
  };
}

function tunnelUnit(_: unknown, bridge: string): Unit {
  return { kind: 'tunnel', bridge };
}
