// Decides what is desired of a network's guard: which machines are behind which taps right now, and what belongs to
// whom. Pure.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { addressesByMac, type Lease } from '../dnsmasq/leases.ts';
import type { Binding } from '../guard/bindings.ts';
import {
  belongingElements,
  joinElements,
  noElements,
  peerElements,
  reflectingElements,
  remoteIsolatedElements,
  remotePeerSet,
  tapElements,
} from '../guard/elements.ts';
import { renderGuard } from '../guard/ruleset.ts';
import {
  belongings,
  type MachineTap,
  machineTaps,
  plainName,
  remoteIsolatedOf,
  remotePeersOf,
  tapsByMac,
  unguardedNames,
} from '../guard/taps.ts';
import { readGuardWishes } from '../guard/wishes.ts';
import type { Ledger } from '../identity/ledger.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import type { Link } from './kernel/links.ts';
import { tunnelName } from './state/link-names.ts';
import type { GuardState, TapElements } from './state/state.ts';
import type { NetworkWarning } from './warnings/warnings.ts';

/** The readings from which the desired guard is made. */
export interface GuardReading {
  readonly gatewayMac: Mac;
  readonly links: readonly Pick<Link, 'name' | 'index' | 'type' | 'mac' | 'master'>[];
  /** The taps that virlan lets reflect. */
  readonly reflecting: readonly string[];
  /** True if br_netfilter hands frames on the bridge to the rules of IPv4. */
  readonly filtersFrames: boolean;
  /** True unless the kernel cannot count the connections of a tap. */
  readonly limitsConnections: boolean;
  readonly ledger: Ledger;
  /** The leases that have not expired. */
  readonly leases: readonly Lease[];
  readonly running: readonly Domain[];
  readonly passThrough: ReadonlySet<string>;
  /** The taps of this bridge that are guarded. */
  readonly bound: readonly Binding[];
}

export interface DesiredGuard {
  /** Null if no machine is to be guarded, or if the guard cannot be loaded. */
  readonly guard: GuardState | null;
  readonly warnings: readonly NetworkWarning[];
}

/** Returns the desired guard. Throws VirlanError when the ledger is damaged. */
export function desiredGuard(network: NetworkConfig, reading: GuardReading): DesiredGuard {
  const { bridge } = network;
  const { gatewayMac, links, ledger, leases, running, passThrough, bound } = reading;
  const indexes = new Map(links.map(({ name, index }) => [name, index]));
  const leased = addressesByMac(leases);
  const boundTaps = new Map(bound.map(binding => [binding.tap, binding]));
  // A file of libvirt's may be about an earlier link of that name.
  const isOther = ({ tap, uuid }: MachineTap) => {
    const binding = boundTaps.get(tap);
    return binding !== undefined && binding.uuid !== uuid && binding.index === indexes.get(tap);
  };
  const onBridge = running.flatMap(domain => machineTaps(network, passThrough, domain, ledger, leased));
  const known = onBridge.filter(each => !isOther(each));
  const knownTaps = new Set(known.map(({ tap }) => tap));
  // The other hosts may have more machines of its group by now.
  const starting = bound
    .filter(({ tap }) => !knownTaps.has(tap))
    .map(({ tap, group, elements, ...rest }) => {
      const remotePeers = remotePeerSet(tap, remotePeersOf(network, group, ledger));
      return { ...rest, tap, group, elements: { ...elements, remote_peers: remotePeers } };
    });
  const unknown = links.filter(
    ({ master, name }) => master === bridge && !knownTaps.has(name) && !boundTaps.has(name),
  );
  const taps = [...known, ...tapsByMac(network, unknown, running, ledger, leased)];
  const guarded = taps.flatMap(({ tap, uuid, group, guard }): TapElements[] => {
    const index = indexes.get(tap);
    return guard === null || index === undefined
      ? []
      : [{ tap, index, uuid, group, elements: tapElements(guard) }];
  });
  const all = [...guarded, ...starting];
  const warnings = warningsOf(network, reading, new Set(onBridge.map(({ uuid }) => uuid)));
  const reflectors = reading.reflecting.filter(tap => plainName.test(tap));
  const isFree = network.guard === 'no' && !network.isolate && all.length === 0 && reflectors.length === 0;
  if (isFree) return { guard: null, warnings };
  const owners = taps.flatMap(({ guard }) => guard ?? []);
  return {
    guard: {
      table: renderGuard(network, {
        tunnel: network.tunnel === null ? null : tunnelName(bridge),
        filtersFrames: reading.filtersFrames,
        limitsConnections: reading.limitsConnections,
      }),
      belongings: joinElements([
        belongingElements(belongings(network, gatewayMac, owners, ledger, leases)),
        network.isolate ? peerElements(all) : noElements,
        remoteIsolatedElements(remoteIsolatedOf(network, ledger)),
        reflectingElements(reflectors),
      ]),
      taps: all,
    },
    warnings,
  };
}

/** Returns what is wrong with running machines. `here`: those with a tap in the bridge, by UUID. */
function warningsOf(
  network: NetworkConfig,
  { running, passThrough }: GuardReading,
  here: ReadonlySet<string>,
): NetworkWarning[] {
  return running.flatMap((domain): NetworkWarning[] => {
    const machine = domain.name;
    const names = unguardedNames(network, passThrough, domain);
    const invalid = here.has(domain.uuid) ? readGuardWishes(domain).invalid : [];
    return [
      ...names.map(tap => ({ kind: 'guard-tap-name', machine, tap }) as const),
      ...invalid.map(wish => ({ kind: 'guard-metadata', machine, wish }) as const),
    ];
  });
}
