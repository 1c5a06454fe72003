// Reads what is desired of a network's guard: which machines are behind which taps right now, and what belongs to
// whom.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { readLeasesTextOrNone } from '../dnsmasq/lease-file.ts';
import { isCurrent, parseLeases } from '../dnsmasq/leases.ts';
import {
  belongingElements,
  joinElements,
  noElements,
  peerElements,
  remoteIsolatedElements,
  remotePeerSet,
  tapElements,
} from '../guard/elements.ts';
import { currentBindings } from '../guard/guard.ts';
import { renderGuard } from '../guard/ruleset.ts';
import {
  belongings,
  type MachineTap,
  machineTaps,
  remoteIsolatedOf,
  remotePeersOf,
  tapsByMac,
  unguardedNames,
} from '../guard/taps.ts';
import { readGuardWishes } from '../guard/wishes.ts';
import { readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { system } from '../system/system.ts';
import { tunnelName } from './desired.ts';
import type { Link } from './links.ts';
import type { GuardState, TapElements } from './state.ts';
import type { NetworkWarning } from './warnings.ts';

export interface DesiredGuard {
  /** Null if no machine is to be guarded, or if the guard cannot be loaded. */
  readonly guard: GuardState | null;
  readonly warnings: readonly NetworkWarning[];
}

/**
 * Reads the desired guard. It has to be read after the kernel's table was listed: a machine that starts
 * meanwhile has a file before it has elements. Throws VirlanError when the ledger is damaged.
 */
export function readDesiredGuard(
  network: NetworkConfig,
  gatewayMac: Mac,
  links: readonly Link[],
): DesiredGuard {
  const { name, bridge } = network;
  const ledger = readLedger();
  const now = new Date();
  const leases = parseLeases(readLeasesTextOrNone(bridge)).filter(lease => isCurrent(lease, now));
  const running = runningDomains();
  const passThrough = running.length === 0 ? new Set<string>() : passThroughNetworks(name, bridge);
  const bound = currentBindings(bridge);
  const indexOf = (tap: string) => links.find(link => link.name === tap)?.index ?? null;
  // A file of libvirt's may be about an earlier link of that name.
  const isOther = ({ tap, uuid }: MachineTap) =>
    bound.some(each => each.tap === tap && each.uuid !== uuid && each.index === indexOf(tap));
  const onBridge = running.flatMap(domain => machineTaps(network, passThrough, domain, ledger, leases));
  const known = onBridge.filter(each => !isOther(each));
  const isKnown = (tap: string) => known.some(each => each.tap === tap);
  // The other hosts may have more machines of its group by now.
  const starting = bound
    .filter(({ tap }) => !isKnown(tap))
    .map(({ tap, group, elements, ...rest }) => {
      const remotePeers = remotePeerSet(tap, remotePeersOf(network, group, ledger));
      return { ...rest, tap, group, elements: { ...elements, remote_peers: remotePeers } };
    });
  const unknown = links.filter(
    link => link.master === bridge && !isKnown(link.name) && !starting.some(({ tap }) => tap === link.name),
  );
  const taps = [...known, ...tapsByMac(network, unknown, running, ledger, leases)];
  const guarded = taps.flatMap(({ tap, uuid, group, guard }): TapElements[] => {
    const index = indexOf(tap);
    return guard === null || index === null
      ? []
      : [{ tap, index, uuid, group, elements: tapElements(guard) }];
  });
  const all = [...guarded, ...starting];
  const warnings = running.flatMap((domain): NetworkWarning[] => {
    const machine = domain.name;
    const names = unguardedNames(network, passThrough, domain);
    const { invalid } = readGuardWishes(domain);
    const isHere = onBridge.some(({ uuid }) => uuid === domain.uuid);
    return [
      ...names.map(tap => ({ kind: 'guard-tap-name', machine, tap }) as const),
      ...(isHere ? invalid.map(wish => ({ kind: 'guard-metadata', machine, wish }) as const) : []),
    ];
  });
  if (network.guard === 'no' && !network.isolate && all.length === 0) return { guard: null, warnings };
  if (!system.isInstalled('nft'))
    return { guard: null, warnings: [{ kind: 'guard-needs-nft', bridge }, ...warnings] };
  const owners = taps.flatMap(({ guard }) => guard ?? []);
  return {
    guard: {
      table: renderGuard(network, network.tunnel === null ? null : tunnelName(bridge)),
      belongings: joinElements([
        belongingElements(belongings(network, gatewayMac, owners, ledger, leases)),
        network.isolate ? peerElements(all) : noElements,
        remoteIsolatedElements(remoteIsolatedOf(network, ledger)),
      ]),
      taps: all,
    },
    warnings,
  };
}
