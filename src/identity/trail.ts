// Decision trail: the reasons for a NIC's MAC, host name and address. `src/report/trail-text.ts` has the
// words.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { Holder, SkipReason } from './problem.ts';

/** The holder of a candidate MAC of the formula that was skipped. */
export type MacHolder = 'ledger' | 'definition' | 'fixed-host' | 'hostsfile' | 'sibling' | 'gateway';

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
  /** Another NIC or the host has its MAC. */
  | 'mac-taken';

/** One step of a decision, in the order in which they were made. */
export type TrailStep =
  /** The ledger entry of the NIC. `name`: inherited from a machine of the same name that no longer exists. */
  | {
      readonly kind: 'entry';
      readonly reason: 'current-mac' | 'earlier-mac' | 'place' | 'name' | 'none';
    }
  /** The MAC that the NIC has or would get; `skipped`: candidates of the formula that are not free. */
  | {
      readonly kind: 'mac';
      readonly mac: Mac;
      readonly reason: 'ledger' | 'definition' | 'formula';
      readonly skipped: readonly SkippedMac[];
    }
  /** Another holder of the NIC's MAC, which keeps it or had to release it. */
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

/** Longest list of skipped addresses in a step: a pool of a million may be nearly full. */
export const maxSkipsListed = 8;
