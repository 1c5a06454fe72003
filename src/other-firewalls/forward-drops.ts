// Finds rules of other programs that drop the packets of a port forward: no probe can come in from outside.
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import type { Forward } from '../config/forward.ts';
import { hasLegacyTables, otherFlavour } from '../firewall/flavours.ts';
import { listTimeoutSeconds, type RulesReader } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { parseSavedChains, savedLines } from './chains.ts';
import { type Chain, iptablesProgramOf, legacyFamily } from './model.ts';
import { parseNftTables } from './nft-rules.ts';
import { type FilterChains, findDroppingRules, type Packet } from './packet.ts';
import { parseSavedRules } from './saved-rules.ts';

/** A forward that is active, and the address that it leads to. */
export interface ActiveForward {
  readonly forward: Forward;
  readonly ip: Ipv4;
}

/** The packets of a forward: of a client before and after translation, and of the machine that answers. */
export type Way = 'arriving' | 'forwarded' | 'answering';

/** A rule that drops packets of a forward. All names and texts of other programs in it are hostile. */
export interface ForwardDrop extends ActiveForward {
  readonly bridge: string;
  readonly way: Way;
  /** The chain that packets come to first. */
  readonly base: Chain;
  /** The chain that the rule is in. */
  readonly chain: string;
  /** Null where nft does not show it. */
  readonly rule: string | null;
}

/** Most forwards that are judged. */
const maxForwards = 100;

/** A client without a place in anybody's list: where a forward is open to all, an address of the internet. */
const anybody = parseIpv4('9.9.9.9');

/** A port as clients choose it. */
const clientPort = 50_000;

/** Before this priority of prerouting, packets have the host's address and port. */
const translationPriority = -100;

/** Priorities of the tables of iptables. */
const iptablesPriority: Readonly<Record<string, number>> = { raw: -300, mangle: -150 };

interface BaseChain {
  readonly base: Chain;
  readonly ways: readonly Way[];
  readonly chains: FilterChains;
}

/**
 * Returns the first dropped packet of each rule that drops packets of forwards for certain. `link` is the link to
 * the outside. Rules that cannot be read are left out: what they are is said elsewhere.
 */
export async function findForwardDrops(
  system: Pick<System, 'run' | 'readFile' | 'leadsTo' | 'isInstalled'>,
  reader: RulesReader,
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): Promise<ForwardDrop[]> {
  if (forwards.length === 0) return [];
  const drops = judgeForwards(await readBaseChains(system, reader), bridge, forwards, link);
  return Promise.all(drops.map(async drop => ({ ...drop, rule: await textOf(system, drop) })));
}

/** Judges each forward by these chains; `rule` is the rule's text, or its handle in nftables. Pure. */
export function judgeForwards(
  bases: readonly BaseChain[],
  bridge: string,
  forwards: readonly ActiveForward[],
  link: string | null,
): ForwardDrop[] {
  const drops = bases.flatMap(({ base, ways: met, chains }) =>
    forwards.slice(0, maxForwards).flatMap(active =>
      met.flatMap(way => {
        const packets = packetsOf(way, active, bridge, link);
        const found = packets.flatMap(
          packet => findDroppingRules(chains, base.name, packet).find(({ isCertain }) => isCertain) ?? [],
        );
        return found.map(({ chain, rule }) => ({ ...active, bridge, way, base, chain, rule: rule.id }));
      }),
    ),
  );
  const key = ({ base, chain, rule, way }: ForwardDrop) =>
    JSON.stringify([base.family, base.table, chain, rule, way]);
  return [...new Map(drops.reverse().map(drop => [key(drop), drop])).values()].reverse();
}

/** Returns the packets to the first and to the last port of a forward. */
function packetsOf(way: Way, active: ActiveForward, bridge: string, link: string | null): Packet[] {
  const { first, last } = active.forward;
  return [...new Set([0, last - first])].map(offset => packetOf(way, active, bridge, link, offset));
}

function packetOf(
  way: Way,
  { forward: { protocol, first, to, address, from }, ip }: ActiveForward,
  bridge: string,
  link: string | null,
  offset: number,
): Packet {
  const source = from?.network ?? anybody;
  const [originalPort, port] = [first + offset, to + offset];
  const request = {
    protocol,
    originalPort,
    source,
    sourcePort: clientPort,
    in: link,
    flags: ['syn'],
    state: 'new',
    direction: 'original',
  } as const;
  switch (way) {
    case 'arriving':
      return {
        ...request,
        out: null,
        destination: address,
        destinationPort: originalPort,
        isTranslated: false,
      };
    case 'forwarded':
      return { ...request, out: bridge, destination: ip, destinationPort: port, isTranslated: true };
    case 'answering':
      return {
        protocol,
        originalPort,
        in: bridge,
        out: link,
        source: ip,
        sourcePort: port,
        destination: source,
        destinationPort: clientPort,
        flags: ['syn', 'ack'],
        state: 'established',
        direction: 'reply',
        isTranslated: true,
      };
  }
}

async function readBaseChains(
  system: Pick<System, 'run' | 'readFile' | 'leadsTo' | 'isInstalled'>,
  reader: RulesReader,
): Promise<BaseChain[]> {
  const hasHidden = hasLegacyTables(system.readFile, 'ipv4') && otherFlavour(system, 'ipv4') === 'legacy';
  const [nft, saved, hidden] = await Promise.all([
    system.isInstalled('nft') ? listRuleset(system) : '',
    reader.savedIptables('ipv4').catch(() => ''),
    hasHidden ? reader.savedByFlavour('legacy', 'ipv4').catch(() => '') : '',
  ]);
  return makeBaseChains(nft, saved, hidden);
}

function listRuleset({ run }: Pick<System, 'run'>): Promise<string> {
  return run('nft', ['--json', 'list', 'ruleset'], { timeoutSeconds: listTimeoutSeconds }).catch(() => '');
}

/**
 * Returns the chains of others that packets of forwards meet, from the listings of nft, of iptables and of the
 * flavour of iptables that is not selected. Pure.
 */
export function makeBaseChains(nft: string, saved: string, hidden: string): BaseChain[] {
  const listed = savedLines(saved);
  const ofNft = parseNftTables(nft)
    .filter(({ family, table }) => isOfForwards(family) && !table.startsWith('virlan'))
    // iptables shows its own matches, and nft does not.
    .filter(({ family, table }) => family !== 'ip' || !listed.has(table))
    .flatMap(({ family, table, chains, baseChains }) =>
      baseChains.map(({ name, hook, priority }) => ({
        base: { family, table, name, hook, policy: null },
        ways: waysAt(hook, priority),
        chains,
      })),
    );
  const ofIptables = (tables: ReadonlyMap<string, readonly string[]>, family: string) =>
    [...tables].flatMap(([table, lines]) =>
      parseSavedChains(lines, family, table)
        .filter(({ hook }) => hook !== null)
        .map(base => ({
          base,
          ways: waysAt(base.hook ?? '', iptablesPriority[table] ?? 0),
          chains: parseSavedRules(lines),
        })),
    );
  const all = [...ofNft, ...ofIptables(listed, 'ip'), ...ofIptables(savedLines(hidden), legacyFamily)];
  return all.filter(each => each.ways.length > 0);
}

function isOfForwards(family: string): boolean {
  return family === 'ip' || family === 'inet';
}

function waysAt(hook: string, priority: number): readonly Way[] {
  if (hook === 'forward') return ['forwarded', 'answering'];
  return hook === 'prerouting' && priority < translationPriority ? ['arriving'] : [];
}

/** Returns the text of a rule; null where nft does not show it. */
async function textOf(
  { run }: Pick<System, 'run'>,
  { base, chain, rule }: ForwardDrop,
): Promise<string | null> {
  if (iptablesProgramOf(base) !== null) return rule;
  const args = ['--handle', '--stateless', 'list', 'chain', base.family, base.table, chain];
  const listing = await run('nft', args, { timeoutSeconds: listTimeoutSeconds }).catch(() => '');
  const line = listing.split('\n').find(each => each.endsWith(` # handle ${rule}`));
  return line?.replace(/ # handle \d+$/, '').trim() ?? null;
}
