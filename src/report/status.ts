// The form of `virlan status --json`, and the list of a network's machines. Pure.
import { formatIp, formatPrefix, type IpAddress } from '../address/ip.ts';
import type { GuardMode, MachineSection, NetworkConfig } from '../config/config.ts';
import { type Forward, formatForward } from '../config/forward.ts';
import type { Detail } from '../diagnosis/details.ts';
import type { Fix } from '../diagnosis/finding.ts';
import type { PeerDetails } from '../diagnosis/peer-details.ts';
import type { ProbeStatus } from '../diagnosis/probe/result.ts';
import { isCurrent, type Lease } from '../dnsmasq/leases.ts';
import type { Chosen } from '../forwards/choose.ts';
import { forwardProblemText } from '../forwards/problem-text.ts';
import { type ForwardSource, forwardWishes } from '../forwards/wishes.ts';
import { readGuardWishes } from '../guard/wishes.ts';
import type { HostNames } from '../host-names/host-names.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn, nicsOn } from '../identity/machine.ts';
import { problemText, refusedAliasText } from '../identity/problem-text.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import type { LibvirtNetworkProblem } from '../libvirt-networks/decide.ts';
import type { Step } from '../network/steps.ts';
import type { Fight } from '../network/units.ts';
import type { NetworkWarning } from '../network/warnings.ts';
import type { OtherFirewallName } from '../other-firewalls/model.ts';
import type { TunnelDrop } from '../other-firewalls/tunnel-drops.ts';
import type { EtcdFailure } from '../shared-ledger/etcd-error.ts';
import { isoSeconds } from '../text.ts';
import type { SharedStatus } from './cluster-status.ts';
import type { InotifyLimit, MetricsProblem } from './event.ts';
import type { TunnelStatus } from './tunnel-fields.ts';

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
  /** Those of the machine, at its first NIC on the network. */
  readonly forwards: readonly ForwardStatus[];
}

/** A forward of a machine, as `virlan status --json` shows it. */
export interface ForwardStatus {
  /** As in virlan.ini: `tcp/8443:443`. */
  readonly forward: string;
  readonly source: ForwardSource;
  /** True if the host's ports lead to the machine now. */
  readonly active: boolean;
  /** Why a running machine does not have it; null while the machine is off. */
  readonly problem: string | null;
}

export interface NetworkStatus {
  readonly name: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly mode: NetworkConfig['mode'];
  /** True if machines reach each other only within a group. */
  readonly isolate: boolean;
  /** Links to other networks than the outside that machines reach; their names are hostile. */
  readonly alsoReached: readonly string[];
  /** The route that a router of the LAN needs, as `SUBNET via ADDRESS`; null where it needs none. */
  readonly routeNeeded: string | null;
  readonly up: boolean;
  readonly firewall: string | null;
  readonly domain: string;
  /** How the host itself finds the names of machines. */
  readonly hostNames: HostNames;
  readonly dnsmasq: { readonly running: boolean; readonly pid: number | null };
  /** The other firewalls on the host that virlan knows, and the rules that it added to them. */
  readonly otherFirewalls: readonly { readonly name: OtherFirewallName; readonly rules: readonly string[] }[];
  /** Links in the bridge that are neither a machine's nor virlan's. Their names are hostile. */
  readonly otherPorts: readonly string[];
  /** Null for a network that is on this host only. */
  readonly tunnel: TunnelStatus | null;
  /** Null where the ledger is this host's own. */
  readonly shared: SharedStatus | null;
  /** The texts of `faults`. */
  readonly problems: readonly string[];
  readonly faults: readonly Fault[];
  /** The result of the watcher's last probe; null without one. */
  readonly probe: ProbeStatus | null;
  readonly machines: readonly MachineStatus[];
}

/** A problem of a network, as `virlan status --json` shows it. */
export interface Fault {
  /** Codes are added, never renamed. */
  readonly code: NetworkWarning['kind'] | Exclude<NetworkProblem['kind'], 'warning'>;
  /** One line, with the remedy. It may contain hostile names. */
  readonly text: string;
  /** Null where the remedy is a decision, or the name in a command would be hostile. */
  readonly fix: Fix | null;
}

/** A problem of a network. status-text.ts has the words. */
export type NetworkProblem =
  | { readonly kind: 'warning'; readonly warning: NetworkWarning }
  | { readonly kind: 'not-established' }
  /** The host differs from the configuration. */
  | { readonly kind: 'drift'; readonly steps: readonly Step[] }
  | { readonly kind: 'no-dummy' }
  | { readonly kind: 'no-checksum' }
  /** The kernel refuses the rule of iptables that fills in checksums. */
  | { readonly kind: 'checksum-refused' }
  /** The kernel refuses the table `security` of iptables. */
  | { readonly kind: 'security-refused' }
  | { readonly kind: 'fight'; readonly fight: Fight }
  /** A repair failed when it was last tried. */
  | { readonly kind: 'failed'; readonly error: Error }
  /** A file that only the status needs cannot be read. */
  | { readonly kind: 'unreadable'; readonly error: Error }
  /** The configuration on disk was rejected: one line of the error. */
  | { readonly kind: 'configuration'; readonly text: string }
  /** inotify is used up: the watcher looks at its files from time to time. */
  | { readonly kind: 'files-polled'; readonly limit: InotifyLimit }
  | { readonly kind: 'metrics-not-served'; readonly problem: MetricsProblem }
  | { readonly kind: 'libvirt-network'; readonly problem: LibvirtNetworkProblem }
  | { readonly kind: 'probe'; readonly at: string; readonly seen: string }
  /** Another program drops packets of the tunnel on this host. */
  | { readonly kind: 'tunnel-dropped'; readonly drop: TunnelDrop }
  /** etcd does not answer, or refuses. */
  | { readonly kind: 'etcd'; readonly reason: EtcdFailure; readonly message: string; readonly since: string }
  /** Another host of the cluster is not reached, or there is no session of BGP with a neighbour. */
  | { readonly kind: 'peer' | 'bgp'; readonly detail: Detail<keyof PeerDetails> };

/** The form of `virlan status --json`: fields may be added, never renamed. */
export interface Status {
  readonly virlan: string;
  readonly watcher: { readonly running: boolean; readonly pid: number | null; readonly libvirt: string };
  readonly networks: readonly NetworkStatus[];
  /** Lines about libvirt's network `default`. */
  readonly notes: readonly string[];
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

function nicsOf(
  network: NetworkConfig,
  sources: MachineSources,
): Omit<MachineStatus, 'forwards' | 'guard'>[] {
  const { entries, defined, running, leases, passThrough, now } = sources;
  const isRunning = new Set(running.map(domain => domain.uuid));
  const isDefined = new Set(defined.map(domain => domain.uuid));
  const stateOf = (uuid: string): MachineStatus['state'] =>
    isRunning.has(uuid) ? 'running' : isDefined.has(uuid) ? 'shut off' : 'undefined';
  const tapOf = (uuid: string, mac: string) => {
    const domain = running.find(each => each.uuid === uuid);
    const nics = domain === undefined ? [] : nicsOn(network.bridge, passThrough, domain);
    return nics.find(nic => nic.mac === mac)?.tap ?? null;
  };
  const leaseOf = (macs: readonly string[]) => {
    const lease = leases.find(each => macs.includes(each.mac) && isCurrent(each, now));
    if (lease === undefined) return null;
    const expires = lease.expires === 0 ? null : isoSeconds(lease.expires * 1000);
    return { ip: formatIp(lease.ip), expires };
  };

  const reserved = entries.map(({ name, uuid, nic, macs, replacedMac, ip, hostname, problem, ...names }) => ({
    name,
    uuid,
    nic,
    mac: macs[0] ?? '',
    replacedMac,
    ip: ip === null ? null : formatIp(ip),
    hostname,
    aliases: names.aliases,
    refusedAliases: names.refusedAliases.map(refused => ({
      alias: refused.alias,
      problem: refusedAliasText(refused),
    })),
    state: stateOf(uuid),
    tap: tapOf(uuid, macs[0] ?? ''),
    lease: leaseOf(macs),
    problem: problem === null ? null : problemText(problem),
  }));
  const unknown = [...running, ...defined.filter(domain => !isRunning.has(domain.uuid))]
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
        state: stateOf(domain.uuid),
        tap: tapOf(domain.uuid, mac),
        lease: leaseOf([mac]),
        problem: null,
      })),
    );
  return [...reserved, ...unknown].sort((a, b) => compare(a.name, b.name) || a.nic - b.nic);
}

/** Returns the route to a network as text. */
export function formatRoute({ subnet }: Pick<NetworkConfig, 'subnet'>, via: IpAddress): string {
  return `${formatPrefix(subnet)} via ${formatIp(via)}`;
}

/** Returns subnet and gateway of a network as text. */
export function describeSubnet({ subnet, gateway }: NetworkConfig): { subnet: string; gateway: string } {
  return { subnet: formatPrefix(subnet), gateway: formatIp(gateway) };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
