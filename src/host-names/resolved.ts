// systemd-resolved: it is told by D-Bus that the names of a network are asked at its bridge, and nothing else
// is (org.freedesktop.resolve1(5)). It forgets that with the link. It is never started.
import { formatIp, parseIpv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { CommandError } from '../errors.ts';
import type { System } from '../system/system.ts';
import { reverseZones } from './reverse-zones.ts';

/** A domain that is asked at a link; one that is not `routingOnly` is added to short names as well. */
export interface LinkDomain {
  readonly name: string;
  readonly routingOnly: boolean;
}

/** The settings of a link in systemd-resolved. */
export interface LinkNames {
  readonly servers: readonly string[];
  readonly domains: readonly LinkDomain[];
  /** True if the link is asked for these domains only, without DNSSEC, DNS over TLS, LLMNR and mDNS. */
  readonly isConfined: boolean;
}

/** The state that systemd-resolved reports. */
export interface ResolvedReading {
  /** Null for a link that it does not know. */
  readonly link: LinkNames | null;
  /** True if systemd-networkd manages the link: then no other program may change these settings. */
  readonly isManaged: boolean;
}

const service = 'org.freedesktop.resolve1';

/** Longest time for one call: it answers within milliseconds. */
const timeoutSeconds = 2;

/** AF_INET of sys/socket.h. */
const ipv4Family = 2;

/** Returns null where systemd-resolved does not run. */
export async function readResolved(system: System, bridge: string): Promise<ResolvedReading | null> {
  if (!system.exists('/run/systemd/resolve') || !system.exists('/run/dbus/system_bus_socket')) return null;
  if (!system.isInstalled('busctl')) return null;
  const index = indexOf(system, bridge);
  const [runs, link] = await Promise.all([
    isRunning(system),
    index === null ? null : readLink(system, index),
  ]);
  return runs ? { link, isManaged: index !== null && isManaged(system, index) } : null;
}

/** Returns the settings for the bridge of a network; null with `names = no`. */
export function wantedLinkNames(network: NetworkConfig): LinkNames | null {
  const { names, domain, gateway } = network;
  if (names === 'no') return null;
  return {
    servers: [formatIp(gateway)],
    domains: [
      { name: domain, routingOnly: names === 'domain' },
      ...reverseZones(network).map(name => ({ name, routingOnly: true })),
    ],
    isConfined: true,
  };
}

/** Changes the settings of a bridge. Throws CommandError, also as long as systemd-resolved does not know the link. */
export async function tellResolved(
  system: System,
  bridge: string,
  { servers, domains }: LinkNames,
): Promise<void> {
  const index = indexOf(system, bridge) ?? '0';
  const set = (method: string, signature: string, ...args: readonly string[]) =>
    call(system, 'Manager', `SetLink${method}`, `i${signature}`, [index, ...args]);
  const written = domains.flatMap(({ name, routingOnly }) => [name, String(routingOnly)]);
  const addresses = servers.flatMap(server => [String(ipv4Family), '4', ...server.split('.')]);
  // The server last: until then the link answers nothing, whatever it is asked for.
  await Promise.all([
    set('DefaultRoute', 'b', 'false'),
    set('Domains', 'a(sb)', String(domains.length), ...written),
    ...(['DNSSEC', 'DNSOverTLS', 'LLMNR', 'MulticastDNS'] as const).map(protocol => set(protocol, 's', 'no')),
  ]);
  await set('DNS', 'a(iay)', String(servers.length), ...addresses);
}

/** Removes the settings of a bridge. Throws CommandError. */
export async function revertResolved(system: System, bridge: string): Promise<void> {
  await call(system, 'Manager', 'RevertLink', 'i', [indexOf(system, bridge) ?? '0']);
}

/** Returns the number of a link; null when it does not exist. */
function indexOf(system: System, link: string): string | null {
  const text = system.readFile(`/sys/class/net/${link}/ifindex`)?.trim() ?? '';
  return /^[1-9]\d{0,9}$/.test(text) ? text : null;
}

/** Reads the state that systemd-networkd publishes, as systemd-resolved does (link_update in resolved-link.c). */
function isManaged(system: System, index: string): boolean {
  const state = /^ADMIN_STATE=(.*)$/m.exec(system.readFile(`/run/systemd/netif/links/${index}`) ?? '')?.[1];
  return state !== undefined && !['pending', 'initialized', 'unmanaged'].includes(state);
}

async function isRunning(system: System): Promise<boolean> {
  const bus = ['org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus'];
  const reply = await busctl(system, [...bus, 'NameHasOwner', 's', service]);
  return dataOf(reply)[0] === true;
}

/** Returns null for a link that systemd-resolved does not know, or while it does not run. */
async function readLink(system: System, index: string): Promise<LinkNames | null> {
  const args = [
    service,
    linkPath(index),
    'org.freedesktop.DBus.Properties',
    'GetAll',
    's',
    `${service}.Link`,
  ];
  try {
    return parseLink(dataOf(await busctl(system, args))[0]);
  } catch (error) {
    if (error instanceof CommandError && error.reason === 'failed') return null;
    throw error;
  }
}

/** Returns the object of a link: sd_bus_path_encode(3) escapes a first character that is a digit. */
function linkPath(index: string): string {
  return `/org/freedesktop/resolve1/link/_3${index}`;
}

/** Reads properties such as `{"DNS":{"type":"a(iay)","data":[[2,[192,168,100,1]]]},…}`. */
function parseLink(properties: unknown): LinkNames {
  const read = (name: string) =>
    (properties as Record<string, { readonly data?: unknown }> | undefined)?.[name]?.data;
  const list = (name: string) => (Array.isArray(read(name)) ? (read(name) as unknown[]) : []);
  const confined = ['DNSSEC', 'DNSOverTLS', 'LLMNR', 'MulticastDNS'].every(name => read(name) === 'no');
  return {
    servers: list('DNS').map(each => {
      const [family, bytes] = each as [number, number[]];
      const address = family === ipv4Family ? parseIpv4(bytes.join('.')) : null;
      return address === null ? JSON.stringify(bytes) : formatIp(address);
    }),
    domains: list('Domains').map(each => {
      const [name, routingOnly] = each as [string, boolean];
      return { name, routingOnly };
    }),
    isConfined: confined && read('DefaultRoute') === false,
  };
}

function call(
  system: System,
  interfaceName: string,
  method: string,
  signature: string,
  args: readonly string[],
): Promise<string> {
  const object = [service, '/org/freedesktop/resolve1', `${service}.${interfaceName}`];
  return busctl(system, [...object, method, signature, ...args]);
}

/** Calls a method on the system bus and returns the reply as JSON. */
function busctl(system: System, args: readonly string[]): Promise<string> {
  const options = ['--system', '--json=short', '--auto-start=no', `--timeout=${timeoutSeconds}`];
  return system.run('busctl', [...options, 'call', ...args], { timeoutSeconds: timeoutSeconds + 1 });
}

/** Returns the values of a reply. */
function dataOf(reply: string): readonly unknown[] {
  const { data } = JSON.parse(reply) as { readonly data?: unknown };
  return Array.isArray(data) ? data : [];
}
