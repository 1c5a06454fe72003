// Calls listeners without being at their mercy: one that throws stops neither the others nor the caller, which here is
// the code that reads from the socket.

/** Stops the calls that `on` began. */
export type Unsubscribe = () => void;

type Listener<T> = (payload: T) => unknown;

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();
  readonly #onError: (event: keyof Events & string, error: unknown) => void;

  constructor(onError: (event: keyof Events & string, error: unknown) => void) {
    this.#onError = onError;
  }

  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): Unsubscribe {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  emit<E extends keyof Events & string>(event: E, payload: Events[E]): void {
    const listeners = (this.#listeners.get(event) ?? new Set()) as Set<Listener<Events[E]>>;
    for (const listener of [...listeners]) {
      try {
        const result = listener(payload);
        // The rejection of a listener's promise would end the process if nobody took it.
        if (result instanceof Promise) result.catch(error => this.#onError(event, error));
      } catch (error) {
        this.#onError(event, error);
      }
    }
  }
}
