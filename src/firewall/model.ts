import type { Prefix } from '../address/ip.ts';
import type { NetworkConfig, PortRange } from '../config/config.ts';

/** What a packet has to be for a rule to speak of it; what is not named does not matter. */
export interface Match {
  /** The link it comes in by, by name and never by index, which another bridge of that name would not have. */
  readonly from?: string;
  readonly to?: string;
  readonly source?: Prefix;
  readonly destination?: Prefix | { readonly not: Prefix };
  readonly protocol?: 'tcp' | 'udp' | 'icmp-echo-request';
  readonly ports?: readonly Omit<PortRange, 'protocol'>[];
  readonly tracked?: readonly ('established' | 'related' | 'invalid' | 'new')[];
}

export type Verdict =
  | 'accept'
  | 'drop'
  | 'return'
  | 'reset'
  | 'port-unreachable'
  /** Masquerade; TCP and UDP from the unprivileged ports. */
  | 'masquerade'
  | 'masquerade-high-ports';

export interface Rule extends Match {
  readonly verdict: Verdict;
}

/** The rules of one network, in order, as neither backend writes them: section 7 of the reference. */
export interface Ruleset {
  readonly bridge: string;
  /** What is forwarded to and from the machines. */
  readonly forward: readonly Rule[];
  /** What comes to the host itself. */
  readonly input: {
    /** Only packets from this link are looked at; null for all (`host-firewall = strict`). */
    readonly only: string | null;
    readonly rules: readonly Rule[];
  };
  readonly postrouting: readonly Rule[];
}

const ssh = { first: 22, last: 22 };
/** DNS and DHCP, both for both protocols, as in the recipe that people follow by hand. */
const dnsAndDhcp = [
  { first: 53, last: 53 },
  { first: 67, last: 67 },
];
const multicast = { network: 0xe0000000, length: 24 } as Prefix;
const broadcast = { network: 0xffffffff, length: 32 } as Prefix;

export function makeRuleset(network: NetworkConfig): Ruleset {
  const { bridge, subnet } = network;
  const outside = { not: subnet };
  return {
    bridge,
    forward: [
      { from: bridge, to: bridge, verdict: 'accept' },
      { to: bridge, destination: subnet, tracked: ['established', 'related'], verdict: 'accept' },
      { from: bridge, source: subnet, verdict: 'accept' },
      { from: bridge, verdict: 'port-unreachable' },
      { to: bridge, verdict: 'port-unreachable' },
    ],
    input: { only: network.hostFirewall === 'strict' ? null : bridge, rules: inputRules(network) },
    postrouting: [
      { source: subnet, destination: multicast, verdict: 'return' },
      { source: subnet, destination: broadcast, verdict: 'return' },
      { source: subnet, destination: outside, protocol: 'tcp', verdict: 'masquerade-high-ports' },
      { source: subnet, destination: outside, protocol: 'udp', verdict: 'masquerade-high-ports' },
      { source: subnet, destination: outside, verdict: 'masquerade' },
    ],
  };
}

function inputRules(network: NetworkConfig): Rule[] {
  const { bridge, hostAccess, hostAllow } = network;
  const allowed = (protocol: 'tcp' | 'udp'): Rule[] => {
    const ports = hostAllow.filter(range => range.protocol === protocol);
    return ports.length === 0 ? [] : [{ from: bridge, protocol, ports, tracked: ['new'], verdict: 'accept' }];
  };
  const fromMachines: Rule[] = [
    { from: bridge, protocol: 'udp', ports: dnsAndDhcp, verdict: 'accept' },
    { from: bridge, protocol: 'tcp', ports: dnsAndDhcp, verdict: 'accept' },
    { from: bridge, protocol: 'icmp-echo-request', tracked: ['new'], verdict: 'accept' },
    ...(hostAccess === 'basic'
      ? [{ from: bridge, protocol: 'tcp', ports: [ssh], tracked: ['new'], verdict: 'accept' } as const]
      : []),
    ...(hostAccess === 'all' ? [{ from: bridge, verdict: 'accept' } as const] : []),
    ...allowed('tcp'),
    ...allowed('udp'),
  ];
  const rejectRest: Rule[] = [
    { tracked: ['invalid'], verdict: 'drop' },
    { protocol: 'tcp', verdict: 'reset' },
    { verdict: 'port-unreachable' },
  ];
  const established: Rule = { tracked: ['established', 'related'], verdict: 'accept' };
  if (network.hostFirewall === 'bridge') return [established, ...fromMachines, ...rejectRest];
  // A machine meets its own rules first, so that host-access = minimal keeps it from the SSH that strict opens to others.
  return [
    established,
    { from: 'lo', verdict: 'accept' },
    ...fromMachines,
    ...rejectRest.map(rule => ({ ...rule, from: bridge })),
    { protocol: 'icmp-echo-request', tracked: ['new'], verdict: 'accept' },
    { protocol: 'tcp', ports: [ssh], tracked: ['new'], verdict: 'accept' },
    ...rejectRest,
  ];
}
