// Decides about several machines, one after the other, each with what was decided about those before it. Pure.
import type { NetworkConfig } from '../config/config.ts';
import type { Hostsfile } from '../dnsmasq/hostsfile.ts';
import { formatNames } from '../dnsmasq/names.ts';
import type { Moment } from './context.ts';
import { type DecisionInput, decide } from './decision.ts';
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
  let decisions: Decisions = { reading, reserved: [], ledger: reading.ledger, hostsfile: null, names: null };
  for (const { machine, moment } of requests) {
    const { reserved, ledger, hostsfile, names } = decisions;
    const input = {
      ...reading,
      ledger,
      hostsfile: hostsfile ?? reading.hostsfile,
      names: names === null ? reading.names : formatNames(names),
    };
    const next = decide(network, machine, moment, input, now);
    decisions = {
      reading,
      reserved: [...reserved, next.reserved],
      ledger: next.reserved.ledger,
      hostsfile: next.hostsfile ?? hostsfile,
      names: next.names ?? names,
    };
  }
  return decisions;
}
