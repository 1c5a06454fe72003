// Notices a dnsmasq that runs but answers nobody.
import type { NetworkConfig } from '../../config/config.ts';
import type { DnsAnswer } from '../../dnsmasq/ask.ts';

/** The part of the host that the check uses. */
export interface DnsmasqHost {
  find(bridge: string): number | null;
  ask(network: NetworkConfig): Promise<DnsAnswer>;
  /** Returns whether questions have arrived that it does not read. */
  hasUnreadQuestions(network: NetworkConfig): boolean;
  /** Ends the process at once. */
  end(pid: number): void;
}

/**
 * Asks each dnsmasq a question, and ends one that is silent. One that has not answered before counts as silent only if
 * the question has reached it: a firewall of the administrator's may keep it from it.
 */
export class DnsmasqHealth {
  readonly #host: DnsmasqHost;
  /** By bridge: the process that answered last. */
  readonly #answered = new Map<string, number>();

  constructor(host: DnsmasqHost) {
    this.#host = host;
  }

  /** Returns the process that was ended; null for none. Its end is repaired as any other. */
  async check(network: NetworkConfig): Promise<number | null> {
    const { bridge } = network;
    const pid = this.#host.find(bridge);
    if (pid === null) return null;
    const answer = await this.#host.ask(network);
    if (answer === 'answer') this.#answered.set(bridge, pid);
    const isHung = () => this.#answered.get(bridge) === pid || this.#host.hasUnreadQuestions(network);
    // It may have ended meanwhile.
    if (answer !== 'silence' || !isHung() || this.#host.find(bridge) !== pid) return null;
    this.#host.end(pid);
    return pid;
  }
}
