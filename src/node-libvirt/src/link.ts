// Keeps one daemon connected: connects, registers for events, waits for the end of the connection, and begins again.

import { setTimeout as sleep } from 'node:timers/promises';
import { type BackoffOptions, backoffDelay } from './backoff.ts';
import { Connection, type ConnectionLimits } from './connection.ts';
import type { ConnectionError } from './errors.ts';
import type { LibvirtEvent } from './events.ts';
import type { Notice } from './notices.ts';
import { type Driver, eventsOf, type RemoteEventName } from './procedures.ts';

/** A daemon's socket and what to do with it. */
export interface Endpoint {
  readonly socket: string;
  readonly uri: string;
  /** What this daemon is used for; decides on the events. */
  readonly drivers: readonly Driver[];
}

export interface LinkOptions extends ConnectionLimits {
  readonly reconnect: BackoffOptions;
  /** Asked before each attempt: a host may move from one kind of daemon to the other while we run. */
  readonly locate: () => Endpoint;
  /** Connected and registered for events; those that came meanwhile follow. */
  readonly up: (endpoint: Endpoint, missingEvents: readonly RemoteEventName[]) => void;
  /** A connection that was up has ended. */
  readonly down: (endpoint: Endpoint, error: ConnectionError, retryInMs: number) => void;
  readonly event: (event: LibvirtEvent) => void;
  readonly notice: (notice: Notice) => void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #latest: Connection | undefined;
  #current: Connection | undefined;

  /** Starts connecting at once. */
  constructor(options: LinkOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** The connection, while there is one that is up. */
  get connection(): Connection | undefined {
    return this.#current;
  }

  /** Closes the connection for good. `down` is not called any more. */
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
      this.#current = undefined;
      if (this.#stop.signal.aborted) return;

      // A connection that comes up and breaks again at once is a failure too.
      if (upSince !== undefined && Date.now() - upSince > reconnect.maxMs) failures = 0;
      const retryInMs = backoffDelay(reconnect, failures++);
      if (upSince !== undefined) down(endpoint, error, retryInMs);
      else notice({ kind: 'connect-failed', socket: endpoint.socket, error, retryInMs });
      await sleep(retryInMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Returns when the connection came up; undefined if it did not, and then `closed` has the reason. */
  async #bringUp(connection: Connection, endpoint: Endpoint): Promise<number | undefined> {
    const missing = await connection.open(eventsOf(endpoint.drivers)).catch(() => undefined);
    if (missing === undefined || this.#stop.signal.aborted) return undefined;
    this.#current = connection;
    this.#options.up(endpoint, missing);
    connection.deliverEvents(this.#options.event);
    return Date.now();
  }
}
