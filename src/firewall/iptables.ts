// The iptables backend: chains of virlan's own and one jump into each, loaded by `iptables-restore
// --noflush`.
//
//   *filter
//   :VIRLAN-FWD-k8s-br0 - [0:0]
//   -I FORWARD 1 -j VIRLAN-FWD-k8s-br0
//   -A VIRLAN-FWD-k8s-br0 -i k8s-br0 -o k8s-br0 -j ACCEPT
//   COMMIT
import { formatIp, formatPrefix, parseIpv4 } from '../address/ip.ts';
import { parseClients, parsePortSpan } from '../config/forward.ts';
import type { System } from '../system/system.ts';
import type { Backend, Lacking, Listing, RulesPlace } from './backend.ts';
import { renderMatch, renderRule } from './iptables-rule.ts';
import { missingObjects, savedTables, splitTables } from './iptables-tables.ts';
import { withoutLackingRules } from './lacking-rules.ts';
import { loadTimeoutSeconds } from './nft-script.ts';
import { overruledRules } from './overruled.ts';
import type { Match, Rule, Ruleset, Verdict } from './rule.ts';
import { iptablesPrefix, type RulesReader } from './rules-reader.ts';
import type { Translation } from './translation.ts';

const tableNames = ['filter', 'nat', 'mangle', 'security'] as const;

type Table = (typeof tableNames)[number];

/** Built-in chains with a jump to virlan's own, and the part of the own chain's name that stands for each. */
const hooks = {
  FORWARD: 'FWD',
  INPUT: 'INP',
  POSTROUTING: 'POST',
  PREROUTING: 'PRE',
  OUTPUT: 'OUT',
} as const;

type Hook = keyof typeof hooks;

/** Stands for the chain of forwards, which others of virlan's chains jump to. */
const translationsPart = 'DNAT';

/** Stand for the second chains that `INPUT` and `FORWARD` jump to, in another table. */
const laterParts = { INPUT: 'LATE', FORWARD: 'LFWD' } as const;

const parts = [...Object.values(hooks), translationsPart, ...Object.values(laterParts)];
const ownName = `VIRLAN-(?:${parts.join('|')})-(\\S+)`;
const ownChainLine = new RegExp(`^(?::|-A )${ownName}`);
const jumpLine = new RegExp(`^-A (?!VIRLAN-)\\S+ (?:.* )?-j ${ownName}$`);

/** One of virlan's chains, and the single jump into it. */
interface Chain {
  readonly table: Table;
  readonly name: string;
  /** The built-in chain that jumps to it; null if another of virlan's chains does. */
  readonly hook: Hook | null;
  /** Conditions of the jump. */
  readonly jump: readonly string[];
  readonly rules: readonly string[];
}

export const iptables: Backend = {
  name: 'iptables',
  programs: family => [`${iptablesPrefix[family]}-restore`, `${iptablesPrefix[family]}-save`],
  render: (ruleset, lacking = []) => renderChains(chainsOf(withoutLackingRules(ruleset, lacking), lacking)),
  companions: () => [],
  async missingObjects(system, reader, { family }, script) {
    const listChains = () => system.run('nft', ['--json', 'list', 'chains']).catch(() => '');
    return missingObjects(family, savedTables(await reader.savedIptables(family)), script, listChains);
  },
  newTable: () => null,
  async load(system, reader, place, script) {
    const input = replaceScript(place.bridge, script, await listOwn(reader, place));
    await restoreRules(system, iptablesPrefix[place.family], input);
  },
  async remove(system, reader, place) {
    const input = replaceScript(place.bridge, null, await listOwn(reader, place));
    await restoreRules(system, iptablesPrefix[place.family], input);
  },
  translate: (system, { family, bridge }, { all }) =>
    restoreRules(system, iptablesPrefix[family], translationsScript(bridge, all)),
  async list(reader, { bridge, family }) {
    const save = await reader.savedIptables(family);
    const overruled = overruledRules(save, `VIRLAN-${hooks.POSTROUTING}-${bridge}`);
    return { ...splitListing(bridge, ownLines(bridge, save)), overruled };
  },
  countRules: lines => lines.filter(line => /^-[AI] /.test(line)).length,
  describePlace: ({ bridge, family }) => `${iptablesPrefix[family]} chains VIRLAN-…-${bridge}`,
};

async function listOwn(reader: RulesReader, { bridge, family }: RulesPlace): Promise<string[]> {
  return ownLines(bridge, await reader.savedIptables(family));
}

/** Runs a script by the program whose name begins with `prefix`, such as `ip6tables-legacy`. Throws CommandError. */
export async function restoreRules(
  { run }: Pick<System, 'run'>,
  prefix: string,
  input: string,
): Promise<void> {
  await run(`${prefix}-restore`, ['--noflush', '--wait', '5'], { input, timeoutSeconds: loadTimeoutSeconds });
}

function chainsOf(ruleset: Ruleset, lacking: readonly Lacking[]): Chain[] {
  const { bridge, family, input } = ruleset;
  const only = input.only === null ? [] : ['-i', input.only];
  const render = (rules: readonly Rule[]) => rules.flatMap(rule => renderRule(rule, [], family));
  const chains = [
    makeChain(bridge, 'filter', 'FORWARD', [], render(ruleset.forward)),
    makeChain(bridge, 'filter', 'INPUT', only, render(input.rules)),
    makeChain(bridge, 'nat', 'POSTROUTING', [], render(ruleset.postrouting)),
    ...(family === 'ipv4' && !lacking.includes('checksum') ? [checksumChain(bridge)] : []),
    // Before the routing, which is all that matters, and in a table that is in use anyway.
    makeChain(bridge, 'mangle', 'PREROUTING', [], render(ruleset.early)),
    ...(lacking.includes('security') ? [] : laterChains(ruleset)),
  ].filter(({ rules }) => rules.length > 0);
  return [...chains, ...translationChains(ruleset)];
}

/**
 * Returns chains that judge once more what machines send to the host and what the host forwards for them. They are
 * after the table `filter`, in which a rule of another program that comes first may accept a packet, and before
 * which nothing can be rejected. (A table of nftables decides for itself.)
 */
function laterChains({ bridge, family, input, forward }: Ruleset): Chain[] {
  const render = (rules: readonly Rule[]) =>
    rules
      .filter(({ verdict }) => verdict.kind !== 'clamp-mss')
      .flatMap(rule => renderRule({ ...rule, verdict: again(rule.verdict) }, [], family));
  const name = (hook: keyof typeof laterParts) => `VIRLAN-${laterParts[hook]}-${bridge}`;
  return [
    {
      table: 'security',
      name: name('INPUT'),
      hook: 'INPUT',
      jump: ['-i', bridge],
      rules: render(input.rules),
    },
    { table: 'security', name: name('FORWARD'), hook: 'FORWARD', jump: [], rules: render(forward) },
  ];
}

/** Returns the verdict in that table: it cannot reject, and accepted packets go on to rules of SELinux. */
function again(verdict: Verdict): Verdict {
  if (verdict.kind === 'accept') return { kind: 'return' };
  return verdict.kind === 'reject' ? { kind: 'drop' } : verdict;
}

/** Returns the chain of forwards, empty, and those that jump to it. */
function translationChains({ bridge, family, translations }: Ruleset): Chain[] {
  if (translations === null) return [];
  const name = translationsChain(bridge);
  const jumps = (match: Match) =>
    (['tcp', 'udp'] as const).flatMap(protocol =>
      renderMatch({ ...match, protocol }, family).map(
        words => `${words} -m addrtype --dst-type LOCAL -j ${name}`,
      ),
    );
  return [
    { table: 'nat', name, hook: null, jump: [], rules: [] },
    makeChain(bridge, 'nat', 'PREROUTING', [], jumps(translations.arriving)),
    makeChain(bridge, 'nat', 'OUTPUT', [], jumps(translations.local)),
  ];
}

function translationsChain(bridge: string): string {
  return `VIRLAN-${translationsPart}-${bridge}`;
}

/** Returns a script that fills the chain of forwards anew. */
export function translationsScript(bridge: string, all: readonly Translation[]): string {
  const name = translationsChain(bridge);
  const rules = all.map(({ protocol, ports, address, from, to, toPort }) => {
    const port = ports.first === ports.last ? ports.first : `${ports.first}:${ports.last}`;
    return [
      `-A ${name}`,
      ...(from === null ? [] : [`-s ${formatPrefix(from)}`]),
      ...(address === null ? [] : [`-d ${formatIp(address)}/32`]),
      `-p ${protocol} -m ${protocol} --dport ${port} -j DNAT`,
      `--to-destination ${formatIp(to)}${toPort === null ? '' : `:${toPort}`}`,
    ].join(' ');
  });
  return ['*nat', `:${name} - [0:0]`, ...rules, 'COMMIT', ''].join('\n');
}

/** Takes virlan's translations out of its lines. What is not virlan's stays among the rules. */
function splitListing(bridge: string, own: readonly string[]): Omit<Listing, 'overruled'> {
  const lines: string[] = [];
  const translations: Translation[] = [];
  for (const line of own) {
    const translation = parseTranslation(bridge, line);
    if (translation === null) lines.push(line);
    else translations.push(translation);
  }
  return { lines, translations };
}

/** Reads a rule of the chain of forwards; null for one that virlan did not make. */
function parseTranslation(bridge: string, line: string): Translation | null {
  const form =
    /^-A (\S+)(?: -s (\S+))?(?: -d (\S+)\/32)? -p (tcp|udp) -m \4 --dport (\S+) -j DNAT --to-destination ([\d.]+)(?::(\d+))?$/;
  const [, chain, source, destination, protocol, written = '', target = '', port] = form.exec(line) ?? [];
  if (chain !== translationsChain(bridge) || (protocol !== 'tcp' && protocol !== 'udp')) return null;
  const from = source === undefined ? undefined : parseClients(source);
  const address = destination === undefined ? undefined : parseIpv4(destination);
  const [ports, to] = [parsePortSpan(written.replace(':', '-')), parseIpv4(target)];
  if (from === null || address === null || ports === null || to === null) return null;
  const toPort = port === undefined ? null : Number(port);
  return { protocol, ports, address: address ?? null, from: from ?? null, to, toPort };
}

/** Returns the script of the checksum rule alone, for a host whose other rules are in nftables. */
export function checksumScript(bridge: string): string {
  return renderChains([checksumChain(bridge)]);
}

/**
 * Fills in the UDP checksum of DHCP replies, which a virtual link leaves to the receiver and which old DHCP
 * clients require. libvirt since 11 uses `tc … action csum`, which needs a module that not every kernel has.
 */
function checksumChain(bridge: string): Chain {
  const rule = `-o ${bridge} -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill`;
  return makeChain(bridge, 'mangle', 'POSTROUTING', [], [rule]);
}

function makeChain(
  bridge: string,
  table: Table,
  hook: Hook,
  jump: readonly string[],
  rules: readonly string[],
): Chain {
  return { table, name: `VIRLAN-${hooks[hook]}-${bridge}`, hook, jump, rules };
}

function renderChains(chains: readonly Chain[]): string {
  const blocks = tableNames.map(table => {
    const own = chains.filter(chain => chain.table === table);
    return [
      ...own.map(({ name }) => `:${name} - [0:0]`),
      // Without a comment, which not every kernel has: the chain's name tells whose it is.
      ...own.flatMap(({ hook, jump, name }) => {
        // Sources that the administrator translates are translated first: see overruled.ts.
        const place = table === 'nat' && hook === 'POSTROUTING' ? `-A ${hook}` : `-I ${hook} 1`;
        return hook === null ? [] : [[place, ...jump, '-j', name].join(' ')];
      }),
      ...own.flatMap(({ name, rules }) => rules.map(rule => `-A ${name} ${rule}`)),
    ];
  });
  return formatTables(blocks);
}

/**
 * Returns the script that brings a host from `listing` to `rules` (null for none): one transaction per table,
 * in which existing jumps are deleted before new ones are inserted, so that each stays single.
 */
export function replaceScript(bridge: string, rules: string | null, listing: readonly string[]): string {
  const wanted = splitTables((rules ?? '').split('\n'));
  const present = splitTables(listing);
  const blocks = tableNames.map(table => {
    const lines = wanted.get(table) ?? [];
    const there = present.get(table) ?? [];
    const stale = there
      .flatMap(line => /^:(\S+)/.exec(line)?.[1] ?? [])
      .filter(name => !lines.includes(`:${name} - [0:0]`));
    return [
      ...stale.map(name => `:${name} - [0:0]`),
      ...there.filter(line => isJump(bridge, line)).map(line => line.replace(/^-A /, '-D ')),
      ...lines,
      ...stale.map(name => `-X ${name}`),
    ];
  });
  return formatTables(blocks);
}

function formatTables(blocks: readonly (readonly string[])[]): string {
  const written = blocks.map((lines, index) => [`*${tableNames[index]}`, ...lines, 'COMMIT'].join('\n'));
  return written
    .filter((_, index) => blocks[index]?.length !== 0)
    .map(block => `${block}\n`)
    .join('');
}

/**
 * Returns virlan's lines for a bridge in the output of `iptables-save`, with their tables and without
 * counters.
 */
export function ownLines(bridge: string, save: string): string[] {
  const own: string[] = [];
  let table: string | null = null;
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line;
    const isOwn = ownChainLine.exec(line)?.[1] === bridge || isJump(bridge, line);
    if (!isOwn) continue;
    if (table !== null) own.push(table);
    table = null;
    own.push(line.replace(/ \[\d+:\d+\]$/, ' [0:0]'));
  }
  return own;
}

function isJump(bridge: string, line: string): boolean {
  return jumpLine.exec(line)?.[1] === bridge;
}
