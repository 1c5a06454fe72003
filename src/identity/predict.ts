// Predicts the MAC and the address of a NIC: those it has, or would get if its machine were defined now.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { handLines } from '../dnsmasq/hostsfile.ts';
import { chooseMac } from './assign.ts';
import { type DecisionInput, decide } from './decision.ts';
import { firstNicOf } from './first-nic.ts';
import type { LedgerEntry } from './ledger-format.ts';
import { type Machine, noWishes } from './machine.ts';
import { matchOwnEntries } from './match-entries.ts';
import type { ReservationProblem } from './problem.ts';
import type { MacSources } from './taken-macs.ts';
import type { TrailStep } from './trail.ts';

/** A NIC by the name of its machine, which need not exist. */
export interface NamedNic {
  readonly name: string;
  readonly nic: number;
}

export interface PredictInput extends DecisionInput {
  readonly isDefinedElsewhere: MacSources['isDefinedElsewhere'];
  /** The machine of this name that libvirt knows, as the network sees it; null for none. */
  readonly machine: Machine | null;
}

export interface PredictedMac {
  readonly mac: Mac;
  /** True if the NIC has it already. */
  readonly given: boolean;
  readonly why: readonly TrailStep[];
}

/** Returns the MAC of a NIC: that in the ledger, else that in its definition, else the formula's. */
export function predictMac(network: NetworkConfig, named: NamedNic, reading: PredictInput): PredictedMac {
  const [recorded] = entryOf(network, named, reading)?.macs ?? [];
  if (recorded !== undefined) return knownMac(recorded, 'ledger');
  const defined = reading.machine?.macs[named.nic];
  if (defined !== undefined) return knownMac(defined, 'definition');
  const { mac, why } = formulaMacs(network, named, reading);
  return { mac, given: false, why: [why] };
}

export interface PredictedAddress {
  /** Null when the pool is used up. */
  readonly address: Ipv4 | null;
  /** True if it is reserved already. */
  readonly given: boolean;
  readonly problem: ReservationProblem | null;
  readonly why: readonly TrailStep[];
}

/**
 * Returns the address of a NIC: that in the ledger, else what would be decided at its machine's first start.
 */
export function predictAddress(
  network: NetworkConfig,
  named: NamedNic,
  reading: PredictInput,
  now: Date,
): PredictedAddress {
  const entry = entryOf(network, named, reading);
  if (entry !== null && entry.ip !== null) {
    const why = {
      kind: 'address',
      address: entry.ip,
      reason: 'ledger',
      skipped: [],
      skippedCount: 0,
    } as const;
    return { address: entry.ip, given: true, problem: entry.problem, why: [why] };
  }
  const { mac, siblings, why } = formulaMacs(network, named, reading);
  const machine = {
    name: named.name,
    uuid: noUuid,
    macs: [...siblings, mac],
    isolated: new Set<Mac>(),
    wishes: noWishes,
  };
  const { reserved } = decide(network, machine, 'defined', { ...reading, isKnown: () => false }, now);
  const last = reserved.entries.at(-1);
  return {
    address: last?.ip ?? null,
    given: false,
    problem: last?.problem ?? null,
    why: [why, ...(reserved.why.at(-1) ?? [])],
  };
}

/** The uuid of a machine that does not exist. */
const noUuid = '00000000-0000-0000-0000-000000000000';

/**
 * Returns the entry of a NIC by its machine's name; that of an existing machine is preferred to a retired
 * one.
 */
function entryOf(
  network: NetworkConfig,
  { name, nic }: NamedNic,
  { ledger, machine }: PredictInput,
): LedgerEntry | null {
  if (machine !== null && nic === 0) {
    // Another NIC may have been inserted before the first one, or the first one taken out.
    const matches = matchOwnEntries(ledger.ofMachine(network.name, machine.uuid), machine.macs);
    const first = matches[firstNicOf(matches, machine.wishes)]?.entry;
    if (first) return first;
  }
  const entries = ledger.named(network.name, name).filter(entry => entry.nic === nic);
  return entries.find(entry => entry.retired === null) ?? entries[0] ?? null;
}

function knownMac(mac: Mac, reason: 'ledger' | 'definition'): PredictedMac {
  return { mac, given: true, why: [{ kind: 'mac', mac, reason, skipped: [] }] };
}

/** Returns the formula's MAC for a NIC, and the MACs for the machine's NICs with a smaller index. */
function formulaMacs(network: NetworkConfig, { name, nic }: NamedNic, reading: PredictInput) {
  const sources = { ...reading, network, byHand: handLines(reading.hostsfile, network) };
  const uuid = reading.machine?.uuid ?? null;
  const siblings = new Set<Mac>();
  const choose = (index: number) => {
    const key = { network: network.name, machine: name, nic: index };
    return chooseMac({ key, uuid, current: null, siblings }, sources);
  };
  for (let index = 0; index < nic; index++) siblings.add(choose(index).mac);
  return { ...choose(nic), siblings };
}
