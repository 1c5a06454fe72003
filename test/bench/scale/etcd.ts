// etcd.ts: a real etcd of one member with the keys of a cluster, and the session of a watcher with it.
import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { EtcdConfig } from '../../../src/config/config.ts';
import { EtcdClient } from '../../../src/shared-ledger/client.ts';
import { type Member, maxOperations } from '../../../src/shared-ledger/pushes.ts';
import { Session } from '../../../src/shared-ledger/session.ts';
import type { Operation } from '../../../src/shared-ledger/transaction.ts';
import { ip } from '../../unit/builders.ts';
import { prefix } from './cluster.ts';
import { memoryOf } from './programs.ts';

const directory = '/tmp/scale-etcd';
const endpoint = 'http://127.0.0.1:2379';

const config: EtcdConfig = {
  endpoints: [endpoint],
  address: ip('10.210.0.1'),
  namesPeers: true,
  ca: null,
  cert: null,
  key: null,
  user: null,
};

/** Most transactions that are under way together. */
const together = 16;

/** A real etcd. */
export class RealEtcd {
  readonly #process: ChildProcess;
  readonly #client: EtcdClient;

  private constructor(process: ChildProcess, client: EtcdClient) {
    this.#process = process;
    this.#client = client;
  }

  static async start(program: string): Promise<RealEtcd> {
    const urls = ['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint];
    const args = ['--data-dir', directory, '--logger', 'zap', '--log-level', 'error', ...urls];
    const process = spawn(program, args, { stdio: 'ignore' });
    const client = await EtcdClient.connect(endpoint, config);
    for (let attempt = 0; ; attempt++)
      try {
        await client.grantLease(30);
        return new RealEtcd(process, client);
      } catch (error) {
        if (attempt === 100) throw error;
        await new Promise(resolve => setTimeout(resolve, 100));
      }
  }

  /** Writes keys and values, many in a transaction. */
  async load(pairs: Iterable<readonly [string, { readonly value: string }]>): Promise<void> {
    const operations = [...pairs].map(([key, { value }]): Operation => ({ key, value }));
    const chunks = Array.from({ length: Math.ceil(operations.length / maxOperations) }, (_, index) =>
      operations.slice(index * maxOperations, (index + 1) * maxOperations),
    );
    for (let first = 0; first < chunks.length; first += together)
      await Promise.all(
        chunks
          .slice(first, first + together)
          .map(some => this.#client.write({ compares: [], operations: some })),
      );
  }

  /** Writes one machine in each transaction, as it is. Returns the revision of the last. */
  async touch(pairs: readonly (readonly [string, { readonly value: string }])[]): Promise<number> {
    let last = 0;
    for (const [key, { value }] of pairs) {
      const written = await this.#client.write({ compares: [], operations: [{ key, value }] });
      last = written ?? last;
    }
    return last;
  }

  /** The memory of the process and the size of its database, in MiB. */
  costs(): { readonly memory: number; readonly database: number } {
    return {
      memory: memoryOf(this.#process.pid),
      database: statSync(`${directory}/member/snap/db`).size / 2 ** 20,
    };
  }

  end(): void {
    this.#client.close();
    this.#process.kill('SIGKILL');
  }
}

/** A session of a watcher, and what its beginning took. */
export interface Watching {
  readonly session: Session;
  /** Until it has read all keys and registered, in milliseconds. */
  readonly began: number;
  /** The longest time for which nothing else ran, in milliseconds. */
  readonly longestBlock: number;
  /** Resolves when the mirror has a revision of a machine. */
  reach(uuid: string, revision: number): Promise<void>;
  /** Reports of changes so far, each of one or more. */
  reports(): number;
  end(): void;
}

/** Begins the session that a watcher has. */
export async function watchAs(member: Member): Promise<Watching> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const start = performance.now();
  const ended = new AbortController();
  let reports = 0;
  let wake = () => {};
  const session = await new Promise<Session>((resolve, reject) => {
    const callbacks = {
      began: resolve,
      changed: () => {
        reports++;
        wake();
      },
    };
    Session.run(endpoint, config, { member, prefix, machine: '00000001' }, callbacks, ended.signal).catch(
      reject,
    );
  });
  const began = performance.now() - start;
  delay.disable();
  return {
    session,
    began,
    longestBlock: delay.max / 1e6,
    async reach(uuid, revision) {
      while ((session.mirror.machines.get(uuid)?.revision ?? 0) < revision)
        await new Promise<void>(resolve => {
          wake = resolve;
        });
    },
    reports: () => reports,
    end: () => ended.abort(),
  };
}
