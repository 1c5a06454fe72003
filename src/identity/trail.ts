// Decision trail: why a NIC has its MAC, its host name and its address. `src/report/trail-text.ts` has the
// words.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { Holder } from './problem.ts';

/**
 * Why an address of the pool was passed over: another NIC has it, another MAC leases it, or a fixed line has
 * it.
 */
export type SkipReason = 'reserved' | 'leased' | 'fixed';

/** Why the formula's MAC was passed over. */
export type MacHolder = 'ledger' | 'definition' | 'fixed-host' | 'hostsfile' | 'sibling';

export interface SkippedMac {
  readonly mac: Mac;
  readonly holder: MacHolder;
}

export interface SkippedAddress {
  readonly address: Ipv4;
  readonly reason: SkipReason;
}

export type AddressReason =
  | 'hostsfile'
  | 'fixed-host'
  | 'metadata'
  | 'ledger'
  | 'formula'
  /** The formula's address was not free. */
  | 'next-free'
  /** Taken from the entry that was retired longest ago. */
  | 'retired-reused'
  /** The pool is used up. */
  | 'none'
  /** Another NIC has its MAC. */
  | 'mac-taken';

/** One step of a decision, in the order in which they were made. */
export type TrailStep =
  /** Which ledger entry is the NIC's. `name`: that of a machine that no longer exists, whose name it has. */
  | {
      readonly kind: 'entry';
      readonly reason: 'current-mac' | 'earlier-mac' | 'place' | 'name' | 'none';
    }
  /** Which MAC it has, or would get; `skipped`: candidates of the formula that are not free. */
  | {
      readonly kind: 'mac';
      readonly mac: Mac;
      readonly reason: 'ledger' | 'definition' | 'formula';
      readonly skipped: readonly SkippedMac[];
    }
  /** Who has its MAC already, or had to release it. */
  | {
      readonly kind: 'claim';
      readonly mac: Mac;
      readonly outcome: 'held' | 'released';
      readonly holder: Holder;
    }
  | {
      readonly kind: 'hostname';
      readonly hostname: string;
      readonly reason: 'metadata' | 'ledger' | 'machine-name';
    }
  /** `skipped` lists at most `maxSkipsListed` addresses, `skippedCount` counts them all. */
  | {
      readonly kind: 'address';
      readonly address: Ipv4 | null;
      readonly reason: AddressReason;
      readonly skipped: readonly SkippedAddress[];
      readonly skippedCount: number;
    };

/** How many addresses that are not free a step lists: a pool of a million may be nearly full. */
export const maxSkipsListed = 8;
