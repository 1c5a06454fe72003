// Decides when an event may be delivered. libvirtd can send the first events of a registration before the reply that
// tells its callback ID (remoteRelayDomainEvent… runs beside the thread that replies), and the owner of the
// connection wants to list what there is before it hears of changes. Such events wait here, in their order.

import { FrameError } from './errors.ts';
import type { Arrival, LibvirtEvent } from './events.ts';
import type { RemoteEventName } from './procedures.ts';

/** More waiting events than that mean that something is wrong: better to connect again and list everything. */
const HELD_MAX = 10_000;

export class EventGate {
  readonly #registrations = new Map<RemoteEventName, number>();
  #held: Arrival[] = [];
  #deliver: ((event: LibvirtEvent) => void) | undefined;

  /** A registration succeeded. */
  registered(name: RemoteEventName, callbackId: number): void {
    this.#registrations.set(name, callbackId);
  }

  /** A registration failed: what came for it meanwhile is not for us. */
  refused(name: RemoteEventName): void {
    this.#held = this.#held.filter(arrival => arrival.name !== name);
  }

  /** From now on, events are delivered: first those that wait. To be called when no registration is under way. */
  open(deliver: (event: LibvirtEvent) => void): void {
    this.#deliver = deliver;
    const held = this.#held;
    this.#held = [];
    for (const arrival of held) this.#pass(arrival);
  }

  /** Nothing is delivered any more. */
  close(): void {
    this.#deliver = undefined;
  }

  /** @throws FrameError for an event that nobody registered for, now or when the gate is opened */
  push(arrival: Arrival): void {
    if (this.#deliver !== undefined) {
      this.#pass(arrival);
      return;
    }
    this.#held.push(arrival);
    if (this.#held.length > HELD_MAX) throw new FrameError(`more than ${HELD_MAX} events before their time`);
  }

  #pass({ name, callbackId, event }: Arrival): void {
    const registered = this.#registrations.get(name);
    if (callbackId !== registered) {
      throw new FrameError(`${name} for callback ${callbackId}, registered: ${registered ?? 'none'}`);
    }
    this.#deliver?.(event);
  }
}
