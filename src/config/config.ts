import type { Ipv4, Ipv4Range, Prefix } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';

/** A port, or a range of ports, of one protocol. */
export interface PortRange {
  readonly protocol: 'tcp' | 'udp';
  readonly first: number;
  readonly last: number;
}

/** One `[network.…]` section, checked and with its defaults filled in. */
export interface NetworkConfig {
  readonly name: string;
  readonly bridge: string;
  readonly subnet: Prefix<Ipv4>;
  /** The host's own address on the bridge: the first of the subnet. */
  readonly gateway: Ipv4;
  readonly range: Ipv4Range;
  readonly stp: boolean;
  /** In bytes. */
  readonly mtu: number;
  readonly firewall: 'auto' | 'nftables' | 'iptables';
  readonly hostAccess: 'minimal' | 'basic' | 'all';
  readonly hostAllow: readonly PortRange[];
  readonly hostFirewall: 'bridge' | 'strict';
  readonly domain: string;
  readonly dns: 'host' | readonly Ipv4[];
  readonly mac: 'assign' | 'always' | 'keep';
  readonly defaultNetwork: 'auto' | 'remove' | 'replace' | 'keep';
  /** In seconds. */
  readonly leaseTime: number | 'infinite';
  readonly onError: 'start' | 'abort';
  readonly hosts: readonly FixedHost[];
}

/** One `[host.…]` section: a reservation for something that is no libvirt machine. */
export interface FixedHost {
  readonly name: string;
  readonly mac: Mac;
  readonly ip: Ipv4;
}

export interface Config {
  readonly networks: readonly NetworkConfig[];
}

/** Something wrong in virlan.ini, and what would be right. Line 0 speaks of the file as a whole. */
export interface ConfigProblem {
  readonly line: number;
  /** What stands there: `subnet = 10.0.0.1/24`, or a section's header. */
  readonly what: string;
  readonly message: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** One line: file, line, key, what is wrong and what would be right. */
export function formatConfigProblem(file: string, problem: ConfigProblem): string {
  const place = problem.line === 0 ? file : `${file}:${problem.line}`;
  return `${place}: ${problem.what === '' ? '' : `${problem.what}: `}${problem.message}`;
}
