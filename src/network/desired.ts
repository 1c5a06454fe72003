import { broadcastOf } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type DnsmasqHost, renderDnsmasqConf } from '../dnsmasq/conf.ts';
import { checksumRules, iptablesRules, renderIptables } from '../firewall/iptables.ts';
import { makeRuleset, type Ruleset } from '../firewall/model.ts';
import { renderNftables } from '../firewall/nftables.ts';
import { linkMac } from '../identity/formula.ts';
import { wantedForeign } from '../other-firewalls/desired.ts';
import { type ForeignFirewalls, noForeignRules } from '../other-firewalls/model.ts';
import type { Backend, DesiredNetwork, HostState, ObservedNetwork } from './state.ts';

/** What virlan has to know of the host before it can say what it wants of it. */
export interface HostFacts extends DnsmasqHost {
  readonly machineId: string;
  readonly backends: readonly Backend[];
  /** The other firewalls on the host. */
  readonly foreign: ForeignFirewalls;
  /** Whether the kernel has links of the type `dummy`. */
  readonly hasDummy: boolean;
  /** Whether IPv6 is to be kept off the bridge: the kernel has it, and nobody gave the bridge an address of it. */
  readonly keepsIpv6Off: boolean;
  /** Taps of running machines on the network, by libvirt's word. */
  readonly taps: readonly string[];
  /** Lines for the hostsfile, by the ledger's word; null when the ledger cannot be read. */
  readonly reservations: readonly string[] | null;
}

/**
 * The least the kernel runs STP with (BR_MIN_FORWARD_DELAY in net/bridge/br_private.h), in hundredths of a second. Its
 * default of 15 s would keep a machine from DHCP for half a minute.
 */
const forwardDelay = 200;

/** Configuration → what is wanted. Throws when the host has no firewall that the configuration allows. */
export function desiredNetwork(network: NetworkConfig, host: HostFacts): DesiredNetwork {
  const { bridge, subnet } = network;
  const ipv6 = `net.ipv6.conf.${bridge.replaceAll('.', '/')}`;
  const nicMac = linkMac('nic', host.machineId, bridge);
  const backend = chooseBackend(network, host.backends);
  const ruleset = makeRuleset(network);
  return {
    name: network.name,
    hosts: network.hosts,
    bridge,
    link: {
      mac: linkMac('bridge', host.machineId, bridge),
      mtu: network.mtu,
      stp: network.stp,
      forwardDelay,
      up: true,
      addresses: [{ ip: network.gateway, prefix: subnet.length, broadcast: broadcastOf(subnet) }],
    },
    nic: { name: nicName(bridge), state: host.hasDummy ? { mac: nicMac, up: true, master: bridge } : null },
    taps: host.taps,
    // No guest shall make the host believe in a router, or give it an address.
    sysctls: new Map(
      host.keepsIpv6Off
        ? [
            [`${ipv6}.disable_ipv6`, '1'],
            [`${ipv6}.accept_ra`, '0'],
            [`${ipv6}.autoconf`, '0'],
          ]
        : [],
    ),
    rules: desiredRules(ruleset, backend, host.backends),
    foreign: wantedForeign(ruleset, backend, host.foreign),
    dnsmasq: { conf: renderDnsmasqConf(network, host), runs: true },
    reservations: host.reservations,
  };
}

/** A network that is not there: what `down` wants, and what the host had before where it had something. */
export function absentNetwork(name: string, bridge: string): DesiredNetwork {
  return {
    name,
    hosts: [],
    bridge,
    link: null,
    nic: { name: nicName(bridge), state: null },
    taps: [],
    sysctls: new Map(),
    rules: { nftables: null, iptables: null },
    foreign: noForeignRules,
    dnsmasq: { conf: null, runs: false },
    reservations: null,
  };
}

/** What was found, wanted back: the way a failed change is undone. */
export function asDesired(desired: DesiredNetwork, before: ObservedNetwork): DesiredNetwork {
  const loaded = (backend: Backend) => (before.rules[backend].present ? before.rules[backend].loaded : null);
  return {
    name: desired.name,
    hosts: desired.hosts,
    bridge: desired.bridge,
    link: before.link,
    nic: { name: desired.nic.name, state: before.nic },
    taps: [],
    sysctls: before.sysctls,
    rules: { nftables: loaded('nftables'), iptables: loaded('iptables') },
    foreign: before.foreign,
    dnsmasq: { conf: before.dnsmasq.conf, runs: before.dnsmasq.pid !== null },
    reservations: null,
  };
}

export function desiredHost(): HostState {
  const sysctls = new Map([
    ['net.ipv4.ip_forward', '1'],
    ['net.ipv4.conf.all.forwarding', '1'],
  ]);
  const settings = [...sysctls].map(([key, value]) => `${key} = ${value}\n`).join('');
  return {
    sysctls,
    sysctlFile: `# Written by virlan: its machines reach the outside through this host.\n${settings}`,
  };
}

/** `BRIDGE-nic`, or a shorter name where the kernel's 15 bytes (IFNAMSIZ) do not hold that. */
export function nicName(bridge: string): string {
  const plain = `${bridge}-nic`;
  return plain.length <= 15
    ? plain
    : `${bridge.slice(0, 4)}-${linkMac('nic', '', bridge).slice(9).replaceAll(':', '')}-nic`;
}

/** Throws when the host has no firewall that the configuration allows. */
export function chooseBackend({ firewall }: NetworkConfig, backends: readonly Backend[]): Backend {
  const preferred = backends.includes('nftables') ? 'nftables' : 'iptables';
  const backend = firewall === 'auto' ? preferred : firewall;
  if (backends.includes(backend)) return backend;
  throw new Error(
    `no ${backend === 'nftables' ? 'nft' : 'iptables-restore'} on this host: install ${backend}`,
  );
}

function desiredRules(
  ruleset: Ruleset,
  backend: Backend,
  backends: readonly Backend[],
): Record<Backend, string | null> {
  if (backend === 'iptables') return { nftables: null, iptables: renderIptables(iptablesRules(ruleset)) };
  const checksum = backends.includes('iptables') ? renderIptables(checksumRules(ruleset.bridge)) : null;
  return { nftables: renderNftables(ruleset), iptables: checksum };
}
