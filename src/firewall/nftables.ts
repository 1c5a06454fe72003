// The nftables backend: one table per bridge and family, loaded as a whole by `nft -f -`.
//
//   table ip virlan-k8s-br0 {
//     chain forward {
//       type filter hook forward priority filter; policy accept;
//       iifname "k8s-br0" oifname "k8s-br0" accept
import { formatPrefix } from '../address/ip.ts';
import { CommandError } from '../errors.ts';
import type { Backend, RulesPlace } from './backend.ts';
import { checksumScript } from './iptables.ts';
import { nftFamily } from './rules-reader.ts';
import type { PrefixMatch, Rule, Ruleset, Verdict } from './ruleset.ts';

export const nftables: Backend = {
  name: 'nftables',
  programs: () => ['nft'],
  render: ruleset => renderNftables(ruleset),
  // nftables has no statement that fills in checksums.
  companions: (ruleset, available) =>
    available.includes('iptables') && ruleset.family === 'ipv4'
      ? [
          {
            ...placeOf(ruleset),
            backend: 'iptables',
            role: 'companion',
            script: checksumScript(ruleset.bridge),
          },
        ]
      : [],
  missingTables: async () => [],
  async load(system, _reader, place, script) {
    const load = (text: string) => system.run('nft', ['-f', '-'], { input: text });
    try {
      await load(createScript(place, script));
    } catch (error) {
      if (error instanceof CommandError && error.reason === 'timeout') throw error;
      await load(replaceScript(place, script));
    }
  },
  async remove(system, _reader, place) {
    await system.run('nft', ['-f', '-'], { input: removeScript(place) });
  },
  async list(reader, { family, bridge }) {
    const listing = await reader.nftTable(family, tableName(bridge));
    return listing.split('\n').filter(line => line.trim() !== '');
  },
  countRules: lines => lines.filter(line => /^\t\t(?!type )[^\t ]/.test(line)).length,
  describePlace: tableOf,
};

/** The table of a network. Only tables of this name are ever read or removed. */
function tableName(bridge: string): string {
  return `virlan-${bridge}`;
}

function placeOf({ bridge, family }: Ruleset): RulesPlace {
  return { bridge, family };
}

function tableOf({ family, bridge }: RulesPlace): string {
  return `table ${nftFamily[family]} ${tableName(bridge)}`;
}

function renderNftables(ruleset: Ruleset): string {
  const { only } = ruleset.input;
  const render = (rule: Rule) => renderRule(ruleset, rule);
  const chains = [
    ['forward', 'type filter hook forward priority filter; policy accept;', ruleset.forward.map(render)],
    [
      'input',
      'type filter hook input priority filter; policy accept;',
      [...(only === null ? [] : [`iifname != "${only}" return`]), ...ruleset.input.rules.map(render)],
    ],
    [
      'postrouting',
      'type nat hook postrouting priority srcnat; policy accept;',
      ruleset.postrouting.map(render),
    ],
  ] as const;
  const used = chains.filter(([, , rules]) => rules.length > 0);
  const bodies = used.map(
    ([name, hook, rules]) =>
      `\tchain ${name} {\n${[hook, ...rules].map(line => `\t\t${line}\n`).join('')}\t}\n`,
  );
  return `${tableOf(ruleset)} {\n${bodies.join('\n')}}\n`;
}

/**
 * Returns a script that adds the table, and fails where one exists. Without a removal the kernel does not
 * wait for a grace period, which is most of the time that a load takes.
 */
export function createScript(place: RulesPlace, rules: string): string {
  return `create ${tableOf(place)}\n${rules}`;
}

/** Returns a script that loads the table in place of an existing one, in one transaction. */
export function replaceScript(place: RulesPlace, rules: string): string {
  return `${removeScript(place)}${rules}`;
}

/** Returns a script that removes the table, if it exists. */
export function removeScript(place: RulesPlace): string {
  const table = tableOf(place);
  return `${table}\ndelete ${table}\n`;
}

function renderRule({ family }: Ruleset, rule: Rule): string {
  const { from, to, notTo, source, destination, protocol, ports, tracked, translated, verdict } = rule;
  const address = (side: 'saddr' | 'daddr', { kind, prefix }: PrefixMatch) =>
    `${nftFamily[family]} ${side} ${kind === 'not-in' ? '!= ' : ''}${formatPrefix(prefix)}`;
  const words: string[] = [];
  if (from !== undefined) words.push(`iifname "${from}"`);
  if (to !== undefined) words.push(`oifname "${to}"`);
  if (notTo !== undefined) words.push(`oifname != "${notTo}"`);
  if (source !== undefined) words.push(address('saddr', source));
  if (destination !== undefined) words.push(address('daddr', destination));
  if (tracked !== undefined) words.push(`ct state ${tracked.join(',')}`);
  if (translated === true) words.push('ct status dnat');
  if (protocol === 'icmp-echo-request') words.push(`${icmp[family]} type echo-request`);
  else if (protocol === 'ipv6-control') words.push(`icmpv6 type { ${ipv6Control.join(', ')} }`);
  else if (protocol === 'tcp-syn') words.push('tcp flags & (syn | rst) == syn');
  else if (protocol !== undefined && ports === undefined) words.push(`meta l4proto ${protocol}`);
  else if (protocol !== undefined && ports !== undefined) {
    const listed = ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
    words.push(`${protocol} dport { ${listed.join(', ')} }`);
  }
  return [...words, renderVerdict(family, verdict)].join(' ');
}

/** MLD (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861). */
const ipv6Control = [
  'mld-listener-query',
  'mld-listener-report',
  'mld-listener-done',
  'nd-router-solicit',
  'nd-router-advert',
  'nd-neighbor-solicit',
  'nd-neighbor-advert',
  'mld2-listener-report',
];

const icmp = { ipv4: 'icmp', ipv6: 'icmpv6' } as const;

function renderVerdict(family: Ruleset['family'], verdict: Verdict): string {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return verdict.kind;
    case 'clamp-mss':
      return 'tcp option maxseg size set rt mtu';
    case 'reject':
      return verdict.with === 'tcp-reset'
        ? 'reject with tcp reset'
        : `reject with ${icmp[family]} type port-unreachable`;
    case 'masquerade':
      return verdict.ports === null
        ? 'masquerade'
        : `masquerade to :${verdict.ports.first}-${verdict.ports.last}`;
  }
}
