// The chains that the kernel calls at a hook, with their rules as far as a packet can be judged by them. Read from the
// listings of nft and of both flavours of iptables.
import { hasLegacyTables, otherFlavour } from '../firewall/flavours.ts';
import { listTimeoutSeconds, type RulesReader } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { parseSavedChains, savedLines } from './chains.ts';
import { parseDeviceLinks } from './device-links.ts';
import { type Chain, iptablesProgramOf, legacyFamily } from './model.ts';
import { parseNftTables } from './nft-rules.ts';
import type { FilterChains } from './packet.ts';
import { everyQueue, type HeardQueues, readHeardQueues } from './queues.ts';
import { parseSavedRules } from './saved-rules.ts';

/** A chain with a hook, and the chains of its table. All names are hostile. */
export interface BaseChain {
  readonly base: Chain;
  readonly priority: number;
  /** True if it is for the first packet of each connection only, as chains that translate addresses are. */
  readonly isForNat: boolean;
  /** The links of a chain at the hook `ingress` or `egress`; empty for others. */
  readonly links: readonly string[];
  readonly chains: FilterChains;
}

/** Priorities of the tables of iptables; of nat, at the hooks where destinations are translated. */
const iptablesPriority: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100 };

/** Reads the chains. Rules that cannot be read are left out: what they are is said elsewhere. */
export async function readBaseChains(
  system: Pick<System, 'run' | 'readFile' | 'leadsTo'>,
  reader: RulesReader,
): Promise<BaseChain[]> {
  const hasHidden = hasLegacyTables(system.readFile, 'ipv4') && otherFlavour(system, 'ipv4') === 'legacy';
  const [nft, saved, hidden] = await Promise.all([
    reader.ruleset().catch(() => ''),
    reader.savedIptables('ipv4').catch(() => ''),
    hasHidden ? reader.savedByFlavour('legacy', 'ipv4').catch(() => '') : '',
  ]);
  // Seldom there, and another process.
  const devices = /"hook": ?"(?:ingress|egress)"/.test(nft)
    ? await system.run('nft', ['list', 'chains'], { timeoutSeconds: listTimeoutSeconds }).catch(() => '')
    : '';
  return makeBaseChains(nft, saved, hidden, devices, readHeardQueues(system));
}

/**
 * Returns the chains that IPv4 packets meet, virlan's own included, from the listings of nft, of iptables and of the
 * flavour of iptables that is not selected; `devices` is what `nft list chains` prints. Pure.
 */
export function makeBaseChains(
  nft: string,
  saved: string,
  hidden: string,
  devices = '',
  heard: HeardQueues = everyQueue,
): BaseChain[] {
  const links = parseDeviceLinks(devices);
  const listed = savedLines(saved);
  const ofNft = parseNftTables(nft, heard)
    .filter(({ family }) => isOfIpv4(family))
    // iptables shows its own matches, and nft does not.
    .filter(({ family, table }) => family !== 'ip' || !listed.has(table))
    .flatMap(({ family, table, chains, baseChains }) =>
      baseChains.map(({ name, type, hook, priority, policy }) => ({
        base: { family, table, name, hook, policy },
        priority,
        isForNat: type === 'nat',
        links: links.get(`${family} ${table} ${name}`) ?? [],
        chains,
      })),
    );
  const ofIptables = (tables: ReadonlyMap<string, readonly string[]>, family: string) =>
    [...tables].flatMap(([table, lines]) =>
      parseSavedChains(lines, family, table)
        .filter(({ hook }) => hook !== null)
        .map(base => ({
          base,
          priority: iptablesPriority[table] ?? 0,
          isForNat: table === 'nat',
          links: [],
          chains: parseSavedRules(lines, heard),
        })),
    );
  return [...ofNft, ...ofIptables(listed, 'ip'), ...ofIptables(savedLines(hidden), legacyFamily)];
}

function isOfIpv4(family: string): boolean {
  return family === 'ip' || family === 'inet' || family === 'netdev';
}

/** Returns the text of a rule that a judgement names by its id; null where nft does not show it. */
export async function readRuleText(
  { run }: Pick<System, 'run'>,
  base: Chain,
  chain: string,
  id: string,
): Promise<string | null> {
  if (iptablesProgramOf(base) !== null) return id;
  const args = ['--handle', '--stateless', 'list', 'chain', base.family, base.table, chain];
  const listing = await run('nft', args, { timeoutSeconds: listTimeoutSeconds }).catch(() => '');
  const line = listing.split('\n').find(each => each.endsWith(` # handle ${id}`));
  return line?.replace(/ # handle \d+$/, '').trim() ?? null;
}
