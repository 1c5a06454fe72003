// Transactions of etcd. Pure.

/** A key of etcd and its value; null where it was deleted. */
export interface Pair {
  readonly key: string;
  readonly value: string | null;
  /** The revision that wrote it last. */
  readonly revision: number;
}

/** Holds if the key was last written by this revision; null: if it does not exist. */
export interface Compare {
  readonly key: string;
  readonly revision: number | null;
}

/** Writes a value; null deletes. A key with a lease ends with it. */
export interface Operation {
  readonly key: string;
  readonly value: string | null;
  readonly lease?: string;
}

/** Operations that take effect together, if all compares hold. */
export interface Transaction {
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
}

/** Returns a transaction with whole keys: those of a network begin with its prefix. */
export function withPrefix(prefix: string, { compares, operations }: Transaction): Transaction {
  return {
    compares: compares.map(each => ({ ...each, key: `${prefix}${each.key}` })),
    operations: operations.map(each => ({ ...each, key: `${prefix}${each.key}` })),
  };
}
