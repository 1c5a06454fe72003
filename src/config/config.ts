// The configuration as typed values, and its problems.
import type { Ipv4, Ipv4Range, Prefix } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { Forward, PortSpan } from './forward.ts';

/** A range of ports of one protocol; of a single port, `first` equals `last`. */
export interface PortRange {
  readonly protocol: 'tcp' | 'udp';
  readonly first: number;
  readonly last: number;
}

/** The file or URL that machines load when they boot from the network. */
export type Boot =
  /** A file below the directory of `tftp`. */
  { readonly kind: 'file'; readonly file: string } | BootUrl;

export interface BootUrl {
  readonly kind: 'url';
  readonly url: string;
  readonly scheme: 'http' | 'https' | 'tftp';
  readonly host: string;
  readonly port: number;
}

/** An option for DHCP clients, by its number or by dnsmasq's name for it. */
export interface DhcpOption {
  readonly option: number | string;
  readonly values: readonly string[];
}

/** Another network of virlan.ini. */
export interface OtherNetwork {
  readonly name: string;
  readonly bridge: string;
  readonly subnet: Prefix<Ipv4>;
  readonly mode: NetworkConfig['mode'];
  readonly tunnel: TunnelConfig | null;
  /** True if machines of both networks reach each other: `reaches` of one of them names the other. */
  readonly isReached: boolean;
}

/**
 * `others`: a machine uses no MAC and no address that belongs to somebody else. `strict`: it uses only its own.
 */
export type GuardMode = 'others' | 'strict' | 'no';

/** The tunnel of a network that is on several hosts. */
export interface TunnelConfig {
  /** The number of the network within the tunnels between hosts (VXLAN network identifier). */
  readonly vni: number;
  /** The address of this host for the other ones. */
  readonly address: Ipv4;
  /** The addresses of the other hosts; with `evpn`, those of its neighbours in BGP. */
  readonly peers: readonly Ipv4[];
  /** Null where the kernel learns from frames where machines are. */
  readonly evpn: EvpnConfig | null;
}

/** The part of FRR, which tells the hosts of a cluster by BGP where machines are. */
export interface EvpnConfig {
  /** The number of the autonomous system that all of them are in. */
  readonly as: number;
  /** Contains the addresses of all hosts; null where `peers` are all of the other hosts. */
  readonly hosts: Prefix | null;
}

/** The etcd in which the hosts of a cluster share their ledgers. */
export interface EtcdConfig {
  /** URLs of its members. */
  readonly endpoints: readonly string[];
  /** The address of this host, by which the others know it. */
  readonly address: Ipv4;
  /** True if the other hosts are those that etcd has. */
  readonly namesPeers: boolean;
  /** Paths of files in PEM; null for none. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** Null where etcd asks for none. */
  readonly user: { readonly name: string; readonly passwordFile: string } | null;
}

/** A `[network.NAME]` section, checked and with its defaults filled in. */
export interface NetworkConfig {
  readonly name: string;
  readonly bridge: string;
  readonly subnet: Prefix<Ipv4>;
  /** The host's own address on the bridge: the first of the subnet. */
  readonly gateway: Ipv4;
  readonly range: Ipv4Range;
  readonly stp: boolean;
  /** In bytes; that of a network with a tunnel may be less. */
  readonly mtu: number;
  /** Null for a network that is on this host only. */
  readonly tunnel: TunnelConfig | null;
  /** True if the hosts of its cluster share their ledgers by etcd: all have the same `range`. */
  readonly sharesLedger: boolean;
  readonly mode: 'nat' | 'routed' | 'isolated' | 'open';
  /** The networks of the host that machines reach: all, or those behind links of its default routes. */
  readonly outside: 'all' | 'uplink';
  /** The only link by which machines reach others; null where `outside` decides. */
  readonly uplink: string | null;
  /** All other networks of virlan.ini. */
  readonly others: readonly OtherNetwork[];
  /** True if machines of any network of virlan.ini reach others by way of the host. */
  readonly hostForwards: boolean;
  readonly firewall: 'auto' | 'nftables' | 'iptables';
  readonly hostAccess: 'minimal' | 'basic' | 'all';
  /** Lists the ports that `host-allow` names, and those that `boot` and `tftp` need. */
  readonly hostAllow: readonly PortRange[];
  readonly hostFirewall: 'bridge' | 'strict';
  readonly domain: string;
  /** `names =` in virlan.ini: which names the host itself finds by systemd-resolved. */
  readonly names: 'domain' | 'search' | 'no';
  readonly dns: 'host' | readonly Ipv4[];
  readonly boot: Boot | null;
  /** The directory that is served by TFTP; null for none. */
  readonly tftp: string | null;
  readonly dhcpOptions: readonly DhcpOption[];
  /** `mac =` in virlan.ini: what happens to a machine's own MAC. */
  readonly macPolicy: 'assign' | 'always' | 'keep';
  readonly defaultNetwork: 'auto' | 'remove' | 'replace' | 'keep';
  readonly leaseTimeSeconds: number | 'infinite';
  readonly onError: 'start' | 'abort';
  /** The mode of the guard, unless the metadata of a machine names another. */
  readonly guard: GuardMode;
  /** The ports of the host that a machine's metadata may claim; null for none. */
  readonly forwardPorts: PortSpan | null;
  /** True if forwards are reached by the host's 127.0.0.1, too. */
  readonly localhost: boolean;
  /** True if machines reach each other only within a group. */
  readonly isolate: boolean;
  /** True if something that has no reservation gets an address by DHCP. */
  readonly strangers: boolean;
  readonly hosts: readonly FixedHost[];
  /** All `[machine.NAME]` sections: a machine may be on any network. */
  readonly machines: readonly MachineSection[];
}

/** A `[machine.NAME]` section: settings of a machine whose definition does not have them. */
export interface MachineSection {
  /** Is the name that libvirt has for the machine. */
  readonly name: string;
  /** Further names, like those in the metadata: names/alias.ts. */
  readonly aliases: readonly string[];
  readonly forwards: readonly Forward[];
  /** The URL that it loads when it boots from the network; null if it loads what its network says. */
  readonly boot: BootUrl | null;
}

/** A `[host.NAME]` section: a reservation for a device that is not a libvirt machine. */
export interface FixedHost {
  readonly name: string;
  readonly mac: Mac;
  readonly ip: Ipv4;
}

export interface Config {
  readonly networks: readonly NetworkConfig[];
  /** Null where the ledger is this host's own. */
  readonly etcd: EtcdConfig | null;
  /** The place where the watcher serves metrics by HTTP; null for none. */
  readonly metrics: Endpoint | null;
}

/** An address of the host, and a TCP port. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A problem in virlan.ini. */
export interface ConfigProblem {
  /** Counts from 1; 0 if the problem is the file as a whole. */
  readonly line: number;
  /** The setting or the section's header: `subnet = 10.0.0.1/24`; empty for the file as a whole. */
  readonly what: string;
  /** The problem and the remedy, continuing the sentence that `what` begins. */
  readonly message: string;
}

/** A configuration or its problems. The discriminant is `ok`, as in result.ts. */
export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Returns one line: `virlan.ini:3: mtu = 9: write bytes from 68 to 65535`. */
export function formatConfigProblem(file: string, problem: ConfigProblem): string {
  const place = problem.line === 0 ? file : `${file}:${problem.line}`;
  return `${place}: ${problem.what === '' ? '' : `${problem.what}: `}${problem.message}`;
}
