// Makes the rules of one network for one address family from its configuration.
import { type Family, type IpAddress, type Prefix, parseIp } from '../address/ip.ts';
import type { NetworkConfig, OtherNetwork } from '../config/config.ts';
import { isLinkName } from '../names/link-name.ts';
import type { Match, Ports, PrefixMatch, Rule, Ruleset, Verdict } from './rule.ts';
import { tunnelInput } from './tunnel-rules.ts';

const accept: Verdict = { kind: 'accept' };
const drop: Verdict = { kind: 'drop' };
const leave: Verdict = { kind: 'return' };
const reset: Verdict = { kind: 'reject', with: 'tcp-reset' };
const clampMss: Verdict = { kind: 'clamp-mss' };
const unreachable: Verdict = { kind: 'reject', with: 'port-unreachable' };

const ssh: Ports = { first: 22, last: 22 };
/** DNS and DHCP are accepted by both protocols, as in the manual recipe that virlan replaces. */
const dns: Ports = { first: 53, last: 53 };
const dhcp: Ports = { first: 67, last: 67 };
const dhcpv6Client: Ports = { first: 546, last: 546 };
const unprivileged: Ports = { first: 1024, last: 65_535 };
const localMulticast: Prefix = { network: sureIp('224.0.0.0'), length: 24 };
const broadcast: Prefix = { network: sureIp('255.255.255.255'), length: 32 };
const loopback: Prefix = { network: sureIp('127.0.0.0'), length: 8 };
const linkLocalIpv6: Prefix = { network: sureIp('fe80::'), length: 10 };

/** The links by which machines reach the outside: any, or these. */
export type WaysOut = 'any' | readonly string[];

/**
 * Returns by which links machines reach the outside. `defaultLinks` are those of the host's default routes. A
 * link whose name cannot stand in rules is left out.
 */
export function waysOut(
  { uplink, outside }: Pick<NetworkConfig, 'uplink' | 'outside'>,
  defaultLinks: readonly string[],
): WaysOut {
  if (uplink !== null) return [uplink];
  return outside === 'all' ? 'any' : defaultLinks.filter(isLinkName);
}

/**
 * Returns the rules of a network, by family; null for a network that has none. `behind` are networks behind machines,
 * for a backend that cannot tell by the host's routes which those are.
 */
export function makeRuleset(
  network: NetworkConfig,
  family: Family,
  ways: WaysOut,
  behind: readonly Prefix[] = [],
): Ruleset | null {
  if (network.mode === 'open') return null;
  return family === 'ipv4' ? makeIpv4Ruleset(network, ways, behind) : makeIpv6Ruleset(network);
}

function makeIpv4Ruleset(network: NetworkConfig, ways: WaysOut, behind: readonly Prefix[]): Ruleset {
  const { bridge, mode } = network;
  return {
    bridge,
    family: 'ipv4',
    forward: mode === 'isolated' ? isolatedForward(network) : forwardRules(network, ways, behind),
    input: { only: network.hostFirewall === 'strict' ? null : bridge, rules: inputRules(network) },
    postrouting: [
      ...(takesForwards(network) ? returnsOfForwards(network) : []),
      ...(mode === 'nat' ? translations(network) : []),
    ],
    // Services that the host binds to 127.0.0.1 are not for machines, also where route_localnet is on.
    early: [{ from: bridge, destination: { kind: 'in', prefix: loopback }, verdict: drop }],
    translations: takesForwards(network)
      ? { arriving: notLoopback, local: network.localhost ? {} : notLoopback }
      : null,
  };
}

function isolatedForward({ bridge, subnet }: NetworkConfig): Rule[] {
  return [
    { from: bridge, to: bridge, verdict: accept },
    { from: bridge, source: { kind: 'not-in', prefix: subnet }, verdict: drop },
    { from: bridge, verdict: unreachable },
    { to: bridge, verdict: unreachable },
  ];
}

/** Returns the rules for forwarded packets with `mode = nat` and `mode = routed`. */
function forwardRules(network: NetworkConfig, ways: WaysOut, behind: readonly Prefix[]): Rule[] {
  const { bridge, subnet, others } = network;
  const between: Match = { from: bridge, to: bridge };
  const inside: PrefixMatch = { kind: 'in', prefix: subnet };
  const outside: PrefixMatch = { kind: 'not-in', prefix: subnet };
  const reached = others.filter(({ isReached }) => isReached);
  const separate = others.filter(({ isReached }) => !isReached);
  const fromMachines: Rule = { from: bridge, source: inside, verdict: accept };
  const replies: Match = { tracked: ['established', 'related'] };
  const toMachines: Rule = { to: bridge, destination: inside, verdict: accept };
  const isRestricted = ways !== 'any';
  return [
    ...behind.map((prefix): Rule => ({ ...between, source: { kind: 'in', prefix }, verdict: accept })),
    // A machine could use the forward of another one with the address of a client that is allowed to (`from`).
    { ...between, source: outside, translated: true, unrouted: true, verdict: drop },
    { ...between, verdict: accept },
    // The kernel translates only packets of connections that it knows: others would leave with the machine's address.
    ...(network.mode === 'nat' ? [{ from: bridge, tracked: ['invalid'], verdict: drop } as const] : []),
    { from: bridge, protocol: 'tcp-syn', verdict: clampMss },
    { to: bridge, protocol: 'tcp-syn', verdict: clampMss },
    { ...toMachines, ...replies },
    { ...toMachines, translated: true },
    ...reached.flatMap(({ bridge: other, subnet: prefix }): Rule[] => [
      { ...fromMachines, to: other, destination: { kind: 'in', prefix } },
      { ...toMachines, from: other, source: { kind: 'in', prefix } },
    ]),
    // Answers, and packets translated on purpose, pass all the same.
    ...(isRestricted || separate.length > 0
      ? [{ ...fromMachines, ...replies }, { ...fromMachines, translated: true } as const]
      : []),
    // Each network says this itself: with iptables, the first of their chains that accepts decides.
    ...separate.flatMap(({ bridge: other }): Rule[] => [
      { ...fromMachines, to: other, verdict: unreachable },
      ...(network.mode === 'routed' ? [{ from: other, to: bridge, verdict: unreachable }] : []),
    ]),
    ...(isRestricted ? ways.map(to => ({ ...fromMachines, to })) : [fromMachines]),
    ...(network.mode === 'routed'
      ? isRestricted
        ? ways.map(from => ({ ...toMachines, from }))
        : [toMachines]
      : []),
    // A rejection would go to the third party whose address a machine uses.
    ...(isRestricted ? [{ from: bridge, source: outside, verdict: drop } as const] : []),
    { from: bridge, verdict: isRestricted ? unreachable : drop },
    { to: bridge, verdict: unreachable },
  ];
}

/** Returns whether ports of the host can lead to machines of a network. */
export function takesForwards({ mode }: Pick<NetworkConfig, 'mode'>): boolean {
  return mode === 'nat' || mode === 'routed';
}

/**
 * Returns the rules by which the answers come back to the host where a forward is reached from its own machine,
 * from its neighbours or from 127.0.0.1.
 */
function returnsOfForwards({ bridge, subnet, localhost }: NetworkConfig): Rule[] {
  const prefixes = localhost ? [subnet, loopback] : [subnet];
  return prefixes.map(prefix => ({
    to: bridge,
    source: { kind: 'in', prefix },
    translated: true,
    verdict: masquerade(null),
  }));
}

/** Returns the rules that translate the addresses of machines to that of the host. */
function translations({ bridge, subnet, others }: NetworkConfig): Rule[] {
  const inside: PrefixMatch = { kind: 'in', prefix: subnet };
  const outside: PrefixMatch = { kind: 'not-in', prefix: subnet };
  // A packet that leaves by the bridge keeps its source: it is for a machine, and may come from another one,
  // by way of a route or through br_netfilter.
  const leaving: Match = { notTo: bridge, source: inside };
  return [
    { ...leaving, destination: { kind: 'in', prefix: localMulticast }, verdict: leave },
    { ...leaving, destination: { kind: 'in', prefix: broadcast }, verdict: leave },
    ...others
      .filter(({ isReached }) => isReached)
      .map(({ bridge: to, subnet: prefix }): Rule => {
        return { to, source: inside, destination: { kind: 'in', prefix }, verdict: leave };
      }),
    { ...leaving, destination: outside, protocol: 'tcp', verdict: masquerade(unprivileged) },
    { ...leaving, destination: outside, protocol: 'udp', verdict: masquerade(unprivileged) },
    { ...leaving, destination: outside, verdict: masquerade(null) },
  ];
}

/**
 * Returns the IPv6 rules of a network: machines reach each other and nothing else, and nothing else reaches
 * them. virlan keeps IPv6 off the bridge, but other programs turn it on again.
 */
function makeIpv6Ruleset({ bridge, hostFirewall }: NetworkConfig): Ruleset {
  const fromMachines: Rule = { from: bridge, verdict: drop };
  const isStrict = hostFirewall === 'strict';
  return {
    bridge,
    family: 'ipv6',
    forward: [
      { from: bridge, to: bridge, verdict: accept },
      fromMachines,
      { to: bridge, verdict: unreachable },
    ],
    input: {
      only: isStrict ? null : bridge,
      rules: isStrict ? [fromMachines, ...strictInput([controlOfIpv6, dhcpv6Replies])] : [fromMachines],
    },
    postrouting: [],
    early: [],
    translations: null,
  };
}

const notLoopback: Match = { destination: { kind: 'not-in', prefix: loopback } };

const controlOfIpv6: Rule = { protocol: 'ipv6-control', verdict: accept };

/** Connection tracking does not see that they answer a request, which is sent to a multicast address. */
const dhcpv6Replies: Rule = {
  source: { kind: 'in', prefix: linkLocalIpv6 },
  protocol: 'udp',
  ports: [dhcpv6Client],
  verdict: accept,
};

/**
 * States of the packets that open a connection. Servers of many clients are often excepted from tracking (`notrack`).
 */
const opening = ['new', 'untracked'] as const;

const newSsh: Rule = { protocol: 'tcp', ports: [ssh], tracked: opening, verdict: accept };

const established: Rule = { tracked: ['established', 'related'], verdict: accept };

const rejectRest: readonly Rule[] = [
  { tracked: ['invalid'], verdict: drop },
  { protocol: 'tcp', verdict: reset },
  { verdict: unreachable },
];

/**
 * Returns the rules of `host-firewall = strict` for packets from any link; `special` come after those for
 * replies and for the host itself.
 */
function strictInput(special: readonly Rule[]): Rule[] {
  return [
    established,
    { from: 'lo', verdict: accept },
    ...special,
    { protocol: 'icmp-echo-request', tracked: opening, verdict: accept },
    newSsh,
    ...rejectRest,
  ];
}

function inputRules(network: NetworkConfig): Rule[] {
  const { bridge, hostAccess, hostAllow } = network;
  const allowed = (protocol: 'tcp' | 'udp'): Rule[] => {
    const ports = hostAllow.filter(range => range.protocol === protocol);
    return ports.length === 0 ? [] : [{ from: bridge, protocol, ports, tracked: opening, verdict: accept }];
  };
  const gateway: PrefixMatch = { kind: 'in', prefix: { network: network.gateway, length: 32 } };
  const services = (port: Ports, match: Match = {}) =>
    (['udp', 'tcp'] as const).map(
      (protocol): Rule => ({ from: bridge, ...match, protocol, ports: [port], verdict: accept }),
    );
  const fromMachines: Rule[] = [
    ...services(dhcp),
    // The answer would go to the third party whose address a machine uses, and so would a rejection.
    { from: bridge, source: { kind: 'not-in', prefix: network.subnet }, verdict: drop },
    { from: bridge, protocol: 'tcp', ports: [dns], surplus: true, verdict: drop },
    ...services(dns, { destination: gateway }),
    { from: bridge, protocol: 'icmp-echo-request', tracked: opening, verdict: accept },
    // Accept packets that the administrator translates to the gateway's address, as REDIRECT does: such a rule is meant
    // for machines. To other addresses of the host, software such as kube-proxy translates for everybody. No forward of
    // virlan's leads to the gateway.
    { from: bridge, destination: gateway, translated: true, verdict: accept },
    ...(hostAccess === 'basic' ? [{ from: bridge, ...newSsh }] : []),
    ...(hostAccess === 'all' ? [{ from: bridge, verdict: accept }] : []),
    ...allowed('tcp'),
    ...allowed('udp'),
  ];
  if (network.hostFirewall === 'bridge') return [established, ...fromMachines, ...rejectRest];
  // Rules for machines come first, so that host-access = minimal denies them the SSH that strict allows to
  // others.
  return strictInput([
    ...fromMachines,
    ...rejectRest.map(rule => ({ ...rule, from: bridge })),
    ...network.others.flatMap(otherMachines),
    ...tunnelInput([network, ...network.others].flatMap(({ tunnel }) => tunnel ?? [])),
  ]);
}

/** For machines of another network, its own rules hold. A network without rules still needs its DHCP and DNS. */
function otherMachines({ bridge, mode }: OtherNetwork): Rule[] {
  if (mode !== 'open') return [{ from: bridge, verdict: leave }];
  return [dhcp, dns].flatMap(port =>
    (['udp', 'tcp'] as const).map(protocol => ({ from: bridge, protocol, ports: [port], verdict: accept })),
  );
}

function masquerade(ports: Ports | null): Verdict {
  return { kind: 'masquerade', ports };
}

function sureIp(text: string): IpAddress {
  const address = parseIp(text);
  if (address === null) throw new Error(`not an address: ${text}`);
  return address;
}
