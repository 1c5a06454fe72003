import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { FixedHost } from '../config/config.ts';
import type { ForeignRules } from '../other-firewalls/model.ts';

export interface LinkAddress {
  readonly ip: Ipv4;
  readonly prefix: number;
  readonly broadcast: Ipv4 | null;
}

export interface BridgeState {
  readonly mac: Mac;
  readonly mtu: number;
  readonly stp: boolean;
  /** In hundredths of a second, as the kernel counts it. */
  readonly forwardDelay: number;
  readonly up: boolean;
  readonly addresses: readonly LinkAddress[];
}

/** The dummy NIC, which keeps the bridge's carrier up while no machine is plugged in. */
export interface NicState {
  readonly mac: Mac;
  readonly up: boolean;
  readonly master: string | null;
}

export type Backend = 'nftables' | 'iptables';

/** The rules of one backend as they were found. */
export interface FoundRules {
  /** The script that virlan loaded last; null when it is not known. */
  readonly loaded: string | null;
  readonly present: boolean;
  /** What the kernel lists differently than right after loading: `- rule` is missing, `+ rule` was added. */
  readonly drift: readonly string[];
}

/** What virlan wants of a network on the host. A null is something that is not to be there. */
export interface DesiredNetwork {
  readonly name: string;
  /** Fixed reservations of its configuration. */
  readonly hosts: readonly FixedHost[];
  readonly bridge: string;
  readonly link: BridgeState | null;
  readonly nic: { readonly name: string; readonly state: NicState | null };
  /** Taps of running machines that belong into the bridge. */
  readonly taps: readonly string[];
  /** Sysctl → value; only those of the bridge itself, which go with it. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Backend → script. */
  readonly rules: Readonly<Record<Backend, string | null>>;
  /** What machines need in the places of other firewalls. */
  readonly foreign: ForeignRules;
  readonly dnsmasq: { readonly conf: string | null; readonly runs: boolean };
  /** Lines of virlan's for the hostsfile; null leaves it as it is. */
  readonly reservations: readonly string[] | null;
}

/** What was found, of just the things that a desired network speaks of. */
export interface ObservedNetwork {
  readonly link: BridgeState | null;
  readonly nic: NicState | null;
  /** Addresses on the bridge that virlan put there: another one found there is not virlan's to remove. */
  readonly ownAddresses: readonly LinkAddress[];
  /** Those of the desired addresses that are on the bridge, which is up, without the route that the kernel makes for each. */
  readonly unrouted: readonly LinkAddress[];
  /** Those of the desired taps that exist and are in no bridge. */
  readonly orphanTaps: readonly string[];
  readonly sysctls: ReadonlyMap<string, string>;
  readonly rules: Readonly<Record<Backend, FoundRules>>;
  /** What is marked as virlan's in the places of other firewalls. */
  readonly foreign: ForeignRules;
  readonly dnsmasq: { readonly conf: string | null; readonly pid: number | null };
  /** Lines of virlan's in the hostsfile. */
  readonly reservations: readonly string[];
}

/** What the host as a whole needs while any network is up, and what it has. Same shape, so that it can be put back. */
export interface HostState {
  readonly sysctls: ReadonlyMap<string, string>;
  /** Content of virlan's file under /etc/sysctl.d; null for none. */
  readonly sysctlFile: string | null;
}
