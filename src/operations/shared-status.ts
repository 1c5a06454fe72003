// Reads what this host has of the shared ledger of a network.
import { formatIp } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { readLedger } from '../identity/store.ts';
import { readClusterCopy } from '../records/cluster-copy.ts';
import { type SharedStatus, sharedStatus } from '../report/cluster-status.ts';
import { countFree } from '../shared-ledger/blocks.ts';

/** Returns the machines of other hosts, the hosts, and how many addresses this host can give without asking. */
export function readSharedStatus(network: NetworkConfig, entries: readonly LedgerEntry[]): SharedStatus {
  const { blocks, hosts } = readClusterCopy(network.name);
  return sharedStatus(entries, countFree(network, blocks, readLedger()), hosts.map(formatIp));
}
