import type { Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { Lease } from '../../dnsmasq/leases.ts';
import type { LedgerEntry } from '../../identity/ledger.ts';
import type { ObservedNetwork } from '../../network/state.ts';
import type { HostSurvey, Survey } from '../../network/survey.ts';
import type { Uplink } from '../../network/uplink.ts';
import type { Finding } from '../finding.ts';
import type { Listener } from './ports.ts';

/** What the doctor reads of the host. Each null is something that could not be read. */
export interface HostFacts {
  readonly survey: HostSurvey;
  /** Why nft does not work; null where it does, or where the host has none. */
  readonly nftTrouble: string | null;
  /** Connections that the kernel tracks, and how many it can. */
  readonly tracked: { readonly count: number; readonly most: number } | null;
  readonly listeners: readonly Listener[] | null;
  readonly dnsmasq: { readonly version: string; readonly changelog: string | null } | null;
  /** By libvirt's driver; null where there is no libvirt. */
  readonly hooks: Readonly<Record<string, HookState>> | null;
}

export type HookState = 'ours' | 'missing' | 'not executable';

export interface NetworkFacts {
  readonly survey: Pick<Survey, 'network' | 'steps' | 'warnings' | 'damage'> & {
    readonly observed: Pick<ObservedNetwork, 'link' | 'dnsmasq'>;
  };
  /** Chains of others that drop what they do not accept, among those that packets of machines pass; their names are hostile. */
  readonly droppers: readonly string[];
  /** Other firewalls that could not be read, and why. */
  readonly unread: readonly string[];
  /** Sysctl → value, of links that packets of machines pass. */
  readonly forwarding: ReadonlyMap<string, string>;
  /** Null where it could not be asked: without a bridge, or without forwarding. */
  readonly uplink: Uplink | null;
  /** MACs that more than one machine has. */
  readonly duplicates: readonly { readonly mac: Mac; readonly names: readonly string[] }[];
  /** What the probe met; empty when none was sent. */
  readonly probe: readonly Finding[];
}

/** A machine, by libvirt's files. */
export interface MachineFacts {
  readonly name: string;
  readonly state: 'running' | 'shut off' | 'unknown';
  /** NICs that are on no network of virlan's, as `network default`. */
  readonly elsewhere: readonly string[];
  readonly nics: readonly NicFacts[];
}

/** One NIC of a machine on one network. */
export interface NicFacts {
  readonly network: string;
  readonly bridge: string;
  readonly mac: Mac;
  /** The name by which libvirt knows its port; null where it does not run. */
  readonly tap: string | null;
  /** That port as the kernel has it; null where there is none. */
  readonly port: Port | null;
  readonly entry: LedgerEntry | null;
  /** The address that the hostsfile promises its MAC; null for none. */
  readonly promised: Ipv4 | null;
  readonly lease: Lease | null;
  /** What dnsmasq logged of its MAC last, newest first; null where no log can be read. */
  readonly log: readonly string[] | null;
  /** Who answers ARP for its address. */
  readonly neighbour: { readonly mac: string | null } | null;
}

export interface Port {
  readonly master: string | null;
  readonly up: boolean;
  /** BR_STATE_… of linux/if_bridge.h: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. */
  readonly state: number | null;
  /** How many frames the machine has sent. */
  readonly sent: number;
}
