// Derives the observed state of a network from readings of the host. Pure.

import type { Mac } from '../address/mac.ts';
import type { FoundTunnel } from '../cluster/tunnel.ts';
import { VirlanError } from '../errors.ts';
import type { RulesScript } from '../firewall/backend.ts';
import { compareListings } from '../firewall/drift.ts';
import { type Link, leadsToLan, type Route } from './kernel/links.ts';
import type { KernelReading, RulesListing } from './kernel/read-kernel.ts';
import { type LinkManagerName, probeLink } from './state/link-managers.ts';
import { tunnelName } from './state/link-names.ts';
import type { PortOptions, PortVlan, StaticEntry } from './state/port-options.ts';
import type {
  BridgeState,
  DesiredNetwork,
  FoundGuard,
  FoundRules,
  LinkAddress,
  ObservedNetwork,
  OtherPort,
  RootPort,
  TapState,
  Treatment,
} from './state/state.ts';
import { formatAddress, formatDestination } from './state/state.ts';

/** The rules and addresses that virlan put on the host, according to its record. */
export interface AppliedState {
  readonly rules: readonly (Pick<RulesScript, 'backend' | 'family' | 'script'> & {
    readonly listing: readonly string[];
  })[];
  /** In the form `ADDRESS/LENGTH`. */
  readonly addresses: readonly string[];
  readonly treatment: Treatment | null;
  /** The process of dnsmasq and the index of the bridge that it bound its sockets to; null if not known. */
  readonly dnsmasq: { readonly pid: number; readonly linkIndex: number } | null;
  readonly guard: { readonly table: string; readonly listing: readonly string[] } | null;
  /** The filter of the tunnel. */
  readonly tunnel: { readonly filter: string; readonly listing: readonly string[] } | null;
  /** The options that ports of the bridge had, by tap. */
  readonly ports: Readonly<Record<string, PortOptions>>;
  /** The static entries that they had. */
  readonly entries: Readonly<Record<string, readonly StaticEntry[]>>;
  /** The VLANs that they and the bridge were in, and the one of a new port; null if it did not keep them apart. */
  readonly vlans: {
    readonly defaultVlan: number;
    readonly byLink: Readonly<Record<string, readonly PortVlan[]>>;
  } | null;
}

/** Everything read of the host for one network. A bridge that somebody has renamed is read as if it had its name. */
export interface HostReading extends Omit<KernelReading, 'unread'> {
  readonly renamedTo: string | null;
  readonly applied: AppliedState;
  /** Null if there is none, and none is desired. */
  readonly tunnel: FoundTunnel | null;
  /** Value by key; a key that does not exist is missing. */
  readonly sysctls: ReadonlyMap<string, string>;
  readonly managerFiles: ReadonlyMap<LinkManagerName, string>;
  readonly dnsmasq: Omit<ObservedNetwork['dnsmasq'], 'isUnbound'>;
  /** By path: the mode of what exists and is not a symbolic link. */
  readonly modes: ReadonlyMap<string, number>;
  readonly published: ObservedNetwork['published'];
}

/**
 * Returns what exists of the desired objects. Throws VirlanError 'wrong-link' for a link that is not a
 * bridge.
 */
export function observeNetwork(desired: DesiredNetwork, reading: HostReading): ObservedNetwork {
  const { bridge } = desired;
  const { links, routes, applied } = reading;
  const link = links.find(({ name }) => name === bridge);
  const dummy = links.find(({ name }) => name === desired.dummy.name);
  if (link !== undefined && (link.type !== 'bridge' || link.mac === null)) {
    throw new VirlanError(
      'wrong-link',
      `${bridge} is a link of type ${link.type ?? 'unknown'}, not a bridge: rename it, or set bridge = in virlan.ini`,
    );
  }
  return {
    link: link === undefined || link.mac === null ? null : bridgeState(link, link.mac),
    renamedTo: reading.renamedTo,
    bridgeVlans: link === undefined ? lostVlans(bridge, applied) : bridgeVlans(bridge, reading),
    dummy:
      dummy === undefined || dummy.mac === null
        ? null
        : { mac: dummy.mac, mtu: dummy.mtu, up: dummy.up, master: dummy.master },
    ownAddresses: (link?.addresses ?? []).filter(address =>
      applied.addresses.includes(formatAddress(address)),
    ),
    unrouted: desired.link === null ? [] : findUnrouted(desired.link, link, routes),
    taps: observeTaps(desired, reading),
    tunnel: reading.tunnel,
    managerFiles: reading.managerFiles,
    otherPorts: findOtherPorts(desired, links),
    rootPort: link === undefined ? null : findRootPort(link, links),
    sysctls: new Map([...reading.sysctls].filter(([key]) => desired.sysctls.has(key))),
    treatment: applied.treatment,
    rules: reading.rules.map(listing => observeRules(listing, applied)),
    leftovers: reading.leftovers,
    guard: observeGuard(reading),
    dnsmasq: { ...reading.dnsmasq, isUnbound: isUnbound(link, reading) },
    modes: reading.modes,
    published: reading.published,
  };
}

/** A link that was deleted and made again has another index, and a socket bound to it hears nothing any more. */
function isUnbound(link: Link | undefined, { dnsmasq, applied }: HostReading): boolean {
  if (link === undefined || applied.dnsmasq === null) return false;
  return applied.dnsmasq.pid === dnsmasq.pid && applied.dnsmasq.linkIndex !== link.index;
}

function bridgeState({ mtu, stp, priority, forwardDelay, up, arp, addresses }: Link, mac: Mac): BridgeState {
  return { mac, mtu, stp, priority, forwardDelay, up, arp, addresses };
}

function bridgeVlans(bridge: string, { vlans }: HostReading): ObservedNetwork['bridgeVlans'] {
  return vlans === null ? null : { defaultVlan: vlans.defaultVlan, own: vlans.byLink.get(bridge) ?? [] };
}

function lostVlans(bridge: string, { vlans }: AppliedState): ObservedNetwork['bridgeVlans'] {
  if (vlans === null) return null;
  return { defaultVlan: vlans.defaultVlan, own: recorded(vlans.byLink, bridge) ?? [] };
}

function observeTaps(
  { bridge, taps }: DesiredNetwork,
  { links, entries, vlans, applied }: HostReading,
): TapState[] {
  return links
    .filter(({ name }) => taps.some(tap => tap.name === name))
    .map(({ name, up, mtu, master, port }) => {
      const common = { name, up, mtu, master, groupForwardMask: port?.groupForwardMask ?? 0 };
      // The kernel forgets what it knows of a port when that leaves its bridge. Another bridge's is not ours.
      return master === bridge
        ? {
            ...common,
            options: port?.options ?? {},
            entries: entries.get(name) ?? [],
            vlans: vlans === null ? null : (vlans.byLink.get(name) ?? []),
          }
        : {
            ...common,
            options: recorded(applied.ports, name) ?? {},
            entries: recorded(applied.entries, name) ?? [],
            vlans: applied.vlans === null ? null : (recorded(applied.vlans.byLink, name) ?? null),
          };
    });
}

/** Names of links are hostile: `constructor` is one. */
function recorded<T>(byPort: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(byPort, name) ? byPort[name] : undefined;
}

/** Returns the links in the bridge that neither libvirt's machines nor virlan need there. */
function findOtherPorts({ bridge, dummy, taps }: DesiredNetwork, links: readonly Link[]): OtherPort[] {
  const own = [dummy.name, tunnelName(bridge), probeLink, ...taps.map(({ name }) => name)];
  return links
    .filter(({ name, master }) => master === bridge && !own.includes(name))
    .map(link => ({ name: link.name, leadsToLan: leadsToLan(link) }));
}

/**
 * Returns the port of a guest's that leads to the spanning tree's root. One that leads to a LAN is the
 * administrator's.
 */
function findRootPort({ name: bridge, rootPort }: Link, links: readonly Link[]): RootPort | null {
  if (rootPort === 0) return null;
  const found = links.find(({ master, port }) => master === bridge && port?.number === rootPort);
  if (found === undefined || found.port === null || leadsToLan(found)) return null;
  return { name: found.name, groupForwardMask: found.port.groupForwardMask };
}

/**
 * Returns desired addresses of the link without their route. The kernel keeps routes only while the link is
 * up.
 */
export function findUnrouted(
  wanted: BridgeState,
  found: Link | undefined,
  routes: readonly Route[],
): LinkAddress[] {
  if (found?.up !== true || !wanted.up) return [];
  return wanted.addresses.filter(address => {
    const isThere = found.addresses.some(other => formatAddress(other) === formatAddress(address));
    const target = formatDestination(address);
    return isThere && !routes.some(({ destination, link }) => destination === target && link === found.name);
  });
}

function observeRules(
  { backend, family, lines, translations, overruled }: RulesListing,
  { rules }: AppliedState,
): FoundRules {
  const record = rules.find(loaded => loaded.backend === backend && loaded.family === family);
  const isComparable = record !== undefined && lines.length > 0;
  return {
    backend,
    family,
    loaded: record?.script ?? null,
    present: lines.length > 0,
    drift: [
      ...(isComparable ? compareListings(record.listing, lines) : []),
      ...overruled.map(rule => ({ kind: 'overruled', rule }) as const),
    ],
    translations,
  };
}

function observeGuard({ guard: { lines, elements }, applied: { guard: record } }: HostReading): FoundGuard {
  const isComparable = record !== null && lines.length > 0;
  return {
    present: lines.length > 0,
    loaded: record?.table ?? null,
    drift: isComparable ? compareListings(record.listing, lines) : [],
    elements,
  };
}
