// Finds out whether a guest has become the root of a bridge's spanning tree, which the kernel does not report.
import type { NetworkConfig } from '../config/config.ts';
import type { System } from '../system/system.ts';

/** Compares the root ports of bridges with those at the time before. */
export class RootPorts {
  #known: ReadonlyMap<string, string> = new Map();
  readonly #readFile: System['readFile'];

  constructor(readFile: System['readFile']) {
    this.#readFile = readFile;
  }

  /** Returns whether another port of a bridge leads to the root since the last call. */
  haveChanged(networks: readonly Pick<NetworkConfig, 'bridge'>[]): boolean {
    const before = this.#known;
    const read = networks.map(({ bridge }) => {
      const port = this.#readFile(`/sys/class/net/${bridge}/bridge/root_port`)?.trim() ?? bridgeIsRoot;
      return [bridge, port] as const;
    });
    this.#known = new Map(read);
    return read.some(([bridge, port]) => port !== bridgeIsRoot && port !== before.get(bridge));
  }
}

const bridgeIsRoot = '0';
