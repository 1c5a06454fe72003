// The machines of a network: those that have entries in the ledger, and those that libvirt knows without one. Pure.
import { formatIp } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { GuardMode, MachineSection, NetworkConfig } from '../config/config.ts';
import { type Forward, formatForward } from '../config/forward.ts';
import { isCurrent, type Lease } from '../dnsmasq/leases.ts';
import type { Chosen } from '../forwards/choose.ts';
import { type ForwardProblem, forwardOf } from '../forwards/problem.ts';
import { forwardProblemText } from '../forwards/problem-text.ts';
import { type ForwardSource, forwardWishes } from '../forwards/wishes.ts';
import { readGuardWishes } from '../guard/wishes.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn, nicsOn } from '../identity/machine.ts';
import { pluggedEntries } from '../identity/match-entries.ts';
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
  /** Its guard; `group` is hostile: where machines are isolated, it reaches those of its group. */
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
  /** The reason why a running machine does not have it; null while the machine is off. */
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
  const { running, defined } = sources;
  const machines = nicsOf(network, sources);
  // A machine that runs is in both lists, and is shown as it runs.
  const domains = new Map([...defined, ...running].map(domain => [domain.uuid, domain]));
  const forwards = sources.forwards === null ? null : indexForwards(sources.forwards);
  const firstNics = new Map<string, number>();
  for (const { uuid, nic } of machines) firstNics.set(uuid, Math.min(nic, firstNics.get(uuid) ?? nic));
  return machines.map(machine => {
    const domain = domains.get(machine.uuid);
    return {
      ...machine,
      guard: guardOf(network, domain),
      forwards:
        firstNics.get(machine.uuid) === machine.nic ? forwardsOf(domain, network.machines, forwards) : [],
    };
  });
}

function guardOf({ guard }: NetworkConfig, domain: Domain | undefined): MachineStatus['guard'] {
  if (domain === undefined) return { mode: guard, group: null };
  const { mode, group } = readGuardWishes(domain);
  return { mode: mode ?? guard, group };
}

/** Forwards that are active, and why others are not, by machine and forward. */
export interface ForwardIndex {
  readonly active: ReadonlySet<string>;
  readonly problems: ReadonlyMap<string, ForwardProblem>;
}

/** Returns an index of the forwards of all machines. */
export function indexForwards({ claims, refused }: Chosen): ForwardIndex {
  const problems = new Map<string, ForwardProblem>();
  for (const { machine, problem } of refused) {
    const forward = forwardOf(problem);
    if (forward === null) continue;
    const key = forwardKey(machine.uuid, forward);
    if (!problems.has(key)) problems.set(key, problem);
  }
  return { active: new Set(claims.map(({ uuid, forward }) => forwardKey(uuid, forward))), problems };
}

function forwardKey(uuid: string, forward: Forward): string {
  return `${uuid} ${formatForward(forward)}`;
}

/** Returns the forwards of a machine; `index` is null when it is not known which are active. */
export function forwardsOf(
  domain: Domain | undefined,
  sections: readonly MachineSection[],
  index: ForwardIndex | null,
): ForwardStatus[] {
  if (domain === undefined) return [];
  return forwardWishes(domain, sections).wanted.map(({ forward, source }) => {
    const key = forwardKey(domain.uuid, forward);
    const problem = index?.problems.get(key);
    return {
      forward: formatForward(forward),
      source,
      active: index?.active.has(key) === true,
      problem: problem === undefined ? null : forwardProblemText(problem),
    };
  });
}

/** A machine's NIC, without what is known of the machine as a whole. */
type NicStatus = Omit<MachineStatus, 'forwards' | 'guard'>;

/** The machines on a network, as libvirt and dnsmasq have them now. */
class MachinesSeen {
  readonly #network: NetworkConfig;
  readonly #passThrough: ReadonlySet<string>;
  readonly #running: ReadonlyMap<string, Domain>;
  readonly #defined: ReadonlySet<string>;
  /** The current lease of each MAC that comes first in the file, and its place there. */
  readonly #leases: ReadonlyMap<Mac, { readonly lease: Lease; readonly place: number }>;

  constructor(network: NetworkConfig, { running, defined, leases, passThrough, now }: MachineSources) {
    this.#network = network;
    this.#passThrough = passThrough;
    this.#running = new Map(running.map(domain => [domain.uuid, domain]));
    this.#defined = new Set(defined.map(({ uuid }) => uuid));
    const current = leases.filter(lease => isCurrent(lease, now));
    // The last of a map's equal keys wins.
    this.#leases = new Map(current.map((lease, place) => [lease.mac, { lease, place }] as const).reverse());
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
    const domain = this.#running.get(uuid);
    const nics = domain === undefined ? [] : nicsOn(this.#network.bridge, this.#passThrough, domain);
    return nics.find(nic => nic.mac === mac)?.tap ?? null;
  }

  #leaseOf(macs: readonly Mac[]): NicStatus['lease'] {
    const [found] = macs.flatMap(mac => this.#leases.get(mac) ?? []).sort((a, b) => a.place - b.place);
    if (found === undefined) return null;
    const { ip, expires } = found.lease;
    return { ip: formatIp(ip), expires: expires === 0 ? null : isoSeconds(expires * 1000) };
  }
}

/** Returns the NICs on a network, by the names of their machines. */
function nicsOf(network: NetworkConfig, sources: MachineSources): NicStatus[] {
  const { entries, defined, running, passThrough } = sources;
  const seen = new MachinesSeen(network, sources);
  const reserved = withoutUnplugged(entries, network, sources).map(entry => reservedNic(entry, seen));
  const known = new Set(entries.map(({ uuid }) => uuid));
  const unknown = [...running, ...defined.filter(({ uuid }) => !seen.isRunning(uuid))]
    .filter(({ uuid }) => !known.has(uuid))
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

/**
 * Returns the entries of NICs that are there, by the definition of their machine or as it runs. The others are kept in
 * the ledger, for NICs that come back. Of machines that libvirt does not know here, all count.
 */
function withoutUnplugged(
  entries: readonly LedgerEntry[],
  { bridge }: NetworkConfig,
  { defined, running, passThrough }: MachineSources,
): LedgerEntry[] {
  const ofMachines = new Map<string, LedgerEntry[]>();
  for (const entry of entries) ofMachines.set(entry.uuid, [...(ofMachines.get(entry.uuid) ?? []), entry]);
  const plugged = new Set<LedgerEntry>();
  for (const domain of [...defined, ...running]) {
    const macs = nicsOn(bridge, passThrough, domain).flatMap(({ mac }) => mac ?? []);
    for (const entry of pluggedEntries(ofMachines.get(domain.uuid) ?? [], macs)) plugged.add(entry);
  }
  const here = new Set([...defined, ...running].map(({ uuid }) => uuid));
  return entries.filter(entry => plugged.has(entry) || !here.has(entry.uuid));
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
