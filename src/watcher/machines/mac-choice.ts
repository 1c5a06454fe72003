// Chooses the MACs that are written into domains' definitions, and leaves alone a NIC that another tool fights for.
import type { Mac } from '../../address/mac.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { handLines } from '../../dnsmasq/hostsfile.ts';
import { assignMacs, pairedMacs } from '../../identity/assign.ts';
import { type Machine, macsOf } from '../../identity/machine.ts';
import { hostMacs, readHostsfile, readLedger } from '../../identity/store.ts';
import type { Domain, Nic } from '../../libvirt/domain-xml.ts';
import type { Fight, Unit } from '../../network/steps/units.ts';
import type { Event } from '../../report/event.ts';
import { steadyNow } from '../process/elapsed.ts';
import { FightLimiter } from '../repairs/fight-limiter.ts';
import { DefinedMacs } from './defined-macs.ts';

/** A domain, and its machine on each network that it has a NIC on, with the NICs there. */
export interface DomainOnNetworks extends Domain {
  readonly machines: readonly {
    readonly network: NetworkConfig;
    readonly machine: Machine;
    readonly nics: readonly Nic[];
  }[];
  /** True if a managed-save image was found. */
  readonly hasImage: boolean;
}

/** A MAC to write into a definition. */
export interface MacChange {
  /** The NIC's place among the domain's interfaces. */
  readonly place: number;
  readonly mac: Mac;
  readonly was: Mac;
  readonly unit: Extract<Unit, { kind: 'mac' }>;
}

/** Chooses MACs for the machines of a host. */
export class MacChoice {
  /** The MACs of each definition read so far, so that none is given twice. */
  readonly defined = new DefinedMacs();
  readonly #limiter = new FightLimiter();

  /**
   * Returns the MACs that are due, without those of NICs that are left alone, and without those that have to wait while
   * the machine has a managed-save image.
   */
  choose({ nics, machines, hasImage }: DomainOnNetworks): MacChange[] {
    const now = steadyNow();
    const isDefinedElsewhere = (mac: Mac, uuid: string | null) => this.defined.isElsewhere(mac, uuid);
    return machines.flatMap(({ network, machine, nics: own }) => {
      const places = own.flatMap(nic =>
        nic.mac === null ? [] : [{ place: nics.indexOf(nic), was: nic.mac }],
      );
      const byHand = handLines(readHostsfile(network), network);
      const sources = {
        network,
        byHand,
        ledger: readLedger(),
        hostMacs: hostMacs(network),
        isDefinedElsewhere,
      };
      const onOthers = macsOf({ nics: nics.filter(nic => !own.includes(nic)) });
      const context = { ...sources, paired: pairedMacs(own, onOthers), onOthers, hasImage };
      return [...assignMacs(machine, context)].flatMap(([nic, mac]) => {
        const { name, uuid } = machine;
        const unit = { kind: 'mac', network: network.name, uuid, machine: name, nic } as const;
        const found = places[nic];
        return found === undefined || !this.#limiter.allows(unit, now) ? [] : [{ ...found, mac, unit }];
      });
    });
  }

  /** Counts writes, and returns the fights that they begin: another tool may write its own MAC again each time. */
  countWrites(changes: readonly MacChange[]): Event[] {
    const now = steadyNow();
    return changes.flatMap(({ unit }) => {
      const fight = this.#limiter.count(unit, '', now);
      return fight === null ? [] : [{ kind: 'unit-left-alone', network: unit.network, fight } as const];
    });
  }

  /** Returns the NICs whose MAC is left alone at present. */
  fights(): Fight[] {
    return this.#limiter.fights(steadyNow());
  }
}
