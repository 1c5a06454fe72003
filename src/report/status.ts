// The form of `virlan status --json`: networks and their problems. Pure.
import { formatIp, formatPrefix, type IpAddress } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { Detail } from '../diagnosis/details.ts';
import type { Fix } from '../diagnosis/finding.ts';
import type { PeerDetails } from '../diagnosis/peer-details.ts';
import type { ProbeStatus } from '../diagnosis/probe/result.ts';
import type { HostNames } from '../host-names/host-names.ts';
import type { LibvirtNetworkProblem } from '../libvirt-networks/decide.ts';
import type { Step } from '../network/steps/steps.ts';
import type { Fight } from '../network/steps/units.ts';
import type { NetworkWarning } from '../network/warnings/warnings.ts';
import type { OtherFirewallName } from '../other-firewalls/model.ts';
import type { TunnelDrop } from '../other-firewalls/tunnel-drops.ts';
import type { EtcdFailure } from '../shared-ledger/etcd-error.ts';
import type { InotifySysctl } from '../system/inotify.ts';
import type { SharedStatus } from './cluster-status.ts';
import type { MetricsProblem } from './event.ts';
import type { MachineStatus } from './machines.ts';
import type { TunnelStatus } from './tunnel-fields.ts';

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
  /** The way in which the host itself finds the names of machines. */
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
  readonly code: NetworkWarning['kind'] | Exclude<NetworkProblem['kind'], 'warning'> | 'network-in-use';
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
  /** The kernel cannot limit the connections of a machine to dnsmasq. */
  | { readonly kind: 'connection-limit-refused' }
  /** The kernel cannot lower the segment size of TCP. */
  | { readonly kind: 'clamp-mss-refused' }
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
  | { readonly kind: 'files-polled'; readonly limit: InotifySysctl }
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

/** Returns the route to a network as text. */
export function formatRoute({ subnet }: Pick<NetworkConfig, 'subnet'>, via: IpAddress): string {
  return `${formatPrefix(subnet)} via ${formatIp(via)}`;
}

/** Returns subnet and gateway of a network as text. */
export function describeSubnet({ subnet, gateway }: NetworkConfig): { subnet: string; gateway: string } {
  return { subnet: formatPrefix(subnet), gateway: formatIp(gateway) };
}
