// Proposes the command that lets packets of one bridge pass a chain of another program that drops them.
import type { ZoneSource } from '../../other-firewalls/firewalld-sources.ts';
import { firewalldTable, legacyFamily } from '../../other-firewalls/model.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import type { Drop, Packet } from '../packet-drop.ts';

/** The UDP port of the service that a packet asks, or that answers it. */
const servicePorts: Readonly<Record<Packet['kind'], number | null>> = {
  dhcp: 67,
  dns: 53,
  outgoing: null,
  returning: null,
  connecting: null,
  connected: null,
};

const iptablesTables = ['filter', 'mangle', 'nat', 'raw', 'security'];

/** The direction of a packet on the bridge, from the view of the host. */
type Direction = 'in' | 'out';

/**
 * Returns the narrowest command that accepts packets of this bridge, in the form of the program that owns the
 * chain: ufw, firewalld, iptables or nft. Null for names that a shell or nft could misread, and where the
 * packet cannot be told by the bridge: an answer of the outside before its route is known.
 */
export function commandAgainst(drop: Drop, packet: Packet['kind'], bridge: string): string | null {
  const { family, table, chain, rule, links } = drop;
  if (!hasPlainNames(drop)) return null;
  const program = iptablesProgram(family, table);
  const isIptables = program !== null;
  if (isReversePathFilter(rule)) return commandForLink(drop, program);
  const isForwarded = links.in !== null && links.out !== null;
  const known = (['in', 'out'] as const).filter(way => links[way] === bridge);
  // iptables knows no incoming link there.
  const [direction] = isIptables && chain === 'POSTROUTING' ? known.filter(way => way === 'out') : known;
  if (direction === undefined) return null;
  if (/^ufw6?-/.test(chain))
    return isForwarded
      ? `ufw route allow ${direction} on ${bridge}`
      : ufwCommand(direction, servicePorts[packet], bridge);
  // With --add-interface, firewalld refuses a link that is in a zone already.
  if (table === firewalldTable)
    return `firewall-cmd --permanent --zone=trusted --change-interface=${bridge} && firewall-cmd --reload`;
  // A policy drops all that is not accepted, so accept all of the bridge: virlan's own rules filter it.
  const isPolicy = rule === null;
  const isForwardChain = isForwarded && chain !== 'POSTROUTING';
  const directions: readonly Direction[] = isPolicy && isForwardChain ? ['in', 'out'] : [direction];
  const port = isPolicy ? null : servicePorts[packet];
  const matches = directions.map(way =>
    isIptables ? iptablesMatch(way, bridge, port) : nftMatch(way, bridge, port),
  );
  // A rule may drop both what machines send and the answers.
  const isRequest = packet === 'outgoing' || packet === 'connecting';
  const answers = isIptables
    ? `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`
    : `oifname ${bridge} ct state established,related`;
  return [...matches, ...(isRequest && isForwardChain && !isPolicy ? [answers] : [])]
    .map(match =>
      isIptables
        ? `${program} -t ${table} -I ${chain} ${match} -j ACCEPT`
        : `nft insert rule ${family} ${table} ${chain} ${match} accept`,
    )
    .join(' && ');
}

/**
 * Returns the command that keeps DNS queries of machines to the gateway from a rule that sends them elsewhere; queries
 * to other name servers still go where it sends them. Null where a shell or nft could misread a name, and for
 * a chain that its owner alone may change.
 */
export function commandAgainstDnsTranslation(by: Drop, bridge: string, gateway: string): string | null {
  const { family, table, chain } = by;
  if (!hasPlainNames(by) || table === firewalldTable || ownChainOf(by) !== null) return null;
  const program = iptablesProgram(family, table);
  return (['udp', 'tcp'] as const)
    .map(protocol =>
      program === null
        ? `nft insert rule ${family} ${table} ${chain} iifname ${bridge} ip daddr ${gateway} ${protocol} dport 53 accept`
        : `${program} -t ${table} -I ${chain} -i ${bridge} -d ${gateway} -p ${protocol} --dport 53 -j ACCEPT`,
    )
    .join(' && ');
}

/** Returns the command that removes a source from a zone of firewalld; null for a name that a shell could misread. */
export function commandAgainstSource({ zone, source }: ZoneSource): string | null {
  if (![zone, source].every(name => /^[\w.:/-]+$/.test(name))) return null;
  // Where the source was added for the running firewalld only, the first command changes nothing.
  const change = `--zone=${zone} --remove-source=${source}`;
  return `firewall-cmd --permanent ${change}; firewall-cmd ${change}`;
}

/**
 * Returns the command that lists the chain of a drop with what its removal needs: the text of a rule in iptables, its
 * handle in nft. It lists all chains where a shell or nft could misread a name.
 */
export function commandThatShows(drop: Drop): string {
  const { family, table, chain } = drop;
  const program = iptablesProgram(family, table);
  if (!hasPlainNames(drop)) return family === legacyFamily ? 'iptables-legacy-save' : 'nft -a list ruleset';
  return program === null
    ? `nft -a list chain ${family} ${table} ${chain}`
    : `${program} -t ${table} -S ${chain}`;
}

export function hasPlainNames({ family, table, chain }: Drop): boolean {
  return [family, table, chain].every(name => /^[\w.-]+$/.test(name));
}

/** Returns the program of iptables that changes a table; null for one of nftables alone. */
export function iptablesProgram(family: string, table: string): string | null {
  if (family === legacyFamily) return legacyFamily;
  return family === 'ip' && iptablesTables.includes(table) ? 'iptables' : null;
}

/**
 * Returns whether a rule asks by which link the kernel would answer: `fib saddr . iif oif missing`, `-m rpfilter`. What
 * the kernel says of the destination (`fib daddr type broadcast`) is no such question.
 */
export function isReversePathFilter(rule: string | null): boolean {
  return rule !== null && /\bfib saddr\b.*\boif(?:name)?\b|\brpfilter\b/.test(rule);
}

/**
 * Accepts what comes in by the link of the packet before such a rule, as a loose filter of the kernel does:
 * the addresses of a packet do not tell whether the rule matches it.
 */
function commandForLink({ family, table, chain, links }: Drop, program: string | null): string | null {
  const link = links.in;
  if (link === null || !/^[\w.-]+$/.test(link)) return null;
  return program !== null
    ? `${program} -t ${table} -I ${chain} -i ${link} -j ACCEPT`
    : `nft insert rule ${family} ${table} ${chain} iifname ${link} accept`;
}

function ufwCommand(way: Direction, port: number | null, bridge: string): string {
  const service = way === 'in' && port !== null ? ` to any port ${port}` : '';
  return `ufw allow ${way} on ${bridge}${service}`;
}

function iptablesMatch(way: Direction, bridge: string, port: number | null): string {
  const service = port === null ? '' : ` -p udp ${way === 'in' ? '--dport' : '--sport'} ${port}`;
  return `${way === 'in' ? '-i' : '-o'} ${bridge}${service}`;
}

function nftMatch(way: Direction, bridge: string, port: number | null): string {
  const service = port === null ? '' : ` udp ${way === 'in' ? 'dport' : 'sport'} ${port}`;
  return `${way === 'in' ? 'iifname' : 'oifname'} ${bridge}${service}`;
}
