// The nftables table that counts a probe's packets at the points of their path.
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import { counterTable } from './names.ts';

/** The number of the probe's packets at each point of their path. */
export interface Counters {
  /** Came in by the bridge, to be forwarded. */
  readonly entered: number;
  /** Left the host with the probe's own address. */
  readonly plain: number;
  /** Left the host with another address. */
  readonly masqueraded: number;
  /** Came in from the next hop, as an answer to the probe or to somebody else. */
  readonly arrived: number;
  /** Came back from outside, past what other programs have before connection tracking. */
  readonly returned: number;
}

/** The packets to count: from a probe to its next hop, and back. */
export interface CountedPackets {
  readonly bridge: string;
  readonly mac: Mac;
  readonly ip: Ipv4;
  readonly nextHop: Ipv4;
}

/**
 * Returns the table for `nft -f -`. It never drops a packet. But for "earliest", its chains come after connection
 * tracking and after the last chain that may drop or translate a packet: what they count has come that far,
 * whatever backend the other rules are in.
 */
export function renderCounters(packets: CountedPackets): string {
  return renderTable(packets, () => []);
}

/**
 * Returns the same table with tracing: the kernel reports each rule that the probe's packets meet to `nft
 * monitor`.
 */
export function renderTracedCounters(packets: CountedPackets): string {
  return renderTable(packets, match => [`${match} meta nftrace set 1`]);
}

function renderTable(
  { bridge, mac, ip, nextHop }: CountedPackets,
  trace: (match: string) => readonly string[],
): string {
  const [own, target] = [formatIp(ip), formatIp(nextHop)];
  const outgoing = `ip daddr ${target}`;
  // An answer's destination is the host or the probe, depending on the hook: match the original addresses.
  const returning = `ct direction reply ct original ip saddr ${own} ct original ip daddr ${target}`;
  // Before connection tracking, whose answer it is cannot be told.
  const arriving = `iifname != "${bridge}" ip saddr ${target} icmp type { echo-reply, destination-unreachable }`;
  const chains = {
    'earliest { type filter hook prerouting priority -400; policy accept;': [
      ...trace(`iifname "${bridge}" ether saddr ${mac}`),
      ...trace(arriving),
      `${arriving} ${counter('arrived')}`,
    ],
    // The host's own answers to the probe.
    'answers { type filter hook output priority -400; policy accept;': trace(
      `oifname "${bridge}" ip daddr { ${own}, 255.255.255.255 }`,
    ),
    'incoming { type filter hook prerouting priority -140; policy accept;': [
      `iifname "${bridge}" ip saddr ${own} ${outgoing} ${counter('entered')}`,
      `iifname != "${bridge}" ${returning} ${counter('returned')}`,
    ],
    // Past every rule that may set a mark: in a trace, their policies show it.
    'routed { type filter hook prerouting priority 400; policy accept;': [],
    'routed_answers { type filter hook output priority 400; policy accept;': [],
    // Past every rule that may drop what the host receives.
    'received { type filter hook input priority 400; policy accept;': [],
    'outgoing { type filter hook postrouting priority 400; policy accept;': [
      `oifname != "${bridge}" ${outgoing} ip saddr ${own} ${counter('plain')}`,
      `oifname != "${bridge}" ${outgoing} ip saddr != ${own} ct original ip saddr ${own} ` +
        counter('masqueraded'),
    ],
  };
  const bodies = Object.entries(chains).map(
    ([head, rules]) => `\tchain ${head}\n${rules.map(rule => `\t\t${rule}\n`).join('')}\t}\n`,
  );
  return `${removeCounters}table ip ${counterTable} {\n${bodies.join('')}}\n`;
}

/** The chains of the table that are the last ones before packets are routed, or routed again. */
export const routedChains: readonly string[] = ['routed', 'routed_answers'];

function counter(name: keyof Counters): string {
  return `counter comment "${name}"`;
}

/** The script that removes the table. It declares the table first, so that a missing one is not an error. */
export const removeCounters = `table ip ${counterTable}\ndelete table ip ${counterTable}\n`;

/** Reads the output of `nft --json list table`; null where that is not a table. */
export function parseCounters(json: string): Counters | null {
  const counters = { entered: 0, plain: 0, masqueraded: 0, arrived: 0, returned: 0 };
  try {
    for (const { rule } of JSON.parse(json).nftables) {
      const counted = rule?.expr?.find((each: { counter?: object }) => each.counter !== undefined)?.counter
        .packets;
      if (rule?.comment in counters) counters[rule.comment as keyof Counters] = Number(counted);
    }
    return counters;
  } catch {
    return null;
  }
}
