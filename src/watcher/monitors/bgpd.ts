// Finds out whether FRR's bgpd has begun or ended, which nothing announces: a new process has nothing of virlan's.
import type { NetworkConfig } from '../../config/config.ts';
import { frrProcess } from '../../network/tunnel/frr-process.ts';

/** Compares the process of bgpd with that at the time before. Without BGP in virlan.ini nothing is read. */
export class Bgpd {
  #known: string | null = null;
  readonly #find: () => string | null;

  constructor(find: () => string | null = () => frrProcess('bgpd')) {
    this.#find = find;
  }

  /** Returns whether bgpd is another process than at the last call, or has ended. */
  hasChanged(networks: readonly Pick<NetworkConfig, 'tunnel'>[]): boolean {
    if (!networks.some(({ tunnel }) => (tunnel?.evpn ?? null) !== null)) return false;
    const before = this.#known;
    this.#known = this.#find();
    return this.#known !== before;
  }
}
