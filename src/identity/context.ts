// The input of decisions on a machine's reservations.
import type { Ipv4, Ipv4Range } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { HandLine } from '../dnsmasq/hostsfile.ts';
import type { Lease } from '../dnsmasq/leases.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Holder } from './problem.ts';

/**
 * `booting`: the machine starts now with the MACs it has. `defined`: its definition was read. Or virlan has
 * just written MACs into its definition.
 */
export type Moment = 'booting' | 'defined' | MacsWritten;

export interface MacsWritten {
  /** MAC in the definition now → the MAC that it replaced. */
  readonly replaced: ReadonlyMap<Mac, Mac>;
}

export interface ReserveContext {
  readonly network: NetworkConfig;
  readonly moment: Moment;
  /** The lines of the hostsfile that were written by hand. */
  readonly byHand: readonly HandLine[];
  /** Called only when a new address is chosen. */
  readonly leases: () => readonly Lease[];
  /** The addresses that somebody else on the bridge was heard to answer for. */
  readonly answered: ReadonlySet<Ipv4>;
  /**
   * The addresses that this host alone of its cluster gives; called only when a new one is chosen where hosts
   * share their ledgers.
   */
  readonly ownBlocks: () => readonly Ipv4Range[];
  /**
   * Returns whether libvirt still knows the machine; called only when another machine's entry is in the way.
   */
  readonly isKnown: (uuid: string) => boolean;
  /** Returns whether a machine runs; called only when it has an address that another one asks for. */
  readonly isRunning: (uuid: string) => boolean;
  /** The name of the host itself, without a domain. */
  readonly hostName: string;
  /** The MACs that the host itself has on the network. */
  readonly hostMacs: readonly Mac[];
  readonly now: Date;
}

/**
 * Returns whether two entries are those of one NIC. Two entries of a machine may have the same index after a
 * NIC was inserted before another: then their host names differ.
 */
export function isSameNic(a: LedgerEntry, b: LedgerEntry): boolean {
  return a.network === b.network && a.uuid === b.uuid && a.nic === b.nic && a.hostname === b.hostname;
}

/** Returns the entries of other NICs than that of `own`. */
export function othersThan(own: LedgerEntry | null, entries: readonly LedgerEntry[]): LedgerEntry[] {
  return entries.filter(entry => own === null || !isSameNic(entry, own));
}

/** Returns whether the machine of an entry exists, here or on another host of the cluster. */
export function exists({ retired, host, uuid }: LedgerEntry, { isKnown }: ReserveContext): boolean {
  return retired === null && (host !== null || isKnown(uuid));
}

/** Returns the holder of an entry, from the view of a NIC of the machine with this uuid. */
export function holderOf(entry: LedgerEntry, uuid: string): Holder {
  return entry.uuid === uuid ? { kind: 'own-nic' } : { kind: 'machine', machine: entry.name };
}
