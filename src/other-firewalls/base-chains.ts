// The chains that the kernel calls at a hook, with their rules as far as a packet can be judged by them. Read from the
// listings of nft and of both flavours of iptables.
import { hasLegacyTables, otherFlavour } from '../firewall/flavours.ts';
import { createRulesReader, listTimeoutSeconds, type RulesReader } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { parseSavedChains, savedLines } from './chains.ts';
import { type DeviceLinks, parseDeviceLinks } from './device-links.ts';
import { type Chain, iptablesProgramOf, legacyFamily } from './model.ts';
import { type NftTable, parseNftTables } from './nft-rules.ts';
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

/** All chains with a hook of one reading of the host, virlan's own included. */
export interface BaseChains {
  /** The chains that IPv4 packets pass. */
  readonly ofPackets: readonly BaseChain[];
  /** The chains of the family bridge, which frames pass. */
  readonly ofFrames: readonly BaseChain[];
}

/** The rules of the host, for all who judge packets by them. */
export interface HostRules extends RulesReader {
  /** Returns all chains, read and parsed when first asked for. Rules that cannot be read are left out. */
  chains(): Promise<BaseChains>;
}

type Reads = Pick<System, 'run' | 'readFile' | 'leadsTo'>;

/** Returns a reader that keeps what it has read: use it for one reading of the host only. */
export function createHostRules(system: Reads): HostRules {
  const reader = createRulesReader(system);
  let chains: Promise<BaseChains> | null = null;
  return {
    ...reader,
    chains() {
      chains ??= readBaseChains(system, reader);
      return chains;
    },
  };
}

/** Priorities of the tables of iptables; of nat, at the hooks where destinations are translated. */
const iptablesPriority: Readonly<Record<string, number>> = { raw: -300, mangle: -150, nat: -100 };

async function readBaseChains(system: Reads, reader: RulesReader): Promise<BaseChains> {
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
  return makeBaseChains({ nft, saved, hidden, devices }, readHeardQueues(system));
}

/** The output of programs; an empty text where one fails, or is not asked. */
interface Listings {
  /** `nft --json list ruleset` */
  readonly nft?: string;
  /** `iptables-save` */
  readonly saved?: string;
  /** The same of the flavour that is not selected. */
  readonly hidden?: string;
  /** `nft list chains` */
  readonly devices?: string;
}

/** Returns the chains of these listings. Pure. */
export function makeBaseChains(
  { nft = '', saved = '', hidden = '', devices = '' }: Listings,
  heard: HeardQueues = everyQueue,
): BaseChains {
  const tables = parseNftTables(nft, heard);
  const listed = savedLines(saved);
  const ofNft = tables
    .filter(({ family }) => isOfIpv4(family))
    // iptables shows its own matches, and nft does not.
    .filter(({ family, table }) => family !== 'ip' || !listed.has(table));
  return {
    ofPackets: [
      ...chainsOfNft(ofNft, parseDeviceLinks(devices)),
      ...chainsOfIptables(listed, 'ip', heard),
      ...chainsOfIptables(savedLines(hidden), legacyFamily, heard),
    ],
    ofFrames: chainsOfNft(
      tables.filter(({ family }) => family === 'bridge'),
      new Map(),
    ),
  };
}

function isOfIpv4(family: string): boolean {
  return family === 'ip' || family === 'inet' || family === 'netdev';
}

function chainsOfNft(tables: readonly NftTable[], links: DeviceLinks): BaseChain[] {
  return tables.flatMap(({ family, table, chains, baseChains }) =>
    baseChains.map(({ name, type, hook, priority, policy }) => ({
      base: { family, table, name, hook, policy },
      priority,
      isForNat: type === 'nat',
      links: links.get(`${family} ${table} ${name}`) ?? [],
      chains,
    })),
  );
}

function chainsOfIptables(
  tables: ReadonlyMap<string, readonly string[]>,
  family: string,
  heard: HeardQueues,
): BaseChain[] {
  return [...tables].flatMap(([table, lines]) =>
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
