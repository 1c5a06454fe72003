// The facts about the host, networks and machines that the doctor reads: input of the judges.

import type { Ipv4 } from '../../address/ip.ts';
import type { Mac } from '../../address/mac.ts';
import type { SessionReport } from '../../cluster/bgp-sessions.ts';
import type { PeerReport } from '../../cluster/peer.ts';
import type { Forward } from '../../config/forward.ts';
import type { Lease } from '../../dnsmasq/leases.ts';
import type { ForwardProblem } from '../../forwards/problem.ts';
import type { HostNames } from '../../host-names/host-names.ts';
import type { LedgerEntry } from '../../identity/ledger-format.ts';
import type { MisleadingNeighbour } from '../../network/kernel/static-neighbours.ts';
import type { Uplink } from '../../network/routes/uplink.ts';
import type { LinkManagerName } from '../../network/state/link-managers.ts';
import type { ObservedNetwork } from '../../network/state/state.ts';
import type { HostSurvey } from '../../network/survey-host.ts';
import type { Survey } from '../../network/survey-network.ts';
import type { ForwardDrop, ForwardTaking } from '../../other-firewalls/forward-rules.ts';
import type { Chain, Unread } from '../../other-firewalls/model.ts';
import type { HostDetails, NetworkDetails, PortOwner } from '../details.ts';
import type { EtcdReport } from '../etcd-report.ts';
import type { Finding } from '../finding.ts';
import type { DroppedFrames, MachinePort, OtherPlace } from '../machine-details.ts';
import type { Drop } from '../packet-drop.ts';
import type { Drops } from '../probe/drops.ts';
import type { Takings } from '../probe/takings.ts';
import type { Permissions } from './closed-path.ts';
import type { HookState } from './hooks.ts';

/** Facts about the host. Null stands for a fact that could not be read. */
export interface DoctorHostFacts {
  readonly survey: HostSurvey;
  /** The error of nft; null where it works, or is not installed. */
  readonly nftError: string | null;
  /** True if a network has its rules in nftables. */
  readonly isNftNeeded: boolean;
  /** The release of the running kernel if its modules are gone; otherwise null. */
  readonly replacedKernel: string | null;
  /** The number of connections that the kernel tracks, and its limit. */
  readonly conntrack: { readonly count: number; readonly max: number } | null;
  /** The limit of inotify that root has used up; null for none. */
  readonly inotifyLimit: HostDetails['inotify-exhausted'] | null;
  readonly portOwners: readonly PortOwner[] | null;
  readonly dnsmasq: { readonly version: string; readonly changelog: string | null } | null;
  /** By libvirt's driver; null where libvirt is not installed. */
  readonly hooks: Readonly<Record<string, HookState>> | null;
}

/** The bridge, or the tap of a machine, which a manager of links manages. The name of a tap is hostile. */
export interface ManagedLink {
  readonly link: string;
  readonly manager: LinkManagerName;
}

/** Facts about one network. */
export interface NetworkFacts {
  readonly survey: Pick<Survey, 'network' | 'steps' | 'warnings' | 'damage' | 'tunnelDrops'> & {
    readonly observed: Pick<ObservedNetwork, 'link' | 'dnsmasq' | 'otherPorts' | 'tunnel'>;
  };
  /** The directory or file whose mode keeps the running dnsmasq from its hostsfile; null for none. */
  readonly closedPath: Permissions | null;
  /** The MAC of the bridge if its table has no entry for it; otherwise null. */
  readonly unknownOwnMac: Mac | null;
  /** A link of the network that another program manages, first the bridge; null for none. */
  readonly managed: ManagedLink | null;
  /** Chains of other programs on the way of packets that drop by policy. Their names are hostile. */
  readonly droppingChains: readonly Pick<Chain, 'family' | 'table' | 'name'>[];
  readonly unreadFirewalls: readonly Unread[];
  /** A rule of another program that may drop frames from machine to machine; null for none. */
  readonly bridgeDrop: Drop | null;
  /** Sysctl → value, of the links that packets of machines pass. */
  readonly forwarding: ReadonlyMap<string, string>;
  /** Null where the kernel was not asked: without a bridge, or without forwarding. */
  readonly uplink: Uplink | null;
  /** The way of the host's own packets; null where machines have one. */
  readonly ownUplink: Uplink | null;
  readonly sharedMacs: readonly SharedMac[];
  /** A static entry that keeps the host from reaching a machine; null for none. */
  readonly misleading: MisleadingNeighbour | null;
  /** The findings of the probe's stages. */
  readonly probe: readonly Finding[];
  /** The other hosts of its cluster; none of a network that is on this host only. */
  readonly peers: readonly PeerReport[];
  /** The sessions of BGP with `peers`; none where FRR has no part in it. */
  readonly sessions: readonly SessionReport[];
  /** Null where the ledger is this host's own. */
  readonly etcd: EtcdReport | null;
}

/** A MAC that more than one machine has. */
export type SharedMac = NetworkDetails['mac-shared'];

/** A machine, as read from libvirt's files. */
export interface MachineFacts {
  readonly name: string;
  readonly state: 'running' | 'shut off' | 'unknown';
  /** Of an unknown machine, the name that was probably meant; null where none is similar. */
  readonly nearest: string | null;
  /** The places of its NICs that are not on a network of virlan. */
  readonly elsewhere: readonly OtherPlace[];
  readonly nics: readonly NicFacts[];
  readonly forwards: ForwardsFacts;
}

/** The forwards of a machine. */
export interface ForwardsFacts {
  readonly active: readonly { readonly forward: Forward; readonly ip: Ipv4; readonly answer: Answer }[];
  readonly refused: readonly ForwardProblem[];
  /** Active forwards whose address no link of the host has. */
  readonly unreachable: readonly { readonly forward: Forward; readonly address: Ipv4 }[];
  /** False if flows of UDP cannot be ended. */
  readonly hasConntrack: boolean;
  /** True if firewalld runs with StrictForwardPorts=yes. */
  readonly isStrict: boolean;
  /** Rules of other programs that drop packets of its forwards. */
  readonly drops: readonly ForwardDrop[];
  /** Rules of other programs that lead the ports of its forwards elsewhere. */
  readonly takings: readonly ForwardTaking[];
  /** Chains of unknown programs that drop forwarded packets by policy, and lack virlan's rule. */
  readonly chainsInTheWay: readonly { readonly bridge: string; readonly chain: Chain }[];
  /** The links by which clients may come in, but not from everywhere, because of the reverse path filter. */
  readonly strictLinks: readonly string[];
  /** The number of packets that the reverse path filter has dropped since the host booted. */
  readonly reversePathDrops: number;
}

export const noForwards: ForwardsFacts = {
  active: [],
  refused: [],
  unreachable: [],
  hasConntrack: true,
  isStrict: false,
  drops: [],
  takings: [],
  chainsInTheWay: [],
  strictLinks: [],
  reversePathDrops: 0,
};

/** The answer of a machine to a connection to the port of a forward; 'unknown' with UDP. */
export type Answer = 'accepted' | 'refused' | 'none' | 'unknown';

/** One NIC of a machine on one network. */
export interface NicFacts {
  readonly network: string;
  readonly bridge: string;
  readonly mac: Mac;
  /** The name of its port in libvirt's status file; null where the machine does not run. */
  readonly tap: string | null;
  /** True if libvirt keeps the port down, with `<link state='down'/>`. */
  readonly isKeptDown: boolean;
  /** That port in the kernel; null where it does not exist. */
  readonly port: BridgePort | null;
  /** Another port that a static entry of the bridge has its MAC behind; null for none. Hostile. */
  readonly behind: string | null;
  readonly entry: LedgerEntry | null;
  /** The address that the hostsfile reserves for its MAC. */
  readonly reserved: Ipv4 | null;
  readonly lease: Lease | null;
  /** The last lines of dnsmasq's log with its MAC, newest first; null where there is no log. */
  readonly log: readonly string[] | null;
  /** Null where it does not run, or has no address. */
  readonly passage: PassageFacts | null;
  /** The answer to ARP for its address: null where it was not asked, `mac: null` without an answer. */
  readonly neighbour: { readonly mac: string | null } | null;
  /** A static entry that keeps the host from asking, and leads elsewhere; null for none. */
  readonly misleading: MisleadingNeighbour | null;
  /** The frames that the guard dropped, by reason, the most first; null where there is no guard. */
  readonly dropped: readonly DroppedFrames[] | null;
  /** The way in which the host finds the machine's name; null where it was not asked. */
  readonly hostName: HostNameFacts | null;
}

/** The rules and policies of other programs that take packets of one machine for certain. */
export interface PassageFacts {
  readonly port: MachinePort;
  readonly drops: Drops;
  readonly takings: Takings;
}

/** The answer of the host's own resolver to a machine's name. */
export interface HostNameFacts {
  readonly name: string;
  readonly by: HostNames;
  /** The addresses that it has found. */
  readonly found: readonly string[];
  /** True if libnss-libvirt is installed. */
  readonly hasNssModule: boolean;
}

export interface BridgePort {
  readonly master: string | null;
  readonly up: boolean;
  /** BR_STATE_… of linux/if_bridge.h: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. */
  readonly state: number | null;
  /** The number of frames that the machine has sent. */
  readonly framesSent: number;
}
