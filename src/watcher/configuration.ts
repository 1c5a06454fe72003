// Keeps the configuration in force, and decides whether a changed file replaces it.
import { isDeepStrictEqual } from 'node:util';
import type { Config, NetworkConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { VirlanError } from '../errors.ts';
import { machineOn } from '../identity/machine.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { refusedChangeText } from './configuration-text.ts';
import { findRefusedChanges, type RefusedChange } from './refused-changes.ts';

/** The result of reading the file again. */
export type Reloaded =
  | { readonly kind: 'applied'; readonly removed: readonly NetworkConfig[] }
  /** `isNew`: the last attempt was not rejected for the same reason. */
  | { readonly kind: 'rejected'; readonly error: Error; readonly isNew: boolean };

/** The configuration in force, and the error of a newer one that was rejected. */
export class Configuration {
  readonly path: string;
  #current: Config;
  #problem: Error | null = null;

  /** Throws InvalidConfig. */
  constructor(path: string) {
    this.path = path;
    this.#current = loadConfig(path);
  }

  get current(): Config {
    return this.#current;
  }

  get networks(): readonly NetworkConfig[] {
    return this.#current.networks;
  }

  /** The reason why the configuration on disk is not in force; null when it is. */
  get problem(): Error | null {
    return this.#problem;
  }

  /**
   * Returns whether the file differs from what is in force, or cannot be applied. Events do not tell: chokidar misses a
   * file that was removed and is made again later.
   */
  isOutdated(): boolean {
    try {
      return !isDeepStrictEqual(loadConfig(this.path), this.#current);
    } catch {
      return true;
    }
  }

  /** Reads the file, and applies it unless it is invalid or would cut off running machines. */
  reload(): Reloaded {
    try {
      const next = loadConfig(this.path);
      const [refused] = findRefusedChanges(this.#current, next, machinesRunningOn);
      if (refused !== undefined) throw new ChangeRefused(refused);
      const removed = this.networks.filter(
        ({ bridge }) => !next.networks.some(other => other.bridge === bridge),
      );
      this.#current = next;
      this.#problem = null;
      return { kind: 'applied', removed };
    } catch (thrown) {
      const error = thrown as Error;
      const isNew = this.#problem === null || !isDeepStrictEqual({ ...error }, { ...this.#problem });
      this.#problem = error;
      return { kind: 'rejected', error, isNew };
    }
  }
}

/** A configuration that would cut off running machines. */
class ChangeRefused extends VirlanError {
  static override readonly label = 'ChangeRefused';

  readonly refused: RefusedChange;

  constructor(refused: RefusedChange) {
    super('refused', refusedChangeText(refused));
    this.refused = refused;
  }
}

function machinesRunningOn({ name, bridge }: NetworkConfig): string[] {
  const passThrough = passThroughNetworks(name, bridge);
  return runningDomains()
    .filter(domain => machineOn(bridge, passThrough, domain).macs.length > 0)
    .map(domain => domain.name);
}
