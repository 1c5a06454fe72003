// Synchronizes the ledger of one network with etcd: writes this host's entries, and copies those of other hosts.
// Loaded only where hosts share their ledgers.
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { formatIp, type Ipv4 } from '../../address/ip.ts';
import type { EtcdConfig, NetworkConfig } from '../../config/config.ts';
import type { LedgerEntry } from '../../identity/ledger-format.ts';
import { hasStartedNics } from '../../identity/started-nics.ts';
import { changeLedger, readLedger, syncReservations } from '../../identity/store.ts';
import { hasRun, runningDomains } from '../../libvirt/definitions.ts';
import { migratingOut } from '../../libvirt/migrations.ts';
import { type ClusterCopy, readClusterCopy, writeClusterCopy } from '../../records/cluster-copy.ts';
import type { ClusterStatus } from '../../report/cluster-status.ts';
import type { Event } from '../../report/event.ts';
import { countFree, ownBlocks, planClaims } from '../../shared-ledger/blocks.ts';
import { EtcdError } from '../../shared-ledger/etcd-error.ts';
import { type Change, type Presence, planImports } from '../../shared-ledger/imports.ts';
import { prefixOf } from '../../shared-ledger/keys.ts';
import { type MachineWrite, type Member, planDrops, planPushes } from '../../shared-ledger/pushes.ts';
import { hostMark, planLeave } from '../../shared-ledger/register.ts';
import { Session } from '../../shared-ledger/session.ts';
import { planYields } from '../../shared-ledger/yields.ts';
import { machineId } from '../../system/machine-id.ts';
import { Coalesced } from '../process/serial.ts';
import { changeMachines, changesReservations, eventsOf, forgetCluster } from './shared-ledger-changes.ts';

/** A change waits this long for others. */
const burstMs = 30;

/** Pause after all members of etcd failed: each is twice the one before. */
const minRetryMs = 500;
const maxRetryMs = 10_000;

/** Entries that are dropped where addresses are short. */
const surplusDrops = 16;

export { forgetCluster };

/** Callbacks of a shared ledger. */
export interface SharedLedgerEvents {
  report(events: readonly Event[]): void;
  /** The connection, the copied entries, or the hosts whose watchers run have changed. */
  changed(): void;
  /** A host has joined or left. */
  hostsChanged(): void;
  /** This host has claimed its first blocks: until then it has no address for a probe. */
  blocksClaimed(network: NetworkConfig): void;
  /** Machines of this host lost their names, and with them perhaps their MACs. */
  lost(names: readonly string[]): void;
}

/** The ledger of one network, shared by etcd. */
export class SharedLedger {
  readonly network: NetworkConfig;
  readonly etcd: EtcdConfig;
  readonly #member: Member;
  readonly #prefix: string;
  readonly #events: SharedLedgerEvents;
  readonly #closed = new AbortController();
  readonly #running: Promise<void>;
  readonly #round = new Coalesced(
    () => this.#synchronize(),
    () => burstMs,
  );
  #session: Session | null = null;
  #error: Error | null = null;
  #isLeaving = false;
  /** The hosts whose watchers ran at the last round. */
  #alive: readonly Ipv4[] = [];
  #since = new Date();

  constructor(network: NetworkConfig, vni: number, etcd: EtcdConfig, events: SharedLedgerEvents) {
    this.network = network;
    this.etcd = etcd;
    this.#member = { network: network.name, host: etcd.address };
    this.#prefix = prefixOf(vni);
    this.#events = events;
    this.#running = this.#run();
  }

  /** Compares the ledger with etcd, soon. */
  request(): Promise<void> {
    return this.#round.request();
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  /** Ends the connection after this host's part was removed from etcd, and that of others from here. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    // A round that runs would claim again what is removed.
    await this.request();
    const session = this.#session;
    try {
      if (session !== null) await session.write(planLeave(this.#member, session.mirror));
    } catch (error) {
      this.#events.report([{ kind: 'etcd-lost', network: this.network.name, error: error as Error }]);
    }
    await this.close();
    await forgetCluster(this.network);
  }

  /** Returns the connection, and what is known of the other hosts. */
  status(): ClusterStatus {
    const { name } = this.network;
    const mirror = this.#session?.mirror ?? null;
    const copy = readClusterCopy(name);
    const hosts = [...new Set([...copy.hosts, ...(mirror?.hosts.keys() ?? [])])].filter(
      host => host !== this.#member.host,
    );
    return {
      etcd: {
        connected: mirror !== null,
        endpoint: this.#session?.endpoint ?? null,
        since: this.#since,
        error:
          this.#error instanceof EtcdError
            ? { reason: this.#error.reason, message: this.#error.message }
            : null,
      },
      freeAddresses: countFree(this.network, copy.blocks, readLedger()),
      hosts: hosts
        .sort((a, b) => a - b)
        .map(host => ({ address: formatIp(host), alive: mirror === null ? null : mirror.alive.has(host) })),
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    const where = {
      member: this.#member,
      prefix: this.#prefix,
      machine: hostMark(machineId()),
    };
    let retryMs = minRetryMs;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const endpoint = this.etcd.endpoints[attempt % this.etcd.endpoints.length] ?? '';
      const events = {
        began: (session: Session) => {
          retryMs = minRetryMs;
          this.#began(session);
        },
        changed: () => void this.request(),
      };
      await Session.run(endpoint, this.etcd, where, events, signal).catch((error: Error) =>
        this.#over(error),
      );
      if ((attempt + 1) % this.etcd.endpoints.length !== 0 || signal.aborted) continue;
      await pause(retryMs, undefined, { signal, ref: false }).catch(() => {});
      retryMs = Math.min(2 * retryMs, maxRetryMs);
    }
  }

  #began(session: Session): void {
    this.#session = session;
    this.#error = null;
    this.#since = new Date();
    this.#events.report([{ kind: 'etcd-connected', network: this.network.name, endpoint: session.endpoint }]);
    void this.request();
  }

  #over(error: Error): void {
    const isNew = this.#session !== null || this.#error === null;
    if (isNew) this.#since = new Date();
    this.#session = null;
    this.#error = error;
    if (isNew && !this.#closed.signal.aborted)
      this.#events.report([{ kind: 'etcd-lost', network: this.network.name, error }]);
  }

  async #synchronize(): Promise<void> {
    const session = this.#session;
    if (session === null || this.#isLeaving || this.#closed.signal.aborted) return;
    try {
      const isShort = await this.#claim(session);
      const lost = await this.#yield(session);
      const entries = readLedger().entries();
      await session.write(this.#pushes(session, entries).map(({ transaction }) => transaction));
      await this.#drop(session, isShort ? surplusDrops : 0);
      await this.#import(session);
      lost.push(...(await this.#yield(session)));
      this.#writeCopy(session);
      this.#compareAlive(session);
      // Last, because the ledger has the MACs of the winners by now.
      if (lost.length > 0) this.#events.lost(lost);
    } catch (error) {
      if (error instanceof EtcdError) session.end(error);
      else this.#events.report([{ kind: 'failed', during: 'reconcile', error: error as Error }]);
    }
  }

  /** Claims blocks. Returns whether there are not enough. */
  async #claim(session: Session): Promise<boolean> {
    const ledger = readLedger();
    const earlier = readClusterCopy(this.network.name).blocks;
    const { claims, isShort } = planClaims(
      this.#member,
      this.network,
      ledger.entries(),
      ledger,
      session.mirror,
      earlier,
    );
    await session.write(claims);
    // Hooks may give these addresses now.
    this.#writeCopy(session);
    return isShort;
  }

  #pushes(session: Session, entries: readonly LedgerEntry[]): MachineWrite[] {
    return planPushes(this.#member, entries, readLedger(), session.mirror, isStarting);
  }

  async #drop(session: Session, surplus: number): Promise<void> {
    const drops = planDrops(this.#member, readLedger().entries(), session.mirror, surplus, new Date());
    const dropped = await session.write(drops.map(({ transaction }) => transaction));
    const uuids = drops.filter((_, index) => dropped[index]).map(({ uuid }) => uuid);
    if (uuids.length === 0) return;
    await changeLedger(ledger => {
      const { network } = this.#member;
      const entries = uuids
        .flatMap(uuid => ledger.ofMachine(network, uuid))
        .filter(({ retired }) => retired !== null);
      return { ledger: entries.reduce((rest, entry) => rest.replace(entry, null), ledger), result: null };
    });
  }

  async #import(session: Session): Promise<void> {
    const entries = readLedger().entries();
    await this.#applied(
      await changeMachines(planImports(this.#member, entries, session.mirror, presences())),
    );
  }

  /** Takes other names where others had them first. Returns the machines that lost theirs. */
  async #yield(session: Session): Promise<string[]> {
    const ledger = readLedger();
    const yielded = await changeMachines(planYields(this.#member, ledger.entries(), ledger, session.mirror));
    await this.#applied(yielded);
    return yielded.flatMap(({ after }) => after.map(({ name }) => name));
  }

  async #applied(changes: readonly Change[]): Promise<void> {
    if (!changes.some(changesReservations)) return;
    await syncReservations(this.network);
    this.#events.report(changes.flatMap(change => eventsOf(this.network.name, change)));
    this.#events.changed();
  }

  /** A host that goes away changes no entry, but the status. */
  #compareAlive({ mirror }: Session): void {
    const alive = [...mirror.alive.keys()].sort((a, b) => a - b);
    if (isDeepStrictEqual(alive, this.#alive)) return;
    this.#alive = alive;
    this.#events.changed();
  }

  #writeCopy({ mirror }: Session): void {
    const { name } = this.network;
    const before = readClusterCopy(name);
    const copy: ClusterCopy = {
      ...before,
      blocks: ownBlocks(this.#member, this.network, mirror, before.blocks),
      hosts: [...mirror.hosts.keys()].filter(host => host !== this.#member.host).sort((a, b) => a - b),
    };
    if (isDeepStrictEqual(copy, before)) return;
    writeClusterCopy(name, copy);
    this.#events.changed();
    if (before.blocks.length === 0 && copy.blocks.length > 0) this.#events.blocksClaimed(this.network);
    if (!isDeepStrictEqual(copy.hosts, before.hosts)) this.#events.hostsChanged();
  }
}

/** Returns whether a machine's start has begun, and it has not run. */
function isStarting(uuid: string): boolean {
  if (!hasStartedNics(uuid)) return false;
  return !readLedger()
    .ofUuid(uuid)
    .some(({ name }) => hasRun(name));
}

/**
 * Returns a function that returns the presence of a machine on this host. It reads libvirt's files at its first call.
 */
function presences(): (uuid: string) => Presence {
  let known: { readonly running: ReadonlySet<string>; readonly leaving: ReadonlySet<string> } | null = null;
  return uuid => {
    known ??= { running: new Set(runningDomains().map(domain => domain.uuid)), leaving: migratingOut() };
    if (!known.running.has(uuid)) return 'off';
    return known.leaving.has(uuid) ? 'migrating-out' : 'running';
  };
}
