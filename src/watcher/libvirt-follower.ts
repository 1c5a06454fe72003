// Follows libvirt: connects to it, reacts to its events, and keeps its networks and machines as they are
// configured.
import { isDeepStrictEqual } from 'node:util';
import { ConnectionError, type Domain, LibvirtClient } from 'node-libvirt';
import { arrangeNetworks } from '../libvirt-networks/arrange.ts';
import type { LibvirtNetworkProblem } from '../libvirt-networks/decide.ts';
import { isTakenDown } from '../network/records/applied-record.ts';
import type { Fight } from '../network/steps/units.ts';
import type { Event, FailureEvent } from '../report/event.ts';
import { libvirtEvents } from '../report/libvirt-events.ts';
import type { Configuration } from './configuration.ts';
import type { MachineStarts } from './machines/machine-starts.ts';
import { Machines } from './machines/machines.ts';
import { OutdatedReservations } from './machines/outdated-reservations.ts';
import { type Reaction, reactionsTo } from './machines/reactions.ts';
import { DefinitionFiles } from './monitors/definition-files.ts';
import { Coalesced, Serial } from './process/serial.ts';

/**
 * The least pause after arranging libvirt's networks, and its least length as a multiple of the time that this took:
 * on a host with many machines it reads many files.
 */
const arrangePauseMs = 300;
const arrangeRest = 4;

/** The same for two searches for missing reservations, which read the files of all machines. */
const searchPauseMs = 1000;
const searchRest = 4;

/**
 * A network that was stopped is started again after this time, so that `net-destroy && net-start` finds it
 * stopped.
 */
const restMs = 2000;

/** Callbacks of a LibvirtFollower. */
export interface LibvirtFollowerEvents {
  report(events: readonly Event[]): void;
  /** A daemon was connected or disconnected. `isConnected` is about the daemon that serves machines. */
  connectionChanged(isConnected: boolean): void;
  /** The daemon that serves machines was connected: any machine may have changed. */
  machinesChanged(): void;
  /** A network of libvirt was changed, started or stopped. */
  networksChanged(): void;
  /** The machines that are starting, and those that are paused since. */
  readonly starts: Pick<MachineStarts, 'ended' | 'paused'>;
  /** A machine changed, and what follows for its reservations has been done. */
  machineChanged(): void;
}

/**
 * Keeps a connection to libvirt and reacts to its events. Nothing that a hook waits for may use it: libvirt
 * holds locks while a hook runs.
 */
export class LibvirtFollower {
  /** While it is connected, virtqemud and virtnetworkd do not end for being idle. */
  readonly #client = new LibvirtClient();
  readonly #configuration: Configuration;
  readonly #events: LibvirtFollowerEvents;
  readonly #machines: Machines;
  /** Calls to libvirt that depend on what they find run one after the other. */
  readonly #work = new Serial();
  /** The machines that changed, by UUID, and wait for their turn. */
  readonly #changed = new Map<string, Domain>();
  readonly #arrange = new Coalesced(
    () => this.#arrangeNetworks(),
    tookMs => Math.max(arrangePauseMs, arrangeRest * tookMs),
  );
  readonly #outdated = new OutdatedReservations(name => this.reconcileNamed(name));
  /** Searches after the machines that wait: they may have their reservations by then. */
  readonly #missing = new Coalesced(
    async () => this.#outdated.checkDefined(this.#configuration.networks),
    tookMs => Math.max(searchPauseMs, searchRest * tookMs),
    this.#work,
  );
  readonly #definitions = new DefinitionFiles(() => void this.#missing.request());
  #problems: readonly LibvirtNetworkProblem[] = [];
  /** Networks that were stopped a moment ago, each with the timer that ends its rest. */
  readonly #resting = new Map<string, NodeJS.Timeout>();

  constructor(configuration: Configuration, events: LibvirtFollowerEvents) {
    this.#configuration = configuration;
    this.#events = events;
    this.#machines = new Machines(
      this.#client,
      machineEvents => {
        events.report(machineEvents);
        if (machineEvents.some(mayFree)) void this.#missing.request();
      },
      () => configuration.networks,
      events.starts.paused,
    );
  }

  /** With modular daemons virtnetworkd may be absent: only the daemon that serves machines counts. */
  get isConnected(): boolean {
    return this.#client.isConnected('domain');
  }

  /** The networks of libvirt that were left as they are, and why. */
  get problems(): readonly LibvirtNetworkProblem[] {
    return this.#problems;
  }

  /** The NICs whose MAC is left alone at present, because another tool fights for it. */
  get fights(): readonly Fight[] {
    return this.#machines.fights();
  }

  /** Starts to connect; connects again whenever a connection ends. */
  start(): void {
    this.#client.on('connected', ({ drivers, socket }) => {
      this.#events.connectionChanged(this.isConnected);
      this.#events.report([{ kind: 'libvirt-connected', socket }]);
      if (drivers.includes('network')) void this.arrangeNetworks();
      if (!drivers.includes('domain')) return;
      this.#definitions.follow();
      this.#events.machinesChanged();
    });
    this.#client.on('disconnected', ({ socket, error }) => {
      this.#events.connectionChanged(this.isConnected);
      this.#events.report([{ kind: 'libvirt-disconnected', socket, error }]);
    });
    this.#client.on('notice', notice => {
      if (notice.kind !== 'connect-failed') this.#events.report([{ kind: 'libvirt-notice', notice }]);
    });
    this.#client.on('event', event => {
      this.#events.starts.paused.follow(event);
      for (const reaction of reactionsTo(event)) this.#react(reaction);
    });
    this.#client.start();
  }

  /** Rehearses the reaction to a definition. */
  rehearse(): void {
    try {
      this.#machines.rehearse();
    } catch {
      // A file that cannot be read: the decision about a real machine reports it.
    }
  }

  close(): Promise<void> {
    this.#definitions.close();
    return this.#client.close();
  }

  /** Brings libvirt's networks in line with the configuration. Failures are reported. */
  arrangeNetworks(): Promise<void> {
    return this.#arrange.request();
  }

  /**
   * Reconciles all machines. Returns whether that was done: not without a connection. Failures are reported.
   */
  async reconcileAll(): Promise<boolean> {
    if (!this.isConnected) return false;
    try {
      await this.#work.run(() => this.#machines.reconcileAll());
      return true;
    } catch (error) {
      this.#reportFailure('reconcile', error);
      return false;
    }
  }

  /**
   * Reconciles the machine of this name. Returns false without a connection. Throws when there is no such
   * machine.
   */
  async reconcileNamed(name: string): Promise<boolean> {
    if (!this.isConnected) return false;
    await this.#work.run(async () => this.#machines.reconcile([await this.#client.domainLookupByName(name)]));
    this.#events.machineChanged();
    return true;
  }

  /** Reconciles a machine that has not started, once libvirt, which waits for a hook, answers calls about it. */
  startFailed({ name, uuid }: Pick<Domain, 'name' | 'uuid'>): void {
    const domain = { name, uuid, id: -1 };
    this.#react({ kind: 'retire-machine', domain });
    this.#react({ kind: 'reconcile-machine', domain });
  }

  /** Reserves for machines whose reservations are outdated, and that libvirt sends no event of. */
  reserveOutdated(): void {
    this.#outdated.check(this.#configuration.networks);
  }

  #react(reaction: Reaction): void {
    switch (reaction.kind) {
      case 'end-start':
        this.#events.starts.ended(reaction.domain.uuid);
        return;
      case 'scan':
        this.#events.networksChanged();
        return;
      case 'reserve-missing':
        void this.#missing.request();
        return;
      case 'rest-network':
        this.#rest(reaction.name);
        return;
      case 'arrange-networks':
        // After the machines that are waiting: the MAC of one that is about to start is a race.
        void this.#work.run(async () => {}).then(() => this.arrangeNetworks());
        return;
      case 'reconcile-machine':
        this.#reconcile(reaction.domain);
        return;
      case 'retire-machine':
        this.#queue(reaction.domain, () => this.#machines.retireIfGone(reaction.domain));
        return;
    }
  }

  /** Reconciles a machine, together with all that change until this one's turn comes. */
  #reconcile(domain: Domain): void {
    this.#changed.set(domain.uuid, domain);
    if (this.#changed.size > 1) return;
    this.#queue(domain, () => {
      const changed = [...this.#changed.values()];
      this.#changed.clear();
      return this.#machines.reconcile(changed);
    });
  }

  #rest(name: string): void {
    clearTimeout(this.#resting.get(name));
    const end = () => {
      this.#resting.delete(name);
      void this.arrangeNetworks();
    };
    this.#resting.set(name, setTimeout(end, restMs).unref());
  }

  #queue({ name }: Domain, work: () => Promise<void>): void {
    const done = this.#work.run(work).catch(error => this.#reportFailure('libvirt-event', error, name));
    void done.then(() => this.#events.machineChanged());
  }

  async #arrangeNetworks(): Promise<void> {
    try {
      if (!this.#client.isConnected('network')) return;
      const { current: config, path } = this.#configuration;
      const resting = new Set(this.#resting.keys());
      const { actions, problems } = await arrangeNetworks(
        this.#client,
        { config, path },
        isTakenDown,
        resting,
      );
      const isNew = (problem: LibvirtNetworkProblem) =>
        !this.#problems.some(known => isDeepStrictEqual(known, problem));
      this.#events.report(libvirtEvents({ actions, problems: problems.filter(isNew) }));
      this.#problems = problems;
    } catch (error) {
      this.#reportFailure('libvirt-networks', error);
    }
  }

  /** Reports a failure. A lost connection has been reported, and everything is compared when it is back. */
  #reportFailure(during: FailureEvent['during'], error: unknown, machine?: string): void {
    if (error instanceof ConnectionError) return;
    const subject = machine === undefined ? {} : { machine };
    this.#events.report([{ kind: 'failed', during, error: error as Error, ...subject }]);
  }
}

/** Returns whether something that a machine had may be free for another one. */
function mayFree(event: Event): boolean {
  return (
    event.kind === 'reservation-retired' || (event.kind === 'reservation' && event.event.kind === 'changed')
  );
}
