// Finds what the start of a machine changes of its entries, and takes it back in the ledger. Pure.
import type { Mac } from '../address/mac.ts';
import { othersThan } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Reserved } from './reserve.ts';

/** A NIC whose entry says since a start that it boots, or that it has another MAC. */
export interface StartedNic {
  /** The MAC that it starts with. */
  readonly mac: Mac;
  /** Its entry as it would be without the start. */
  readonly before: LedgerEntry;
}

/**
 * Returns the NICs whose entries a start has changed so that it matters whether the machine then runs, or has taken
 * over from another host.
 */
export function startedNics({ entries, before }: Pick<Reserved, 'entries' | 'before'>): StartedNic[] {
  return entries.flatMap((entry, nic) => {
    const found = before[nic] ?? null;
    const [mac] = entry.macs;
    // The entry of an earlier machine of this name has the MACs of that machine.
    const earlier = found?.uuid === entry.uuid ? found : { ...entry, booted: found?.booted ?? false };
    const isSame = earlier.booted === entry.booted && earlier.macs[0] === mac && earlier.host === entry.host;
    return mac === undefined || isSame ? [] : [{ mac, before: earlier }];
  });
}

/** The ledger without a start that has failed, and the networks on which a NIC has another MAC or host by that. */
export interface WithoutStart {
  readonly ledger: Ledger;
  readonly networks: readonly string[];
}

/** Takes back what a start has changed: the machine has not run with these MACs. */
export function withoutStart(ledger: Ledger, uuid: string, nics: readonly StartedNic[]): WithoutStart {
  let result = ledger;
  const networks = new Set<string>();
  for (const { mac, before } of nics) {
    const { network, nic, booted, macOrigin, replacedMac } = before;
    const entry = result
      .ofMachine(network, uuid)
      .find(each => each.nic === nic && each.macs[0] === mac && each.host === null && each.retired === null);
    if (entry === undefined) continue;
    // Once the other hosts know it to be here, none of them has it any more.
    if (before.host !== null && before.revision === entry.revision) {
      result = returned(result.replace(entry, before), before);
      networks.add(network);
      continue;
    }
    // Another machine may have got an earlier MAC meanwhile.
    const macs = before.macs.filter(own => othersThan(entry, result.withMacOn(network, own)).length === 0);
    const had = macs.length === 0 ? {} : { macs, macOrigin, replacedMac };
    result = result.replace(entry, { ...entry, ...had, booted });
    if (macs[0] !== mac) networks.add(network);
  }
  return { ledger: result, networks: [...networks] };
}

/** Returns the ledger with all NICs of a machine as those of another host, as this one is. */
function returned(ledger: Ledger, { network, uuid, host }: LedgerEntry): Ledger {
  const others = ledger.ofMachine(network, uuid).filter(each => each.host === null);
  return others.reduce((rest, entry) => rest.replace(entry, { ...entry, host }), ledger);
}
