// Asks the other hosts of each network's cluster, and keeps their last answers.
import type { Ipv4 } from '../../address/ip.ts';
import type { PeerReport } from '../../cluster/peer.ts';
import type { NetworkConfig } from '../../config/config.ts';
import type { Event } from '../../report/event.ts';
import type { AskedPeer } from '../../report/tunnel-status.ts';
import { Coalesced } from '../process/serial.ts';

/** Pause after which peers are asked again because routes or rules changed: a change is many events. */
const pauseMs = 5000;

/** The peers of all networks. A network without a tunnel is never asked about. */
export class PeerChecks {
  /** By network. */
  readonly #asked = new Map<string, readonly AskedPeer[]>();
  readonly #networks: () => readonly NetworkConfig[];
  readonly #ask: (network: NetworkConfig) => Promise<readonly PeerReport[]>;
  readonly #report: (events: readonly Event[]) => void;
  readonly #rounds: Coalesced;

  constructor(
    networks: () => readonly NetworkConfig[],
    report: (events: readonly Event[]) => void,
    ask: (network: NetworkConfig) => Promise<readonly PeerReport[]> = askWithCode,
  ) {
    this.#networks = networks;
    this.#ask = ask;
    this.#report = report;
    this.#rounds = new Coalesced(
      () => this.#round(),
      () => pauseMs,
    );
  }

  /** Asks all peers, and reports each whose answer differs from the one before. */
  request(): Promise<void> {
    return this.#rounds.request();
  }

  /** Returns the peers of a network that have been asked. */
  of(network: string): readonly AskedPeer[] {
    return this.#asked.get(network) ?? [];
  }

  async #round(): Promise<void> {
    const networks = this.#networks().filter(({ tunnel }) => tunnel !== null);
    for (const name of this.#asked.keys())
      if (!networks.some(network => network.name === name)) this.#asked.delete(name);
    for (const network of networks) {
      try {
        this.#keep(network.name, await this.#ask(network));
      } catch (error) {
        this.#report([{ kind: 'failed', during: 'reconcile', error: error as Error }]);
      }
    }
  }

  #keep(network: string, reports: readonly PeerReport[]): void {
    const before = this.of(network);
    const asked = reports.map(report => withSince(report, before));
    this.#asked.set(network, asked);
    const changed = asked.filter(({ peer, answer }) => answer !== answerOf(before, peer));
    if (changed.length > 0) this.#report(changed.map(report => ({ kind: 'peer-changed', network, report })));
  }
}

/** The code is loaded where there is a tunnel only. */
async function askWithCode(network: NetworkConfig): Promise<readonly PeerReport[]> {
  const { askPeers } = await import('../../diagnosis/probe/ask-peers.ts');
  return askPeers(network);
}

function answerOf(asked: readonly AskedPeer[], peer: Ipv4): PeerReport['answer'] | null {
  return asked.find(each => each.peer === peer)?.answer ?? null;
}

function withSince(report: PeerReport, before: readonly AskedPeer[]): AskedPeer {
  const earlier = before.find(({ peer, answer }) => peer === report.peer && answer === report.answer);
  return { ...report, since: earlier?.since ?? new Date() };
}
