import { formatIp, formatPrefix, prefixOf } from '../address/ip.ts';
import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import { type Firewall, firewalls } from '../other-firewalls/model.ts';
import type {
  Backend,
  BridgeState,
  DesiredNetwork,
  HostState,
  LinkAddress,
  NicState,
  ObservedNetwork,
} from './state.ts';

export type LinkAttribute = 'mac' | 'mtu' | 'stp' | 'forward delay' | 'state' | 'bridge';

/** One change of the host. Those that change a value carry the old one, for whoever reads the plan. */
export type Step =
  | { readonly do: 'add bridge'; readonly link: string; readonly state: BridgeState }
  | { readonly do: 'add dummy'; readonly link: string; readonly state: NicState }
  | { readonly do: 'remove link'; readonly link: string; readonly type: 'bridge' | 'dummy' }
  | {
      readonly do: 'set link';
      readonly link: string;
      readonly attribute: LinkAttribute;
      readonly from: string;
      readonly to: string;
    }
  | { readonly do: 'add address' | 'remove address'; readonly link: string; readonly address: LinkAddress }
  /** The route to the subnet of an address that the link has. */
  | { readonly do: 'add route'; readonly link: string; readonly address: LinkAddress }
  | { readonly do: 'set sysctl'; readonly key: string; readonly from: string | null; readonly to: string }
  | { readonly do: 'write file'; readonly path: string; readonly from: string | null; readonly to: string }
  | { readonly do: 'remove file'; readonly path: string; readonly from: string }
  | {
      readonly do: 'load rules';
      readonly backend: Backend;
      readonly bridge: string;
      readonly rules: string;
      readonly drift: readonly string[];
    }
  | { readonly do: 'remove rules'; readonly backend: Backend; readonly bridge: string }
  | {
      readonly do: 'allow in' | 'withdraw from';
      readonly firewall: Firewall;
      readonly bridge: string;
      /** See `ForeignRules`. */
      readonly lines: readonly string[];
    }
  | {
      readonly do: 'write reservations';
      readonly network: Pick<DesiredNetwork, 'name' | 'hosts'>;
      readonly bridge: string;
      readonly missing: readonly string[];
      readonly stale: readonly string[];
    }
  | { readonly do: 'start dnsmasq'; readonly bridge: string }
  | { readonly do: 'stop dnsmasq'; readonly bridge: string; readonly pid: number };

/**
 * The difference between what is wanted of a network and what is there, as steps in an order in which no machine is
 * ever reachable without the rules: they come first and go last. Beside nftables' table, iptables fills in checksums and
 * no more: that comes at the end. dnsmasq stops before its configuration changes, so that one left half-way is seen as
 * stopped and not as right. Other firewalls, which may refuse or take their time, come last of all.
 */
export function planNetwork(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const isChecksum = (step: Step) =>
    step.do === 'load rules' && step.backend === 'iptables' && desired.rules.nftables !== null;
  const rules = (['nftables', 'iptables'] as const).flatMap(backend => planRules(desired, observed, backend));
  const links = planLinks(desired, observed);
  const sysctls =
    desired.link === null
      ? []
      : planSysctls(desired.sysctls, observed.link === null ? new Map() : observed.sysctls);
  const reservations = planReservations(desired, observed);
  const dnsmasq = planDnsmasq(desired, observed);
  const foreign = planForeign(desired, observed);
  return desired.link === null
    ? [...dnsmasq, ...links, ...foreign, ...rules]
    : [
        ...rules.filter(step => isLoad(step) && !isChecksum(step)),
        ...links,
        ...sysctls,
        ...rules.filter(step => !isLoad(step)),
        ...reservations,
        ...dnsmasq,
        ...rules.filter(isChecksum),
        ...foreign,
      ];
}

export function planHost(desired: HostState, observed: HostState, path: string): Step[] {
  return [
    ...planSysctls(desired.sysctls, observed.sysctls),
    ...planFile(path, desired.sysctlFile, observed.sysctlFile),
  ];
}

function isLoad(step: Step): boolean {
  return step.do === 'load rules';
}

/**
 * A port that comes into a bridge with STP forwards nothing for twice the forward delay. Machines that were on the
 * network already do not wait for that: STP starts when they are back, and a port that forwards goes on (br_stp_start
 * in net/bridge/br_stp_if.c).
 */
function planLinks(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const { bridge, link } = desired;
  const taps = planTaps(desired, observed);
  const isDelayed = link?.stp === true && taps.length > 0;
  const meanwhile = isDelayed ? { ...desired, link: { ...link, stp: false } } : desired;
  return [
    ...planBridge(meanwhile, observed),
    ...planNic(desired, observed),
    ...taps,
    ...(isDelayed ? setLink(bridge, 'stp', 'off', 'on') : []),
  ];
}

function planBridge({ bridge, link }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const found = observed.link;
  if (link === null) return found === null ? [] : [{ do: 'remove link', link: bridge, type: 'bridge' }];
  if (found === null) {
    return [
      { do: 'add bridge', link: bridge, state: link },
      ...link.addresses.map(address => ({ do: 'add address', link: bridge, address }) as const),
      ...setLink(bridge, 'state', 'down', link.up ? 'up' : 'down'),
    ];
  }
  const has = (list: readonly LinkAddress[], address: LinkAddress) =>
    list.some(other => sameAddress(other, address));
  // The kernel changes no broadcast of an address that is there.
  const isWantedOtherwise = ({ ip, prefix }: LinkAddress) =>
    link.addresses.some(other => other.ip === ip && other.prefix === prefix);
  const missing = link.addresses.filter(address => !has(found.addresses, address));
  const stale = found.addresses.filter(
    address =>
      !has(link.addresses, address) && (has(observed.ownAddresses, address) || isWantedOtherwise(address)),
  );
  const stp = setLink(bridge, 'stp', onOff(found.stp), onOff(link.stp));
  const delay = setLink(bridge, 'forward delay', String(found.forwardDelay), String(link.forwardDelay));
  return [
    ...setLink(bridge, 'mac', found.mac, link.mac),
    ...setLink(bridge, 'mtu', String(found.mtu), String(link.mtu)),
    // With STP on, the kernel takes 2 to 30 s alone (br_set_forward_delay in net/bridge/br_stp.c).
    ...(link.stp ? [...delay, ...stp] : [...stp, ...delay]),
    ...stale.map(address => ({ do: 'remove address', link: bridge, address }) as const),
    ...missing.map(address => ({ do: 'add address', link: bridge, address }) as const),
    ...setLink(bridge, 'state', found.up ? 'up' : 'down', link.up ? 'up' : 'down'),
    ...observed.unrouted.map(address => ({ do: 'add route', link: bridge, address }) as const),
  ];
}

function planNic({ nic: { name, state } }: DesiredNetwork, { nic: found }: ObservedNetwork): Step[] {
  if (state === null) return found === null ? [] : [{ do: 'remove link', link: name, type: 'dummy' }];
  if (found === null) {
    return [
      { do: 'add dummy', link: name, state },
      ...setLink(name, 'bridge', '', state.master ?? ''),
      ...setLink(name, 'state', 'down', state.up ? 'up' : 'down'),
    ];
  }
  return [
    ...setLink(name, 'mac', found.mac, state.mac),
    ...setLink(name, 'bridge', found.master ?? '', state.master ?? ''),
    ...setLink(name, 'state', found.up ? 'up' : 'down', state.up ? 'up' : 'down'),
  ];
}

function planTaps({ bridge, taps }: DesiredNetwork, { orphanTaps }: ObservedNetwork): Step[] {
  return taps.filter(tap => orphanTaps.includes(tap)).flatMap(tap => setLink(tap, 'bridge', '', bridge));
}

function planSysctls(desired: ReadonlyMap<string, string>, observed: ReadonlyMap<string, string>): Step[] {
  return [...desired].flatMap(([key, to]) => {
    const from = observed.get(key) ?? null;
    return from === to ? [] : [{ do: 'set sysctl', key, from, to } as const];
  });
}

function planRules({ bridge, rules }: DesiredNetwork, observed: ObservedNetwork, backend: Backend): Step[] {
  const [wanted, found] = [rules[backend], observed.rules[backend]];
  if (wanted === null) return found.present ? [{ do: 'remove rules', backend, bridge }] : [];
  const isRight = found.present && found.loaded === wanted && found.drift.length === 0;
  return isRight ? [] : [{ do: 'load rules', backend, bridge, rules: wanted, drift: found.drift }];
}

/** What is stale goes first: it may be an older form of what is missing. */
function planForeign(
  { bridge, foreign: wanted }: DesiredNetwork,
  { foreign: found }: ObservedNetwork,
): Step[] {
  return firewalls.flatMap(firewall => {
    const stale = found[firewall].filter(line => !wanted[firewall].includes(line));
    const missing = wanted[firewall].filter(line => !found[firewall].includes(line));
    return [
      ...(stale.length === 0 ? [] : [{ do: 'withdraw from', firewall, bridge, lines: stale } as const]),
      ...(missing.length === 0 ? [] : [{ do: 'allow in', firewall, bridge, lines: missing } as const]),
    ];
  });
}

/** Whether a step is in another firewall's place: that it fails must not keep virlan from its own. */
export function isForeign(step: Step): boolean {
  return step.do === 'allow in' || step.do === 'withdraw from';
}

function planReservations(
  { name, hosts, bridge, reservations }: DesiredNetwork,
  observed: ObservedNetwork,
): Step[] {
  if (reservations === null) return [];
  const missing = reservations.filter(line => !observed.reservations.includes(line));
  const stale = observed.reservations.filter(line => !reservations.includes(line));
  return missing.length + stale.length === 0
    ? []
    : [{ do: 'write reservations', network: { name, hosts }, bridge, missing, stale }];
}

function planDnsmasq(
  { bridge, dnsmasq: wanted }: DesiredNetwork,
  { dnsmasq: { conf, pid } }: ObservedNetwork,
): Step[] {
  if (wanted.conf === conf && wanted.runs === (pid !== null)) return [];
  return [
    ...(pid === null ? [] : [{ do: 'stop dnsmasq', bridge, pid } as const]),
    ...planFile(dnsmasqPaths(bridge).conf, wanted.conf, conf),
    ...(wanted.runs ? [{ do: 'start dnsmasq', bridge } as const] : []),
  ];
}

function planFile(path: string, to: string | null, from: string | null): Step[] {
  if (to === from) return [];
  if (to !== null) return [{ do: 'write file', path, from, to }];
  return from === null ? [] : [{ do: 'remove file', path, from }];
}

function setLink(link: string, attribute: LinkAttribute, from: string, to: string): Step[] {
  return from === to ? [] : [{ do: 'set link', link, attribute, from, to }];
}

function sameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.ip === b.ip && a.prefix === b.prefix && a.broadcast === b.broadcast;
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

export function formatAddress({ ip, prefix }: LinkAddress): string {
  return `${formatIp(ip)}/${prefix}`;
}

/** The subnet of an address, which the route that comes with it leads to. */
export function formatDestination({ ip, prefix }: LinkAddress): string {
  return formatPrefix(prefixOf(ip, prefix));
}
