// Keeps one shared ledger for each network that has one in virlan.ini. Its code is loaded only where there is one.
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../../config/config.ts';
import { copiedNetworks } from '../../records/cluster-copy.ts';
import type { ClusterStatus } from '../../report/cluster-status.ts';
import { Serial } from '../process/serial.ts';
import type { SharedLedger, SharedLedgerEvents } from './shared-ledger.ts';

/** The shared ledgers of this host. */
export class SharedLedgers {
  /** By network. */
  readonly #shared = new Map<string, SharedLedger>();
  readonly #config: () => Config;
  readonly #events: SharedLedgerEvents;
  readonly #changes = new Serial();

  constructor(config: () => Config, events: SharedLedgerEvents) {
    this.#config = config;
    this.#events = events;
  }

  /**
   * Begins and ends connections as the configuration wants it. A host that has left removes its part from etcd. Call it
   * after each change of the configuration. Failures are reported: without etcd machines have a network all the same.
   */
  apply(): Promise<void> {
    const failed = (error: Error) => this.#events.report([{ kind: 'failed', during: 'reconcile', error }]);
    return this.#changes.run(() => this.#apply().catch(failed));
  }

  /** Compares all of them with etcd, soon. */
  request(): void {
    for (const shared of this.#shared.values()) void shared.request();
  }

  /** Returns the state of a network's; null where it has none. */
  of(network: string): ClusterStatus | null {
    return this.#shared.get(network)?.status() ?? null;
  }

  async close(): Promise<void> {
    await this.#changes.run(() => Promise.all([...this.#shared.values()].map(shared => shared.close())));
  }

  async #apply(): Promise<void> {
    const { networks, etcd } = this.#config();
    const wanted = networks.filter(({ sharesLedger }) => sharesLedger);
    if (wanted.length === 0 && this.#shared.size === 0 && copiedNetworks().length === 0) return;
    const { SharedLedger, forgetCluster } = await import('./shared-ledger.ts');
    for (const [name, shared] of this.#shared) {
      const network = wanted.find(each => each.name === name);
      const isSame = (a: SharedLedger['network'], b: SharedLedger['network']) =>
        isDeepStrictEqual(withoutPeers(a), withoutPeers(b));
      if (network !== undefined && isSame(network, shared.network) && isDeepStrictEqual(etcd, shared.etcd))
        continue;
      const isMember =
        network?.tunnel?.vni === shared.network.tunnel?.vni && etcd?.address === shared.etcd.address;
      await (network === undefined || !isMember ? shared.leave() : shared.close());
      this.#shared.delete(name);
    }
    // It left while no watcher ran.
    for (const name of copiedNetworks()) {
      const network = networks.find(each => each.name === name);
      if (network !== undefined && !network.sharesLedger) await forgetCluster(network);
    }
    for (const network of wanted) {
      const { name, tunnel } = network;
      if (etcd === null || tunnel === null || this.#shared.has(name)) continue;
      this.#shared.set(name, new SharedLedger(network, tunnel.vni, etcd, this.#events));
    }
  }
}

/** Returns a network without its peers: they may come from etcd itself. */
function withoutPeers(network: SharedLedger['network']) {
  return { ...network, tunnel: network.tunnel === null ? null : { ...network.tunnel, peers: [] } };
}
