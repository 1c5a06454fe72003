// Reserves addresses for several machines at once.
import type { NetworkConfig } from '../../config/config.ts';
import type { ReservationRequest } from '../../identity/decide-together.ts';
import { reserveMachines } from '../../identity/store.ts';
import type { Event } from '../../report/event.ts';
import { idOf } from './domains.ts';

/** A machine on a network, and the moment that its addresses are reserved for. */
export interface Due extends ReservationRequest {
  readonly network: NetworkConfig;
}

type Report = (events: readonly Event[]) => void;

/** Reserves addresses network by network. A machine for which that fails keeps no other from its reservation. */
export async function reserveDue(due: readonly Due[], report: Report): Promise<void> {
  for (const network of new Set(due.map(each => each.network))) {
    const requests = due.filter(each => each.network === network);
    try {
      await reserveOn(network, requests, report);
    } catch {
      for (const request of requests)
        await reserveOn(network, [request], report).catch((error: Error) =>
          report([{ kind: 'machine-failed', machine: idOf(request.machine), error }]),
        );
    }
  }
}

async function reserveOn(network: NetworkConfig, requests: readonly ReservationRequest[], report: Report) {
  const { reserved } = await reserveMachines(network, requests);
  report(reserved.flatMap(({ events }) => events.map(event => ({ kind: 'reservation', event }) as const)));
}
