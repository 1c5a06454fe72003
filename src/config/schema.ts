// The keys of virlan.ini: how each value is read, and its default.
import * as v from 'valibot';
import {
  familyOf,
  formatIp,
  type Ipv4,
  type Ipv4Range,
  type Prefix,
  parseAddressWithPrefix,
  parseIp,
  parseIpv4,
  prefixOf,
} from '../address/ip.ts';
import { parseMac } from '../address/mac.ts';
import { splitAliases } from '../names/alias.ts';
import { isLinkName } from '../names/link-name.ts';
import { parseBoot, parseBootUrl, parseDhcpOption, parseDirectory } from './boot.ts';
import type { Endpoint, PortRange } from './config.ts';
import { type PortSpan, parseForward, parsePortSpan } from './forward.ts';

/**
 * Returns a schema for text that `parse` reads; null from `parse` is an error. `form` describes in words what
 * to write.
 */
function parsed<T>(parse: (text: string) => T | null, form: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== null) return value;
      addIssue({ message: `write ${form}` });
      return NEVER;
    }),
    v.description(form),
  );
}

function oneOf<const T extends readonly [string, ...string[]]>(...values: T) {
  return v.picklist(values, `write one of: ${values.join(', ')}`);
}

function numberOfBytes(min: number, max: number) {
  return parsed(text => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    return number >= min && number <= max ? number : null;
  }, `a number of bytes from ${min} to ${max}`);
}

function parseYesNo(text: string): boolean | null {
  if (/^(yes|on|true|1)$/i.test(text)) return true;
  return /^(no|off|false|0)$/i.test(text) ? false : null;
}

function parseSubnet(text: string): { address: Ipv4; length: number } | null {
  const read = parseAddressWithPrefix(text);
  return typeof read?.address === 'number' ? { address: read.address, length: read.length } : null;
}

function parseRange(text: string): Ipv4Range | null {
  const [first, last, ...more] = text.split('-').map(end => parseIpv4(end.trim()));
  return first == null || last == null || more.length > 0 ? null : { first, last };
}

function parseList<T>(text: string, parse: (item: string) => T | null): T[] | null {
  const items = text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
    .map(parse);
  return items.every(item => item !== null) ? items : null;
}

function parsePorts(text: string): PortRange | null {
  const [, protocol, from = '', to = from] = /^(tcp|udp)\/(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if ((protocol !== 'tcp' && protocol !== 'udp') || first < 1 || last > 65535 || first > last) return null;
  return { protocol, first, last };
}

function parseForwardPorts(text: string): PortSpan | 'no' | null {
  return text === 'no' ? text : parsePortSpan(text);
}

function parseDns(text: string): 'host' | Ipv4[] | null {
  if (text === 'host') return text;
  const servers = parseList(text, parseIpv4);
  return servers === null || servers.length === 0 ? null : servers;
}

function parseNames(text: string): string[] | null {
  return parseList(text, item => (/^[A-Za-z0-9_-]+$/.test(item) ? item : null));
}

const secondsIn = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Returns seconds. dnsmasq does not accept a lease shorter than two minutes (option.c, "dhcp-range"). */
function parseLeaseTime(text: string): number | 'infinite' | null {
  if (text === 'infinite') return text;
  const [, count, unit = 's'] = /^(\d{1,7})([smhdw])?$/.exec(text) ?? [];
  const seconds = Number(count) * secondsIn[unit as keyof typeof secondsIn];
  return seconds >= 120 && seconds < 2 ** 31 ? seconds : null;
}

/** Accepts names and wildcards; whether they are free is known only on a network. */
function parseAliases(text: string): string[] | null {
  const aliases = splitAliases(text);
  return aliases.every(alias => /^(\*|(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*)$/i.test(alias)) ? aliases : null;
}

function parseDomain(text: string): string | null {
  const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
  return text.length <= 253 && new RegExp(`^${label}(\\.${label})*$`, 'i').test(text)
    ? text.toLowerCase()
    : null;
}

function parseUplink(text: string): string | null {
  return text === '' ? text : parseLinkName(text);
}

function parseLinkName(text: string): string | null {
  return isLinkName(text) ? text : null;
}

const maxVni = 2 ** 24 - 1;

function parseVni(text: string): number | '' | null {
  if (text === '') return text;
  const number = /^\d{1,8}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= maxVni ? number : null;
}

/** The numbers that no AS may have (RFC 7607, RFC 4893 and RFC 7300) are left out. */
const reservedAs = [0, 23_456, 65_535, 2 ** 32 - 1];

function parseAs(text: string): number | '' | null {
  if (text === '') return text;
  const number = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return number < 2 ** 32 && !reservedAs.includes(number) ? number : null;
}

function parseHosts(text: string): Prefix<Ipv4> | '' | null {
  if (text === '') return text;
  const read = parseSubnet(text);
  return read === null ? null : prefixOf(read.address, read.length);
}

function parsePeers(text: string): Ipv4[] | 'etcd' | null {
  if (text === 'etcd') return text;
  const peers = parseList(text, parseIpv4);
  return peers === null || peers.length === 0 ? null : peers;
}

/** A password, and who is where, do not cross a net in clear text. */
function parseEtcd(text: string): string[] | null {
  return parseList(text, item =>
    /^(https:\/\/([\w.-]+|\[[\da-f:]+\])|http:\/\/127\.0\.0\.1):\d{1,5}$/i.test(item) ? item : null,
  );
}

export const bridgeName = parsed(
  parseLinkName,
  'at most 15 letters, digits, ".", "_" and "-", but not all or default',
);

/**
 * The keys of a `[network.NAME]` section, with defaults as text. Keys without a default here get one from the
 * section's name or its subnet (parse.ts). Explanations are in keys.ts.
 */
export const networkSection = v.strictObject({
  bridge: v.optional(bridgeName),
  subnet: v.optional(parsed(parseSubnet, 'a network such as 192.168.100.0/24'), '192.168.100.0/24'),
  'dhcp-range': v.optional(
    parsed(parseRange, 'the first and the last address, such as 192.168.100.2-192.168.100.254'),
  ),
  mode: v.optional(oneOf('nat', 'routed', 'isolated', 'open'), 'nat'),
  outside: v.optional(oneOf('all', 'uplink'), 'all'),
  uplink: v.optional(
    parsed(parseUplink, 'the name of a link, such as eth0: at most 15 letters, digits, ".", "_" and "-"'),
    '',
  ),
  reaches: v.optional(parsed(parseNames, 'names of other [network.NAME] sections, such as lab, dmz'), ''),
  stp: v.optional(parsed(parseYesNo, 'yes or no'), 'yes'),
  // A tap has no more (MAX_MTU in drivers/net/tun.c).
  mtu: v.optional(numberOfBytes(68, 65_521), '1500'),
  vni: v.optional(parsed(parseVni, `a number from 1 to ${maxVni}`), ''),
  firewall: v.optional(oneOf('auto', 'nftables', 'iptables'), 'auto'),
  'host-access': v.optional(oneOf('minimal', 'basic', 'all'), 'basic'),
  'host-allow': v.optional(
    parsed(text => parseList(text, parsePorts), 'ports such as tcp/5000, udp/123, tcp/6000-6010'),
    '',
  ),
  'host-firewall': v.optional(oneOf('bridge', 'strict'), 'bridge'),
  'forward-ports': v.optional(
    parsed(parseForwardPorts, 'a range of ports such as 1024-65535, or the word no'),
    '1024-65535',
  ),
  localhost: v.optional(parsed(parseYesNo, 'yes or no'), 'no'),
  domain: v.optional(parsed(parseDomain, 'a DNS domain such as k8s.internal')),
  names: v.optional(oneOf('domain', 'search', 'no'), 'domain'),
  dns: v.optional(parsed(parseDns, 'host, or addresses such as 9.9.9.9, 1.1.1.1'), 'host'),
  mac: v.optional(oneOf('assign', 'always', 'keep'), 'assign'),
  'default-network': v.optional(oneOf('auto', 'remove', 'replace', 'keep'), 'auto'),
  'lease-time': v.optional(
    parsed(parseLeaseTime, 'a time of at least 2m, such as 30m, 1h or 7d, or the word infinite'),
    '1h',
  ),
  boot: v.optional(
    parsed(parseBoot, 'a URL such as http://192.168.100.1/boot.ipxe, or a file below the directory of tftp'),
    '',
  ),
  tftp: v.optional(parsed(parseDirectory, 'an absolute path such as /srv/tftp'), ''),
  'dhcp-option': v.optional(
    parsed(
      text => parseList(text, parseDhcpOption),
      'NUMBER:VALUE or NAME:VALUE, such as 42:10.0.0.1 10.0.0.2, domain-search:lab.example',
    ),
    '',
  ),
  'on-error': v.optional(oneOf('start', 'abort'), 'start'),
  guard: v.optional(oneOf('others', 'strict', 'no'), 'others'),
  isolate: v.optional(parsed(parseYesNo, 'yes or no'), 'no'),
  strangers: v.optional(parsed(parseYesNo, 'yes or no'), 'yes'),
});

/** The keys of a `[host.NAME]` section; all are required. */
export const hostSection = v.strictObject({
  network: parsed(text => text, 'the NAME of a [network.NAME] section'),
  mac: parsed(parseMac, 'a unicast MAC such as 52:54:00:00:00:10'),
  ip: parsed(parseIpv4, 'an address such as 192.168.100.10'),
});

/** The keys of a `[machine.NAME]` section. */
export const machineSection = v.strictObject({
  boot: v.optional(parsed(parseBootUrl, 'a URL such as http://192.168.100.1/web.ipxe'), ''),
  aliases: v.optional(parsed(parseAliases, 'names such as api, www, *.apps'), ''),
  forward: v.optional(
    parsed(
      text => parseList(text, parseForward),
      'forwards such as tcp/8443:443, udp/30000-30010, tcp/2222:22 on 192.0.2.5 from 10.0.0.0/8',
    ),
    '',
  ),
});

const file = v.optional(parsed(parseDirectory, 'an absolute path'), '');

/** The keys of the `[cluster]` section; the first two are required. */
export const clusterSection = v.strictObject({
  address: parsed(parseIpv4, 'an IPv4 address of this host, such as 10.0.0.2'),
  peers: parsed(parsePeers, 'the IPv4 addresses of the other hosts, such as 10.0.0.1, 10.0.0.3, or etcd'),
  as: v.optional(parsed(parseAs, 'the number of a private AS, such as 65000'), ''),
  hosts: v.optional(parsed(parseHosts, 'a network that contains all hosts, such as 10.0.0.0/24'), ''),
  etcd: v.optional(parsed(parseEtcd, 'URLs such as https://10.0.0.11:2379'), ''),
  ca: file,
  cert: file,
  key: file,
  username: v.optional(v.pipe(v.string(), v.description('the name of a user of etcd, such as virlan')), ''),
  'password-file': file,
});

function parseEndpoint(text: string): Endpoint | '' | null {
  if (text === '') return text;
  const [, ipv6 = '', ipv4 = '', port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseIp(ipv4 === '' ? ipv6 : ipv4);
  const number = Number(port);
  if (address === null || familyOf(address) !== (ipv4 === '' ? 'ipv6' : 'ipv4')) return null;
  return number >= 1 && number <= 65_535 ? { address: formatIp(address), port: number } : null;
}

/** The keys of the `[watcher]` section. */
export const watcherSection = v.strictObject({
  metrics: v.optional(
    parsed(parseEndpoint, 'an address of this host and a port, such as 127.0.0.1:9177 or [::1]:9177'),
    '',
  ),
});

export type NetworkSection = v.InferOutput<typeof networkSection>;
export type HostSection = v.InferOutput<typeof hostSection>;
export type ClusterSection = v.InferOutput<typeof clusterSection>;
export type MachineKeys = v.InferOutput<typeof machineSection>;
export type WatcherSection = v.InferOutput<typeof watcherSection>;
