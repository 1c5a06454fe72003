// Machines that libvirt is starting. It waits for the hooks, and QEMU for a processor: a tap is guarded as soon as
// it is in its bridge, while libvirt prepares the rest, and comparisons of the host wait until the machine runs.
import { isDeepStrictEqual } from 'node:util';
import type { Config, NetworkConfig } from '../../config/config.ts';
import type { Binding } from '../../guard/bindings.ts';
import type { Elements } from '../../guard/elements.ts';
import { bindTap } from '../../guard/guard.ts';
import { isTapOf } from '../../guard/taps.ts';
import { type Domain, parseDomain, unreadableDomain } from '../../libvirt/domain-xml.ts';
import { type BindTap, guardMachine, guardNewTap } from '../../operations/guard-machine.ts';
import { type HookOutcome, unknownStart } from '../../operations/hook-outcome.ts';
import { machineStopped } from '../../operations/machine-stopped.ts';
import { prepareMachine } from '../../operations/prepare-machine.ts';
import type { System } from '../../system/system.ts';
import { PausedStarts } from './paused-starts.ts';

/** Longest wait of others for machines that start, from when they ask: repairs have to be done within a second. */
const maxWaitMs = 400;

/** Without an event of libvirt, a start counts as ended after this time. */
const maxStartMs = 5000;

/** A tap that was guarded, or is being guarded, before libvirt called the hook. */
interface EarlyTap {
  readonly binding: Binding;
  readonly belongings: Elements;
  /** False if it could not be guarded. */
  readonly done: Promise<boolean>;
}

/** Callbacks of MachineStarts. */
export interface MachineStartEvents {
  /** A machine begins to start. */
  began(): void;
  /** It has its reservations: those of another host's machine are this host's from now on. */
  prepared(): void;
  /** Its start has failed, and was taken back in the ledger. libvirt sends no event. */
  failed(domain: Domain): void;
}

/** The machines of a host that are starting. */
export class MachineStarts {
  readonly paused = new PausedStarts();
  readonly #system: Pick<System, 'listDirectory' | 'readFile'>;
  readonly #config: () => Config;
  readonly #events: MachineStartEvents;
  /** By UUID. */
  readonly #starting = new Map<string, { readonly domain: Domain; readonly timer: NodeJS.Timeout }>();
  /** By the index of the link. */
  readonly #early = new Map<number, EarlyTap>();
  /** The ports of bridges that are not new taps. */
  #knownPorts = new Set<string>();
  #waiting: (() => void)[] = [];

  constructor(
    system: Pick<System, 'listDirectory' | 'readFile'>,
    config: () => Config,
    events: MachineStartEvents,
  ) {
    this.#system = system;
    this.#config = config;
    this.#events = events;
  }

  /** Handles the hook before a machine starts. */
  async prepare(xml: string): Promise<HookOutcome> {
    const read = parseDomain(xml);
    if (!read.ok) return unknownStart(unreadableDomain(read.error), this.#config());
    const domain = read.value;
    this.#begin(domain);
    const outcome = await prepareMachine(domain, this.#config());
    if (outcome.abort !== null) this.ended(domain.uuid);
    this.#events.prepared();
    return outcome;
  }

  /** Handles the hook when its taps exist. Throws VirlanError when the XML cannot be read. */
  start(xml: string): Promise<HookOutcome> {
    const bind: BindTap = (binding, belongings) => this.#bind(binding, belongings);
    // The kernel tells the watcher of rules that another program removes.
    return guardMachine(xml, this.#config(), bind, async () => true);
  }

  /** Handles the hook after it has stopped. Throws VirlanError when the XML cannot be read. */
  async stopped(xml: string): Promise<HookOutcome> {
    // Wait until nft has added the elements: it could not remove them before.
    await Promise.all([...this.#early.values()].map(({ done }) => done));
    const failed = await machineStopped(xml, this.#config, uuid => this.paused.isPausedSinceBoot(uuid));
    if (failed !== null) {
      this.paused.forget(failed.uuid);
      this.#events.failed(failed);
    }
    return { events: [], abort: null };
  }

  /** A machine runs, or will not. */
  ended(uuid: string): void {
    const ended = this.#starting.get(uuid);
    if (ended === undefined) return;
    clearTimeout(ended.timer);
    this.#starting.delete(uuid);
    for (const [index, { binding }] of this.#early) if (binding.uuid === uuid) this.#early.delete(index);
    if (this.#starting.size > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when all machines that are starting have started, or after a while; null if there are none. */
  whenEnded(): Promise<void> | null {
    if (this.#starting.size === 0) return null;
    return new Promise(resolve => {
      setTimeout(resolve, maxWaitMs).unref();
      this.#waiting.push(resolve);
    });
  }

  /** Guards the taps that libvirt has put into bridges for machines that are starting. */
  linksChanged(): void {
    if (this.#starting.size === 0) return;
    for (const network of this.#config().networks)
      for (const port of this.#portsOf(network)) {
        if (!this.#knownPorts.has(port)) this.#guardTap(network, port);
        this.#knownPorts.add(port);
      }
  }

  #begin(domain: Domain): void {
    this.ended(domain.uuid);
    if (this.#starting.size === 0)
      this.#knownPorts = new Set(this.#config().networks.flatMap(network => this.#portsOf(network)));
    const timer = setTimeout(() => this.ended(domain.uuid), maxStartMs).unref();
    this.#starting.set(domain.uuid, { domain, timer });
    this.paused.begin(domain.uuid);
    this.#events.began();
  }

  #portsOf({ bridge }: NetworkConfig): string[] {
    return this.#system.listDirectory(`/sys/class/net/${bridge}/brif`);
  }

  /** Guards a tap if just one NIC can be its other end. The hook is told the machine, and compares. */
  #guardTap(network: NetworkConfig, tap: string): void {
    const mac = this.#system.readFile(`/sys/class/net/${tap}/address`)?.trim() ?? '';
    const domains = [...this.#starting.values()].map(({ domain }) => domain);
    const [nic, ...others] = domains.flatMap(({ nics }) => nics.filter(each => isTapOf(mac, each.mac)));
    const domain = domains.find(({ nics }) => nics.some(each => each === nic));
    if (nic === undefined || domain === undefined || others.length > 0) return;
    const { bridge } = network;
    const nics = domain.nics.map(each => (each === nic ? { ...nic, bridge, tap } : each));
    // The hook does it once more, and reports the failure.
    guardNewTap(network, { ...domain, nics }, (binding, belongings) =>
      this.#bindEarly(binding, belongings),
    ).catch(() => {});
  }

  #bindEarly(binding: Binding, belongings: Elements): Promise<void> {
    const bound = bindTap(binding, belongings);
    const done = bound.then(
      () => true,
      () => false,
    );
    this.#early.set(binding.index, { binding, belongings, done });
    return bound;
  }

  /** Guards a tap, or waits until it is guarded where that has begun. Throws CommandError. */
  async #bind(binding: Binding, belongings: Elements): Promise<void> {
    const early = this.#early.get(binding.index);
    const isSame =
      early !== undefined && isDeepStrictEqual([early.binding, early.belongings], [binding, belongings]);
    if (isSame && (await early.done)) return;
    await bindTap(binding, belongings);
  }
}
