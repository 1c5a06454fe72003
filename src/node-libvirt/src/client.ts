// The client: one connection to libvirtd, or one to virtqemud and one to virtnetworkd, reconnected until the
// client is closed.

import { LibvirtApi } from './api.ts';
import type { BackoffOptions } from './backoff.ts';
import type { ConnectionLimits } from './connection.ts';
import { Emitter, type Unsubscribe } from './emitter.ts';
import { type Endpoint, type Layout, locateDomains, locateNetworks } from './endpoints.ts';
import { ConnectionError } from './errors.ts';
import type { LibvirtEvent } from './events.ts';
import { Link, type LinkOptions } from './link.ts';
import type { Notice } from './notices.ts';
import type { Call, Driver, RemoteEventName } from './procedures.ts';

/** Options of a client; each has a default. */
export interface LibvirtClientOptions extends Partial<ConnectionLimits> {
  /** The directory of the daemons' sockets. Default: /run/libvirt */
  readonly socketDirectory?: string;
  /** The daemons of the host. Default: 'auto' */
  readonly layout?: Layout;
  /** The delay between attempts to connect. Default: 0.1 s, doubling up to 5 s */
  readonly reconnect?: BackoffOptions;
}

/** A daemon was connected, and sends events from now on. */
export interface Connected {
  /** Path of the daemon's socket. */
  readonly socket: string;
  /** The drivers that this daemon serves. All of their objects may have changed since the last connection. */
  readonly drivers: readonly Driver[];
  /** The events that this daemon does not have, by their names in remote_protocol.x. */
  readonly missingEvents: readonly RemoteEventName[];
}

/** A connection to a daemon has ended. */
export interface Disconnected {
  /** Path of the daemon's socket. */
  readonly socket: string;
  readonly drivers: readonly Driver[];
  /** The reason. */
  readonly error: ConnectionError;
  /** The next attempt to connect is made after this time. */
  readonly retryInMs: number;
}

/** The events of a client, and what their listeners are called with. */
export interface LibvirtClientEvents {
  /**
   * A daemon was connected. Listeners should list everything they follow: libvirt does not keep events for a
   * client that is not connected. Events received since the registration follow after the listeners have
   * returned.
   */
  readonly connected: Connected;
  /** A connection has ended. The client connects again. */
  readonly disconnected: Disconnected;
  /** Something happened to a domain or a network. */
  readonly event: LibvirtEvent;
  /** Something worth a line in a log. */
  readonly notice: Notice;
}

const defaults = {
  socketDirectory: '/run/libvirt',
  layout: 'auto',
  reconnect: { minMs: 100, maxMs: 5_000 },
  // libvirtd starts the domains with autostart one after the other before it answers any client.
  handshakeTimeoutMs: 15 * 60_000,
  // libvirt returns an error after 30 s if another job keeps a domain busy; that error should come first.
  callTimeoutMs: 45_000,
  // The values of libvirt's own client and daemon.
  keepalive: { intervalMs: 5_000, count: 5 },
} as const satisfies LibvirtClientOptions;

/**
 * A client of the libvirt daemons of this host. It connects when it is started, and again whenever a
 * connection ends, until it is closed. The calls are those of `LibvirtApi`.
 */
export class LibvirtClient extends LibvirtApi {
  readonly #options: Required<LibvirtClientOptions>;
  readonly #emitter: Emitter<LibvirtClientEvents>;
  #domains: Link | null = null;
  /** Null unless the daemons are modular. */
  #networks: Link | null = null;
  #closed = false;

  constructor(options: LibvirtClientOptions = {}) {
    super(
      callThrough(() => this.#domains),
      callThrough(() => this.#networks ?? this.#domains),
    );
    this.#options = { ...defaults, ...options };
    this.#emitter = new Emitter((event, error) => {
      // The failure of a listener for notices cannot be reported by a notice and is ignored.
      if (event !== 'notice') this.#emitter.emit('notice', { kind: 'listener-failed', event, error });
    });
  }

  /**
   * Calls a listener at each event of the given name, until the returned function is called. What a listener
   * throws is reported as a notice of the kind 'listener-failed' and does no other harm.
   */
  on<E extends keyof LibvirtClientEvents>(
    event: E,
    listener: (payload: LibvirtClientEvents[E]) => unknown,
  ): Unsubscribe {
    return this.#emitter.on(event, listener);
  }

  /**
   * Starts to connect. Success is reported by the event `connected`, failure by a notice of the kind
   * 'connect-failed'; attempts go on until the client is closed.
   */
  start(): void {
    const { socketDirectory, layout } = this.#options;
    if (this.#closed || this.#domains !== null) return;
    this.#domains = this.#link(
      () => locateDomains(socketDirectory, layout),
      endpoint => this.#followLayout(endpoint),
    );
  }

  /** Tells whether calls to this driver can be sent at this moment. */
  isConnected(driver: Driver): boolean {
    const link = driver === 'domain' ? this.#domains : (this.#networks ?? this.#domains);
    return link !== null && link.connection !== null;
  }

  /** Ends all connections; calls in flight are rejected. A closed client cannot be started again. */
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

  /**
   * Connects to a daemon for networks if the one for domains does not serve them. A restart may change that.
   */
  #followLayout({ drivers }: Endpoint): void {
    if (drivers.includes('network')) {
      void this.#networks?.stop();
      this.#networks = null;
    } else {
      this.#networks ??= this.#link(
        () => locateNetworks(this.#options.socketDirectory),
        () => {},
      );
    }
  }
}

/** Makes calls over the connection that a link has at that moment. */
function callThrough(link: () => Link | null): Call {
  return (name, args) => {
    const connection = link()?.connection ?? null;
    return connection === null
      ? Promise.reject(new ConnectionError('not-connected', 'not connected to libvirt'))
      : connection.call(name, args);
  };
}
