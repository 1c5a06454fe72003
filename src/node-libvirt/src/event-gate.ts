// Decides when an event may be delivered. libvirtd can send the first events of a registration before the
// reply that contains its callback ID (remoteRelayDomainEvent… runs beside the thread that replies), and the
// owner of the connection wants to list everything before it receives changes. Such events are held here, in
// order.

import { FrameError } from './errors.ts';
import type { Arrival, LibvirtEvent } from './events.ts';
import type { RemoteEventName } from './procedures.ts';

/** With more held events than this, connecting again and listing everything is cheaper. */
const heldMax = 10_000;

/** Holds the events of one connection until they may be delivered, and checks their callback IDs. */
export class EventGate {
  readonly #registrations = new Map<RemoteEventName, number>();
  #held: Arrival[] = [];
  #deliver: ((event: LibvirtEvent) => void) | null = null;

  /** Records that a registration succeeded. */
  registered(name: RemoteEventName, callbackId: number): void {
    this.#registrations.set(name, callbackId);
  }

  /** Records that a registration failed, and drops the events held for it. */
  refused(name: RemoteEventName): void {
    this.#held = this.#held.filter(arrival => arrival.name !== name);
  }

  /**
   * Delivers the held events, and from then on each event as it arrives. To be called when no registration is
   * under way.
   *
   * @throws FrameError for an event with a callback ID that is not registered
   */
  open(deliver: (event: LibvirtEvent) => void): void {
    this.#deliver = deliver;
    const held = this.#held;
    this.#held = [];
    for (const arrival of held) this.#pass(arrival);
  }

  /** Stops the delivery. */
  close(): void {
    this.#deliver = null;
  }

  /**
   * Takes an event that arrived.
   *
   * @throws FrameError if the gate is open and the callback ID is not registered, or if too many events are
   *   held
   */
  push(arrival: Arrival): void {
    if (this.#deliver !== null) {
      this.#pass(arrival);
      return;
    }
    this.#held.push(arrival);
    if (this.#held.length > heldMax)
      throw new FrameError(`more than ${heldMax} events before they were asked for`);
  }

  #pass({ name, callbackId, event }: Arrival): void {
    const registered = this.#registrations.get(name);
    if (callbackId !== registered) {
      throw new FrameError(`${name} for callback ${callbackId}, registered: ${registered ?? 'none'}`);
    }
    this.#deliver?.(event);
  }
}
