// The MACs in the definitions that were read so far, found by MAC: a thousand definitions are compared with each other.
import type { Mac } from '../../address/mac.ts';

export class DefinedMacs {
  readonly #byUuid = new Map<string, ReadonlySet<Mac>>();
  readonly #holders = new Map<Mac, ReadonlySet<string>>();

  /** Sets the MACs of a machine; none for a machine that has no definition any more. */
  set(uuid: string, macs: ReadonlySet<Mac>): void {
    for (const mac of this.#byUuid.get(uuid) ?? []) {
      const others = [...(this.#holders.get(mac) ?? [])].filter(holder => holder !== uuid);
      if (others.length === 0) this.#holders.delete(mac);
      else this.#holders.set(mac, new Set(others));
    }
    if (macs.size === 0) this.#byUuid.delete(uuid);
    else this.#byUuid.set(uuid, macs);
    for (const mac of macs) this.#holders.set(mac, new Set([...(this.#holders.get(mac) ?? []), uuid]));
  }

  /** Returns whether a machine with another UUID has a MAC. */
  isElsewhere(mac: Mac, uuid: string | null): boolean {
    return [...(this.#holders.get(mac) ?? [])].some(holder => holder !== uuid);
  }
}
