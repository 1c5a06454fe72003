// Finds out whether static entries of bridges' tables of MACs have changed. The kernel reports them only together with
// each MAC that a bridge learns, of which guests can make any number: so they are looked for from time to time.
import type { NetworkConfig } from '../../config/config.ts';
import type { listStaticEntries } from '../../network/kernel/read-kernel.ts';

/** Compares the static entries of bridges with those at the time before. */
export class StaticEntries {
  /** By bridge. */
  readonly #known = new Map<string, string>();
  readonly #list: typeof listStaticEntries;

  constructor(list: typeof listStaticEntries) {
    this.#list = list;
  }

  /** Returns whether a bridge has other entries than at the last call, or any at the first. */
  async haveChanged(networks: readonly Pick<NetworkConfig, 'bridge'>[]): Promise<boolean> {
    let haveChanged = false;
    for (const { bridge } of networks) {
      const entries = JSON.stringify([...(await this.#list(bridge))].sort());
      if (entries !== (this.#known.get(bridge) ?? none)) haveChanged = true;
      this.#known.set(bridge, entries);
    }
    return haveChanged;
  }
}

const none = '[]';
