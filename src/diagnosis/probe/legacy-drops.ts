// Finds the rules of iptables-legacy that dropped or led elsewhere packets of a probe, which no trace shows, by their
// counters:
// `[12:720] -A FORWARD -s 192.168.100.0/24 -j DROP`
import { hasLegacyTables, legacyPrefix } from '../../firewall/flavours.ts';
import { savedLines } from '../../other-firewalls/chains.ts';
import { legacyFamily } from '../../other-firewalls/model.ts';
import { type FilterChains, type FilterRule, findDroppingRules } from '../../other-firewalls/packet.ts';
import { type HeardQueues, readHeardQueues } from '../../other-firewalls/queues.ts';
import { parseSavedRules } from '../../other-firewalls/saved-rules.ts';
import type { System } from '../../system/system.ts';
import type { Drop } from '../packet-drop.ts';
import type { Drops } from './drops.ts';
import { type HookPassage, type ProbedPath, packetKinds, waysOf } from './ways.ts';

/** The output of `iptables-save --counters` about tables that nft does not list; empty where there are none. */
export interface LegacyCounters {
  /** The family of drops in these tables: `ip` where the program `iptables` is the one for them. */
  readonly family: string;
  readonly save: string;
  /** The queues that have a program to take their packets. */
  readonly heard: HeardQueues;
}

/** Reads the counters of iptables-legacy, by the name that its program has on this host. */
export async function readLegacyCounters({
  readFile,
  isInstalled,
  run,
}: Pick<System, 'readFile' | 'isInstalled' | 'run'>): Promise<LegacyCounters> {
  const prefix = legacyPrefix({ isInstalled }, 'ipv4');
  const program = `${prefix}-save`;
  const family = prefix === legacyFamily ? legacyFamily : 'ip';
  const heard = readHeardQueues({ readFile });
  if (!hasLegacyTables(readFile, 'ipv4') || !isInstalled(program)) return { family, save: '', heard };
  return { family, heard, save: await run(program, ['--counters']).catch(() => '') };
}

export interface LegacyDrops {
  /** Drops that need no other proof: the rule drops each such packet. */
  readonly certain: Drops;
  /** Drops that only explain a loss that is certain: others may have sent the packets that the rule dropped. */
  readonly possible: Drops;
}

/** Returns the first rule for each kind of packet that may drop it and dropped more packets after the probe. */
export function findLegacyDrops(
  before: LegacyCounters,
  after: LegacyCounters,
  path: ProbedPath,
): LegacyDrops {
  const [earlier, later] = [countPackets(before.save), countPackets(after.save)];
  const hasGrown = (key: string) => (later.get(key) ?? 0) > (earlier.get(key) ?? 0);
  const tables = readTables(after);
  const dropsOf = (way: readonly HookPassage[]) =>
    way.flatMap(({ hook, packet }) =>
      tables.flatMap(({ table, chains }) =>
        findDroppingRules(chains, hook, packet)
          .filter(({ chain, rule }) => hasGrown(keyOf(table, chain, rule.id)))
          .map(({ chain, rule: { id }, isCertain }) => {
            const links = { in: packet.in, out: packet.out };
            const drop: Drop = { family: after.family, table, chain, rule: id === policy ? null : id, links };
            return { drop, isCertain };
          }),
      ),
    );
  const found = packetKinds.map(kind => {
    const ways = waysOf[kind](path).map(dropsOf);
    const certain = ways.map(drops => drops.find(({ isCertain }) => isCertain)?.drop ?? null);
    return {
      certain: [kind, certain.includes(null) ? null : certain[0]],
      possible: [kind, ways.flat()[0]?.drop ?? null],
    };
  });
  return {
    certain: Object.fromEntries(found.map(({ certain }) => certain)),
    possible: Object.fromEntries(found.map(({ possible }) => possible)),
  };
}

/** Rules of the nat table that lead packets to another address. */
const translating = /-j (?:DNAT|REDIRECT|NETMAP)\b/;

/** Rules that no DNS query by UDP meets. */
const ofOtherPackets = /(?:^| )-p (?!udp )|--dports? (?!\S*(?:\b53\b|:))/;

/**
 * Returns the first rule that may have sent the probe's DNS queries elsewhere and translated more packets after the
 * probe; null for none. It only explains a DNS that is silent or does not know the probe.
 */
export function findLegacyDnsTranslation(before: LegacyCounters, after: LegacyCounters): Drop | null {
  const earlier = countPackets(before.save);
  for (const [key, count] of countPackets(after.save)) {
    const [, chain = '', rule = ''] = /^nat (\S+) (.*)$/.exec(key) ?? [];
    if (translating.test(rule) && !ofOtherPackets.test(rule) && count > (earlier.get(key) ?? 0))
      return { family: after.family, table: 'nat', chain, rule, links: { in: null, out: null } };
  }
  return null;
}

/** In the order in which a packet meets them at each hook. */
const tableOrder = ['raw', 'mangle', 'nat', 'filter', 'security'];

/** Stands for a chain's policy in the place of a rule's text. */
const policy = '';

function readTables({
  save,
  heard,
}: LegacyCounters): { readonly table: string; readonly chains: FilterChains }[] {
  const listed = savedLines(save.replaceAll(/^\[\d+:\d+\] /gm, ''));
  return tableOrder.flatMap(table => {
    const lines = listed.get(table);
    if (lines === undefined) return [];
    const dropping = lines.flatMap(line => /^:(\S+) DROP /.exec(line)?.[1] ?? []);
    const chains = [...parseSavedRules(lines, heard)].map(
      ([name, rules]) => [name, dropping.includes(name) ? [...rules, dropAll] : rules] as const,
    );
    return [{ table, chains: new Map(chains) }];
  });
}

const dropAll: FilterRule = {
  id: policy,
  judge: () => [{ applies: true, verdict: { kind: 'drop' } }],
};

/** Returns how many packets each rule, or several of the same text together, and each policy matched. */
function countPackets(save: string): Map<string, number> {
  const counts = new Map<string, number>();
  let table = '';
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, packets, chain = '', rule = ''] =
      /^\[(\d+):\d+\] -A (\S+) (.*)$/.exec(line) ?? readPolicy(line) ?? [];
    if (packets === undefined) continue;
    const key = keyOf(table, chain, rule);
    counts.set(key, (counts.get(key) ?? 0) + Number(packets));
  }
  return counts;
}

/** Reads `:FORWARD DROP [12:720]`, the counters of a policy. */
function readPolicy(line: string): readonly string[] | null {
  const [, chain, packets] = /^:(\S+) DROP \[(\d+):\d+\]$/.exec(line) ?? [];
  return chain === undefined || packets === undefined ? null : [line, packets, chain, policy];
}

function keyOf(table: string, chain: string, rule: string): string {
  return `${table} ${chain} ${rule}`;
}
