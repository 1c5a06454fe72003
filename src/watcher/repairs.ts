import type { NetworkConfig } from '../config/config.ts';
import { messageOf } from '../errors.ts';
import { isEstablished } from '../network/applied-record.ts';
import { describeStep } from '../network/describe.ts';
import { type Established, establishWhatWorks, withNetworkLock } from '../network/establish.ts';
import type { Step } from '../network/plan.ts';
import { dnsmasqOf, thingsOf } from '../network/repair-units.ts';
import { failure, type LogRecord } from '../report/outcome.ts';
import { isoSeconds } from '../text.ts';
import { Damping, type Fight } from './fight-limiter.ts';

/** Puts networks right again, and leaves alone for a while what has to be put right too often. */
export class Repairs {
  readonly #damping = new Damping();
  /** Network → what was said of it at the last look, so that it is said once. */
  readonly #said = new Map<string, readonly string[]>();
  readonly #write: (records: readonly LogRecord[]) => void;

  constructor(write: (records: readonly LogRecord[]) => void) {
    this.#write = write;
  }

  /** Looks at a network and puts right what is not; gives whether there was anything. One that was taken down stays so. */
  async mend(network: NetworkConfig): Promise<boolean> {
    const { bridge } = network;
    const choose = (steps: readonly Step[]) => this.#allowed(bridge, steps);
    try {
      const done = await withNetworkLock(async () =>
        isEstablished(bridge) ? establishWhatWorks(network, choose) : { steps: [], warnings: [] },
      );
      this.#report(network, done);
      return done.steps.length > 0;
    } catch (error) {
      this.#report(network, { steps: [], warnings: [messageOf(error)] });
      return false;
    }
  }

  /** Whether its dnsmasq, when it is gone, would be started again. */
  keepsDnsmasq({ bridge }: NetworkConfig): boolean {
    return isEstablished(bridge) && this.#damping.allows(dnsmasqOf(bridge), Date.now());
  }

  /** What is left alone, each a line. */
  problems(): string[] {
    return this.#damping.fights(Date.now()).map(describeFight);
  }

  /** When something that is left alone may be repaired again, in milliseconds since 1970; null when nothing is. */
  nextTry(): number | null {
    const ends = this.#damping.fights(Date.now()).map(({ until }) => until);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  #allowed(bridge: string, steps: readonly Step[]): Step[] {
    const now = Date.now();
    const things = [...thingsOf(bridge, steps)].filter(([thing]) => this.#damping.allows(thing, now));
    const allowed = new Set(things.flatMap(([, own]) => own));
    return steps.filter(step => allowed.has(step));
  }

  #report({ name, bridge }: NetworkConfig, { steps, warnings }: Established): void {
    const missing = [...thingsOf(bridge, steps).keys()];
    const now = Date.now();
    const given = missing.filter(thing => this.#damping.count(thing, now));
    const fights = this.#damping.fights(now).filter(({ thing }) => given.includes(thing));
    const said = this.#said.get(name) ?? [];
    this.#said.set(name, warnings);
    this.#write([
      ...(steps.length === 0
        ? []
        : [
            {
              level: 'info',
              message: 'network repaired',
              fields: { network: name, missing, steps: steps.map(describeStep) },
            } as const,
          ]),
      ...[...warnings.filter(warning => !said.includes(warning)), ...fights.map(describeFight)].map(message =>
        failure(`network ${name}: ${message}`, { network: name }),
      ),
    ]);
  }
}

function describeFight({ thing, since, until }: Fight): string {
  const [from, to] = [since, until].map(isoSeconds);
  return `${thing} has had to be put right again and again since ${from}: left alone until ${to}; find out what changes it`;
}
