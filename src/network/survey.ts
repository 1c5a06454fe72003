// Surveys virlan's own part of a network: reads the host, and compares it with what is desired. Changes nothing.
import { setImmediate } from 'node:timers/promises';
import type { Family, Ipv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Lacking } from '../firewall/backend.ts';
import { availableBackends, type BackendChoice } from '../firewall/backends.ts';
import { createRulesReader, type RulesReader } from '../firewall/rules-reader.ts';
import type { ForwardsReading } from '../forwards/read.ts';
import { readLedger } from '../identity/ledger-files.ts';
import { networkOfBridge, runningDomains } from '../libvirt/definitions.ts';
import { system } from '../system/system.ts';
import { desiredNetwork, withGuard, withTunnel } from './desired.ts';
import type { DesiredGuard } from './desired-guard.ts';
import { reflectingTaps } from './kernel/bridge-netfilter.ts';
import { hasGlobalIpv6, knownSubnets, type LinksAndRoutes, linkOfAddress } from './kernel/links.ts';
import {
  type KernelReading,
  kernelHasIpv6,
  readFamilies,
  readIpv6Addresses,
  readKernel,
  replacedKernel,
  type UnreadRules,
} from './kernel/read-kernel.ts';
import { observeNetwork } from './observe.ts';
import { readFiles, readObjects } from './read-files.ts';
import { readDesiredGuard } from './read-guard.ts';
import { readApplied } from './records/applied-record.ts';
import { bootId, recordedNetworks } from './records/original-state.ts';
import { presentName, withName } from './renamed-bridge.ts';
import { findOutsideRefusals } from './routes/outside-refusal.ts';
import { findReach, type Reach } from './routes/reach.ts';
import { findDetours } from './routes/return-path.ts';
import { defaultLinks, needsDefaultLinks, networksBehind } from './routes/route-links.ts';
import type { DesiredNetwork, ObservedNetwork } from './state/state.ts';
import type { Step } from './steps/steps.ts';
import { loadTunnels, planWithTunnel } from './survey-tunnel.ts';
import { findConflicts, type Obstacle } from './warnings/conflicts.ts';
import { findSharedAddresses } from './warnings/shared-addresses.ts';
import { type NetworkWarning, unreadRulesWarnings } from './warnings/warnings.ts';

/** virlan's own part of a network as it is desired, as it is, and the steps in between. */
export interface OwnSurvey {
  readonly network: NetworkConfig;
  readonly desired: DesiredNetwork;
  /** The firewall backend, and why it was chosen. */
  readonly backend: BackendChoice;
  /** The parts of the rules that the kernel has refused to load. */
  readonly lacking: readonly Lacking[];
  readonly observed: ObservedNetwork;
  readonly steps: readonly Step[];
  /**
   * The reason why the network must not be established; null for none, or if the network exists already.
   */
  readonly refusal: Obstacle | null;
  readonly warnings: readonly NetworkWarning[];
  readonly reach: Reach;
  /** The link with the address of `[cluster]`; null without a tunnel, and where none has it. */
  readonly underlay: string | null;
  /** The links of the host's default routes. */
  readonly defaultLinks: readonly string[];
  /**
   * The error because of which the reservations are unknown: the ledger or the hostsfile is damaged. Null for
   * none.
   */
  readonly damage: Error | null;
  /** The forwards of machines; null when they are unknown, as reservations are. */
  readonly forwards: ForwardsReading | null;
}

/**
 * Compares virlan's own part of a network with its configuration. Throws when the host cannot be read, or has no
 * usable firewall backend.
 */
export async function surveyOwn(network: NetworkConfig, reader: RulesReader): Promise<OwnSurvey> {
  const { bridge } = network;
  const available = availableBackends(system.isInstalled);
  const families = readFamilies();
  // Rules that virlan has not loaded since the host booted are loaded in any case: no need to list them.
  const listed = readApplied(bridge).rules.length > 0 ? available : [];
  const [found, files] = await Promise.all([
    readKernel(bridge, listed, families, reader),
    // Once the programs run, so that they and this process work at the same time.
    setImmediate().then(() => readFiles(network, available, families)),
  ]);
  const renamedTo = presentName(bridge, found, files.observed.applied);
  const kernel = renamedTo === null ? found : withName(found, renamedTo, bridge);
  const { backend, lacking, reservations, forwards } = files;
  // "No rules" would make virlan load them again, and what the record says would hide what is wrong with them.
  const essential = kernel.unread.find(({ rules }) => rules === 'guard' || rules === backend.chosen);
  if (essential !== undefined) throw essential.error;
  const underlay = network.tunnel === null ? null : linkOfAddress(kernel.links, network.tunnel.address);
  // A rule of nftables asks for the route of each packet.
  const behind = backend.chosen === 'iptables' ? networksBehind(kernel, network) : [];
  const own =
    needsDefaultLinks(network) || network.tunnel !== null || behind.length > 0
      ? desiredNetwork(network, {
          ...files.facts,
          defaultLinks: defaultLinks(kernel),
          networksBehind: behind,
          underlayMtu: underlay?.mtu ?? null,
        }).network
      : files.desired;
  // After the listing, see readDesiredGuard.
  const { guard, warnings: guardWarnings } = readGuard(network, own, kernel, lacking);
  const tunnels = await loadTunnels(bridge, kernel.links, network.tunnel !== null);
  const tunnel = own.link === null ? null : (tunnels?.desiredTunnel(network, own.link, kernel.links) ?? null);
  const desired = withTunnel(withGuard(own, guard), tunnel);
  const foundTunnel = (await tunnels?.readTunnel(bridge, kernel.links, tunnel)) ?? null;
  const observed = observeNetwork(desired, { ...kernel, ...files.observed, renamedTo, tunnel: foundTunnel });
  const conflicts = findConflicts(network, knownSubnets(kernel), madeNetworks(network.others)).map(
    conflict => ({ kind: 'conflict', conflict }) as const,
  );
  const owners = findOwners(bridge, kernel);
  const isRecorded = recordedNetworks()[bridge]?.boot === bootId();
  const obstacles = isRecorded ? [] : [...owners, ...(observed.link === null ? conflicts : [])];
  const isRouted = observed.link?.up === true && observed.unrouted.length === 0;
  const detours = isRouted ? await findDetours(system, network, kernel) : [];
  const refusals = isRouted ? await findOutsideRefusals(system, network, kernel) : [];
  return {
    network,
    desired,
    backend,
    lacking,
    observed,
    steps: await planWithTunnel(desired, observed),
    refusal: obstacles[0] ?? null,
    warnings: [
      ...kernelWarnings(),
      ...unreadRulesWarnings(kernel.unread),
      ...lanPortWarnings(bridge, observed),
      ...tapWarnings(bridge, observed),
      ...(network.tunnel !== null && underlay === null
        ? [{ kind: 'underlay-missing', address: network.tunnel.address } as const]
        : []),
      ...owners,
      ...conflicts,
      ...(reservations.kind === 'known' ? sharedAddressWarnings(network, kernel) : []),
      ...detours.map(detour => ({ kind: 'detour', detour }) as const),
      ...refusals.map(refusal => ({ kind: 'outside-refused', refusal }) as const),
      ...ipv6Warnings(bridge, families[backend.chosen]),
      ...guardWarnings,
      ...(forwards?.refused ?? []).map(refused => ({ kind: 'forward-refused', refused }) as const),
    ],
    reach: findReach(network, kernel),
    underlay: underlay?.name ?? null,
    defaultLinks: defaultLinks(kernel),
    damage: reservations.kind === 'known' ? null : reservations.error,
    forwards,
  };
}

/**
 * Returns the obstacles that a bridge is in use already by the host itself, or by libvirt. By IPv6, a guest on a bridge
 * made by hand could be the host's router.
 */
function findOwners(bridge: string, host: LinksAndRoutes): Obstacle[] {
  const exists = host.links.some(({ name }) => name === bridge);
  const network = exists ? networkOfBridge(bridge) : null;
  return [
    ...(defaultLinks(host).includes(bridge) ? [{ kind: 'bridge-is-uplink', bridge } as const] : []),
    ...(network === null ? [] : [{ kind: 'bridge-of-libvirt', bridge, network } as const]),
  ];
}

/** Returns bridge → name of the networks that virlan has made and that are not configured any more. */
function madeNetworks(configured: NetworkConfig['others']): ReadonlyMap<string, string> {
  const made = Object.entries(recordedNetworks()).map(([bridge, { name }]) => [bridge, name] as const);
  return new Map(made.filter(([bridge]) => !configured.some(other => other.bridge === bridge)));
}

/** Without a ledger nobody knows what belongs to whom: the guard that is there stays as it is. */
function readGuard(
  network: NetworkConfig,
  { link, taps }: DesiredNetwork,
  kernel: KernelReading,
  lacking: readonly Lacking[],
): DesiredGuard {
  if (link === null) return { guard: null, warnings: [] };
  if (lacking.includes('guard') && kernel.guard.lines.length === 0)
    return { guard: null, warnings: [{ kind: 'guard-refused', bridge: network.bridge }] };
  try {
    const reflecting = reflectingTaps(network.bridge, taps, kernel.links);
    return readDesiredGuard(network, link.mac, kernel.links, reflecting);
  } catch {
    const { table = null } = readApplied(network.bridge).guard ?? {};
    const guard = table === null ? null : { table, belongings: kernel.guard.elements, taps: [] };
    return { guard, warnings: [] };
  }
}

/**
 * Compares virlan's own part of a network with a state of the caller's choice. The rules of the backends
 * `listed` are compared, by default those of all that are on the host.
 */
export async function surveyAgainst(
  desired: DesiredNetwork,
  listed = availableBackends(system.isInstalled),
): Promise<{ observed: ObservedNetwork; steps: Step[]; unread: readonly UnreadRules[] }> {
  const { bridge } = desired;
  const found = await readKernel(bridge, listed, readFamilies(), createRulesReader(system));
  const objects = readObjects(desired);
  const renamedTo = presentName(bridge, found, objects.applied);
  const kernel = renamedTo === null ? found : withName(found, renamedTo, bridge);
  const tunnels = await loadTunnels(bridge, kernel.links, desired.tunnel !== null);
  const tunnel = (await tunnels?.readTunnel(bridge, kernel.links, desired.tunnel)) ?? null;
  const observed = observeNetwork(desired, { ...kernel, ...objects, renamedTo, tunnel });
  return { observed, steps: await planWithTunnel(desired, observed), unread: kernel.unread };
}

/** Warns where IPv6 exists on the bridge against virlan's will, or could exist there unfiltered. */
function ipv6Warnings(bridge: string, families: readonly Family[]): NetworkWarning[] {
  if (!kernelHasIpv6()) return [];
  return [
    ...(families.includes('ipv6') ? [] : [{ kind: 'ipv6-unfiltered', bridge } as const]),
    ...(hasGlobalIpv6(bridge, readIpv6Addresses()) ? [{ kind: 'ipv6-address', bridge } as const] : []),
  ];
}

function lanPortWarnings(bridge: string, { otherPorts }: ObservedNetwork): NetworkWarning[] {
  return otherPorts
    .filter(port => port.leadsToLan)
    .map(({ name }) => ({ kind: 'lan-port', bridge, link: name }));
}

/** A tap in another bridge may be there on purpose: it is left there. */
function tapWarnings(bridge: string, { taps }: ObservedNetwork): NetworkWarning[] {
  const elsewhere = taps.flatMap(({ name: tap, master: found }) =>
    found === null || found === bridge ? [] : [{ tap, found }],
  );
  // Most hosts have none, and the files of the machines are not looked at.
  const running = elsewhere.length === 0 ? [] : runningDomains();
  return elsewhere.flatMap(({ tap, found }) => {
    const owner = running.find(({ nics }) => nics.some(nic => nic.tap === tap));
    // A machine that has stopped since has no tap.
    return owner === undefined
      ? []
      : [{ kind: 'tap-in-other-bridge', bridge, machine: owner.name, tap, found }];
  });
}

function sharedAddressWarnings(network: NetworkConfig, { links }: LinksAndRoutes): NetworkWarning[] {
  // Most hosts have no other address in the subnet, and the ledger is not read.
  const machineOf = (address: Ipv4) =>
    readLedger()
      .withIp(network.name, address)
      .find(({ retired }) => retired === null)?.name ?? null;
  return findSharedAddresses(network, links, machineOf).map(shared => ({ kind: 'address-shared', shared }));
}

function kernelWarnings(): NetworkWarning[] {
  const kernel = replacedKernel();
  return kernel === null ? [] : [{ kind: 'kernel-replaced', release: kernel }];
}
