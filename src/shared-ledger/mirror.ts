// Keeps the keys of a network in memory as etcd last reported them. Pure.
import type { Ipv4 } from '../address/ip.ts';
import type { IndexKey } from '../identity/ledger.ts';
import { readPair, type SharedMachine } from './keys.ts';
import type { Pair } from './transaction.ts';

/** A value, and the revision that wrote it; a null value is not valid. */
export interface Revised<T> {
  readonly value: T | null;
  readonly revision: number;
}

/** The keys of a network, as etcd last reported them. */
export class Mirror {
  readonly machines = new Map<string, Revised<SharedMachine>>();
  readonly claims = new Map<IndexKey, Revised<string>>();
  readonly blocks = new Map<Ipv4, Revised<Ipv4>>();
  readonly hosts = new Map<Ipv4, Revised<string>>();
  readonly alive = new Map<Ipv4, Revised<string>>();
  readonly #network: string;
  readonly #prefix: string;
  /** By UUID. */
  readonly #claimed = new Map<string, Set<IndexKey>>();

  constructor(network: string, prefix: string) {
    this.#network = network;
    this.#prefix = prefix;
  }

  /** Returns the claims of a machine. */
  claimsOf(uuid: string): ReadonlySet<IndexKey> {
    return this.#claimed.get(uuid) ?? new Set();
  }

  /** Takes over pairs, in the order of their revisions. */
  apply(pairs: readonly Pair[]): void {
    for (const pair of pairs) if (pair.key.startsWith(this.#prefix)) this.#applyOne(pair);
  }

  #applyOne(pair: Pair): void {
    const shared = readPair(this.#network, { ...pair, key: pair.key.slice(this.#prefix.length) });
    if (shared === null) return;
    switch (shared.kind) {
      case 'host':
        put(this.hosts, shared.host, shared.value, pair);
        break;
      case 'alive':
        put(this.alive, shared.host, shared.value, pair);
        break;
      case 'block':
        put(this.blocks, shared.first, shared.value, pair);
        break;
      case 'machine':
        put(this.machines, shared.uuid, shared.value, pair);
        break;
      case 'claim': {
        const before = this.claims.get(shared.claim)?.value ?? '';
        put(this.claims, shared.claim, shared.value, pair);
        this.#claimed.get(before)?.delete(shared.claim);
        const uuid = this.claims.get(shared.claim)?.value ?? null;
        if (uuid !== null) this.#claimed.set(uuid, new Set([...this.claimsOf(uuid), shared.claim]));
      }
    }
  }
}

function put<K, T>(map: Map<K, Revised<T>>, key: K, value: T | null, pair: Pair): void {
  if (pair.value === null) map.delete(key);
  else map.set(key, { value, revision: pair.revision });
}
