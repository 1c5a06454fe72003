// Finds out whether a guest has become the root of a bridge's spanning tree, or the bridge has another name: the kernel
// reports the one not at all, and the other with the new name alone.
import type { NetworkConfig } from '../../config/config.ts';
import type { System } from '../../system/system.ts';

/** Compares the root ports of bridges with those at the time before. */
export class RootPorts {
  #known: ReadonlyMap<string, string> = new Map();
  readonly #readFile: System['readFile'];

  constructor(readFile: System['readFile']) {
    this.#readFile = readFile;
  }

  /** Returns whether another port of a bridge leads to the root since the last call, or the bridge has gone. */
  haveChanged(networks: readonly Pick<NetworkConfig, 'bridge'>[]): boolean {
    const before = this.#known;
    const read = networks.map(({ bridge }) => {
      const port = this.#readFile(`/sys/class/net/${bridge}/bridge/root_port`)?.trim() ?? bridgeIsGone;
      return [bridge, port] as const;
    });
    this.#known = new Map(read);
    return read.some(([bridge, port]) => port !== bridgeIsRoot && port !== before.get(bridge));
  }
}

const bridgeIsRoot = '0';

const bridgeIsGone = '';
