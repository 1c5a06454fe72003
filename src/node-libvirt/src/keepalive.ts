// Detects a daemon that no longer answers although its socket is open, as libvirt does
// (src/rpc/virkeepalive.c): any packet counts as an answer; after `intervalMs` without a packet a request is
// sent; after `count` requests without a packet the connection is given up.

/** The detection of a dead peer. */
export interface KeepaliveOptions {
  /** Time without any packet before a request is sent, in milliseconds. */
  readonly intervalMs: number;
  /** Number of unanswered requests before the connection is given up. */
  readonly count: number;
}

/** Sends keepalive requests on one connection and counts those without an answer. */
export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #ping: () => void;
  readonly #dead: () => void;
  #timer: NodeJS.Timeout | null = null;
  #unanswered = 0;

  /**
   * @param ping sends a request
   * @param dead called when the peer is given up
   */
  constructor(options: KeepaliveOptions, ping: () => void, dead: () => void) {
    this.#options = options;
    this.#ping = ping;
    this.#dead = dead;
  }

  /** Starts sending requests. */
  start(): void {
    this.#timer = setInterval(() => {
      // Requests are counted instead of time measured: if this process or the whole host was suspended, only
      // one interval has passed, and what the peer sent meanwhile is read before the next one.
      if (this.#unanswered >= this.#options.count) {
        this.#dead();
        return;
      }
      this.#unanswered++;
      this.#ping();
    }, this.#options.intervalMs);
  }

  /** Records that a packet came from the peer. */
  packetReceived(): void {
    this.#unanswered = 0;
    this.#timer?.refresh();
  }

  /** Stops sending requests. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }
}
