// Finds out whether anybody has changed rules of iptables-legacy, which the kernel does not report.
import { type Family, families } from '../../address/ip.ts';
import { hasLegacyTables, legacyPrefix } from '../../firewall/flavours.ts';
import type { System } from '../../system/system.ts';

/** Compares the rules of both families with those at the time before. */
export class LegacyRules {
  readonly #known = new Map<Family, string>();
  readonly #system: Pick<System, 'readFile' | 'isInstalled' | 'run'>;

  constructor(system: Pick<System, 'readFile' | 'isInstalled' | 'run'>) {
    this.#system = system;
  }

  /**
   * Returns whether rules have changed since the last call; false at the first. Runs programs only on a host with
   * tables of iptables-legacy: the kernel makes one for its first rule.
   */
  async haveChanged(): Promise<boolean> {
    const changes = await Promise.all(families.map(family => this.#hasChanged(family)));
    return changes.includes(true);
  }

  async #hasChanged(family: Family): Promise<boolean> {
    const rules = await this.#read(family);
    if (rules === null) return false;
    const before = this.#known.get(family);
    this.#known.set(family, rules);
    return before !== undefined && rules !== before;
  }

  /** Returns the rules of a family; null where they cannot be read. */
  async #read(family: Family): Promise<string | null> {
    const { readFile, run } = this.#system;
    if (!hasLegacyTables(readFile, family)) return '';
    try {
      return withoutTimes(await run(`${legacyPrefix(this.#system, family)}-save`, []));
    } catch {
      // Not installed, or busy: the next call compares.
      return null;
    }
  }
}

/** Removes comments, which have the time, and the counters of policies. */
function withoutTimes(save: string): string {
  return save
    .split('\n')
    .filter(line => !line.startsWith('#'))
    .map(line => line.replace(/ \[\d+:\d+\]$/, ''))
    .join('\n');
}
