// The packets of a probe at each hook on their way: what rules of other programs see of them. Pure.
import { type Ipv4, parseIpv4 } from '../../address/ip.ts';
import { type Packet as FilteredPacket, unknownPacket } from '../../other-firewalls/packet.ts';
import type { Packet, ProbePacket } from '../packet-drop.ts';

export const packetKinds = [
  'dhcp',
  'dns',
  'outgoing',
  'returning',
] as const satisfies readonly ProbePacket['kind'][];

/** The links and addresses of a probe's packets. */
export interface ProbedPath {
  readonly bridge: string;
  readonly ip: Ipv4;
  readonly gateway: Ipv4;
  /** The link to the outside, and the next hop there; null where there is none. */
  readonly outside: string | null;
  readonly nextHop: Ipv4 | null;
}

/** A hook of the kernel, named as the chain of iptables there. */
type Hook = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

/** A packet at a hook on its way. */
export interface HookPassage {
  readonly hook: Hook;
  readonly packet: FilteredPacket;
}

/** For each kind, the packets of which one has to arrive, and the chains on the way of each. */
export const waysOf: Readonly<
  Record<Packet['kind'], (path: ProbedPath) => readonly (readonly HookPassage[])[]>
> = {
  dhcp: ({ bridge, gateway }) => [
    [
      ...at(['PREROUTING', 'INPUT'], {
        ...udp,
        in: bridge,
        source: parseIpv4('0.0.0.0'),
        sourcePort: 68,
        destination: parseIpv4('255.255.255.255'),
        destinationPort: 67,
      }),
      ...at(['OUTPUT', 'POSTROUTING'], {
        ...udp,
        out: bridge,
        source: gateway,
        sourcePort: 67,
        destinationPort: 68,
      }),
    ],
  ],
  dns: ({ bridge, ip, gateway }) => [
    [
      ...at(['PREROUTING', 'INPUT'], {
        ...udp,
        in: bridge,
        source: ip,
        destination: gateway,
        destinationPort: 53,
      }),
      ...at(['OUTPUT', 'POSTROUTING'], {
        ...udp,
        ...answer,
        out: bridge,
        source: gateway,
        sourcePort: 53,
        destination: ip,
      }),
    ],
  ],
  // A ping and a datagram to a closed port: see reachability.ts.
  outgoing: ({ bridge, outside, ip, nextHop }) =>
    [icmp, udp].map(kind => {
      const packet = { ...kind, source: ip, destination: nextHop };
      return [
        ...at(['PREROUTING'], { ...packet, in: bridge }),
        ...at(['FORWARD'], { ...packet, in: bridge, out: outside }),
        ...at(['POSTROUTING'], { ...packet, out: outside }),
      ];
    }),
  returning: ({ bridge, outside, ip, nextHop }) =>
    (['established', 'related'] as const).map(state => {
      const packet = { ...icmp, ...answer, state, source: nextHop };
      return [
        // Before its translation, the destination may be the host.
        ...at(['PREROUTING'], { ...packet, in: outside }),
        ...at(['FORWARD'], { ...packet, in: outside, out: bridge, destination: ip }),
        ...at(['POSTROUTING'], { ...packet, out: bridge, destination: ip }),
      ];
    }),
  connecting: ({ bridge, outside, ip }) => {
    const packet: FilteredPacket = { ...icmp, protocol: 'tcp', flags: ['syn'], source: ip };
    return [
      [
        ...at(['PREROUTING'], { ...packet, in: bridge }),
        ...at(['FORWARD'], { ...packet, in: bridge, out: outside }),
        ...at(['POSTROUTING'], { ...packet, out: outside }),
      ],
    ];
  },
  connected: ({ bridge, outside, ip }) => {
    const packet: FilteredPacket = { ...icmp, ...answer, protocol: 'tcp', flags: ['syn', 'ack'] };
    return [
      [
        ...at(['PREROUTING'], { ...packet, in: outside }),
        ...at(['FORWARD'], { ...packet, in: outside, out: bridge, destination: ip }),
        ...at(['POSTROUTING'], { ...packet, out: bridge, destination: ip }),
      ],
    ];
  },
};

const icmp = unknownPacket;

const udp: FilteredPacket = { ...icmp, protocol: 'udp' };

const answer = { state: 'established', direction: 'reply' } as const;

function at(hooks: readonly Hook[], packet: FilteredPacket): HookPassage[] {
  return hooks.map(hook => ({ hook, packet }));
}

/** By the kind of packet: the reason why it is lost; null or no entry for a kind that is not. */
export type Losses<Reason> = Readonly<Partial<Record<Packet['kind'], Reason | null>>>;

/**
 * Returns the first loss on the way of each kind of packet. One packet that arrives is enough: a kind is lost only if
 * each of its packets is.
 */
export function lossesOn<Reason>(
  path: ProbedPath,
  lossAt: (passage: HookPassage) => Reason | null,
): Losses<Reason> {
  const found = packetKinds.map(kind => {
    const ways = waysOf[kind](path).map(way => way.flatMap(passage => lossAt(passage) ?? [])[0] ?? null);
    return [kind, ways.includes(null) ? null : ways[0]];
  });
  return Object.fromEntries(found);
}
