// The machines of a network: those that have entries in the ledger, and those that libvirt knows without one. Pure.
import { formatIp } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { GuardMode, MachineSection, NetworkConfig } from '../config/config.ts';
import { type Forward, formatForward } from '../config/forward.ts';
import { isCurrent, type Lease } from '../dnsmasq/leases.ts';
import type { Chosen } from '../forwards/choose.ts';
import { forwardProblemText } from '../forwards/problem-text.ts';
import { type ForwardSource, forwardWishes } from '../forwards/wishes.ts';
import { readGuardWishes } from '../guard/wishes.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn, nicsOn } from '../identity/machine.ts';
import { problemText, refusedAliasText } from '../identity/problem-text.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { isoSeconds } from '../text.ts';

/** One NIC of one machine, as `virlan status --json` shows it. */
export interface MachineStatus {
  readonly name: string;
  readonly uuid: string;
  readonly nic: number;
  readonly mac: string;
  /** The MAC that virlan replaced by this one in the definition; null when it replaced none. */
  readonly replacedMac: string | null;
  readonly ip: string | null;
  readonly hostname: string | null;
  /** Further names, as in the metadata: `api`, `*.apps`. */
  readonly aliases: readonly string[];
  /** Aliases that it asks for and does not have. */
  readonly refusedAliases: readonly { readonly alias: string; readonly problem: string }[];
  readonly state: 'running' | 'shut off' | 'undefined';
  readonly tap: string | null;
  readonly lease: { readonly ip: string; readonly expires: string | null } | null;
  readonly problem: string | null;
  /** How it is guarded; `group` is hostile: where machines are isolated, it reaches those of its group. */
  readonly guard: { readonly mode: GuardMode; readonly group: string | null };
  /** Holds those of the machine, at its first NIC on the network. */
  readonly forwards: readonly ForwardStatus[];
}

/** A forward of a machine, as `virlan status --json` shows it. */
export interface ForwardStatus {
  /** Written as in virlan.ini: `tcp/8443:443`. */
  readonly forward: string;
  readonly source: ForwardSource;
  /** True if the host's ports lead to the machine now. */
  readonly active: boolean;
  /** Why a running machine does not have it; null while the machine is off. */
  readonly problem: string | null;
}

/** The readings from which the list of a network's machines is made. */
export interface MachineSources {
  /** The entries of this network that are not retired. */
  readonly entries: readonly LedgerEntry[];
  readonly defined: readonly Domain[];
  readonly running: readonly Domain[];
  readonly leases: readonly Lease[];
  readonly passThrough: ReadonlySet<string>;
  readonly now: Date;
  /** Null when they are unknown. */
  readonly forwards: Chosen | null;
}

/**
 * Returns the machines of a network: those with a reservation, and those on it without one, sorted by name.
 */
export function machinesOf(network: NetworkConfig, sources: MachineSources): MachineStatus[] {
  const { running, defined, forwards } = sources;
  const machines = nicsOf(network, sources);
  return machines.map(machine => {
    const isFirst = !machines.some(({ uuid, nic }) => uuid === machine.uuid && nic < machine.nic);
    const domain = [...running, ...defined].find(({ uuid }) => uuid === machine.uuid);
    return {
      ...machine,
      guard: guardOf(network, domain),
      forwards: isFirst ? forwardsOf(domain, network.machines, forwards) : [],
    };
  });
}

function guardOf({ guard }: NetworkConfig, domain: Domain | undefined): MachineStatus['guard'] {
  if (domain === undefined) return { mode: guard, group: null };
  const { mode, group } = readGuardWishes(domain);
  return { mode: mode ?? guard, group };
}

/** Returns the forwards of a machine; `chosen` is null when it is not known which are active. */
export function forwardsOf(
  domain: Domain | undefined,
  sections: readonly MachineSection[],
  chosen: Chosen | null,
): ForwardStatus[] {
  if (domain === undefined) return [];
  return forwardWishes(domain, sections).wanted.map(({ forward, source }) => {
    const text = formatForward(forward);
    const isIt = (uuid: string, its: Forward) => uuid === domain.uuid && formatForward(its) === text;
    const active = chosen?.claims.some(claim => isIt(claim.uuid, claim.forward)) === true;
    const refused = chosen?.refused.find(
      ({ machine, problem }) => 'forward' in problem && isIt(machine.uuid, problem.forward),
    );
    const problem = refused === undefined ? null : forwardProblemText(refused.problem);
    return { forward: text, source, active, problem };
  });
}

/** A machine's NIC, without what is known of the machine as a whole. */
type NicStatus = Omit<MachineStatus, 'forwards' | 'guard'>;

/** The machines on a network, as libvirt and dnsmasq have them now. */
class MachinesSeen {
  readonly #network: NetworkConfig;
  readonly #sources: MachineSources;
  readonly #running: ReadonlySet<string>;
  readonly #defined: ReadonlySet<string>;

  constructor(network: NetworkConfig, sources: MachineSources) {
    this.#network = network;
    this.#sources = sources;
    this.#running = new Set(sources.running.map(domain => domain.uuid));
    this.#defined = new Set(sources.defined.map(domain => domain.uuid));
  }

  isRunning(uuid: string): boolean {
    return this.#running.has(uuid);
  }

  /** Returns the state of a machine, and the tap and the lease of the NIC with the first of these MACs. */
  nic(uuid: string, macs: readonly Mac[]): Pick<NicStatus, 'state' | 'tap' | 'lease'> {
    const state = this.#running.has(uuid) ? 'running' : this.#defined.has(uuid) ? 'shut off' : 'undefined';
    return { state, tap: this.#tapOf(uuid, macs[0]), lease: this.#leaseOf(macs) };
  }

  #tapOf(uuid: string, mac: Mac | undefined): string | null {
    const { running, passThrough } = this.#sources;
    const domain = running.find(each => each.uuid === uuid);
    const nics = domain === undefined ? [] : nicsOn(this.#network.bridge, passThrough, domain);
    return nics.find(nic => nic.mac === mac)?.tap ?? null;
  }

  #leaseOf(macs: readonly Mac[]): NicStatus['lease'] {
    const { leases, now } = this.#sources;
    const lease = leases.find(each => macs.includes(each.mac) && isCurrent(each, now));
    if (lease === undefined) return null;
    const expires = lease.expires === 0 ? null : isoSeconds(lease.expires * 1000);
    return { ip: formatIp(lease.ip), expires };
  }
}

/** Returns the NICs on a network, by the names of their machines. */
function nicsOf(network: NetworkConfig, sources: MachineSources): NicStatus[] {
  const { entries, defined, running, passThrough } = sources;
  const seen = new MachinesSeen(network, sources);
  const reserved = entries.map(entry => reservedNic(entry, seen));
  const unknown = [...running, ...defined.filter(({ uuid }) => !seen.isRunning(uuid))]
    .filter(({ uuid }) => !entries.some(entry => entry.uuid === uuid))
    .flatMap(domain =>
      machineOn(network.bridge, passThrough, domain).macs.map((mac, nic) => ({
        name: domain.name,
        uuid: domain.uuid,
        nic,
        mac,
        replacedMac: null,
        ip: null,
        hostname: null,
        aliases: [],
        refusedAliases: [],
        ...seen.nic(domain.uuid, [mac]),
        problem: null,
      })),
    );
  return [...reserved, ...unknown].sort((a, b) => compare(a.name, b.name) || a.nic - b.nic);
}

function reservedNic(entry: LedgerEntry, seen: MachinesSeen): NicStatus {
  const { name, uuid, nic, macs, replacedMac, ip, hostname, aliases, refusedAliases, problem } = entry;
  return {
    name,
    uuid,
    nic,
    mac: macs[0] ?? '',
    replacedMac,
    ip: ip === null ? null : formatIp(ip),
    hostname,
    aliases,
    refusedAliases: refusedAliases.map(refused => ({
      alias: refused.alias,
      problem: refusedAliasText(refused),
    })),
    ...seen.nic(uuid, macs),
    problem: problem === null ? null : problemText(problem),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
