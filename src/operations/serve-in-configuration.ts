// Applies the parts of a reservation that are in dnsmasq's configuration, which dnsmasq reads only when it starts:
// wildcard aliases, and the network boot of single machines.
import type { NetworkConfig } from '../config/config.ts';
import { readMachineLines } from '../dnsmasq/machine-lines.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import type { ReserveEvent } from '../identity/reserve.ts';
import { isWildcard } from '../names/alias.ts';
import type { Event } from '../report/event.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import { establishForHook } from './establish-networks.ts';

/** Returns whether an event may change dnsmasq's configuration. */
export function mayChangeConfiguration(event: Event, networks: readonly NetworkConfig[]): boolean {
  if (event.kind !== 'reservation') return event.kind === 'reservation-retired';
  const network = networks.find(({ name }) => name === event.event.entry.network);
  return network !== undefined && isInConfiguration(network.bridge, event.event);
}

function isInConfiguration(bridge: string, { kind, entry }: ReserveEvent): boolean {
  return hasLines(entry) || (kind === 'changed' && mayHaveHadLines(bridge));
}

/** A machine that has changed may have lost what it had there. */
function mayHaveHadLines(bridge: string): boolean {
  return readMachineLines(readOwnIfReadable(dnsmasqPaths(bridge).conf) ?? '').length > 0;
}

function hasLines({ aliases, boot }: LedgerEntry): boolean {
  return boot !== null || aliases.some(isWildcard);
}

/**
 * Starts dnsmasq with what these decisions call for, before the machine that they are about boots. Leases are
 * kept. Failures are events.
 */
export async function serveInConfiguration(
  network: NetworkConfig,
  events: readonly ReserveEvent[],
  lockTimeoutSeconds: number,
): Promise<readonly Event[]> {
  if (!events.some(event => isInConfiguration(network.bridge, event))) return [];
  return establishForHook(network, lockTimeoutSeconds);
}
