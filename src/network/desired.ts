// Derives the desired state of a network from the configuration and facts of the host. Pure.
import { broadcastOf, formatPrefix, type Prefix } from '../address/ip.ts';
import type { Tunnel } from '../cluster/tunnel.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type DnsmasqHost, renderDnsmasqConf } from '../dnsmasq/conf.ts';
import { requiredModes } from '../dnsmasq/paths.ts';
import type { BackendName, Lacking } from '../firewall/backend.ts';
import {
  type BackendChoice,
  chooseBackend,
  rulesScripts,
  type UsableFamilies,
} from '../firewall/backends.ts';
import { makeRuleset, waysOut } from '../firewall/ruleset.ts';
import type { Translation } from '../firewall/translation.ts';
import { bridgeMac, linkMac } from '../identity/formula.ts';
import type { Wanted } from '../identity/reservation-files.ts';
import { ipForward, linkSysctl } from './kernel/sysctl.ts';
import { type LinkManagerName, managerFile } from './state/link-managers.ts';
import { dummyName, tunnelName } from './state/link-names.ts';
import type {
  DesiredNetwork,
  DesiredTap,
  DesiredTranslations,
  FoundGuard,
  GuardState,
  HostState,
  ObservedNetwork,
} from './state/state.ts';

/** The input of the desired state besides the configuration. */
export interface HostFacts extends DnsmasqHost {
  readonly machineId: string;
  readonly backends: readonly BackendName[];
  readonly families: UsableFamilies;
  /** The parts of the rules that the kernel has refused to load. */
  readonly lacking: readonly Lacking[];
  /** True if the kernel has links of type `dummy`. */
  readonly hasDummy: boolean;
  /** The managers of links that are installed. */
  readonly linkManagers: readonly LinkManagerName[];
  /**
   * True if IPv6 is to be disabled on the bridge: the kernel has it, and the bridge has no global address of
   * it.
   */
  readonly keepsIpv6Off: boolean;
  /** Taps of running machines on the network, according to libvirt; `mtu` is null where it names none. */
  readonly taps: readonly (Omit<DesiredTap, 'mtu' | 'isGuarded'> & { readonly mtu: number | null })[];
  /** Follows from the ledger; null when it, or the hostsfile, cannot be read. */
  readonly wanted: Wanted | null;
  /** The links of the host's default routes; not read where the rules do not depend on them. */
  readonly defaultLinks: readonly string[];
  /** The networks behind machines; not read where the rules do not depend on them. */
  readonly networksBehind: readonly Prefix[];
  /** The translations of the forwards that are active; null when it is not known which are. */
  readonly translations: readonly Translation[] | null;
  /** The MTU of the link to the other hosts, in bytes; null if it is not known, or does not matter. */
  readonly underlayMtu: number | null;
  /** True if `route_localnet` of the bridge is on. */
  readonly routesLoopback: boolean;
}

/**
 * The shortest forward delay the kernel runs STP with (BR_MIN_FORWARD_DELAY in net/bridge/br_private.h), in
 * hundredths of a second. Its default of 15 s would keep a machine from DHCP for half a minute.
 */
const forwardDelay = 200;

/** The highest priority of a bridge: a guest's bridge with an ordinary one does not become the root. */
const priority = 0;

/** A desired network, and why it uses this firewall backend. */
export interface Desired {
  readonly network: DesiredNetwork;
  readonly backend: BackendChoice;
}

/**
 * Returns the desired network. Throws VirlanError 'no-backend' when the host has none that the configuration
 * allows.
 */
export function desiredNetwork(config: NetworkConfig, host: HostFacts): Desired {
  const network = { ...config, mtu: mtuOf(config, host.underlayMtu) };
  const { bridge, subnet } = network;
  const backend = chooseBackend(network, host.backends, host.lacking);
  const dummyState = {
    mac: linkMac('nic', host.machineId, bridge),
    mtu: network.mtu,
    up: true,
    master: bridge,
  };
  const desired: DesiredNetwork = {
    name: network.name,
    bridge,
    link: {
      mac: bridgeMac(network, host.machineId),
      mtu: network.mtu,
      stp: network.stp,
      priority,
      forwardDelay,
      up: true,
      arp: true,
      addresses: [{ ip: network.gateway, prefixLength: subnet.length, broadcast: broadcastOf(subnet) }],
    },
    dummy: { name: dummyName(bridge), state: host.hasDummy ? dummyState : null },
    taps: host.taps.map(tap => ({ ...tap, mtu: tap.mtu ?? network.mtu, isGuarded: false })),
    excludesGuestRoots: true,
    tunnel: null,
    managerFiles: new Map(
      host.linkManagers.map(manager => [
        manager,
        managerFile(
          manager,
          bridge,
          [dummyName(bridge), ...(network.tunnel === null ? [] : [tunnelName(bridge)])],
          host.taps.map(({ name }) => name),
        ),
      ]),
    ),
    sysctls: new Map([
      // The value of a new link is net.ipv4.conf.default.forwarding, which hardened hosts set to 0.
      [linkSysctl('ipv4', bridge, 'forwarding'), network.mode === 'isolated' ? '0' : '1'],
      // Forwards on 127.0.0.1. It is not set where it is off anyway, as by default.
      ...(network.localhost || host.routesLoopback
        ? ([[linkSysctl('ipv4', bridge, 'route_localnet'), network.localhost ? '1' : '0']] as const)
        : []),
      // A guest must not become the host's router, nor configure an address on it.
      ...(host.keepsIpv6Off
        ? ([
            [linkSysctl('ipv6', bridge, 'disable_ipv6'), '1'],
            [linkSysctl('ipv6', bridge, 'accept_ra'), '0'],
            [linkSysctl('ipv6', bridge, 'autoconf'), '0'],
          ] as const)
        : []),
    ]),
    rules: host.families[backend.chosen].flatMap(family => {
      const ways = waysOut(network, host.defaultLinks);
      const ruleset = makeRuleset(network, family, ways, host.networksBehind);
      return ruleset === null ? [] : rulesScripts(ruleset, backend.chosen, host.backends, host.lacking);
    }),
    treatment: { subnet: formatPrefix(subnet), isTranslated: network.mode === 'nat' },
    guard: null,
    translations:
      host.translations === null
        ? { kind: 'leave' }
        : { kind: 'exactly', backend: backend.chosen, all: host.translations },
    dnsmasq: { conf: renderDnsmasqConf(network, host), runs: true },
    modes: requiredModes(bridge),
    reservations: host.wanted === null ? { kind: 'leave' } : { kind: 'exactly', network, ...host.wanted },
  };
  return { network: desired, backend };
}

/**
 * Returns a desired network with its guard. The guard depends on what runs right now, and is read after the
 * rest.
 */
export function withGuard(desired: DesiredNetwork, guard: GuardState | null): DesiredNetwork {
  const guarded = new Set(
    guard?.taps.flatMap(({ tap, elements }) => (elements.ports.size === 0 ? [] : [tap])),
  );
  return {
    ...desired,
    guard,
    taps: desired.taps.map(tap => ({ ...tap, isGuarded: guarded.has(tap.name) })),
  };
}

/** Returns a desired network with its tunnel, whose code is loaded only where there is one. */
export function withTunnel(desired: DesiredNetwork, tunnel: Tunnel | null): DesiredNetwork {
  return { ...desired, tunnel };
}

/** Returns the state without the network: the goal of `down` where the host had nothing before virlan. */
export function absentNetwork(name: string, bridge: string): DesiredNetwork {
  return {
    name,
    bridge,
    link: null,
    dummy: { name: dummyName(bridge), state: null },
    taps: [],
    excludesGuestRoots: false,
    tunnel: null,
    managerFiles: new Map(),
    sysctls: new Map(),
    rules: [],
    treatment: null,
    guard: null,
    translations: { kind: 'leave' },
    dnsmasq: { conf: null, runs: false },
    modes: new Map(),
    reservations: { kind: 'leave' },
  };
}

/** Returns an observed state as a desired one: planning towards it undoes a change that failed. */
export function asDesired(desired: DesiredNetwork, before: ObservedNetwork): DesiredNetwork {
  const { bridge } = desired;
  return {
    name: desired.name,
    bridge,
    link: before.link,
    dummy: { name: desired.dummy.name, state: before.dummy },
    taps: [],
    excludesGuestRoots: false,
    tunnel: tunnelBefore(before),
    managerFiles: before.managerFiles,
    sysctls: before.sysctls,
    rules: before.rules.flatMap(({ backend, family, present, loaded }) =>
      present && loaded !== null ? [{ backend, family, bridge, role: 'primary', script: loaded }] : [],
    ),
    treatment: before.treatment,
    guard: guardBefore(before.guard),
    translations: translationsBefore(before),
    dnsmasq: { conf: before.dnsmasq.conf, runs: before.dnsmasq.pid !== null },
    modes: new Map(),
    reservations: { kind: 'leave' },
  };
}

/** A tunnel that does not have its filter is not made again. */
function tunnelBefore({ tunnel }: ObservedNetwork): Tunnel | null {
  const { link = null, peers = [], bgp = null, filter } = tunnel ?? {};
  if (link === null || link.end === null || filter?.loaded == null) return null;
  const { mac, mtu, end } = link;
  const own = { mac, mtu, vni: end.vni, local: end.local, filter: filter.loaded };
  const { learns } = end;
  return { ...own, peers: learns ? peers : [], learns, speaker: bgp?.speaker ?? null };
}

function guardBefore({ present, loaded, elements }: FoundGuard): GuardState | null {
  return present && loaded !== null ? { table: loaded, belongings: elements, taps: [] } : null;
}

/** Rules that are loaded again have no translations. */
function translationsBefore({ rules }: ObservedNetwork): DesiredTranslations {
  const found = rules.find(({ translations }) => translations.length > 0);
  return found === undefined
    ? { kind: 'leave' }
    : { kind: 'exactly', backend: found.backend, all: found.translations };
}

/** Returns the settings that the host needs while any network is up whose machines reach others through it. */
export function desiredHost(): HostState {
  const sysctls = new Map([
    [ipForward, '1'],
    [linkSysctl('ipv4', 'all', 'forwarding'), '1'],
  ]);
  const settings = [...sysctls].map(([key, value]) => `${key} = ${value}\n`).join('');
  return {
    sysctls,
    sysctlFile: `# Written by virlan: its machines reach the outside through this host.\n${settings}`,
  };
}

/** The bytes that VXLAN adds to a frame over IPv4: 20 of IP, 8 of UDP, 8 of VXLAN, 14 of Ethernet (RFC 7348). */
export const tunnelOverheadBytes = 50;

/** The MTU of most networks, for as long as that between the hosts is not known. */
const usualMtu = 1500;

function mtuOf({ mtu, tunnel }: NetworkConfig, underlayMtu: number | null): number {
  return tunnel === null ? mtu : Math.min(mtu, (underlayMtu ?? usualMtu) - tunnelOverheadBytes);
}
