// Reads what a network's guard follows from.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { readLeasesTextOrNone } from '../dnsmasq/lease-file.ts';
import { isCurrent, parseLeases } from '../dnsmasq/leases.ts';
import { currentBindings } from '../guard/guard.ts';
import { readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { system } from '../system/system.ts';
import { type DesiredGuard, desiredGuard } from './desired-guard.ts';
import { filtersFrames } from './kernel/bridge-netfilter.ts';
import type { Link } from './kernel/links.ts';
import { readLacking } from './records/lacking.ts';

/**
 * Reads the desired guard. It has to be read after the kernel's table was listed: a machine that starts
 * meanwhile has a file before it has elements. `reflecting` are the taps that virlan lets reflect. Throws
 * VirlanError when the ledger is damaged.
 */
export function readDesiredGuard(
  network: NetworkConfig,
  gatewayMac: Mac,
  links: readonly Link[],
  reflecting: readonly string[],
): DesiredGuard {
  const { name, bridge } = network;
  const ledger = readLedger();
  const now = new Date();
  const leases = parseLeases(readLeasesTextOrNone(bridge)).filter(lease => isCurrent(lease, now));
  const running = runningDomains();
  const passThrough = running.length === 0 ? new Set<string>() : passThroughNetworks(name, bridge);
  const bound = currentBindings(bridge);
  const reading = {
    gatewayMac,
    links,
    reflecting,
    filtersFrames: filtersFrames(bridge),
    limitsConnections: !readLacking(bridge).includes('connection-limit'),
    ledger,
    leases,
    running,
    passThrough,
    bound,
  };
  const { guard, warnings } = desiredGuard(network, reading);
  return guard === null || system.isInstalled('nft')
    ? { guard, warnings }
    : { guard: null, warnings: [{ kind: 'guard-needs-nft', bridge }, ...warnings] };
}
