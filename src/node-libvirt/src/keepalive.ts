// Notices that the daemon is gone although the socket is not, the way libvirt does (src/rpc/virkeepalive.c): any
// packet counts as a sign of life; after `intervalMs` without one, a request is sent; after `count` requests without
// any packet the peer is given up.

export interface KeepaliveOptions {
  readonly intervalMs: number;
  readonly count: number;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #ping: () => void;
  readonly #dead: () => void;
  #timer: NodeJS.Timeout | undefined;
  #unanswered = 0;

  constructor(options: KeepaliveOptions, ping: () => void, dead: () => void) {
    this.#options = options;
    this.#ping = ping;
    this.#dead = dead;
  }

  start(): void {
    this.#timer = setInterval(() => {
      // Counting requests instead of looking at the clock: if it was this process that stood still, or the whole
      // host, only one interval is over, and what the peer sent meanwhile is read before the next one.
      if (this.#unanswered >= this.#options.count) {
        this.#dead();
        return;
      }
      this.#unanswered++;
      this.#ping();
    }, this.#options.intervalMs);
  }

  /** Something came from the peer. */
  packetReceived(): void {
    this.#unanswered = 0;
    this.#timer?.refresh();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
