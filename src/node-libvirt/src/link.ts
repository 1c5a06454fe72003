// Keeps one daemon connected: connects, registers for events, waits for the end of the connection, and starts
// again.

import { setTimeout as sleep } from 'node:timers/promises';
import { type BackoffOptions, backoffDelay } from './backoff.ts';
import { Connection, type ConnectionLimits } from './connection.ts';
import type { Endpoint } from './endpoints.ts';
import type { ConnectionError } from './errors.ts';
import type { LibvirtEvent } from './events.ts';
import type { Notice } from './notices.ts';
import { eventsOf, type RemoteEventName } from './procedures.ts';

/** The options of a link, and the functions that it calls. */
export interface LinkOptions extends ConnectionLimits {
  readonly reconnect: BackoffOptions;
  /** Called before each attempt: a host may switch between libvirtd and modular daemons at any time. */
  readonly locate: () => Endpoint;
  /** Called when the daemon is connected and events are registered for; those received meanwhile follow. */
  readonly up: (endpoint: Endpoint, missingEvents: readonly RemoteEventName[]) => void;
  /** Called when a connection that was up has ended. */
  readonly down: (endpoint: Endpoint, error: ConnectionError, retryInMs: number) => void;
  readonly event: (event: LibvirtEvent) => void;
  readonly notice: (notice: Notice) => void;
}

/** Keeps one daemon connected until it is stopped. */
export class Link {
  readonly #options: LinkOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #latest: Connection | null = null;
  #current: Connection | null = null;

  /** Starts connecting at once. */
  constructor(options: LinkOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** The connection that is up; null while there is none. */
  get connection(): Connection | null {
    return this.#current;
  }

  /** Closes the connection for good; resolves when it has ended. `down` is not called any more. */
  stop(): Promise<void> {
    this.#stop.abort();
    this.#latest?.close();
    return this.#done;
  }

  async #run(): Promise<void> {
    const { reconnect, locate, down, notice } = this.#options;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const endpoint = locate();
      const connection = new Connection({ ...this.#options, ...endpoint });
      this.#latest = connection;
      const upSince = await this.#bringUp(connection, endpoint);
      const error = await connection.closed;
      this.#current = null;
      if (this.#stop.signal.aborted) return;

      // A connection that comes up and breaks again at once counts as a failure too.
      if (upSince !== null && performance.now() - upSince > reconnect.maxMs) failures = 0;
      const retryInMs = backoffDelay(reconnect, failures++);
      if (upSince !== null) down(endpoint, error, retryInMs);
      else notice({ kind: 'connect-failed', socket: endpoint.socket, error, retryInMs });
      await sleep(retryInMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Returns when the connection came up, by the monotonic clock; null if it did not: `closed` has the reason. */
  async #bringUp(connection: Connection, endpoint: Endpoint): Promise<number | null> {
    const missing = await connection.open(eventsOf(endpoint.drivers)).catch(() => null);
    if (missing === null || this.#stop.signal.aborted) return null;
    this.#current = connection;
    this.#options.up(endpoint, missing);
    connection.deliverEvents(this.#options.event);
    return performance.now();
  }
}
