// etcd-double.ts: a double of etcd in memory, which does transactions as etcd does, for tests and the benchmark.
import assert from 'node:assert/strict';
import type { Pair, Transaction } from '../../src/shared-ledger/transaction.ts';

/** A double of etcd: keys in memory, with the revisions that etcd gives. */
export class Etcd {
  revision = 1;
  readonly keys = new Map<string, { value: string; revision: number }>();
  readonly #log: Pair[] = [];

  /** Returns whether the transaction took effect. */
  write({ compares, operations }: Transaction, prefix: string): boolean {
    const holds = compares.every(
      ({ key, revision }) => (this.keys.get(`${prefix}${key}`)?.revision ?? null) === revision,
    );
    if (!holds) return false;
    const keys = operations.map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length, 'etcd refuses a transaction that writes a key twice');
    this.revision++;
    for (const { key: name, value } of operations) {
      const key = `${prefix}${name}`;
      if (value === null) this.keys.delete(key);
      else this.keys.set(key, { value, revision: this.revision });
      this.#log.push({ key, value, revision: this.revision });
    }
    return true;
  }

  /** Returns what was written after a revision. */
  since(revision: number): Pair[] {
    return this.#log.slice(this.#log.findLastIndex(pair => pair.revision <= revision) + 1);
  }
}
