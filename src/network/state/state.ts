// Desired and observed state of one network on the host, and of the host as a whole, as plain values.
import {
  type Family,
  formatIp,
  formatPrefix,
  type IpAddress,
  type Ipv4,
  prefixOf,
} from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { FoundTunnel, Tunnel } from '../../cluster/tunnel.ts';
import type { BackendName, RulesScript } from '../../firewall/backend.ts';
import type { RuleDrift } from '../../firewall/drift.ts';
import type { Leftover } from '../../firewall/flavours.ts';
import type { Translation } from '../../firewall/translation.ts';
import type { Elements } from '../../guard/elements.ts';
import type { ReservedNetwork } from '../../identity/decision.ts';
import type { Published } from '../../identity/reservation-files.ts';
import type { LinkManagerName } from './link-managers.ts';
import type { PortFlag, PortNumber, PortOptions, PortVlan, StaticEntry } from './port-options.ts';

export interface LinkAddress {
  readonly ip: IpAddress;
  readonly prefixLength: number;
  /** Null for none, and always for IPv6. */
  readonly broadcast: Ipv4 | null;
}

export interface BridgeState {
  readonly mac: Mac;
  /** In bytes. */
  readonly mtu: number;
  readonly stp: boolean;
  /** In the spanning tree: the bridge with the lowest is its root. */
  readonly priority: number;
  /**
   * In hundredths of a second, as the kernel counts it. Null if it is not known: the kernel shows that of the
   * spanning tree's root.
   */
  readonly forwardDelay: number | null;
  readonly up: boolean;
  /** False if the host neither asks by ARP on it nor answers. */
  readonly arp: boolean;
  readonly addresses: readonly LinkAddress[];
}

/** The dummy NIC, which keeps the bridge's carrier up while no machine is plugged in. */
export interface DummyState {
  readonly mac: Mac;
  /** In bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly master: string | null;
}

/** A tap of a running machine that belongs into the bridge. */
export interface DesiredTap {
  readonly name: string;
  /** False if libvirt keeps it down, with `<link state='down'/>`: then its state is left as it is. */
  readonly up: boolean;
  /** In bytes. */
  readonly mtu: number;
  /** True if libvirt isolates it. Otherwise its isolation is left as it is. */
  readonly isolated: boolean;
  /** True if the guard looks at its frames. */
  readonly isGuarded: boolean;
  /**
   * On if frames from it must return to it: br_netfilter translates a packet to a forward of the machine's own
   * before the bridge sees it. Off where virlan has switched it on for that, and it is not needed any more.
   */
  readonly hairpin: 'on' | 'off' | 'leave';
}

/** A tap as found. */
export interface TapState {
  readonly name: string;
  readonly up: boolean;
  /** In bytes. */
  readonly mtu: number;
  readonly master: string | null;
  /** Describes its port in the bridge; outside of it, a tap keeps the options of its last port. */
  readonly options: PortOptions;
  /** Of its port, as `options`. */
  readonly entries: readonly StaticEntry[];
  /** Of its port, as `options`; null where the bridge does not keep VLANs apart. */
  readonly vlans: readonly PortVlan[] | null;
  /** Of its port; 0 if it is in no bridge. See `RootPort`. */
  readonly groupForwardMask: number;
}

/**
 * The mask of a guarded port: frames to the addresses that bridges reserve pass the guard, which drops them.
 * Otherwise the bridge takes part in a guest's spanning tree, and learns the senders of these frames, without
 * that any rule sees them (br_handle_frame in net/bridge/br_input.c). Pause frames, bit 1, are always dropped.
 */
export const guardedPortMask = 0xfffd;

/** A link that somebody else put into the bridge. Its name is hostile. */
export interface OtherPort {
  readonly name: string;
  /** True if frames from outside of the host may come in by it. */
  readonly leadsToLan: boolean;
}

/** The port of a guest which leads to the root of the spanning tree. */
export interface RootPort {
  readonly name: string;
  /** Bit N: frames to 01:80:c2:00:00:0N are forwarded like others. Bit 0 are BPDUs. */
  readonly groupForwardMask: number;
}

/**
 * A changed attribute of a link, with the old value for the text of the plan. `attribute` is the
 * discriminant, because the step that contains it has a `kind` already.
 */
export type LinkChange =
  | { readonly attribute: 'mac'; readonly from: Mac; readonly to: Mac }
  | { readonly attribute: 'mtu'; readonly from: number; readonly to: number }
  | { readonly attribute: 'stp' | 'arp' | PortFlag; readonly from: boolean; readonly to: boolean }
  | {
      readonly attribute: 'priority' | 'group_fwd_mask' | PortNumber;
      readonly from: number;
      readonly to: number;
    }
  /** In hundredths of a second. */
  | { readonly attribute: 'forward delay'; readonly from: number; readonly to: number }
  | { readonly attribute: 'state'; readonly from: 'up' | 'down'; readonly to: 'up' | 'down' }
  /** The bridge that the link is in; null for none. */
  | { readonly attribute: 'bridge'; readonly from: string | null; readonly to: string | null };

/** Returns whether a change makes a port that of a machine that is guarded. */
export function isForGuard(change: LinkChange): boolean {
  return change.attribute === 'group_fwd_mask' && (change.to & guardedPortMask) === guardedPortMask;
}

/** virlan's rules of one backend and family as found. */
export interface FoundRules {
  readonly backend: BackendName;
  readonly family: Family;
  /** The script that virlan loaded last; null when it is not known. */
  readonly loaded: string | null;
  readonly present: boolean;
  readonly drift: readonly RuleDrift[];
  readonly translations: readonly Translation[];
}

/** A tap that is guarded, and the elements that are about it. */
export interface TapElements {
  readonly tap: string;
  readonly index: number;
  /** Of its machine. */
  readonly uuid: string;
  readonly group: string | null;
  readonly elements: Elements;
}

/** The guard of a bridge: its table, and what the sets contain. */
export interface GuardState {
  /** The text of the table without elements. */
  readonly table: string;
  readonly belongings: Elements;
  readonly taps: readonly TapElements[];
}

/** The guard as found. */
export interface FoundGuard {
  readonly present: boolean;
  /** The table that virlan loaded last; null when it is not known. */
  readonly loaded: string | null;
  /** Differences of the rules; those of the elements are not in it. */
  readonly drift: readonly RuleDrift[];
  readonly elements: Elements;
}

/** The translations of forwards: left as they are, or exactly these in one backend. */
export type DesiredTranslations =
  | { readonly kind: 'leave' }
  | { readonly kind: 'exactly'; readonly backend: BackendName; readonly all: readonly Translation[] };

/** virlan's lines of the hostsfile and of the file of names: left as they are, or exactly these. */
export type DesiredReservations =
  | { readonly kind: 'leave' }
  | ({ readonly kind: 'exactly'; readonly network: ReservedNetwork } & Published);

/** The treatment of machines' addresses in packets to the outside. */
export interface Treatment {
  /** Has the form `NETWORK/LENGTH`. */
  readonly subnet: string;
  /** True if they become that of the host. */
  readonly isTranslated: boolean;
}

/** The desired state of one network. A null means that the object must not exist. */
export interface DesiredNetwork {
  readonly name: string;
  readonly bridge: string;
  readonly link: BridgeState | null;
  readonly dummy: { readonly name: string; readonly state: DummyState | null };
  readonly taps: readonly DesiredTap[];
  /** True if no guest's bridge may be the root of the spanning tree. */
  readonly excludesGuestRoots: boolean;
  readonly tunnel: Tunnel | null;
  /** By manager of links: the text of the file that keeps it off this network's. */
  readonly managerFiles: ReadonlyMap<LinkManagerName, string>;
  /** Value by sysctl key; only those of the bridge itself, which disappear with it. */
  readonly sysctls: ReadonlyMap<string, string>;
  readonly rules: readonly RulesScript[];
  /** Null where it does not matter. */
  readonly treatment: Treatment | null;
  readonly guard: GuardState | null;
  readonly translations: DesiredTranslations;
  readonly dnsmasq: { readonly conf: string | null; readonly runs: boolean };
  /** By path: the mode that it must have at least, if it exists. */
  readonly modes: ReadonlyMap<string, number>;
  readonly reservations: DesiredReservations;
}

/** The observed state of the objects that a desired network names. */
export interface ObservedNetwork {
  readonly link: BridgeState | null;
  /** The name that somebody has given the bridge; null if it has its own. */
  readonly renamedTo: string | null;
  /**
   * The VLANs that the bridge itself is in, or was in if it is gone, and the one of a new port; null if it does not
   * keep VLANs apart.
   */
  readonly bridgeVlans: { readonly defaultVlan: number; readonly own: readonly PortVlan[] } | null;
  readonly dummy: DummyState | null;
  /** Addresses of the bridge that virlan added: it removes no others. */
  readonly ownAddresses: readonly LinkAddress[];
  /**
   * Desired addresses that the bridge has, without the route that the kernel adds for each while the link is
   * up.
   */
  readonly unrouted: readonly LinkAddress[];
  /** Desired taps that exist. */
  readonly taps: readonly TapState[];
  /** Null if there is none, and none is desired. */
  readonly tunnel: FoundTunnel | null;
  /** By manager of links: the text of virlan's file. */
  readonly managerFiles: ReadonlyMap<LinkManagerName, string>;
  /** Links in the bridge that are neither a machine's nor virlan's. */
  readonly otherPorts: readonly OtherPort[];
  /** Null if the root is the bridge itself, or is behind a link that is not a guest's. */
  readonly rootPort: RootPort | null;
  readonly sysctls: ReadonlyMap<string, string>;
  /** One entry for each backend and family. */
  readonly rules: readonly FoundRules[];
  /** The treatment of the connections that machines have begun so far; null if it is not known. */
  readonly treatment: Treatment | null;
  /** virlan's rules of the flavour of iptables that is not selected. */
  readonly leftovers: readonly Leftover[];
  readonly guard: FoundGuard;
  readonly dnsmasq: {
    readonly conf: string | null;
    readonly pid: number | null;
    /** True if a signal has stopped the process, so that it answers nobody. */
    readonly isStopped: boolean;
    /** True if the bridge was deleted and made again after the process had bound its sockets to it. */
    readonly isUnbound: boolean;
    /** True if it writes its leases to another file than the one at their path. */
    readonly hasOtherLeases: boolean;
  };
  /** By path: the mode of what exists and is not a symbolic link. */
  readonly modes: ReadonlyMap<string, number>;
  readonly published: Published;
}

/**
 * The settings of the host as a whole: desired while any network is up, observed, or recorded to be restored.
 */
export interface HostState {
  readonly sysctls: ReadonlyMap<string, string>;
  /** Text of virlan's file under /etc/sysctl.d; null for none. */
  readonly sysctlFile: string | null;
}

/** Returns `ADDRESS/LENGTH`. */
export function formatAddress({ ip, prefixLength }: LinkAddress): string {
  return `${formatIp(ip)}/${prefixLength}`;
}

/** Returns the network of an address, which the route that comes with the address leads to. */
export function formatDestination({ ip, prefixLength }: LinkAddress): string {
  return formatPrefix(prefixOf(ip, prefixLength));
}
