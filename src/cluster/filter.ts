// The filter of a tunnel: two tables of nftables. One keeps apart what each host has for itself: the gateway,
// which has the same MAC and address everywhere, DHCP and router advertisements. The other lets nobody but the
// other hosts send into the tunnel: the sender of a packet that passes is a member of the network.
import { formatIp, formatPrefix, type Ipv4, type Prefix } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import { bgpPort, vxlanPort } from '../address/port.ts';
import {
  firstFragment6,
  isTaggedTwice,
  isValid4,
  ofRouter4,
  toFirstFragment6,
  toReservedMac,
} from '../firewall/frame-matches.ts';

/** The tables of a bridge. Only tables of these names are ever read or removed. */
export function filterTables(bridge: string): readonly string[] {
  return [`bridge virlan-tunnel-${bridge}`, `ip virlan-tunnel-${bridge}`];
}

/** The network of a tunnel, as its host has it. */
export interface FilteredTunnel {
  readonly bridge: string;
  readonly link: string;
  /** The MAC of the tunnel's link, which is this host's only. */
  readonly mac: Mac;
  readonly vni: number;
  /** The hosts that may send. */
  readonly hosts:
    | { readonly kind: 'addresses'; readonly addresses: readonly Ipv4[] }
    | { readonly kind: 'prefix'; readonly prefix: Prefix };
  /** The host in the network: on each the same. */
  readonly gateway: { readonly mac: Mac; readonly ip: Ipv4 };
}

/** Returns both tables. */
export function renderFilter(tunnel: FilteredTunnel): string {
  const [frames, packets] = filterTables(tunnel.bridge);
  return `${table(frames ?? '', frameChains(tunnel))}${table(packets ?? '', packetChains(tunnel))}`;
}

type Chains = Readonly<Record<string, readonly string[]>>;

/**
 * The host asks by ARP whether somebody has an address. The question crosses the tunnel in the name of the
 * tunnel's own MAC, and from no address (RFC 5227), so that the answer comes back to this host and nobody takes
 * it for the gateway.
 */
function frameChains({ link, mac, gateway }: FilteredTunnel): Chains {
  const ip = formatIp(gateway.ip);
  return {
    arriving: [
      'type filter hook prerouting priority -310; policy accept;',
      `iifname "${link}" goto crossing`,
    ],
    leaving: [
      'type filter hook postrouting priority 310; policy accept;',
      `oifname "${link}" ether saddr ${gateway.mac} arp operation request arp saddr ip ${ip} arp daddr ip != ${ip} ether saddr set ${mac} arp saddr ether set ${mac} arp saddr ip set 0.0.0.0 accept`,
      `oifname "${link}" goto crossing`,
    ],
    crossing: [
      `ether saddr ${gateway.mac} drop`,
      `ether daddr ${gateway.mac} drop`,
      `${toReservedMac} drop`,
      `${isTaggedTwice} drop`,
      // With the protocol, because nft would look for it where a tag is.
      `meta protocol arp arp saddr ip ${ip} drop`,
      `meta protocol arp arp daddr ip ${ip} drop`,
      `meta protocol arp arp saddr ether ${gateway.mac} drop`,
      'meta protocol ip goto crossing4',
      'goto crossing_packets',
    ],
    crossing4: [`${isValid4} goto crossing_packets4`, 'drop'],
    crossing_packets4: [
      // The gateway sends with its own MAC: with another one, a packet is forged in its name, such as a redirect.
      `ip saddr ${ip} drop`,
      `${ofRouter4} drop`,
      'goto crossing_packets',
    ],
    first_fragment6: firstFragment6('drop'),
    crossing_packets: [
      toFirstFragment6,
      'udp dport { 67, 68, 546, 547 } drop',
      // A fragment of DHCP without the port.
      'ip protocol udp ip daddr 255.255.255.255 ip frag-off & 0x1fff != 0 drop',
      'meta protocol ip6 icmpv6 type { nd-router-solicit, nd-router-advert, nd-redirect } drop',
    ],
  };
}

/**
 * A machine's packets to another host get the address of its own host, and so would come from a peer: what is
 * forwarded enters no tunnel and no session of BGP.
 */
function packetChains({ vni, hosts: allowed }: FilteredTunnel): Chains {
  const hosts = allowed.kind === 'prefix' ? formatPrefix(allowed.prefix) : setOf(allowed.addresses);
  // The number is in the second half of the header that follows the one of UDP.
  const ours = `udp dport ${vxlanPort} @th,96,24 ${vni}`;
  return {
    arriving: [
      'type filter hook input priority -310; policy accept;',
      `${ours} ip saddr != ${hosts} drop`,
      `${ours} fib saddr . iif oif missing drop`,
    ],
    passing: [
      'type filter hook forward priority -310; policy accept;',
      `ip daddr ${hosts} udp dport ${vxlanPort} drop`,
      `ip daddr ${hosts} tcp dport ${bgpPort} drop`,
    ],
  };
}

/**
 * Returns a set for nft, which takes no empty one: until a host has joined, it has an address that no other host has.
 */
function setOf(hosts: readonly Ipv4[]): string {
  return `{ ${hosts.length === 0 ? '127.0.0.1' : hosts.map(formatIp).join(', ')} }`;
}

function table(name: string, chains: Chains): string {
  const blocks = Object.entries(chains).map(
    ([chain, lines]) => `\tchain ${chain} {\n${lines.map(line => `\t\t${line}\n`).join('')}\t}\n`,
  );
  return `table ${name} {\n${blocks.join('\n')}}\n`;
}

/** Returns a script that replaces both tables in one transaction. */
export function loadFilterScript(bridge: string, filter: string): string {
  return `${removeFilterScript(bridge)}${filter}`;
}

/** Returns a script that removes both tables, if they exist. */
export function removeFilterScript(bridge: string): string {
  return filterTables(bridge)
    .map(name => `table ${name}\ndelete table ${name}\n`)
    .join('');
}
