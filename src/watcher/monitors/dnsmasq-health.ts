// Notices a dnsmasq that runs but answers nobody.
import type { NetworkConfig } from '../../config/config.ts';
import type { DnsAnswer } from '../../dnsmasq/ask.ts';

/** The part of the host that the check uses. */
export interface DnsmasqHost {
  find(bridge: string): number | null;
  ask(network: NetworkConfig): Promise<DnsAnswer>;
  /** Ends the process at once. */
  end(pid: number): void;
}

/**
 * Asks each dnsmasq a question, and ends one that is silent. Only one that has answered before counts as
 * silent: a firewall of the administrator's may keep the question from it.
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
    const isSilent = answer === 'silence' && this.#answered.get(bridge) === pid;
    // It may have ended meanwhile.
    if (!isSilent || this.#host.find(bridge) !== pid) return null;
    this.#host.end(pid);
    return pid;
  }
}
