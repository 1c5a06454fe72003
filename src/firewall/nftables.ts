// The nftables backend: one table per bridge and family, loaded as a whole by `nft -f -`.
//
//   table ip virlan-k8s-br0 {
//     chain forward {
//       type filter hook forward priority filter; policy accept;
//       iifname "k8s-br0" oifname "k8s-br0" accept
import { formatIp, formatPrefix, parseIpv4 } from '../address/ip.ts';
import { formatSpan, parseClients, parsePortSpan } from '../config/forward.ts';
import type { Backend, Listing, RulesPlace } from './backend.ts';
import { connectionSets, isCounted, moreOfTap } from './connection-limit.ts';
import { checksumScript } from './iptables.ts';
import { withoutLackingRules } from './lacking-rules.ts';
import { loadFirst, loadTables, runScript } from './nft-script.ts';
import type { Match, PrefixMatch, Rule, Ruleset, Verdict } from './rule.ts';
import { nftFamily } from './rules-reader.ts';
import type { Translation, TranslationsChange } from './translation.ts';

export const nftables: Backend = {
  name: 'nftables',
  programs: () => ['nft'],
  render: (ruleset, lacking = []) => renderNftables(withoutLackingRules(ruleset, lacking)),
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
  missingObjects: async () => [],
  newTable: createScript,
  load: (system, _reader, place, script) =>
    loadFirst(
      input => loadTables(system, input),
      createScript(place, script),
      () => replaceScript(place, script),
    ),
  async remove(system, _reader, place) {
    await runScript(system, removeScript(place));
  },
  // The kernel may have other elements than expected.
  translate: (system, place, change) =>
    loadFirst(
      input => runScript(system, input),
      changeScript(place, change),
      () => refillScript(place, change.all),
    ),
  list: async (reader, { family, bridge }) => splitListing(await reader.nftTable(family, tableName(bridge))),
  countRules: lines => lines.filter(line => /^\t\t(?!type(of)? |size |flags )[^\t ]/.test(line)).length,
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
  return `table ${placeName({ family, bridge })}`;
}

function placeName({ family, bridge }: RulesPlace): string {
  return `${nftFamily[family]} ${tableName(bridge)}`;
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
      // After everybody's translations, and before firewalld's masquerading (srcnat + 10), which keeps low ports.
      'type nat hook postrouting priority srcnat + 5; policy accept;',
      ruleset.postrouting.map(render),
    ],
    ['early', 'type filter hook prerouting priority raw; policy accept;', ruleset.early.map(render)],
  ] as const;
  const sets = [...connectionSets(ruleset.input.rules), ...renderMaps(ruleset)];
  const used = chains.filter(([, , rules]) => rules.length > 0);
  const bodies = used.map(
    ([name, hook, rules]) =>
      `\tchain ${name} {\n${[hook, ...rules].map(line => `\t\t${line}\n`).join('')}\t}\n`,
  );
  return `${tableOf(ruleset)} {\n${[...sets, ...bodies].join('\n')}}\n`;
}

/** Clients, address of the host, protocol and ports. */
const mapKey = 'ipv4_addr . ipv4_addr . inet_proto . inet_service';

/** The map of single ports, and that of ranges, which lead to the same ports. */
const maps = {
  ports: `${mapKey} : ipv4_addr . inet_service`,
  ranges: `${mapKey} : ipv4_addr`,
} as const;

type MapName = keyof typeof maps;

const mapNames = Object.keys(maps) as MapName[];

/**
 * Returns the maps of forwards and the chains that use them. `-100` is dstnat, a name that nft 1.0 refuses in
 * the hook output.
 */
function renderMaps(ruleset: Ruleset): string[] {
  const { translations } = ruleset;
  if (translations === null) return [];
  const isTranslated = 'meta l4proto { tcp, udp }';
  const key = 'ip saddr . ip daddr . meta l4proto . th dport';
  const jump = (match: Match) =>
    [...matchWords(ruleset.family, match), isTranslated, 'fib daddr type local jump published'].join(' ');
  const chain = (name: string, lines: readonly string[]) =>
    `\tchain ${name} {\n${lines.map(line => `\t\t${line}\n`).join('')}\t}\n`;
  const hook = (name: string) => `type nat hook ${name} priority -100; policy accept;`;
  return [
    ...mapNames.map(name => `\tmap ${name} {\n\t\ttype ${maps[name]}\n\t\tflags interval\n\t}\n`),
    chain(
      'published',
      mapNames.map(name => `${isTranslated} dnat ip to ${key} map @${name}`),
    ),
    chain('prerouting', [hook('prerouting'), jump(translations.arriving)]),
    chain('output', [hook('output'), jump(translations.local)]),
  ];
}

/** Returns a script that adds and deletes single elements; it fails where they are not as expected. */
export function changeScript(place: RulesPlace, { missing, stale }: TranslationsChange): string {
  return [
    ...stale.map(each => `delete ${elementOf(place, each)}\n`),
    ...missing.map(each => `add ${elementOf(place, each)}\n`),
  ].join('');
}

/** Returns a script that puts these elements in place of all others. */
function refillScript(place: RulesPlace, all: readonly Translation[]): string {
  return [
    ...mapNames.map(name => `flush map ${placeName(place)} ${name}\n`),
    ...all.map(each => `add ${elementOf(place, each)}\n`),
  ].join('');
}

function elementOf(place: RulesPlace, translation: Translation): string {
  const { protocol, ports, address, from, to, toPort } = translation;
  const anyAddress = '0.0.0.0/0';
  const key = [
    from === null ? anyAddress : formatPrefix(from),
    address === null ? anyAddress : formatIp(address),
    protocol,
    formatSpan(ports),
  ].join(' . ');
  const target = toPort === null ? formatIp(to) : `${formatIp(to)} . ${toPort}`;
  const name: MapName = toPort === null ? 'ranges' : 'ports';
  return `element ${placeName(place)} ${name} { ${key} : ${target} }`;
}

/** Takes virlan's elements out of the listing of a table. What is not virlan's stays among the rules. */
export function splitListing(listing: string): Listing {
  const translations: Translation[] = [];
  const lines: string[] = [];
  let isElements = false;
  for (const line of listing.split('\n').filter(each => each.trim() !== '')) {
    const begins = line.trim().startsWith('elements = {');
    if (!begins && !isElements) {
      lines.push(line);
      continue;
    }
    isElements = !line.trimEnd().endsWith('}');
    const texts = line.replace(/^\s*elements = \{|\}\s*$/g, '').split(',');
    for (const text of texts.map(each => each.trim()).filter(each => each !== '')) {
      const translation = parseElement(text);
      if (translation !== null) translations.push(translation);
      else if (!isCounted(text)) lines.push(text);
    }
  }
  return { lines, translations, overruled: [] };
}

const protocols: Readonly<Record<string, Translation['protocol']>> = {
  6: 'tcp',
  17: 'udp',
  tcp: 'tcp',
  udp: 'udp',
};

/** Reads an element; null for one that virlan did not make. */
function parseElement(text: string): Translation | null {
  const [key = '', target = ''] = text.split(' : ');
  const [clients = '', host = '', protocolName = '', written = '', ...more] = key.split(' . ');
  const [to, port, ...rest] = target.split(' . ');
  const [from, on] = [parseClients(clients), parseClients(host)];
  const ports = parsePortSpan(written);
  const toPort = port === undefined ? null : parsePortSpan(port);
  const machine = parseIpv4(to ?? '');
  const protocol = protocols[protocolName];
  if (from === null || on === null || ports === null || machine === null || protocol === undefined)
    return null;
  if (more.length + rest.length > 0 || (port !== undefined && toPort === null)) return null;
  if (on.length !== 0 && on.length !== 32) return null;
  return {
    protocol,
    ports,
    address: on.length === 0 ? null : on.network,
    from: from.length === 0 ? null : from,
    to: machine,
    toPort: toPort?.first ?? null,
  };
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
  return [...matchWords(family, rule), renderVerdict(family, rule.verdict)].join(' ');
}

function matchWords(family: Ruleset['family'], match: Match): string[] {
  const { from, to, notTo, source, destination, protocol, ports, tracked, surplus } = match;
  const address = (side: 'saddr' | 'daddr', { kind, prefix }: PrefixMatch) =>
    `${nftFamily[family]} ${side} ${kind === 'not-in' ? '!= ' : ''}${formatPrefix(prefix)}`;
  const words: string[] = [];
  if (from !== undefined) words.push(`iifname "${from}"`);
  if (to !== undefined) words.push(`oifname "${to}"`);
  if (notTo !== undefined) words.push(`oifname != "${notTo}"`);
  if (source !== undefined) words.push(address('saddr', source));
  if (destination !== undefined) words.push(address('daddr', destination));
  if (tracked !== undefined) words.push(`ct state ${tracked.join(',')}`);
  if (match.translated === true) words.push('ct status dnat');
  if (match.unrouted === true) words.push('fib saddr . iif oif missing');
  if (protocol === 'icmp-echo-request') words.push(`${icmp[family]} type echo-request`);
  else if (protocol === 'ipv6-control') words.push(`icmpv6 type { ${ipv6Control.join(', ')} }`);
  else if (protocol === 'tcp-syn') words.push('tcp flags & (syn | rst) == syn');
  else if (protocol !== undefined && ports === undefined) words.push(`meta l4proto ${protocol}`);
  else if (protocol !== undefined && ports !== undefined) {
    const listed = ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
    words.push(`${protocol} dport { ${listed.join(', ')} }`);
  }
  if (surplus === true) words.push(moreOfTap);
  return words;
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
