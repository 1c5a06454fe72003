// The long-lived client: one connection to libvirtd, or one to virtqemud and one to virtnetworkd, kept up for as long
// as the client lives.

import { LibvirtApi } from './api.ts';
import type { BackoffOptions } from './backoff.ts';
import type { ConnectionLimits } from './connection.ts';
import { Emitter, type Unsubscribe } from './emitter.ts';
import { type Layout, locateDomains, locateNetworks } from './endpoints.ts';
import { ConnectionError } from './errors.ts';
import type { LibvirtEvent } from './events.ts';
import { type Endpoint, Link, type LinkOptions } from './link.ts';
import type { Notice } from './notices.ts';
import type { Call, Driver, RemoteEventName } from './procedures.ts';

export interface LibvirtClientOptions extends Partial<ConnectionLimits> {
  /** Where the daemons have their sockets. Default: /run/libvirt */
  readonly socketDirectory?: string;
  /** Default: 'auto' */
  readonly layout?: Layout;
  /** Default: 0.1 s, doubling up to 5 s */
  readonly reconnect?: BackoffOptions;
}

/** A daemon is connected, and will send events from now on. */
export interface Connected {
  readonly socket: string;
  /** What is served by this daemon; nothing that was known about it before holds any more. */
  readonly drivers: readonly Driver[];
  /** Events that this daemon does not offer, under their names in remote_protocol.x. */
  readonly missingEvents: readonly RemoteEventName[];
}

/** A daemon that was connected no longer is. */
export interface Disconnected {
  readonly socket: string;
  readonly drivers: readonly Driver[];
  readonly error: ConnectionError;
  readonly retryInMs: number;
}

export interface LibvirtClientEvents {
  /**
   * The time to list and compare everything: events are not kept while there is no connection. Those that came since
   * the registration follow right after the listeners have returned.
   */
  readonly connected: Connected;
  readonly disconnected: Disconnected;
  readonly event: LibvirtEvent;
  readonly notice: Notice;
}

const DEFAULTS = {
  socketDirectory: '/run/libvirt',
  layout: 'auto',
  reconnect: { minMs: 100, maxMs: 5_000 },
  // libvirtd starts the machines with autostart one after the other before it answers anybody.
  handshakeTimeoutMs: 15 * 60_000,
  // libvirt itself gives up after 30 s if another job keeps a machine busy; its answer should come first.
  callTimeoutMs: 45_000,
  // As in libvirt's own client and daemon.
  keepalive: { intervalMs: 5_000, count: 5 },
} as const satisfies LibvirtClientOptions;

export class LibvirtClient extends LibvirtApi {
  readonly #options: Required<LibvirtClientOptions>;
  readonly #emitter: Emitter<LibvirtClientEvents>;
  #domains: Link | undefined;
  /** Only while the daemons are modular. */
  #networks: Link | undefined;
  #closed = false;

  constructor(options: LibvirtClientOptions = {}) {
    const callThrough =
      (link: () => Link | undefined): Call =>
      (name, args) => {
        const connection = link()?.connection;
        return connection === undefined
          ? Promise.reject(new ConnectionError('not-connected', 'not connected to libvirt'))
          : connection.call(name, args);
      };
    super(
      callThrough(() => this.#domains),
      callThrough(() => this.#networks ?? this.#domains),
    );
    this.#options = { ...DEFAULTS, ...options };
    this.#emitter = new Emitter((event, error) => {
      // A listener for notices that fails cannot be told so by a notice: ignoring.
      if (event !== 'notice') this.#emitter.emit('notice', { kind: 'listener-failed', event, error });
    });
  }

  /** Calls the listener at each such event, until the returned function is called. */
  on<E extends keyof LibvirtClientEvents>(
    event: E,
    listener: (payload: LibvirtClientEvents[E]) => unknown,
  ): Unsubscribe {
    return this.#emitter.on(event, listener);
  }

  /** Begins to connect. `connected` tells of the outcome, also of later ones; failures are retried for ever. */
  start(): void {
    const { socketDirectory, layout } = this.#options;
    if (this.#closed || this.#domains !== undefined) return;
    this.#domains = this.#link(
      () => locateDomains(socketDirectory, layout),
      endpoint => this.#followLayout(endpoint),
    );
  }

  /** Whether calls to this driver are possible at this moment. */
  isConnected(driver: Driver): boolean {
    const link = driver === 'domain' ? this.#domains : (this.#networks ?? this.#domains);
    return link?.connection !== undefined;
  }

  /** Ends all connections; calls under way fail. The client cannot be started again. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#domains?.stop(), this.#networks?.stop()]);
  }

  #link(locate: () => Endpoint, onUp: (endpoint: Endpoint) => void): Link {
    const callbacks: Pick<LinkOptions, 'up' | 'down' | 'event' | 'notice'> = {
      up: (endpoint, missingEvents) => {
        onUp(endpoint);
        const { socket, drivers } = endpoint;
        this.#emitter.emit('connected', { socket, drivers, missingEvents });
      },
      down: ({ socket, drivers }, error, retryInMs) => {
        this.#emitter.emit('disconnected', { socket, drivers, error, retryInMs });
      },
      event: event => this.#emitter.emit('event', event),
      notice: notice => this.#emitter.emit('notice', notice),
    };
    return new Link({ ...this.#options, locate, ...callbacks });
  }

  /** The daemon of the machines tells whether the networks have one of their own; that may change with a restart. */
  #followLayout({ drivers }: Endpoint): void {
    if (drivers.includes('network')) {
      void this.#networks?.stop();
      this.#networks = undefined;
    } else {
      this.#networks ??= this.#link(
        () => locateNetworks(this.#options.socketDirectory),
        () => {},
      );
    }
  }
}
