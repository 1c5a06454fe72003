// The elements of the guard's sets (ruleset.ts), in the form in which nft lists them. Pure.
//   own_macs: "vnet0" . 0x525400c5f2a7
//   allow4: "vnet0" . 192.168.100.240-192.168.100.250
import { formatIp, type IpAddress, type Ipv4Range } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { GuardMode } from '../config/config.ts';

/** Of each pair, the first holds what belongs to anybody, the second what belongs to a port's machine. */
export const setNames = [
  'ports',
  'macs',
  'own_macs',
  'addr4',
  'own4',
  'allow4',
  'addr6',
  'own6',
  'isolated',
  'peers',
] as const;

export type SetName = (typeof setNames)[number];

export type Elements = { readonly [Name in SetName]: ReadonlySet<string> };

/** MACs and addresses that belong to one machine or device. */
export interface Belongings {
  readonly macs: readonly Mac[];
  readonly addresses: readonly IpAddress[];
}

/** The tap of a machine's NIC. */
export interface GuardedTap extends Belongings {
  readonly name: string;
  readonly mode: GuardMode;
  /** True if the machine reaches no other machines but those of its group. */
  readonly isolated: boolean;
  /** Addresses that it may use although they are not its own. */
  readonly allowed: readonly Ipv4Range[];
}

/** Returns the elements that say that these belong to somebody. */
export function belongingElements({ macs, addresses }: Belongings): Elements {
  const { ipv4, ipv6 } = addressesOf({ macs, addresses });
  return {
    ...noElements,
    macs: new Set(macs.map(macText)),
    addr4: new Set(ipv4),
    addr6: new Set(ipv6),
  };
}

/** Returns the elements that let a tap's machine use what is its own. */
export function tapElements({ name, mode, isolated, macs, addresses, allowed }: GuardedTap): Elements {
  const apart = { ...noElements, isolated: new Set(isolated ? [`"${name}"`] : []) };
  if (mode === 'no') return apart;
  const { ipv4, ipv6 } = addressesOf({ macs, addresses });
  const own = (values: readonly string[]) => new Set(values.map(value => `"${name}" . ${value}`));
  return {
    ...apart,
    ports: new Set([`"${name}" : goto ${mode}`]),
    own_macs: own(macs.map(macText)),
    own4: own(ipv4),
    own6: own(ipv6),
    allow4: own(allowed.map(rangeText)),
  };
}

const none: ReadonlySet<string> = new Set();

export const noElements: Elements = {
  ports: none,
  macs: none,
  own_macs: none,
  addr4: none,
  own4: none,
  allow4: none,
  addr6: none,
  own6: none,
  isolated: none,
  peers: none,
};

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

/**
 * Returns addresses as text. A machine with a MAC also has the link-local address that is made of it (RFC
 * 4291, appendix A), whatever else it has.
 */
function addressesOf({ macs, addresses }: Belongings): { ipv4: string[]; ipv6: string[] } {
  return {
    ipv4: addresses.filter(address => typeof address === 'number').map(formatIp),
    ipv6: [...macs.map(linkLocalOf), ...addresses.filter(address => typeof address === 'bigint')].map(hex),
  };
}

function linkLocalOf(mac: Mac): bigint {
  const number = BigInt(macText(mac)) ^ (1n << 41n);
  return (0xfe80n << 112n) | ((number >> 24n) << 40n) | (0xfffen << 24n) | (number & 0xffffffn);
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
