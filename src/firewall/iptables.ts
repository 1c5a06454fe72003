// The iptables backend: chains of virlan's own and one jump into each, loaded by `iptables-restore
// --noflush`.
//
//   *filter
//   :VIRLAN-FWD-k8s-br0 - [0:0]
//   -I FORWARD 1 -j VIRLAN-FWD-k8s-br0
//   -A VIRLAN-FWD-k8s-br0 -i k8s-br0 -o k8s-br0 -j ACCEPT
//   COMMIT
import { type Family, formatPrefix } from '../address/ip.ts';
import type { System } from '../system/system.ts';
import type { Backend, Lacking } from './backend.ts';
import { savedTables } from './iptables-tables.ts';
import { iptablesPrefix } from './rules-reader.ts';
import type { Ports, PrefixMatch, Rule, Ruleset, Verdict } from './ruleset.ts';

const tableNames = ['filter', 'nat', 'mangle'] as const;

type Table = (typeof tableNames)[number];

/** Built-in chains with a jump to virlan's own, and the part of the own chain's name that stands for each. */
const hooks = { FORWARD: 'FWD', INPUT: 'INP', POSTROUTING: 'POST' } as const;

type Hook = keyof typeof hooks;

const ownName = `VIRLAN-(?:${Object.values(hooks).join('|')})-(\\S+)`;
const ownChainLine = new RegExp(`^(?::|-A )${ownName}`);
const jumpLine = new RegExp(`^-A (?!VIRLAN-)\\S+ (?:.* )?-j ${ownName}$`);

/** One of virlan's chains, and the single jump into it. */
interface Chain {
  readonly table: Table;
  readonly name: string;
  readonly hook: Hook;
  /** Conditions of the jump. */
  readonly jump: readonly string[];
  readonly rules: readonly string[];
}

export const iptables: Backend = {
  name: 'iptables',
  programs: family => [`${iptablesPrefix[family]}-restore`, `${iptablesPrefix[family]}-save`],
  render: (ruleset, lacking = []) => renderChains(chainsOf(ruleset, lacking)),
  companions: () => [],
  async missingTables(reader, { family }, script) {
    const present = savedTables(await reader.savedIptables(family));
    const used = splitTables(script.split('\n'));
    return [...used.keys()].filter(table => !present.includes(table)).map(table => ({ family, table }));
  },
  async load(system, reader, place, script) {
    const listing = await iptables.list(reader, place);
    await restore(system, place.family, replaceScript(place.bridge, script, listing));
  },
  async remove(system, reader, place) {
    const listing = await iptables.list(reader, place);
    await restore(system, place.family, replaceScript(place.bridge, null, listing));
  },
  list: async (reader, { bridge, family }) => ownLines(bridge, await reader.savedIptables(family)),
  countRules: lines => lines.filter(line => /^-[AI] /.test(line)).length,
  describePlace: ({ bridge, family }) => `${iptablesPrefix[family]} chains VIRLAN-…-${bridge}`,
};

async function restore({ run }: Pick<System, 'run'>, family: Family, script: string): Promise<void> {
  await run(`${iptablesPrefix[family]}-restore`, ['--noflush', '--wait', '5'], { input: script });
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
  ];
  return chains.filter(({ rules }) => rules.length > 0);
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
      ...own.map(({ hook, jump, name }) => ['-I', hook, '1', ...jump, '-j', name].join(' ')),
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

function splitTables(listing: readonly string[]): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of listing) {
    if (line.startsWith('*')) {
      lines = [];
      tables.set(line.slice(1), lines);
    } else if (line !== '' && line !== 'COMMIT') lines.push(line);
  }
  return tables;
}

/**
 * multiport takes 15 ports, a range counting for two (XT_MULTI_PORTS in xt_multiport.h): longer lists are
 * split.
 */
const portsPerRule = 7;

const icmpEchoRequest: Readonly<Record<Family, string>> = {
  ipv4: '-p icmp -m icmp --icmp-type 8',
  ipv6: '-p ipv6-icmp -m icmp6 --icmpv6-type 128',
};

/** MLD (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861). */
const ipv6ControlTypes = [130, 131, 132, 133, 134, 135, 136, 143];

/**
 * Returns a rule as `iptables-save` writes it, without the chain; several lines where its ports or types need
 * it. `marks` are conditions that stand right before the verdict.
 */
export function renderRule(rule: Rule, marks: readonly string[], family: Family): string[] {
  const { from, to, notTo, source, destination, protocol, ports, tracked, translated, verdict } = rule;
  const address = (option: string, { kind, prefix }: PrefixMatch) =>
    `${kind === 'not-in' ? '! ' : ''}${option} ${formatPrefix(prefix)}`;
  const words: string[] = [];
  if (source !== undefined) words.push(address('-s', source));
  if (destination !== undefined) words.push(address('-d', destination));
  if (from !== undefined) words.push(`-i ${from}`);
  if (to !== undefined) words.push(`-o ${to}`);
  if (notTo !== undefined) words.push(`! -o ${notTo}`);
  if (protocol === 'icmp-echo-request') words.push(icmpEchoRequest[family]);
  else if (protocol === 'ipv6-control') words.push('-p ipv6-icmp');
  else if (protocol === 'tcp-syn') words.push('-p tcp -m tcp --tcp-flags SYN,RST SYN');
  else if (protocol !== undefined) words.push(`-p ${protocol}`);
  const states = [
    ...(tracked === undefined ? [] : [`-m conntrack --ctstate ${tracked.join(',').toUpperCase()}`]),
    ...(translated === true ? ['-m conntrack --ctstate DNAT'] : []),
  ];
  const tail = [...states, ...marks, `-j ${renderVerdict(family, verdict)}`];
  if (protocol === 'ipv6-control')
    return ipv6ControlTypes.map(type => [...words, `-m icmp6 --icmpv6-type ${type}`, ...tail].join(' '));
  if (ports === undefined) return [[...words, ...tail].join(' ')];
  return portLists(ports).map(list => [...words, `-m multiport --dports ${list}`, ...tail].join(' '));
}

const portUnreachable: Readonly<Record<Family, string>> = {
  ipv4: 'icmp-port-unreachable',
  ipv6: 'icmp6-port-unreachable',
};

function renderVerdict(family: Family, verdict: Verdict): string {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return verdict.kind.toUpperCase();
    case 'clamp-mss':
      return 'TCPMSS --clamp-mss-to-pmtu';
    case 'reject':
      return `REJECT --reject-with ${verdict.with === 'tcp-reset' ? verdict.with : portUnreachable[family]}`;
    case 'masquerade':
      return verdict.ports === null
        ? 'MASQUERADE'
        : `MASQUERADE --to-ports ${verdict.ports.first}-${verdict.ports.last}`;
  }
}

/** Returns ports as `22,6000:6010`, in lists short enough for multiport. */
export function portLists(ports: readonly Ports[]): string[] {
  const chunks = Array.from({ length: Math.ceil(ports.length / portsPerRule) }, (_, index) =>
    ports.slice(index * portsPerRule, (index + 1) * portsPerRule),
  );
  return chunks.map(chunk =>
    chunk.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join(','),
  );
}
