// Decides about several machines, one after the other, each with what was decided about those before it. Pure.
import type { NetworkConfig } from '../config/config.ts';
import type { Hostsfile } from '../dnsmasq/hostsfile.ts';
import type { Moment } from './context.ts';
import { changedFiles, type DecisionInput, decideEntries } from './decision.ts';
import type { Ledger } from './ledger.ts';
import type { Machine } from './machine.ts';
import type { Reserved } from './reserve.ts';

/** A machine to reserve addresses for. */
export interface ReservationRequest {
  readonly machine: Machine;
  readonly moment: Moment;
}

/** Decisions about machines, their input, and what is to be written. */
export interface Decisions {
  readonly reading: DecisionInput;
  /** In the order of the requests. */
  readonly reserved: readonly Reserved[];
  readonly ledger: Ledger;
  /** The changed files; null for one that needs no change. */
  readonly hostsfile: Hostsfile | null;
  readonly names: readonly string[] | null;
}

/** Throws as `decide`. */
export function decideTogether(
  network: NetworkConfig,
  requests: readonly ReservationRequest[],
  reading: DecisionInput,
  now: Date,
): Decisions {
  const decided: { machine: Machine; reserved: Reserved }[] = [];
  let { ledger } = reading;
  for (const { machine, moment } of requests) {
    const reserved = decideEntries(network, machine, moment, { ...reading, ledger }, now);
    ({ ledger } = reserved);
    decided.push({ machine, reserved });
  }
  const files = changedFiles(network, reading, decided);
  return { reading, reserved: decided.map(({ reserved }) => reserved), ledger, ...files };
}
