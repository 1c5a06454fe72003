// The details of findings about one machine and its NICs.
import type { Ipv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { Denied } from '../guard/denied.ts';
import type { ReservationProblem } from '../identity/problem.ts';
import type { TakingPolicy } from '../network/routes/ipsec-policies.ts';
import type { Drop, Packet } from './packet-drop.ts';
import type { None } from './reach-details.ts';

/** The place of a NIC that is not on a network of virlan. */
export type OtherPlace =
  | { readonly kind: 'network' | 'bridge'; readonly name: string }
  /** User-mode networking, a device of the host passed through, or another type that names no link. */
  | { readonly kind: 'other' };

/** Frames of a machine that the guard dropped for one reason. `owner` is hostile where it is a machine's name. */
export type DroppedFrames = Omit<Denied, 'tap'> & {
  readonly owner:
    | { readonly kind: 'machine' | 'device'; readonly name: string }
    | { readonly kind: 'host' }
    | null;
};

/** A machine's port of a bridge, and what its packets are known by. */
export interface MachinePort {
  readonly bridge: string;
  readonly tap: string;
  readonly mac: Mac;
  readonly ip: Ipv4;
}

/** Details about one machine and its NICs. `machine` is its name: hostile. */
export interface MachineDetails {
  /** `nearest` is the name that was probably meant; null where none is similar. */
  'machine-unknown': { readonly machine: string; readonly nearest: string | null };
  'machine-shut-off': { readonly machine: string };
  'machine-runs': None;
  /** `was`: the MAC that virlan replaced by this one; null when it replaced none. */
  'nics-found': {
    readonly nics: readonly { readonly mac: Mac; readonly network: string; readonly was: Mac | null }[];
  };
  'no-nic': { readonly machine: string };
  'nics-elsewhere': { readonly machine: string; readonly places: readonly OtherPlace[] };
  'not-running': None;
  'tap-plugged-in': { readonly tap: string; readonly bridge: string };
  'tap-gone': { readonly tap: string; readonly machine: string };
  'tap-unplugged': { readonly tap: string };
  'tap-in-other-bridge': { readonly tap: string; readonly bridge: string; readonly found: string };
  'tap-down': { readonly tap: string };
  'tap-kept-down': { readonly tap: string; readonly machine: string };
  'port-forwards': None;
  /** A static entry of the bridge sends frames for the machine to another port. Its name is hostile. */
  'mac-behind-other-port': { readonly tap: string; readonly mac: Mac; readonly behind: string };
  'port-outside-bridge': { readonly tap: string };
  'port-waits-for-stp': { readonly tap: string };
  'port-blocked': { readonly tap: string };
  'port-disabled': { readonly tap: string };
  'request-answered': None;
  'request-heard': None;
  'address-static': { readonly ip: Ipv4 };
  'nothing-sent': { readonly machine: string; readonly tap: string };
  /** It sends frames; whether it uses DHCP is unknown without dnsmasq's log. */
  'no-lease-given': { readonly mac: Mac; readonly tap: string };
  /** It sends frames, and dnsmasq's log has no DHCP request of it. */
  'request-missing': { readonly mac: Mac; readonly tap: string };
  reserved: { readonly ip: Ipv4 };
  'not-reserved': { readonly machine: string; readonly mac: Mac; readonly network: string };
  'reservation-problem': { readonly problem: ReservationProblem };
  'not-in-hostsfile': { readonly mac: Mac; readonly ip: Ipv4 };
  leased: { readonly ip: Ipv4 };
  'not-leased': None;
  /** `logged`: the line of dnsmasq's log. */
  'lease-refused': { readonly logged: string };
  'leased-before-reserved': {
    readonly machine: string;
    readonly mac: Mac;
    readonly leased: Ipv4;
    readonly reserved: Ipv4;
  };
  'answers-arp': { readonly ip: Ipv4 };
  'no-address': None;
  'address-unused': { readonly machine: string; readonly ip: Ipv4 };
  'leased-but-silent': { readonly machine: string; readonly ip: Ipv4 };
  'guard-not-there': { readonly network: string };
  'nothing-dropped': None;
  'frames-dropped': {
    readonly machine: string;
    readonly tap: string;
    /** The most frames first. */
    readonly dropped: readonly DroppedFrames[];
  };
  'nothing-in-the-way': None;
  /** A rule of another program drops packets of this machine, or answers to it, for certain. */
  'machine-dropped': {
    readonly machine: string;
    readonly packet: Packet['kind'];
    readonly drop: Drop;
    readonly port: MachinePort;
  };
  /** A policy of IPsec takes them. */
  'machine-taken': {
    readonly machine: string;
    readonly packet: Packet['kind'];
    readonly policy: TakingPolicy;
    readonly port: MachinePort;
  };
  'address-duplicate': { readonly ip: Ipv4; readonly mac: Mac; readonly answeredBy: string };
}
