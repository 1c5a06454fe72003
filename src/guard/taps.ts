// Decides who is behind which port of a bridge, and what belongs to whom. Pure.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Lease, LeasedAddresses } from '../dnsmasq/leases.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { nicsOn } from '../identity/machine.ts';
import type { Domain, Nic } from '../libvirt/domain-xml.ts';
import type { Belongings, GuardedTap } from './elements.ts';
import { readGuardWishes } from './wishes.ts';

/** The tap of a running machine's NIC; `guard` is null where the machine's frames are not looked at. */
export interface MachineTap {
  readonly tap: string;
  readonly uuid: string;
  readonly group: string | null;
  readonly guard: GuardedTap | null;
}

/** A link that is in a bridge. */
export interface BridgePort {
  readonly name: string;
  /** The kernel never gives it to another link. */
  readonly index: number;
  /** `tun` for a tap. */
  readonly type: string | null;
  readonly mac: Mac | null;
}

/**
 * Names that nft takes in quotes and prints so that they are told from what is around them, and that are part of the
 * name of a file: visible ASCII without `"`, `*`, `,`, `/`, `:`, `\`, `{` and `}`.
 */
export const plainName = /^(?!\.\.?$)[!#-)+.0-9;-[\]-z|~-]{1,15}$/;

type GuardedNetwork = Pick<NetworkConfig, 'name' | 'guard' | 'isolate' | 'tunnel' | 'hosts' | 'sharesLedger'>;

/**
 * Returns the taps of a running machine on a network. One with an odd name is not guarded. `leased` is of leases that
 * have not expired: a machine whose address is changed while it runs uses the earlier one until its lease ends.
 */
export function machineTaps(
  network: GuardedNetwork & Pick<NetworkConfig, 'bridge'>,
  passThrough: ReadonlySet<string>,
  domain: Domain,
  ledger: Ledger,
  leased: LeasedAddresses = new Map(),
): MachineTap[] {
  const nics = nicsOn(network.bridge, passThrough, domain);
  const ports = nics.flatMap(({ tap, isolated }) =>
    tap !== null && plainName.test(tap) ? [{ tap, isolated }] : [],
  );
  const macs = nics.flatMap(({ mac }) => mac ?? []);
  const own = ownedBy(network, domain.uuid, macs, ledger, leased);
  return tapsOf(network, domain, ports, own, ledger);
}

/** Returns the taps of a running machine that should be guarded, and are not because of their names. Hostile. */
export function unguardedNames(
  network: Pick<GuardedNetwork, 'guard' | 'isolate'> & Pick<NetworkConfig, 'bridge'>,
  passThrough: ReadonlySet<string>,
  domain: Domain,
): string[] {
  const mode = readGuardWishes(domain).mode ?? network.guard;
  if (mode === 'no' && !network.isolate) return [];
  const nics = nicsOn(network.bridge, passThrough, domain);
  return nics.flatMap(({ tap }) => (tap === null || plainName.test(tap) ? [] : [tap]));
}

/** A tap, and whether libvirt isolates it. */
type Port = Pick<Nic, 'isolated'> & { readonly tap: string };

function tapsOf(
  network: GuardedNetwork,
  domain: Domain,
  ports: readonly Port[],
  own: Belongings,
  ledger: Ledger,
): MachineTap[] {
  const { mode: wished, group, allowed } = readGuardWishes(domain);
  const { isolate: isolated } = network;
  const mode = wished ?? network.guard;
  const remotePeers = remotePeersOf(network, group, ledger);
  return ports.map(port => {
    const { tap } = port;
    const portIsolated = port.isolated && network.sharesLedger;
    const isFree = mode === 'no' && !isolated && !portIsolated;
    const guard = { name: tap, mode, isolated, remotePeers, portIsolated, allowed, ...own };
    return { tap, uuid: domain.uuid, group, guard: isFree ? null : guard };
  });
}

/** Returns the MACs of NICs on other hosts that libvirt isolates there. */
export function remoteIsolatedOf({ name, sharesLedger }: GuardedNetwork, ledger: Ledger): Mac[] {
  if (!sharesLedger) return [];
  const isolated = ledger.elsewhere().filter(entry => entry.network === name && entry.isolated);
  return isolated.flatMap(({ macs }) => macs);
}

/** Returns the MACs on other hosts that an isolated machine reaches: of its group, and of devices there. */
export function remotePeersOf(
  { name, isolate, tunnel, hosts }: GuardedNetwork,
  group: string | null,
  ledger: Ledger,
): Mac[] {
  if (tunnel === null || !isolate) return [];
  const machines = group === null ? [] : (groupsIn(ledger.elsewhere()).get(groupKey(name, group)) ?? []);
  return [...hosts.map(({ mac }) => mac), ...machines];
}

type MacsByGroup = ReadonlyMap<string, readonly Mac[]>;

/** By list of entries: a scan asks for the peers of each machine, and a list of thousands is gone through once. */
const groupsOfLists = new WeakMap<readonly LedgerEntry[], MacsByGroup>();

function groupsIn(entries: readonly LedgerEntry[]): MacsByGroup {
  const known = groupsOfLists.get(entries);
  if (known !== undefined) return known;
  const groups = new Map<string, Mac[]>();
  for (const { network, group, macs } of entries) {
    if (group === null) continue;
    const key = groupKey(network, group);
    const others = groups.get(key);
    if (others === undefined) groups.set(key, [...macs]);
    else others.push(...macs);
  }
  groupsOfLists.set(entries, groups);
  return groups;
}

/** The name of a group is hostile, that of a network has no space. */
function groupKey(network: string, group: string): string {
  return `${network} ${group}`;
}

/**
 * Returns what belongs to a machine, by any of its NICs: guests answer for the address of one NIC by another,
 * and move MACs between those of a bond.
 */
function ownedBy(
  { name, hosts }: Pick<GuardedNetwork, 'name' | 'hosts'>,
  uuid: string,
  macs: readonly Mac[],
  ledger: Ledger,
  leased: LeasedAddresses,
): Belongings {
  const entries = [
    ...ledger.ofMachine(name, uuid),
    // Of two machines with one MAC, the second has no entry of its own.
    ...macs.flatMap(mac => ledger.withMacOn(name, mac)),
  ].filter(entry => entry.retired === null);
  const own = [...new Set([...macs, ...entries.flatMap(entry => entry.macs)])];
  const reserved = entries.flatMap(({ ip }) => ip ?? []);
  const isFree = (ip: Ipv4) =>
    ledger.withIp(name, ip).every(entry => entry.retired !== null) && hosts.every(host => host.ip !== ip);
  const used = own.flatMap(mac => leased.get(mac) ?? []).filter(isFree);
  return { macs: own, addresses: [...new Set([...reserved, ...used])] };
}

/**
 * Returns whether a link of this MAC can be the host's end of a NIC: libvirt gives a tap the NIC's MAC, with another
 * first byte (virNetDevTapCreateInBridgePort in its virnetdevtap.c).
 */
export function isTapOf(mac: string, nic: Mac | null): boolean {
  return nic !== null && /^f[ae]:/.test(mac) && mac.slice(2) === nic.slice(2);
}

/**
 * Returns the taps that nobody knows yet, by their MACs: a NIC that is being plugged in is known by this alone.
 */
export function tapsByMac(
  network: GuardedNetwork,
  ports: readonly BridgePort[],
  running: readonly Domain[],
  ledger: Ledger,
  leased: LeasedAddresses = new Map(),
): MachineTap[] {
  const present = ledger.present().filter(entry => entry.network === network.name && entry.host === null);
  return ports.flatMap(({ name, type, mac }) => {
    if (type !== 'tun' || mac === null || !plainName.test(name)) return [];
    const owners = present.filter(({ macs: [own = null] }) => isTapOf(mac, own));
    const [owner] = owners;
    const domain = running.find(({ uuid }) => uuid === owner?.uuid);
    if (owner === undefined || owners.length > 1 || domain === undefined) return [];
    const own = ownedBy(network, domain.uuid, owner.macs, ledger, leased);
    return tapsOf(network, domain, [{ tap: name, isolated: owner.isolated }], own, ledger);
  });
}

/** Returns what belongs to the machines and devices of a network, and to the host. */
export function belongings(
  { name, gateway, hosts }: Pick<NetworkConfig, 'name' | 'gateway' | 'hosts'>,
  gatewayMac: Mac,
  running: readonly GuardedTap[],
  ledger: Ledger,
  leases: readonly Lease[] = [],
): Belongings {
  const entries = ledger.present().filter(entry => entry.network === name);
  const ips = (entry: { readonly ip: Ipv4 | null }) => entry.ip ?? [];
  const macs = [
    gatewayMac,
    ...hosts.map(({ mac }) => mac),
    ...entries.flatMap(entry => entry.macs),
    ...running.flatMap(tap => tap.macs),
  ];
  const known = new Set(macs);
  const leased = leases.filter(({ mac }) => known.has(mac));
  return {
    macs,
    addresses: [
      gateway,
      ...hosts.map(({ ip }) => ip),
      ...entries.flatMap(ips),
      ...leased.map(({ ip }) => ip),
    ],
  };
}
