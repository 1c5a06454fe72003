import {
  ConnectionError,
  ErrorCode,
  isNoDomain,
  type LibvirtClient,
  LibvirtError,
  type Domain as Remote,
  DomainXml as XmlFlags,
} from 'node-libvirt';
import type { Logger } from 'pino';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { handLines } from '../dnsmasq/hostsfile.ts';
import { assignMacs } from '../identity/assign.ts';
import { type Machine, machineOn } from '../identity/machine.ts';
import { changeLedger, readHostsfile, readLedger, reserveMachine, syncHostsfile } from '../identity/store.ts';
import { passThroughNetworks } from '../libvirt/definitions.ts';
import { type Domain as DomainXml, parseDomain } from '../libvirt/domain-xml.ts';
import { replaceMacs } from '../libvirt/replace-mac.ts';
import type { Event } from '../report/event.ts';

/** libvirt's XML with all that a redefinition has to hand back, passwords among it. */
const wholeDefinition = XmlFlags.SECURE | XmlFlags.INACTIVE;

/** How often a definition that another tool changes under our hands is tried again. */
const attempts = 5;

/** A domain, and what it is to each network that it has a NIC on. */
interface DomainOnNetworks extends DomainXml {
  readonly machines: readonly { readonly network: NetworkConfig; readonly machine: Machine }[];
}

/** What the watcher does about machines: MACs into definitions, reservations into the ledger, and out of it. */
export class Machines {
  readonly #client: LibvirtClient;
  readonly #log: Logger;
  readonly #report: (events: readonly Event[]) => void;
  readonly #networks: () => readonly NetworkConfig[];
  /** MACs of each defined machine, by uuid, as far as it has been looked at: so that none is given twice. */
  readonly #macs = new Map<string, ReadonlySet<Mac>>();

  /** `report` is for events that a hook would report, too. */
  constructor(
    client: LibvirtClient,
    log: Logger,
    report: (events: readonly Event[]) => void,
    networks: () => readonly NetworkConfig[],
  ) {
    this.#client = client;
    this.#log = log;
    this.#report = report;
    this.#networks = networks;
  }

  /**
   * Looks at one machine as it is now, and does what is to do. One that is gone meanwhile is none of our business. Throws
   * ConnectionError when libvirt is gone: then no other machine can be looked at either.
   */
  async settle(remote: Remote): Promise<void> {
    try {
      await this.#settle(remote);
    } catch (error) {
      if (isNoDomain(error)) return;
      if (error instanceof ConnectionError) throw error;
      this.#log.error(
        { machine: remote.name, uuid: remote.uuid },
        `machine not settled: ${(error as Error).message}`,
      );
    }
  }

  /** Looks at all machines, and retires the entries of those that are gone. */
  async settleAll(): Promise<void> {
    // One that gets an entry while the rest is looked at is in no list yet, and is not gone.
    const known = new Set(
      readLedger()
        .entries()
        .map(({ uuid, retired }) => (retired === null ? uuid : null)),
    );
    const remotes = await this.#client.connectListAllDomains();
    // Definitions first, so that a MAC is known to be taken before it is given to another.
    for (const remote of remotes) await this.#remember(remote);
    for (const remote of remotes) await this.settle(remote);
    const there = new Set(remotes.map(({ uuid }) => uuid));
    await this.#retire(uuid => known.has(uuid) && !there.has(uuid));
  }

  /** A machine's definition is gone; one that still runs without it keeps what it has until it stops. */
  async removed(remote: Remote): Promise<void> {
    try {
      await this.#client.domainLookupByUuid(remote.uuid);
    } catch (error) {
      if (!isNoDomain(error)) throw error;
      this.#macs.delete(remote.uuid);
      await this.#retire(uuid => uuid === remote.uuid);
    }
  }

  async #remember(remote: Remote): Promise<void> {
    try {
      const domain = parseDomain(await this.#client.domainGetXmlDesc(remote, XmlFlags.INACTIVE));
      if (domain.ok) this.#macs.set(remote.uuid, macsOf(domain.value));
    } catch (error) {
      if (!isNoDomain(error)) throw error;
    }
  }

  async #settle(remote: Remote): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      // All at once: a start asked for right behind a definition is a race.
      const [xml, active, persistent] = await Promise.all([
        this.#client.domainGetXmlDesc(remote, wholeDefinition),
        this.#client.domainIsActive(remote),
        this.#client.domainIsPersistent(remote),
      ]);
      const parsed = parseDomain(xml);
      if (!parsed.ok) throw new Error(`libvirt's XML cannot be read: ${parsed.error}`);
      const domain = this.#onNetworks(parsed.value);
      if (!active && persistent && (await this.#assign(remote, xml, domain))) continue;
      this.#macs.set(remote.uuid, macsOf(domain));
      if (active) await this.#reserve(this.#onNetworks(await this.#live(remote)), 'booting');
      else await this.#reserve(domain, 'defined');
      return;
    }
    throw new Error(
      `its definition changed ${attempts} times while virlan wrote its MAC into it: another tool rewrites it`,
    );
  }

  /** The machine as it runs: with the NICs that were plugged in since, and the MACs it booted with. */
  async #live(remote: Remote): Promise<DomainXml> {
    const parsed = parseDomain(await this.#client.domainGetXmlDesc(remote));
    if (!parsed.ok) throw new Error(`libvirt's XML cannot be read: ${parsed.error}`);
    return parsed.value;
  }

  #onNetworks(domain: DomainXml): DomainOnNetworks {
    const machines = this.#networks().map(network => ({
      network,
      machine: machineOnNetwork(network, domain),
    }));
    return { ...domain, machines: machines.filter(({ machine }) => machine.macs.length > 0) };
  }

  /** Writes formula MACs into the definition where that is due; true when the definition has to be looked at again. */
  async #assign(remote: Remote, xml: string, domain: DomainOnNetworks): Promise<boolean> {
    const changes = this.#chooseMacs(domain);
    if (changes.size === 0) return false;
    try {
      // libvirt has no compare-and-swap: what was read must still hold right before it is written over.
      const [again, active, hasManagedSave] = await Promise.all([
        this.#client.domainGetXmlDesc(remote, wholeDefinition),
        this.#client.domainIsActive(remote),
        this.#client.domainHasManagedSaveImage(remote),
      ]);
      // A managed-save image holds the MAC it was saved with, which libvirt does not let anybody change.
      if (hasManagedSave) return false;
      if (again !== xml || active || this.#chooseMacs(domain).size === 0) return true;
      await this.#client.domainDefineXmlFlags(replaceMacs(xml, changes));
    } catch (error) {
      if (!(error instanceof LibvirtError) || error.code === ErrorCode.NO_DOMAIN) throw error;
      // One that refuses the new MAC, or is too old to be asked, leaves the machine the MAC it has: that gets an address.
      this.#log.error(
        { machine: domain.name, uuid: domain.uuid },
        `its MAC stays, libvirt does not take another: ${error.message}`,
      );
      return false;
    }
    if (await this.#hasBootedBehind(remote, changes)) {
      await this.#client.domainDefineXmlFlags(xml);
      this.#log.info(
        { machine: domain.name, uuid: domain.uuid },
        'started before its MAC could be assigned: keeps its own',
      );
    } else {
      this.#log.info(
        { machine: domain.name, uuid: domain.uuid, macs: [...changes.values()] },
        'MAC assigned',
      );
    }
    return true;
  }

  /** Whether a start that was under way when the definition changed has left the machine running with other MACs. */
  async #hasBootedBehind(remote: Remote, changes: ReadonlyMap<number, Mac>): Promise<boolean> {
    if (!(await this.#client.domainIsActive(remote))) return false;
    const live = await this.#live(remote);
    return [...changes].some(([place, mac]) => live.nics[place]?.mac !== mac);
  }

  /** Place among the domain's interfaces → the MAC it is to have, for those that are to have another. */
  #chooseMacs({ uuid, nics, machines }: DomainOnNetworks): Map<number, Mac> {
    const changes = new Map<number, Mac>();
    for (const { network, machine } of machines) {
      const places = nics.flatMap(({ mac }, place) =>
        mac !== null && machine.macs.includes(mac) ? [place] : [],
      );
      for (const [nic, mac] of assignMacs(machine, this.#circumstances(network, uuid))) {
        const place = places[nic];
        if (place !== undefined) changes.set(place, mac);
      }
    }
    return changes;
  }

  #circumstances(network: NetworkConfig, uuid: string) {
    const ledger = readLedger();
    const byHand = handLines(readHostsfile(network.bridge)).flatMap(line => line.macs);
    return {
      network,
      entries: ledger.ofMachine(network.name, uuid),
      chosen: new Set([...byHand, ...network.hosts.map(host => host.mac)]),
      taken: (mac: Mac) =>
        [...this.#macs].some(([other, macs]) => other !== uuid && macs.has(mac)) ||
        ledger.withMac(mac).some(entry => entry.uuid !== uuid && entry.retired === null),
    };
  }

  async #reserve({ machines }: DomainOnNetworks, moment: 'booting' | 'defined'): Promise<void> {
    for (const { network, machine } of machines) {
      const { events } = await reserveMachine(network, machine, moment);
      this.#report(events.map(event => ({ kind: 'reservation', event })));
    }
  }

  async #retire(isGone: (uuid: string) => boolean): Promise<void> {
    const networks = this.#networks();
    const now = new Date();
    const retired = await changeLedger(ledger => {
      const gone = ledger.entries().filter(entry => entry.retired === null && isGone(entry.uuid));
      const result = gone.reduce(
        (rest, entry) => rest.replace(entry, { ...entry, retired: now, problem: null }),
        ledger,
      );
      return { ledger: result, result: gone };
    });
    for (const network of networks) {
      const gone = retired.filter(entry => entry.network === network.name);
      if (gone.length === 0) continue;
      await syncHostsfile(network, network.bridge);
      for (const { name, uuid } of gone)
        this.#log.info({ network: network.name, machine: name, uuid }, 'reservation retired');
    }
  }
}

function machineOnNetwork({ name, bridge }: NetworkConfig, domain: DomainXml): Machine {
  return machineOn(bridge, passThroughNetworks(name, bridge), domain);
}

function macsOf(domain: DomainXml): Set<Mac> {
  return new Set(domain.nics.flatMap(nic => nic.mac ?? []));
}
