// Reconciles machines: assigns MACs in definitions, and reserves and retires addresses in the ledger.

import {
  ConnectionError,
  DomainState,
  isNoDomain,
  type LibvirtClient,
  type Domain as Remote,
  DomainXml as XmlFlags,
} from 'node-libvirt';
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { VirlanError } from '../../errors.ts';
import type { MacsWritten } from '../../identity/context.ts';
import { decide } from '../../identity/decision.ts';
import { machineOn, macsOf, nicsOn } from '../../identity/machine.ts';
import { removeStartedNics } from '../../identity/started-nics.ts';
import { readDecisionInput, readLedger } from '../../identity/store.ts';
import { passThroughNetworks } from '../../libvirt/definitions.ts';
import { type Domain as DomainXml, parseDomain, readDomain } from '../../libvirt/domain-xml.ts';
import { redefineMacs, wholeDefinition } from '../../libvirt/redefine.ts';
import { replaceMacs } from '../../libvirt/replace-mac.ts';
import type { Fight } from '../../network/steps/units.ts';
import { retireMachines } from '../../operations/retire-machines.ts';
import type { Event } from '../../report/event.ts';
import { idOf, rehearsalXml } from './domains.ts';
import { type DomainOnNetworks, MacChoice } from './mac-choice.ts';
import type { PausedStarts } from './paused-starts.ts';
import { type Due, reserveDue } from './reserve-due.ts';

/** Most attempts to write a definition that another tool changes at the same time. */
const maxAttempts = 5;

/** The reason of `DomainState.PAUSED` before the machine first runs: VIR_DOMAIN_PAUSED_STARTING_UP. */
const pausedStartingUp = 11;

/** Its reason where somebody paused it, maybe when it was started: VIR_DOMAIN_PAUSED_USER. */
const pausedByUser = 1;

/** Most machines that are reconciled together: a machine's start waits for the ledger's lock meanwhile. */
const maxTogether = 50;

/** After a few runs V8 has compiled what a decision needs; each takes a few milliseconds at first. */
const rehearsals = 5;

/** A domain as it is defined after its MACs were assigned. */
interface Assigned extends MacsWritten {
  readonly domain: DomainOnNetworks;
}

/** The state of a machine that was active a moment ago. */
type LiveMachine =
  | { readonly kind: 'runs' | 'paused-since-boot'; readonly domain: DomainXml }
  | { readonly kind: 'starting' }
  | { readonly kind: 'stopped' };

/** Reconciles the machines that libvirt has with the networks. */
export class Machines {
  readonly #client: LibvirtClient;
  readonly #report: (events: readonly Event[]) => void;
  readonly #networks: () => readonly NetworkConfig[];
  readonly #paused: PausedStarts;
  readonly #macs = new MacChoice();

  constructor(
    client: LibvirtClient,
    report: (events: readonly Event[]) => void,
    networks: () => readonly NetworkConfig[],
    paused: PausedStarts,
  ) {
    this.#client = client;
    this.#report = report;
    this.#networks = networks;
    this.#paused = paused;
  }

  /**
   * Assigns the MACs of machines and reserves their addresses, as they are now. A machine that no longer
   * exists is ignored, and a failure is reported. Throws ConnectionError when the connection is lost, because
   * no other machine can be reconciled then.
   */
  async reconcile(remotes: readonly Remote[]): Promise<void> {
    let due: Due[] = [];
    for (let first = 0; first < remotes.length; first += maxTogether) {
      const together = remotes.slice(first, first + maxTogether);
      // libvirtd works on these while the addresses of those before them are reserved.
      const defined = this.#each(together, remote => this.#define(remote));
      const [machines] = await Promise.all([defined, reserveDue(due, this.#report)]);
      due = machines.flat();
    }
    await reserveDue(due, this.#report);
  }

  /**
   * Decides about a machine that does not exist, and writes nothing. Code that has run before is several
   * times as fast, and the first machine that is defined may be started right behind.
   */
  rehearse(): void {
    const now = new Date();
    for (const network of this.#networks()) {
      for (let time = 0; time < rehearsals; time++) {
        const xml = rehearsalXml(network.bridge, time);
        const domain = this.#onNetworks(readDomain(xml));
        replaceMacs(xml, new Map(this.#macs.choose(domain).map(({ place, mac }) => [place, mac])));
        for (const { machine } of domain.machines)
          decide(network, machine, 'defined', readDecisionInput(network), now);
      }
    }
  }

  /** Returns the NICs whose MAC is left alone at present. */
  fights(): Fight[] {
    return this.#macs.fights();
  }

  /** Reconciles all machines, and retires the entries of those that no longer exist. */
  async reconcileAll(): Promise<void> {
    // A machine that gets its entry while the others are reconciled is missing from the list, but exists.
    const known = new Set(
      readLedger()
        .present()
        .map(({ uuid }) => uuid),
    );
    const remotes = await this.#client.connectListAllDomains();
    // Definitions first, so that a MAC is known to be taken before it is given to another machine.
    for (let first = 0; first < remotes.length; first += maxTogether)
      await this.#each(remotes.slice(first, first + maxTogether), remote => this.#remember(remote));
    await this.reconcile(remotes);
    const existing = new Set(remotes.map(({ uuid }) => uuid));
    await this.#retire([...known].filter(uuid => !existing.has(uuid)));
  }

  /** Retires a machine whose definition was removed; one that still runs keeps its entries until it stops. */
  async retireIfGone(remote: Remote): Promise<void> {
    try {
      await this.#client.domainLookupByUuid(remote.uuid);
    } catch (error) {
      if (!isNoDomain(error)) throw error;
      this.#macs.defined.set(remote.uuid, new Set());
      await this.#retire([remote.uuid]);
    }
  }

  async #remember(remote: Remote): Promise<void> {
    const domain = parseDomain(await this.#client.domainGetXmlDesc(remote, XmlFlags.INACTIVE));
    if (domain.ok) this.#macs.defined.set(remote.uuid, macsOf(domain.value));
  }

  /**
   * Works on domains at the same time: libvirtd answers several calls of a client at once. Returns the results
   * of those that exist and did not fail.
   */
  async #each<T>(remotes: readonly Remote[], work: (remote: Remote) => Promise<T>): Promise<T[]> {
    const results = await Promise.all(
      remotes.map(async remote => {
        try {
          return [await work(remote)];
        } catch (error) {
          if (error instanceof ConnectionError) throw error;
          if (!isNoDomain(error))
            this.#report([{ kind: 'machine-failed', machine: idOf(remote), error: error as Error }]);
          return [];
        }
      }),
    );
    return results.flat();
  }

  /** Assigns a domain's MACs where they are due. Returns the machine on each of its networks. */
  async #define(remote: Remote): Promise<Due[]> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      // At once: a start that was requested right after the definition is a race.
      const [xml, active, persistent] = await Promise.all([
        this.#client.domainGetXmlDesc(remote, wholeDefinition),
        this.#client.domainIsActive(remote),
        this.#client.domainIsPersistent(remote),
      ]);
      const found = this.#onNetworks(readDomain(xml));
      const assigned = active || !persistent ? unchanged(found) : await this.#assign(remote, xml, found);
      if (assigned === null) continue;
      const { domain, replaced } = assigned;
      this.#macs.defined.set(remote.uuid, macsOf(domain));
      if (!active) {
        const moment = replaced.size === 0 ? 'defined' : { replaced };
        return domain.machines.map(each => ({ ...each, moment }));
      }
      const live = await this.#live(remote);
      switch (live.kind) {
        case 'stopped':
          continue;
        case 'starting':
          // It has its reservations by the hook, and its start may fail; libvirt sends an event when it runs.
          return [];
        case 'paused-since-boot':
          // A NIC may have been plugged in. The hook has reserved for the others as booting, which may be taken back.
          return this.#onNetworks(live.domain).machines.map(each => ({ ...each, moment: 'defined' }));
        case 'runs':
          // It has run, whatever libvirt's files say when it stops.
          removeStartedNics(remote.uuid);
          return this.#onNetworks(live.domain).machines.map(each => ({ ...each, moment: 'booting' }));
      }
    }
    const message = `its definition changed ${maxAttempts} times while virlan wrote its MAC into it`;
    throw new VirlanError('wrong-state', `${message}: another tool rewrites it`);
  }

  /** Reads the machine as it runs: with the NICs that were plugged in since, and the MACs it booted with. */
  async #live(remote: Remote): Promise<LiveMachine> {
    const xml = await this.#client.domainGetXmlDesc(remote);
    const { state, reason } = await this.#client.domainGetState(remote);
    // libvirt answers with its definition then, in which it may have MACs that it never booted with.
    if (!(await this.#client.domainIsActive(remote))) return { kind: 'stopped' };
    // libvirt sets a state when QEMU has begun.
    const isPaused = state === DomainState.PAUSED;
    if (state === DomainState.SHUTOFF || (isPaused && reason === pausedStartingUp))
      return { kind: 'starting' };
    const domain = readDomain(xml);
    if (isPaused && reason === pausedByUser && this.#paused.mayBePausedSinceBoot(remote.uuid))
      return { kind: 'paused-since-boot', domain };
    this.#paused.forget(remote.uuid);
    return { kind: 'runs', domain };
  }

  #onNetworks(domain: DomainXml): DomainOnNetworks {
    const machines = this.#networks().map(network => {
      const passThrough = passThroughNetworks(network.name, network.bridge);
      const machine = machineOn(network.bridge, passThrough, domain);
      return { network, machine, nics: nicsOn(network.bridge, passThrough, domain) };
    });
    const here = machines.filter(({ machine }) => machine.macs.length > 0);
    return { ...domain, machines: here, hasImage: false };
  }

  /**
   * Writes MACs into the definition where they are due. Returns the domain as it is defined then; null when
   * it has to be read again.
   */
  async #assign(remote: Remote, xml: string, domain: DomainOnNetworks): Promise<Assigned | null> {
    const changes = this.#macs.choose(domain);
    if (changes.length === 0) return unchanged(domain);
    // Before anything is awaited: no other machine gets the same MAC meanwhile.
    this.#macs.defined.set(remote.uuid, new Set([...macsOf(domain), ...changes.map(({ mac }) => mac)]));
    const macs = new Map(changes.map(({ place, mac }) => [place, mac]));
    const { hasImage } = domain;
    const isWanted = () => this.#macs.choose(domain).length > 0;
    const done = await redefineMacs(this.#client, remote, xml, { macs, hasImage, isWanted });
    const machine = idOf(domain);
    switch (done.kind) {
      case 'written':
        this.#report([
          {
            kind: 'macs-assigned',
            machine,
            macs: changes.map(({ mac }) => mac),
            was: changes.map(({ was }) => was),
          },
        ]);
        this.#report(this.#macs.countWrites(changes));
        return {
          domain: this.#onNetworks(withMacs(domain, macs)),
          replaced: new Map(changes.map(({ mac, was }) => [mac, was])),
        };
      case 'started':
        this.#report([{ kind: 'mac-assigned-too-late', machine }]);
        return null;
      case 'outdated':
        return null;
      case 'has-image':
        return this.#assign(remote, xml, { ...domain, hasImage: true });
      case 'refused':
        // The machine keeps the MAC it has, and that gets an address.
        this.#report([{ kind: 'mac-refused-by-libvirt', machine, error: done.error }]);
        return unchanged(domain);
    }
  }

  async #retire(uuids: readonly string[]): Promise<void> {
    const retired = await retireMachines(this.#networks(), uuids);
    this.#report(
      retired.map(entry => ({ kind: 'reservation-retired', network: entry.network, machine: idOf(entry) })),
    );
  }
}

function withMacs(domain: DomainXml, macs: ReadonlyMap<number, Mac>): DomainXml {
  return { ...domain, nics: domain.nics.map((nic, place) => ({ ...nic, mac: macs.get(place) ?? nic.mac })) };
}

function unchanged(domain: DomainOnNetworks): Assigned {
  return { domain, replaced: new Map() };
}
