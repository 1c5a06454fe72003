// Finds out whether anybody has changed rules of iptables-legacy, which the kernel does not report.
import { hasLegacyRules } from '../other-firewalls/observe.ts';
import type { System } from '../system/system.ts';

/** Compares the rules with those at the time before. */
export class LegacyRules {
  #known: string | null = null;
  readonly #system: Pick<System, 'readFile' | 'run'>;

  constructor(system: Pick<System, 'readFile' | 'run'>) {
    this.#system = system;
  }

  /**
   * Returns whether rules have changed since the last call; false at the first. Runs a program only on a host
   * with tables of iptables-legacy: the kernel makes one for its first rule.
   */
  async haveChanged(): Promise<boolean> {
    const rules = await this.#read();
    if (rules === null) return false;
    const before = this.#known;
    this.#known = rules;
    return before !== null && rules !== before;
  }

  /** Returns the rules; null where they cannot be read. */
  async #read(): Promise<string | null> {
    const { readFile, run } = this.#system;
    if (!hasLegacyRules(readFile)) return '';
    try {
      return withoutTimes(await run('iptables-legacy-save', []));
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
