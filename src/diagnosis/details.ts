// The details of findings: kind → fields. Kinds are stable codes: added, never renamed. Sentences are in words/.
import type { Mac } from '../address/mac.ts';
import type { MisleadingNeighbour } from '../network/kernel/static-neighbours.ts';
import type { TakingPolicy } from '../network/routes/ipsec-policies.ts';
import type { MarkedRoute } from '../network/routes/marked-route.ts';
import type { OutsideRefusal } from '../network/routes/outside-refusal.ts';
import type { Detour } from '../network/routes/return-path.ts';
import type { LinkManagerName } from '../network/state/link-managers.ts';
import type { StepCheck } from '../network/steps/step-kind.ts';
import type { Step } from '../network/steps/steps.ts';
import type { Conflict } from '../network/warnings/conflicts.ts';
import type { SharedAddress } from '../network/warnings/shared-addresses.ts';
import type { ZoneSource } from '../other-firewalls/firewalld-sources.ts';
import type { Chain, Unread } from '../other-firewalls/model.ts';
import type { OwnChain } from '../other-firewalls/own-chains.ts';
import type { InotifySysctl } from '../system/inotify.ts';
import type { EtcdDetails } from './etcd-details.ts';
import type { MachineDetails } from './machine-details.ts';
import type { Drop, Packet, ProbePacket } from './packet-drop.ts';
import type { PeerDetails } from './peer-details.ts';
import type { None, ReachDetails } from './reach-details.ts';

/** Details about the configuration and the host. Each `message` is that of an error. */
export interface HostDetails {
  'config-unreadable': { readonly message: string };
  'fix-failed': { readonly message: string };
  'kernel-ready': None;
  'kernel-replaced': { readonly release: string };
  'nft-fails': { readonly message: string };
  /** `max`: how many connections the kernel can track. */
  'conntrack-full': { readonly max: number };
  /** A limit that root has used up, and its value. */
  'inotify-exhausted': { readonly sysctl: InotifySysctl; readonly max: number };
  'libvirt-absent': None;
  'hooks-installed': None;
  'hook-missing': { readonly driver: string };
  'hook-not-executable': { readonly driver: string; readonly path: string };
  'dnsmasq-version-unknown': None;
  'dnsmasq-patched': { readonly version: string };
  'dnsmasq-unpatched': {
    readonly version: string;
    readonly cves: readonly string[];
    /** True if the package's changelog could be read: distributions fix bugs without changing the version. */
    readonly hasChangelog: boolean;
  };
}

/** A program that listens on a port. */
export interface PortOwner {
  readonly protocol: 'udp' | 'tcp';
  /** `0.0.0.0`, `*`, `[::]` or an address; with `%LINK` behind it where the socket is bound to a link. */
  readonly address: string;
  readonly port: number;
  /** The program's name, which it chooses itself: hostile. Null where ss does not see it. */
  readonly program: string | null;
  readonly pid: number | null;
}

/** Details about one network. */
export interface NetworkDetails {
  'network-unreadable': { readonly message: string };
  'subnet-unique': None;
  'subnet-conflict': Conflict;
  'ledger-intact': None;
  'ledger-damaged': { readonly message: string };
  'macs-unique': None;
  /** The names are hostile. */
  'mac-shared': { readonly mac: Mac; readonly machines: readonly string[] };
  'ss-missing': None;
  'port-free': None;
  /** Another program has a port that dnsmasq needs, and dnsmasq does not run. */
  'port-taken': { readonly service: 'DHCP' | 'DNS'; readonly bridge: string; readonly owner: PortOwner };
  /** Another program has the port as well as dnsmasq. */
  'port-shared': { readonly owner: PortOwner };
  'as-configured': None;
  'not-established': { readonly bridge: string; readonly others: number };
  /** A default route of the host leaves by the bridge. */
  'bridge-is-uplink': { readonly bridge: string };
  /** The bridge's table has no entry for its own MAC: it hands no frame to the host. */
  'own-mac-unknown': { readonly bridge: string; readonly mac: Mac };
  /** libvirt made the bridge for a network of its own, whose name is hostile. */
  'bridge-of-libvirt': { readonly bridge: string; readonly network: string };
  /** A link in the bridge that leads to a LAN. Its name is hostile. */
  'lan-port': { readonly bridge: string; readonly link: string };
  'address-shared': SharedAddress;
  'neighbours-right': None;
  'neighbour-static': MisleadingNeighbour;
  /** A manager of links manages the bridge all the same, or a machine's tap, whose name is hostile. */
  'link-managed': { readonly bridge: string; readonly link: string; readonly manager: LinkManagerName };
  /** A pending change of `virlan up`: the first step about a subject, and the number of others. */
  'plan-step': {
    readonly subject: StepCheck;
    readonly bridge: string;
    readonly step: Step;
    readonly others: number;
  };
  /** A directory that dnsmasq cannot enter, or a file that it cannot read, and its mode. */
  'dnsmasq-cannot-read': { readonly path: string; readonly isDirectory: boolean; readonly mode: number };
  'forwarding-on': None;
  'forwarding-off': { readonly key: string; readonly value: string | null };
  'forwarding-off-after-boot': { readonly path: string };
  'link-forwarding-off': { readonly key: string };
  /** Packets to machines do not leave by the bridge. The link's name is hostile. */
  'answers-elsewhere': Detour;
  'no-other-policy': None;
  /** Chains of other programs that drop by policy; their names are hostile. */
  'other-policies': { readonly chains: readonly Pick<Chain, 'family' | 'table' | 'name'>[] };
  'other-firewall-unreadable': Unread;
  /** A rule of the family bridge that may drop what machines send each other. */
  'frames-may-be-dropped': { readonly drop: Drop };
  /** `mode = isolated`: the host forwards nothing for this network. */
  'forwarding-not-needed': None;
  'uplink-not-asked': None;
  /** The outside is behind a link by which machines may not leave. */
  'uplink-not-allowed': { readonly dev: string; readonly allowed: readonly string[] };
  /** A rule of routing refuses what machines send there, and not what the host sends. */
  'outside-refused': OutsideRefusal;
  /** The kernel refuses what machines send there for another reason, and not what the host sends. */
  'outside-lost': { readonly reason: string };
  'uplink-missing': { readonly reason: string };
  'uplink-found': { readonly dev: string; readonly gateway: string | null };
}

/** Details about a probe and its stages. Addresses are text, as the probe's guest reports them. */
export interface ProbeDetails {
  'probe-without-nft': None;
  'probe-without-bridge': { readonly bridge: string };
  'probe-without-dnsmasq': None;
  'probe-without-address': None;
  'probe-without-block': None;
  'probe-error': { readonly message: string };
  'not-reached': None;
  'probe-not-leased': None;
  'probe-port-forwards': { readonly waitedMs: number };
  'probe-port-waits': { readonly bridge: string };
  'probe-leased': { readonly ip: string };
  'wrong-lease': { readonly bridge: string; readonly leased: string; readonly reserved: string };
  'offer-withdrawn': { readonly bridge: string };
  'dhcp-silent': { readonly bridge: string; readonly after: 'DISCOVER' | 'REQUEST' };
  'dhcp-not-running': { readonly gateway: string; readonly after: 'DISCOVER' | 'REQUEST' };
  /** A rule keeps packets to the outside from being tracked. */
  'not-tracked': { readonly dev: string; readonly by: Drop };
  /** A rule keeps the answers of the outside from being tracked with what they answer: `notrack`, or a zone. */
  'answer-not-tracked': { readonly nextHop: string; readonly by: Drop };
  'packet-dropped': { readonly packet: Packet; readonly drop: Drop; readonly bridge: string };
  /** A rule of virlan itself drops it, as virlan.ini wants it, or because somebody has changed the rules. */
  'dropped-by-virlan': { readonly packet: Packet; readonly drop: Drop; readonly own: OwnChain };
  /** firewalld takes packets by their source into another zone than the bridge's. */
  'dropped-by-zone': { readonly packet: Packet; readonly drop: Drop; readonly by: ZoneSource };
  'probe-name-known': { readonly gateway: string };
  'probe-name-unknown': { readonly gateway: string };
  /** A rule of another program sends DNS queries of machines to the gateway elsewhere. */
  'dns-redirected': { readonly gateway: string; readonly by: Drop; readonly bridge: string };
  'arp-silent': { readonly gateway: string; readonly bridge: string };
  /** `code`: an error code of c-ares. */
  'dns-silent': { readonly gateway: string; readonly code: string };
  'outside-unreachable': None;
  'next-hop-unknown': { readonly dev: string };
  'packets-not-counted': None;
  'silence-unexplained': { readonly nextHop: string };
  'lost-before-host': { readonly nextHop: string };
  'lost-in-host': { readonly nextHop: string; readonly bridge: string; readonly dev: string };
  'nothing-forwarded': None;
  forwarded: { readonly dev: string };
  'not-masqueraded': { readonly dev: string };
  masqueraded: None;
  /** `mode = routed`. */
  'own-address-kept': None;
  /** Something translates addresses that `mode = routed` leaves alone. */
  'own-address-lost': { readonly dev: string };
  /** The outside has no route to machines. `route`: SUBNET via ADDRESS. */
  'route-missing': { readonly nextHop: string; readonly subnet: string };
  /** Packets to the outside stay on the host, as virlan.ini wants it. */
  'kept-inside': None;
  /** They do not, though virlan.ini wants it. */
  'not-kept-inside': { readonly nextHop: string };
  'routed-by-mark': {
    readonly packet: ProbePacket;
    readonly route: MarkedRoute;
    /** Of the network. */
    readonly subnet: string;
  };
  'taken-by-ipsec': { readonly packet: ProbePacket; readonly policy: TakingPolicy; readonly subnet: string };
  'no-return-possible': None;
  'next-hop-answers': { readonly nextHop: string };
  'answer-lost': { readonly nextHop: string };
  'reverse-path-dropped': { readonly packet: Packet };
  'answers-host-only': { readonly nextHop: string; readonly dev: string };
  'next-hop-silent': { readonly nextHop: string };
  'next-hop-unresolved': { readonly nextHop: string; readonly dev: string };
  'outside-names-resolve': None;
  'gateway-dns-silent': None;
  /** A rule of this host drops what is asked of name servers outside, or their answers. */
  'upstream-dropped': { readonly drop: Drop };
  'outside-names-fail': { readonly code: string };
}

export interface Details
  extends HostDetails,
    NetworkDetails,
    PeerDetails,
    EtcdDetails,
    MachineDetails,
    ReachDetails,
    ProbeDetails {}

export type DetailKind = keyof Details;

/** A detail of one kind, or of any of several: `{ kind: 'hook-missing', driver: 'qemu' }`. */
export type Detail<K extends DetailKind = DetailKind> = {
  [Each in K]: { readonly kind: Each } & Details[Each];
}[K];
