// A session with one member of etcd: it mirrors the keys of a network until the connection ends.
import { setTimeout as pause } from 'node:timers/promises';
import type { EtcdConfig } from '../config/config.ts';
import { EtcdClient } from './client.ts';
import { EtcdError } from './etcd-error.ts';
import { Mirror } from './mirror.ts';
import type { Member } from './pushes.ts';
import { planRegistration } from './register.ts';
import { type Transaction, withPrefix } from './transaction.ts';

/** A host is there until this long after it was last heard of. */
const leaseSeconds = 30;

/** Interval of renewing the lease, by which a session also finds out that it is over. */
const renewalMs = 5000;

/** Longest time from a write until this host reads it. */
const catchUpMs = 5000;

/** Most writes that are under way together. */
const maxWrites = 16;

/** A session. Every call throws EtcdError when it is over. */
export class Session {
  readonly mirror: Mirror;
  readonly endpoint: string;
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #ended = new AbortController();
  #revision = 0;
  #waiting: (() => void)[] = [];

  private constructor(client: EtcdClient, endpoint: string, mirror: Mirror, prefix: string) {
    this.#client = client;
    this.endpoint = endpoint;
    this.mirror = mirror;
    this.#prefix = prefix;
  }

  /**
   * Begins a session, reads the keys of the network, and calls `began` with it, then `changed` after each change.
   * Throws when the session is over, at the latest when `signal` is aborted.
   */
  static async run(
    endpoint: string,
    config: EtcdConfig,
    {
      member,
      prefix,
      machine,
    }: { readonly member: Member; readonly prefix: string; readonly machine: string },
    events: { began(session: Session): void; changed(): void },
    signal: AbortSignal,
  ): Promise<never> {
    const client = await EtcdClient.connect(endpoint, config);
    const session = new Session(client, endpoint, new Mirror(member.network, prefix), prefix);
    const end = () => session.end();
    signal.addEventListener('abort', end, { once: true });
    try {
      signal.throwIfAborted();
      return await session.#run(member, machine, events);
    } catch (error) {
      const { reason } = session.#ended.signal;
      throw reason instanceof EtcdError ? reason : error;
    } finally {
      signal.removeEventListener('abort', end);
      session.end();
      client.close();
    }
  }

  /** Ends the session: `run` throws the reason. */
  end(reason?: EtcdError): void {
    this.#ended.abort(reason);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /**
   * Writes transactions, and waits until the mirror has them. Returns for each whether it took effect: if not, another
   * host wrote first.
   */
  async write(transactions: readonly Transaction[]): Promise<boolean[]> {
    const written: (number | null)[] = [];
    for (let first = 0; first < transactions.length; first += maxWrites)
      written.push(
        ...(await Promise.all(
          transactions
            .slice(first, first + maxWrites)
            .map(each => this.#client.write(withPrefix(this.#prefix, each))),
        )),
      );
    await this.#reach(Math.max(0, ...written.map(revision => revision ?? 0)));
    return written.map(revision => revision !== null);
  }

  async #run(
    member: Member,
    machine: string,
    events: { began(session: Session): void; changed(): void },
  ): Promise<never> {
    const revision = await this.#client.read(this.#prefix, pairs => this.mirror.apply(pairs));
    this.#revision = revision;
    const lease = await this.#client.grantLease(leaseSeconds);
    const { signal } = this.#ended;
    const over = Promise.race([
      this.#client.watch(this.#prefix, revision + 1, changed => this.#apply(changed, events.changed), signal),
      this.#renew(lease),
    ]);
    // It may end before it is awaited.
    over.catch(() => {});
    const [isRegistered] = await Promise.race([
      this.write([planRegistration(member, machine, lease, this.mirror)]),
      over,
    ]);
    if (!isRegistered) throw new EtcdError('failed', 'another host registers with the same address');
    events.began(this);
    return over;
  }

  #apply(pairs: Parameters<Mirror['apply']>[0], changed: () => void): void {
    this.mirror.apply(pairs);
    // In the order of their revisions. There may be more of them than a call takes arguments.
    this.#revision = Math.max(this.#revision, pairs.at(-1)?.revision ?? 0);
    for (const wake of this.#waiting.splice(0)) wake();
    changed();
  }

  async #renew(lease: string): Promise<never> {
    for (;;) {
      await pause(renewalMs, undefined, { signal: this.#ended.signal, ref: false });
      if (!(await this.#client.keepAlive(lease)))
        throw new EtcdError('failed', 'the lease of this host ended');
    }
  }

  /** Waits until the mirror has a revision. */
  async #reach(revision: number): Promise<void> {
    const end = performance.now() + catchUpMs;
    while (this.#revision < revision) {
      const leftMs = end - performance.now();
      if (this.#ended.signal.aborted || leftMs <= 0)
        throw new EtcdError('unreachable', `${this.endpoint} does not report what it has written`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}
