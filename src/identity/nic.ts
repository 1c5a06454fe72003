// One NIC of a machine on a network: input of the choice of its address and its host name.
import type { Mac } from '../address/mac.ts';
import type { NicKey } from './formula.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Wishes } from './machine.ts';

export interface Nic {
  readonly key: NicKey;
  readonly uuid: string;
  readonly mac: Mac;
  /** Its ledger entry so far. */
  readonly found: LedgerEntry | null;
  readonly wishes: Wishes;
}
