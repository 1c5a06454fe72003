// Desired and observed state of one network on the host, and of the host as a whole, as plain values.
import type { Family, IpAddress, Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { FixedHost } from '../config/config.ts';
import type { BackendName, RulesScript } from '../firewall/backend.ts';

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
  /** In hundredths of a second, as the kernel counts it. */
  readonly forwardDelay: number;
  readonly up: boolean;
  readonly addresses: readonly LinkAddress[];
}

/** The dummy NIC, which keeps the bridge's carrier up while no machine is plugged in. */
export interface DummyState {
  readonly mac: Mac;
  readonly up: boolean;
  readonly master: string | null;
}

/**
 * A changed attribute of a link, with the old value for the text of the plan. `attribute` is the
 * discriminant, because the step that contains it has a `kind` already.
 */
export type LinkChange =
  | { readonly attribute: 'mac'; readonly from: Mac; readonly to: Mac }
  | { readonly attribute: 'mtu'; readonly from: number; readonly to: number }
  | { readonly attribute: 'stp'; readonly from: boolean; readonly to: boolean }
  /** In hundredths of a second. */
  | { readonly attribute: 'forward delay'; readonly from: number; readonly to: number }
  | { readonly attribute: 'state'; readonly from: 'up' | 'down'; readonly to: 'up' | 'down' }
  /** The bridge that the link is in; null for none. */
  | { readonly attribute: 'bridge'; readonly from: string | null; readonly to: string | null };

/** A difference between virlan's rules in the kernel and those it loaded. */
export type RuleDrift =
  | { readonly kind: 'missing' | 'added'; readonly rule: string }
  /** The same rules in another order, or twice. */
  | { readonly kind: 'reordered' };

/** virlan's rules of one backend and family as found. */
export interface FoundRules {
  readonly backend: BackendName;
  readonly family: Family;
  /** The script that virlan loaded last; null when it is not known. */
  readonly loaded: string | null;
  readonly present: boolean;
  readonly drift: readonly RuleDrift[];
}

/** virlan's lines of the hostsfile: left as they are, or exactly these. */
export type DesiredReservations =
  | { readonly kind: 'leave' }
  | { readonly kind: 'exactly'; readonly lines: readonly string[] };

/** The desired state of one network. A null means that the object must not exist. */
export interface DesiredNetwork {
  readonly name: string;
  readonly fixedReservations: readonly FixedHost[];
  readonly bridge: string;
  readonly link: BridgeState | null;
  readonly dummy: { readonly name: string; readonly state: DummyState | null };
  /** Taps of running machines that belong into the bridge. */
  readonly taps: readonly string[];
  /** Value by sysctl key; only those of the bridge itself, which disappear with it. */
  readonly sysctls: ReadonlyMap<string, string>;
  readonly rules: readonly RulesScript[];
  readonly dnsmasq: { readonly conf: string | null; readonly runs: boolean };
  readonly reservations: DesiredReservations;
}

/** The observed state of the objects that a desired network names. */
export interface ObservedNetwork {
  readonly link: BridgeState | null;
  readonly dummy: DummyState | null;
  /** Addresses of the bridge that virlan added: it removes no others. */
  readonly ownAddresses: readonly LinkAddress[];
  /**
   * Desired addresses that the bridge has, without the route that the kernel adds for each while the link is
   * up.
   */
  readonly unrouted: readonly LinkAddress[];
  /** Desired taps that exist and are in no bridge. */
  readonly orphanTaps: readonly string[];
  readonly sysctls: ReadonlyMap<string, string>;
  /** One entry for each backend and family. */
  readonly rules: readonly FoundRules[];
  readonly dnsmasq: {
    readonly conf: string | null;
    readonly pid: number | null;
    /** Whether a signal has stopped the process, so that it answers nobody. */
    readonly isStopped: boolean;
  };
  /** virlan's lines of the hostsfile. */
  readonly reservations: readonly string[];
}

/**
 * The settings of the host as a whole: desired while any network is up, observed, or recorded to be restored.
 */
export interface HostState {
  readonly sysctls: ReadonlyMap<string, string>;
  /** Text of virlan's file under /etc/sysctl.d; null for none. */
  readonly sysctlFile: string | null;
}
