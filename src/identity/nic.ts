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
  /** The wishes of the machine. The address, the host name and the aliases are for its first NIC on the network. */
  readonly wishes: Wishes;
  readonly isFirst: boolean;
}
