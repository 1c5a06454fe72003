// Calls listeners. One that throws stops neither the other listeners nor the caller, which is the code that
// reads from the socket.

/** Removes the listener that `on` added. */
export type Unsubscribe = () => void;

type Listener<T> = (payload: T) => unknown;

/** Holds the listeners of each event; `Events` maps the name of an event to its payload. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();
  readonly #onError: (event: keyof Events & string, error: unknown) => void;

  /** @param onError called with what a listener threw, or what its promise was rejected with */
  constructor(onError: (event: keyof Events & string, error: unknown) => void) {
    this.#onError = onError;
  }

  /** Adds a listener. */
  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): Unsubscribe {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Calls the listeners of an event in the order in which they were added. Never throws. */
  emit<E extends keyof Events & string>(event: E, payload: Events[E]): void {
    const listeners = (this.#listeners.get(event) ?? new Set()) as Set<Listener<Events[E]>>;
    for (const listener of [...listeners]) {
      try {
        const result = listener(payload);
        // An unhandled rejection would end the process.
        if (result instanceof Promise) result.catch(error => this.#onError(event, error));
      } catch (error) {
        this.#onError(event, error);
      }
    }
  }
}
