import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';

/** No bridge's table has that name: theirs begin with `virlan-`. */
export const counterTable = 'virlan_probe';

/** How many of the probe's packets came how far. */
export interface Counters {
  /** Came in by the bridge, to be forwarded. */
  readonly entered: number;
  /** Left the host under the probe's own address. */
  readonly plain: number;
  /** Left the host under another address. */
  readonly masqueraded: number;
  /** Came back from outside. */
  readonly returned: number;
}

/** What dropped a packet. The names are those of whoever wrote the rule: hostile. */
export interface Drop {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** The rule; null where the chain's policy was it. */
  readonly rule: string | null;
}

/**
 * A table that only counts, for `nft -f -`. Its chains stand behind connection tracking and behind the last that may drop or
 * translate a packet, so that what they count has come that far, whatever backend the other rules are in. With `traced`
 * the kernel tells of each rule that the probe's packets meet.
 */
export function renderCounters(
  { bridge, mac, ip, target }: { bridge: string; mac: Mac; ip: Ipv4; target: Ipv4 },
  traced: boolean,
): string {
  const out = `ip daddr ${formatIp(target)}`;
  // Its destination by then is the host itself, or the machine again.
  const back = `ct direction reply ct original ip saddr ${formatIp(ip)} ct original ip daddr ${formatIp(target)}`;
  const trace = (match: string) => (traced ? [`${match} meta nftrace set 1`] : []);
  const chains = {
    'earliest { type filter hook prerouting priority -400; policy accept;': trace(
      `iifname "${bridge}" ether saddr ${mac}`,
    ),
    // What the host itself says to the probe.
    'answers { type filter hook output priority -400; policy accept;': trace(
      `oifname "${bridge}" ip daddr { ${formatIp(ip)}, 255.255.255.255 }`,
    ),
    'incoming { type filter hook prerouting priority -140; policy accept;': [
      `iifname "${bridge}" ip saddr ${formatIp(ip)} ${out} counter comment "entered"`,
      ...trace(`iifname != "${bridge}" ${back}`),
      `iifname != "${bridge}" ${back} counter comment "returned"`,
    ],
    'outgoing { type filter hook postrouting priority 400; policy accept;': [
      `oifname != "${bridge}" ${out} ip saddr ${formatIp(ip)} counter comment "plain"`,
      `oifname != "${bridge}" ${out} ip saddr != ${formatIp(ip)} ct original ip saddr ${formatIp(ip)} counter comment "masqueraded"`,
    ],
  };
  const bodies = Object.entries(chains).map(
    ([head, rules]) => `\tchain ${head}\n${rules.map(rule => `\t\t${rule}\n`).join('')}\t}\n`,
  );
  return `${removeCounters}table ip ${counterTable} {\n${bodies.join('')}}\n`;
}

/** Takes the table away, and is no error where there is none. */
export const removeCounters = `table ip ${counterTable}\ndelete table ip ${counterTable}\n`;

/** Reads `nft --json list table` of it; null for what is none. */
export function parseCounters(json: string): Counters | null {
  const counters = { entered: 0, plain: 0, masqueraded: 0, returned: 0 };
  try {
    for (const { rule } of JSON.parse(json).nftables) {
      const counted = rule?.expr?.find((expression: object) => 'counter' in expression)?.counter.packets;
      if (rule?.comment in counters) counters[rule.comment as keyof Counters] = Number(counted);
    }
    return counters;
  } catch {
    return null;
  }
}

/** The drop that a packet of this kind met, by the lines of `nft monitor`; null when they tell of none. */
export function findDrop(lines: readonly string[], isMeant: (packet: string) => boolean): Drop | null {
  /** By the number that the kernel gives a packet on its way through one hook. */
  const packets = new Map<string, string>();
  for (const line of lines) {
    const [, id = '', family = '', table = '', chain = '', what = ''] =
      /^trace id (\w+) (\S+) (\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (what.startsWith('packet: ')) packets.set(id, what);
    const isPolicy = /^policy drop\b/.test(what);
    const [, rule = ''] = /^(?:unknown )?rule (.*) \(verdict drop\)/.exec(what) ?? [];
    if ((isPolicy || rule !== '') && isMeant(packets.get(id) ?? ''))
      return { family, table, chain, rule: isPolicy ? null : rule.trim() };
  }
  return null;
}
