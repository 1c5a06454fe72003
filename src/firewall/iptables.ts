import { formatPrefix } from '../address/ip.ts';
import type { Rule, Ruleset, Verdict } from './model.ts';

const tableNames = ['filter', 'nat', 'mangle'] as const;

type Table = (typeof tableNames)[number];

/** A chain of virlan's own, and the single jump into it. */
interface Chain {
  readonly table: Table;
  readonly name: string;
  readonly hook: string;
  /** Matches of the jump. */
  readonly jump: readonly string[];
  readonly rules: readonly string[];
}

/** The chains of one network, rule by rule, as `iptables-restore` reads them. */
export interface IptablesRules {
  readonly bridge: string;
  readonly chains: readonly Chain[];
}

/** The same rules as `renderNftables`, and the checksum of DHCP replies. */
export function iptablesRules(ruleset: Ruleset): IptablesRules {
  const { bridge, input } = ruleset;
  const only = input.only === null ? [] : ['-i', input.only];
  return {
    bridge,
    chains: [
      makeChain(
        bridge,
        'filter',
        'FORWARD',
        [],
        ruleset.forward.flatMap(rule => renderRule(rule)),
      ),
      makeChain(
        bridge,
        'filter',
        'INPUT',
        only,
        input.rules.flatMap(rule => renderRule(rule)),
      ),
      makeChain(
        bridge,
        'nat',
        'POSTROUTING',
        [],
        ruleset.postrouting.flatMap(rule => renderRule(rule)),
      ),
      ...checksumRules(bridge).chains,
    ],
  };
}

/**
 * Has the kernel fill in the UDP checksum of DHCP replies, which a virtual link leaves to its other end and which old
 * DHCP clients refuse to miss. nftables has no word for it, so that its backend uses this one rule too; `tc … action
 * csum`, libvirt's way since 11, needs a module that not every kernel has.
 */
export function checksumRules(bridge: string): IptablesRules {
  const rule = `-o ${bridge} -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill`;
  return { bridge, chains: [makeChain(bridge, 'mangle', 'POSTROUTING', [], [rule])] };
}

function makeChain(
  bridge: string,
  table: Table,
  hook: string,
  jump: readonly string[],
  rules: readonly string[],
): Chain {
  const short = { FORWARD: 'FWD', INPUT: 'INP', POSTROUTING: 'POST' }[hook] ?? hook;
  return { table, name: `VIRLAN-${short}-${bridge}`, hook, jump, rules };
}

/** The rules as a script for `iptables-restore --noflush` on a host that has none of them yet. */
export function renderIptables({ bridge, chains }: IptablesRules): string {
  const blocks = tableNames.map(table => {
    const own = chains.filter(chain => chain.table === table);
    return [
      ...own.map(({ name }) => `:${name} - [0:0]`),
      ...own.map(({ hook, jump, name }) =>
        ['-I', hook, '1', ...jump, '-m comment --comment', `virlan-${bridge}`, '-j', name].join(' '),
      ),
      ...own.flatMap(({ name, rules }) => rules.map(rule => `-A ${name} ${rule}`)),
    ];
  });
  return formatTables(blocks);
}

/**
 * The script that brings a host from what `listing` shows to `rules` (null for none): a transaction a table, in which
 * the jumps that are there go before the new ones come, so that each stays single.
 */
export function replaceIptables(bridge: string, rules: string | null, listing: readonly string[]): string {
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

/** The lines of `iptables-save` that are virlan's for this bridge, and the tables they stand in, without counters. */
export function ownLines(bridge: string, save: string): string[] {
  const own: string[] = [];
  let table: string | null = null;
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line;
    const isOwn = /^(:|-A )VIRLAN-(FWD|INP|POST)-(\S+)/.exec(line)?.[3] === bridge || isJump(bridge, line);
    if (!isOwn) continue;
    if (table !== null) own.push(table);
    table = null;
    own.push(line.replace(/ \[\d+:\d+\]$/, ' [0:0]'));
  }
  return own;
}

function isJump(bridge: string, line: string): boolean {
  const [, target] = /^-A (?!VIRLAN-).* -j VIRLAN-(?:FWD|INP|POST)-(\S+)$/.exec(line) ?? [];
  return target === bridge;
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

const verdicts: Record<Verdict, string> = {
  accept: 'ACCEPT',
  drop: 'DROP',
  return: 'RETURN',
  reset: 'REJECT --reject-with tcp-reset',
  'port-unreachable': 'REJECT --reject-with icmp-port-unreachable',
  masquerade: 'MASQUERADE',
  'masquerade-high-ports': 'MASQUERADE --to-ports 1024-65535',
};

/** multiport takes 15 ports, a range counting for two (xt_multiport.h, XT_MULTI_PORTS), so a longer list becomes several rules. */
const portsPerRule = 7;

/** One rule, or several where its ports need it, without the chain: with `marks` right before what becomes of the packet. */
export function renderRule(rule: Rule, marks: readonly string[] = []): string[] {
  const { from, to, source, destination, protocol, ports, tracked, verdict } = rule;
  const words: string[] = [];
  if (source !== undefined) words.push(`-s ${formatPrefix(source)}`);
  if (destination !== undefined) {
    words.push(
      'not' in destination ? `! -d ${formatPrefix(destination.not)}` : `-d ${formatPrefix(destination)}`,
    );
  }
  if (from !== undefined) words.push(`-i ${from}`);
  if (to !== undefined) words.push(`-o ${to}`);
  if (protocol === 'icmp-echo-request') words.push('-p icmp -m icmp --icmp-type 8');
  else if (protocol !== undefined) words.push(`-p ${protocol}`);
  const states = tracked === undefined ? [] : [`-m conntrack --ctstate ${tracked.join(',').toUpperCase()}`];
  const tail = [...states, ...marks, `-j ${verdicts[verdict]}`];
  if (ports === undefined) return [[...words, ...tail].join(' ')];
  return portLists(ports).map(list => [...words, `-m multiport --dports ${list}`, ...tail].join(' '));
}

/** Ports as `22,6000:6010`, in lists that are short enough for multiport. */
export function portLists(ports: NonNullable<Rule['ports']>): string[] {
  const chunks = Array.from({ length: Math.ceil(ports.length / portsPerRule) }, (_, index) =>
    ports.slice(index * portsPerRule, (index + 1) * portsPerRule),
  );
  return chunks.map(chunk =>
    chunk.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join(','),
  );
}
