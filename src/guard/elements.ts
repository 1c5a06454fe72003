// The elements of the guard's sets (ruleset.ts), in the form in which nft lists them. Pure.
//   taps: "vnet0", a guarded one
//   own_macs: "vnet0" . 0x525400c5f2a7
//   addr6: 0x505400fffec5f2a7, the half of an address that says which interface it is
//   allow4: "vnet0" . 192.168.100.240-192.168.100.250
//   remote_peers: "vnet0" . 0x525400c5f2a7, a machine of another host
//   isolated_ports: "vnet0", a port that libvirt isolates
//   remote_isolated: 0x525400c5f2a7, a NIC on another host that libvirt isolates there
//   reflecting: "vnet0" . "vnet0", a port that sends frames back to where they come from
import { formatIp, type Ipv4, type Ipv4Range } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { GuardMode } from '../config/config.ts';

/** Of each pair, the first holds what belongs to anybody, the second what belongs to a port's machine. */
export const setNames = [
  'ports',
  'taps',
  'macs',
  'own_macs',
  'addr4',
  'own4',
  'allow4',
  'addr6',
  'own6',
  'isolated',
  'peers',
  'remote_peers',
  'isolated_ports',
  'remote_isolated',
  'reflecting',
] as const;

export type SetName = (typeof setNames)[number];

export type Elements = { readonly [Name in SetName]: ReadonlySet<string> };

/** MACs and addresses that belong to one machine or device. */
export interface Belongings {
  readonly macs: readonly Mac[];
  readonly addresses: readonly Ipv4[];
}

/** The tap of a machine's NIC. */
export interface GuardedTap extends Belongings {
  readonly name: string;
  readonly mode: GuardMode;
  /** True if the machine reaches no other machines but those of its group. */
  readonly isolated: boolean;
  /** MACs on other hosts that it reaches nevertheless. */
  readonly remotePeers: readonly Mac[];
  /** True if libvirt isolates the port, and NICs on other hosts are to be kept from it. */
  readonly portIsolated: boolean;
  /** Addresses that it may use although they are not its own. */
  readonly allowed: readonly Ipv4Range[];
}

/** Returns the elements that say that these belong to somebody. */
export function belongingElements({ macs, addresses }: Belongings): Elements {
  return {
    ...noElements,
    macs: new Set(macs.map(macText)),
    addr4: new Set(addresses.map(formatIp)),
    addr6: new Set(macs.map(interfaceIdOf)),
  };
}

/** Returns the elements that let a tap's machine use what is its own. */
export function tapElements(tap: GuardedTap): Elements {
  const { name, mode, isolated, remotePeers, portIsolated, macs, addresses, allowed } = tap;
  const own = (values: readonly string[]) => new Set(values.map(value => `"${name}" . ${value}`));
  const apart = {
    ...noElements,
    isolated: new Set(isolated ? [`"${name}"`] : []),
    remote_peers: remotePeerSet(name, remotePeers),
    isolated_ports: new Set(portIsolated ? [`"${name}"`] : []),
    // Whatever its mode is: an isolated port sends into the tunnel with these alone.
    own_macs: own(macs.map(macText)),
  };
  if (mode === 'no') return apart;
  return {
    ...apart,
    ports: new Set([`"${name}" : goto ${mode}`]),
    taps: new Set([`"${name}"`]),
    own4: own(addresses.map(formatIp)),
    own6: own(macs.map(interfaceIdOf)),
    allow4: own(allowed.map(rangeText)),
  };
}

const none: ReadonlySet<string> = new Set();

export const noElements: Elements = mapSets(() => none);

/** Returns the elements that keep from ports what they would reflect without need. */
export function reflectingElements(taps: readonly string[]): Elements {
  return { ...noElements, reflecting: new Set(taps.map(tap => `"${tap}" . "${tap}"`)) };
}

/** Returns the elements that say which NICs on other hosts libvirt isolates there. */
export function remoteIsolatedElements(macs: readonly Mac[]): Elements {
  return { ...noElements, remote_isolated: new Set(macs.map(macText)) };
}

/** Returns the elements of `remote_peers` that let a tap reach these MACs on other hosts. */
export function remotePeerSet(tap: string, macs: readonly Mac[]): ReadonlySet<string> {
  return new Set(macs.map(mac => `"${tap}" . ${macText(mac)}`));
}

/** Returns the elements that let the taps of each group reach each other. */
export function peerElements(
  taps: readonly { readonly tap: string; readonly group: string | null }[],
): Elements {
  const groups = new Map<string, string[]>();
  for (const { tap, group } of taps)
    if (group !== null) groups.set(group, [...(groups.get(group) ?? []), tap]);
  const pairs = [...groups.values()].flatMap(all =>
    all.flatMap(from => all.filter(to => to !== from).map(to => `"${from}" . "${to}"`)),
  );
  return { ...noElements, peers: new Set(pairs) };
}

/** Returns the elements of all. */
export function joinElements(all: readonly Elements[]): Elements {
  return mapSets(name => new Set(all.flatMap(elements => [...elements[name]])));
}

/** Returns the elements of the first that the second lacks. */
export function elementsWithout(first: Elements, second: Elements): Elements {
  return mapSets(name => new Set([...first[name]].filter(element => !second[name].has(element))));
}

export function countElements(elements: Elements): number {
  return setNames.reduce((sum, name) => sum + elements[name].size, 0);
}

/** Returns a record with a set for each name. */
export function mapSets(makeSet: (name: SetName) => ReadonlySet<string>): Elements {
  return Object.fromEntries(setNames.map(name => [name, makeSet(name)])) as Record<
    SetName,
    ReadonlySet<string>
  >;
}

/** Returns the second half of the IPv6 addresses that are made of a MAC (RFC 4291, appendix A). */
function interfaceIdOf(mac: Mac): string {
  const number = BigInt(macText(mac)) ^ (1n << 41n);
  return hex(((number >> 24n) << 40n) | (0xfffen << 24n) | (number & 0xffffffn));
}

function macText(mac: Mac): string {
  return hex(BigInt(`0x${mac.replaceAll(':', '')}`));
}

function hex(number: bigint): string {
  return `0x${number.toString(16)}`;
}

function rangeText({ first, last }: Ipv4Range): string {
  return first === last ? formatIp(first) : `${formatIp(first)}-${formatIp(last)}`;
}
