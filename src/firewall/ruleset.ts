// The rules of one network for one address family, independent of the program that loads them.
import { type Family, type Ipv4, type Prefix, parseIpv4 } from '../address/ip.ts';
import type { NetworkConfig, PortRange } from '../config/config.ts';

/** A condition on an address. */
export type PrefixMatch =
  | { readonly kind: 'in'; readonly prefix: Prefix }
  | { readonly kind: 'not-in'; readonly prefix: Prefix };

export type Ports = Omit<PortRange, 'protocol'>;

/** Conditions on a packet; an absent one matches everything. */
export interface Match {
  /** Incoming link, by name: an index would not match a bridge that was deleted and created again. */
  readonly from?: string;
  readonly to?: string;
  readonly source?: PrefixMatch;
  readonly destination?: PrefixMatch;
  readonly protocol?: 'tcp' | 'udp' | 'icmp-echo-request';
  readonly ports?: readonly Ports[];
  readonly tracked?: readonly ('established' | 'related' | 'invalid' | 'new')[];
}

export type Verdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  | { readonly kind: 'reject'; readonly with: 'tcp-reset' | 'port-unreachable' }
  /** `ports` are the source ports to translate to; null keeps the port where possible. */
  | { readonly kind: 'masquerade'; readonly ports: Ports | null };

export interface Rule extends Match {
  readonly verdict: Verdict;
}

/**
 * Backend-neutral rules of one network and family, in order. See docs/how-it-works.md, "What is on the host".
 */
export interface Ruleset {
  readonly bridge: string;
  readonly family: Family;
  /** Packets forwarded to and from machines. */
  readonly forward: readonly Rule[];
  /** Packets to the host itself. */
  readonly input: {
    /** Judge only packets from this link; null judges all (`host-firewall = strict`). */
    readonly only: string | null;
    readonly rules: readonly Rule[];
  };
  readonly postrouting: readonly Rule[];
}

const accept: Verdict = { kind: 'accept' };
const drop: Verdict = { kind: 'drop' };
const leave: Verdict = { kind: 'return' };
const reset: Verdict = { kind: 'reject', with: 'tcp-reset' };
const unreachable: Verdict = { kind: 'reject', with: 'port-unreachable' };

const ssh: Ports = { first: 22, last: 22 };
/** DNS and DHCP, for both protocols, as in the manual recipe that virlan replaces. */
const dnsAndDhcp: readonly Ports[] = [
  { first: 53, last: 53 },
  { first: 67, last: 67 },
];
const unprivileged: Ports = { first: 1024, last: 65_535 };
const localMulticast: Prefix<Ipv4> = { network: sureIpv4('224.0.0.0'), length: 24 };
const broadcast: Prefix<Ipv4> = { network: sureIpv4('255.255.255.255'), length: 32 };

/** Returns the IPv4 rules of a network. */
export function makeRuleset(network: NetworkConfig): Ruleset {
  const { bridge } = network;
  const inside: PrefixMatch = { kind: 'in', prefix: network.subnet };
  const outside: PrefixMatch = { kind: 'not-in', prefix: network.subnet };
  return {
    bridge,
    family: 'ipv4',
    forward: [
      { from: bridge, to: bridge, verdict: accept },
      { to: bridge, destination: inside, tracked: ['established', 'related'], verdict: accept },
      { from: bridge, source: inside, verdict: accept },
      { from: bridge, verdict: unreachable },
      { to: bridge, verdict: unreachable },
    ],
    input: { only: network.hostFirewall === 'strict' ? null : bridge, rules: inputRules(network) },
    postrouting: [
      { source: inside, destination: { kind: 'in', prefix: localMulticast }, verdict: leave },
      { source: inside, destination: { kind: 'in', prefix: broadcast }, verdict: leave },
      { source: inside, destination: outside, protocol: 'tcp', verdict: masquerade(unprivileged) },
      { source: inside, destination: outside, protocol: 'udp', verdict: masquerade(unprivileged) },
      { source: inside, destination: outside, verdict: masquerade(null) },
    ],
  };
}

function inputRules(network: NetworkConfig): Rule[] {
  const { bridge, hostAccess, hostAllow } = network;
  const allowed = (protocol: 'tcp' | 'udp'): Rule[] => {
    const ports = hostAllow.filter(range => range.protocol === protocol);
    return ports.length === 0 ? [] : [{ from: bridge, protocol, ports, tracked: ['new'], verdict: accept }];
  };
  const sshFromMachines: Rule = {
    from: bridge,
    protocol: 'tcp',
    ports: [ssh],
    tracked: ['new'],
    verdict: accept,
  };
  const fromMachines: Rule[] = [
    { from: bridge, protocol: 'udp', ports: dnsAndDhcp, verdict: accept },
    { from: bridge, protocol: 'tcp', ports: dnsAndDhcp, verdict: accept },
    { from: bridge, protocol: 'icmp-echo-request', tracked: ['new'], verdict: accept },
    ...(hostAccess === 'basic' ? [sshFromMachines] : []),
    ...(hostAccess === 'all' ? [{ from: bridge, verdict: accept }] : []),
    ...allowed('tcp'),
    ...allowed('udp'),
  ];
  const rejectRest: Rule[] = [
    { tracked: ['invalid'], verdict: drop },
    { protocol: 'tcp', verdict: reset },
    { verdict: unreachable },
  ];
  const established: Rule = { tracked: ['established', 'related'], verdict: accept };
  if (network.hostFirewall === 'bridge') return [established, ...fromMachines, ...rejectRest];
  // Rules for machines come first, so that host-access = minimal denies them the SSH that strict allows to
  // others.
  return [
    established,
    { from: 'lo', verdict: accept },
    ...fromMachines,
    ...rejectRest.map(rule => ({ ...rule, from: bridge })),
    { protocol: 'icmp-echo-request', tracked: ['new'], verdict: accept },
    { protocol: 'tcp', ports: [ssh], tracked: ['new'], verdict: accept },
    ...rejectRest,
  ];
}

function masquerade(ports: Ports | null): Verdict {
  return { kind: 'masquerade', ports };
}

function sureIpv4(text: string): Ipv4 {
  const address = parseIpv4(text);
  if (address === null) throw new Error(`not an IPv4 address: ${text}`);
  return address;
}
