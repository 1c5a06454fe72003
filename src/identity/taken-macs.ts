// Decides whether a MAC is free for a NIC: one rule for the watcher's assignment and for `virlan mac`.
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { HandLine } from '../dnsmasq/hostsfile.ts';
import { machineLabel } from '../names/label.ts';
import type { NicKey } from './formula.ts';
import type { Ledger } from './ledger.ts';
import type { MacHolder } from './trail.ts';

/** The possible holders of a MAC. */
export interface MacSources {
  readonly ledger: Ledger;
  /** Returns whether libvirt knows a machine with another UUID that has a MAC, on any network. */
  readonly isDefinedElsewhere: (mac: Mac, uuid: string | null) => boolean;
  readonly network: Pick<NetworkConfig, 'hosts'>;
  /** The lines of the hostsfile that were written by hand. */
  readonly byHand: readonly HandLine[];
  /** The MACs that the host itself has on the network. */
  readonly hostMacs: readonly Mac[];
}

/** The NIC that is to get the MAC. `uuid` is null for a machine that does not exist yet. */
export interface MacCandidateFor {
  readonly key: NicKey;
  readonly uuid: string | null;
}

/**
 * Returns the holder of a MAC; null when it is free for this NIC. A MAC is held by the host itself; by another machine,
 * through an entry of the ledger that is not retired or through a definition; or by another device, through a
 * `[host.…]` section or a line written by hand with another name. A section or line with the NIC's own host
 * name is about this NIC, and so is a line without a name.
 */
export function macHolder(mac: Mac, sources: MacSources, { key, uuid }: MacCandidateFor): MacHolder | null {
  const { ledger, isDefinedElsewhere, network, byHand, hostMacs } = sources;
  if (hostMacs.includes(mac)) return 'gateway';
  if (ledger.withMac(mac).some(entry => entry.uuid !== uuid && entry.retired === null)) return 'ledger';
  if (isDefinedElsewhere(mac, uuid)) return 'definition';
  const own = machineLabel(key.machine, key.nic, () => false);
  if (network.hosts.some(host => host.mac === mac && host.name !== own)) return 'fixed-host';
  const isOther = (line: HandLine) => line.hostname !== null && line.hostname !== own;
  return byHand.some(line => line.macs.includes(mac) && isOther(line)) ? 'hostsfile' : null;
}
