// Looks after the dnsmasq of each network: notices one that has ended, and ends one that is silent.
import { endianness } from 'node:os';
import type { NetworkConfig } from '../../config/config.ts';
import { askDns } from '../../dnsmasq/ask.ts';
import { findDnsmasq } from '../../dnsmasq/process.ts';
import { hasUnreadQuestions } from '../../dnsmasq/unread-questions.ts';
import type { Event } from '../../report/event.ts';
import { Presence } from '../../system/presence.ts';
import { sendSignal } from '../../system/processes.ts';
import { system } from '../../system/system.ts';
import type { Repairs } from '../repairs/repairs.ts';
import { DnsmasqHealth } from './dnsmasq-health.ts';

/** The dnsmasq processes of all networks. */
export class DnsmasqProcesses {
  readonly #repairs: Repairs;
  readonly #present = new Presence(findDnsmasq);
  readonly #health = new DnsmasqHealth({
    find: findDnsmasq,
    ask: askDns,
    hasUnreadQuestions: ({ gateway }) =>
      hasUnreadQuestions(system.readFile('/proc/net/udp') ?? '', gateway, endianness()),
    end: pid => void sendSignal(pid, 'SIGKILL'),
  });

  constructor(repairs: Repairs) {
    this.#repairs = repairs;
  }

  /** Returns whether a process is gone and may be started again now. */
  isAnyDue(networks: readonly NetworkConfig[]): boolean {
    return networks.some(
      network => !this.#present.isRunning(network.bridge) && this.#repairs.isDnsmasqDue(network),
    );
  }

  /** Ends silent processes. Returns an event for each. */
  async endSilent(networks: readonly NetworkConfig[]): Promise<Event[]> {
    const events: Event[] = [];
    for (const network of networks) {
      const pid = await this.#health.check(network);
      if (pid !== null) events.push({ kind: 'dnsmasq-silent', network: network.name, pid });
    }
    return events;
  }
}
