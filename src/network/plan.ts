// The planner: derives ordered steps from the desired and the observed state. Pure.
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import type { RulesScript } from '../firewall/backend.ts';
import { compareTranslations } from '../firewall/translation.ts';
import { countElements, elementsWithout, joinElements } from '../guard/elements.ts';
import type { RulesByFirewall } from '../other-firewalls/model.ts';
import { compareRules } from '../other-firewalls/registry.ts';
import { linkManagerNames } from './link-managers.ts';
import type {
  DesiredNetwork,
  DesiredTap,
  FoundRules,
  HostState,
  LinkAddress,
  LinkChange,
  ObservedNetwork,
  PortOption,
  PortOptions,
  TapState,
} from './state.ts';
import { guardedPortMask, newPortOptions } from './state.ts';
import type { Step } from './steps.ts';

/**
 * Returns the steps from what exists to what is desired. No machine is ever reachable without the rules:
 * primary rules are loaded first and removed last. Managers of links are told before the links exist. Companion rules (checksums) come near the end. dnsmasq
 * stops before its configuration changes, so that an interrupted change is seen as a stopped dnsmasq.
 */
export function planNetwork(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const loads = (role: RulesScript['role']) =>
    desired.rules.filter(script => script.role === role).flatMap(script => planLoad(script, observed));
  const removals = [...planRemovals(desired, observed), ...planLeftovers(desired, observed)];
  const links = planLinks(desired, observed);
  const dnsmasq = planDnsmasq(desired, observed);
  const companions = loads('companion');
  const managers = planManagers(desired, observed);
  const guard = planGuard(desired, observed);
  if (desired.link === null)
    return [...dnsmasq, ...links, ...loads('primary'), ...companions, ...removals, ...guard, ...managers];
  const sysctls = planSysctls(desired.sysctls, observed.link === null ? new Map() : observed.sysctls);
  const primary = loads('primary');
  return [
    ...managers,
    ...primary,
    ...guard,
    ...links,
    ...sysctls,
    ...planTranslations(desired, observed, primary),
    ...removals,
    ...planConnections(desired, observed),
    ...planModes(desired, observed),
    ...planReservations(desired, observed),
    ...dnsmasq,
    ...companions,
  ];
}

function planManagers({ bridge, managerFiles: wanted }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  return linkManagerNames.flatMap((manager): Step[] => {
    const from = observed.managerFiles.get(manager) ?? null;
    const to = wanted.get(manager) ?? null;
    if (from === to) return [];
    if (to !== null) return [{ kind: 'claim links', manager, bridge, from, to }];
    return from === null ? [] : [{ kind: 'release links', manager, bridge, from }];
  });
}

/** Returns the steps for the settings of the host as a whole; `path` is virlan's file under /etc/sysctl.d. */
export function planHost(desired: HostState, observed: HostState, path: string): Step[] {
  return [
    ...planSysctls(desired.sysctls, observed.sysctls),
    ...planFile(path, desired.sysctlFile, observed.sysctlFile),
  ];
}

/**
 * A port that enters a bridge with STP, or comes up, forwards nothing for twice the forward delay. Machines
 * that return to the network must not wait: STP starts once they are back, and a port that forwards continues
 * (br_stp_start in net/bridge/br_stp_if.c).
 */
function planLinks(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const { bridge, link } = desired;
  const ports = [...planRootPort(desired, observed), ...planTaps(desired, observed)];
  const isDelayed = link?.stp === true && ports.some(startsForwarding);
  const meanwhile = isDelayed ? { ...desired, link: { ...link, stp: false } } : desired;
  return [
    ...planBridge(meanwhile, observed),
    ...planDummy(desired, observed),
    ...ports,
    ...(isDelayed ? setLink(bridge, { attribute: 'stp', from: false, to: true }) : []),
  ];
}

function startsForwarding(step: Step): boolean {
  return step.kind === 'set link' && (step.attribute === 'bridge' || step.attribute === 'state');
}

/**
 * Excludes a guest whose bridge has become the root of the spanning tree, and decides for how long new ports
 * wait. The host's bridge no longer hears its BPDUs, and forwards them like other frames (br_handle_frame in
 * net/bridge/br_input.c). What it heard before is forgotten when the port goes down; otherwise it would be
 * kept for up to 40 s.
 */
function planRootPort(
  { excludesGuestRoots }: DesiredNetwork,
  { rootPort }: Pick<ObservedNetwork, 'rootPort'>,
): Step[] {
  if (!excludesGuestRoots || rootPort === null) return [];
  const { name, groupForwardMask: from } = rootPort;
  return [
    ...setLink(name, { attribute: 'group_fwd_mask', from, to: from | 1 }),
    ...setLink(name, { attribute: 'state', from: 'up', to: 'down' }),
    ...setLink(name, { attribute: 'state', from: 'down', to: 'up' }),
  ];
}

/** Plans the taps that are in the bridge or in none. */
function planTaps({ bridge, taps }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  return taps.flatMap(tap => {
    const found = observed.taps.find(({ name }) => name === tap.name);
    if (found === undefined || (found.master !== null && found.master !== bridge)) return [];
    return [
      ...setLink(tap.name, { attribute: 'mtu', from: found.mtu, to: tap.mtu }),
      ...setLink(tap.name, { attribute: 'bridge', from: found.master, to: bridge }),
      ...planOptions(found, wantedOptions(tap, found.options)),
      ...(tap.isGuarded ? planGuardedPort(found) : []),
      ...(tap.up ? setLink(tap.name, { attribute: 'state', from: upOrDown(found.up), to: 'up' }) : []),
    ];
  });
}

function planGuardedPort({ name, master, groupForwardMask }: TapState): Step[] {
  const from = master === null ? 0 : groupForwardMask;
  return setLink(name, { attribute: 'group_fwd_mask', from, to: from | guardedPortMask });
}

function wantedOptions({ isolated, hairpin }: DesiredTap, found: PortOptions): PortOptions {
  return {
    ...found,
    ...(isolated ? { isolated } : {}),
    ...(hairpin === 'leave' ? {} : { hairpin: hairpin === 'on' }),
  };
}

/** A port that is new in a bridge has the options of a new port. */
function planOptions({ name, master, options }: TapState, wanted: PortOptions): Step[] {
  const found: PortOptions = master === null ? {} : options;
  return (Object.keys(wanted) as PortOption[]).flatMap(attribute => {
    const from = found[attribute] ?? newPortOptions[attribute];
    return setLink(name, { attribute, from, to: wanted[attribute] ?? from });
  });
}

function planBridge({ bridge, link }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const found = observed.link;
  if (link === null) return found === null ? [] : [{ kind: 'remove link', link: bridge, type: 'bridge' }];
  if (found === null) {
    return [
      { kind: 'add bridge', link: bridge, state: link },
      ...link.addresses.map(address => ({ kind: 'add address', link: bridge, address }) as const),
      ...setLink(bridge, { attribute: 'state', from: 'down', to: upOrDown(link.up) }),
    ];
  }
  const stp = setLink(bridge, { attribute: 'stp', from: found.stp, to: link.stp });
  const { forwardDelay: from } = found;
  const { forwardDelay: to } = link;
  const delay = from === null || to === null ? [] : setLink(bridge, { attribute: 'forward delay', from, to });
  return [
    ...setLink(bridge, { attribute: 'mac', from: found.mac, to: link.mac }),
    ...setLink(bridge, { attribute: 'mtu', from: found.mtu, to: link.mtu }),
    // With STP on, the kernel accepts 2 to 30 s only (br_set_forward_delay in net/bridge/br_stp.c).
    ...(link.stp ? [...delay, ...stp] : [...stp, ...delay]),
    ...setLink(bridge, { attribute: 'priority', from: found.priority, to: link.priority }),
    ...planAddresses(bridge, link.addresses, found.addresses, observed.ownAddresses),
    ...setLink(bridge, { attribute: 'state', from: upOrDown(found.up), to: upOrDown(link.up) }),
    ...observed.unrouted.map(address => ({ kind: 'add route', link: bridge, address }) as const),
  ];
}

/**
 * Adds before it removes, so that the bridge is never without an address: removing the last one drops its
 * routes. An address whose broadcast alone differs has to be removed first, because the kernel changes no
 * broadcast in place.
 */
function planAddresses(
  link: string,
  wanted: readonly LinkAddress[],
  found: readonly LinkAddress[],
  own: readonly LinkAddress[],
): Step[] {
  const has = (list: readonly LinkAddress[], address: LinkAddress) =>
    list.some(other => isSameAddress(other, address) && other.broadcast === address.broadcast);
  const isReplaced = (address: LinkAddress) => wanted.some(other => isSameAddress(other, address));
  const missing = wanted.filter(address => !has(found, address));
  const stale = found.filter(address => !has(wanted, address) && (has(own, address) || isReplaced(address)));
  const remove = (addresses: readonly LinkAddress[]) =>
    addresses.map(address => ({ kind: 'remove address', link, address }) as const);
  return [
    ...remove(stale.filter(isReplaced)),
    ...missing.map(address => ({ kind: 'add address', link, address }) as const),
    ...remove(stale.filter(address => !isReplaced(address))),
  ];
}

function planDummy({ dummy: { name, state } }: DesiredNetwork, { dummy: found }: ObservedNetwork): Step[] {
  if (state === null) return found === null ? [] : [{ kind: 'remove link', link: name, type: 'dummy' }];
  const now = found ?? { ...state, up: false, master: null };
  return [
    ...(found === null ? [{ kind: 'add dummy', link: name, state } as const] : []),
    ...setLink(name, { attribute: 'mac', from: now.mac, to: state.mac }),
    ...setLink(name, { attribute: 'mtu', from: now.mtu, to: state.mtu }),
    ...setLink(name, { attribute: 'bridge', from: now.master, to: state.master }),
    ...setLink(name, { attribute: 'state', from: upOrDown(now.up), to: upOrDown(state.up) }),
  ];
}

function planSysctls(desired: ReadonlyMap<string, string>, observed: ReadonlyMap<string, string>): Step[] {
  return [...desired].flatMap(([key, to]) => {
    const from = observed.get(key) ?? null;
    return from === to ? [] : [{ kind: 'set sysctl', key, from, to } as const];
  });
}

function planLoad(
  { backend, family, bridge, role, script }: RulesScript,
  { rules }: ObservedNetwork,
): Step[] {
  const found = rules.find(each => each.backend === backend && each.family === family);
  const drift = found?.drift ?? [];
  const isRight = found?.present === true && found.loaded === script && drift.length === 0;
  return isRight ? [] : [{ kind: 'load rules', backend, family, bridge, role, script, drift }];
}

/** Rules are loaded without any forward. */
function planTranslations(
  { bridge, translations: wanted }: DesiredNetwork,
  { rules }: ObservedNetwork,
  loads: readonly Step[],
): Step[] {
  if (wanted.kind === 'leave') return [];
  const { backend } = wanted;
  const isNew = loads.some(
    step => step.kind === 'load rules' && step.backend === backend && step.family === 'ipv4',
  );
  const found = rules.find(each => each.backend === backend && each.family === 'ipv4');
  const change = compareTranslations(wanted.all, isNew ? [] : (found?.translations ?? []));
  return change.missing.length + change.stale.length === 0
    ? []
    : [{ kind: 'change forwards', backend, bridge, ...change }];
}

function planRemovals({ bridge, rules }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const isWanted = ({ backend, family }: FoundRules) =>
    rules.some(each => each.backend === backend && each.family === family);
  return observed.rules
    .filter(found => found.present && !isWanted(found))
    .map(({ backend, family }) => ({ kind: 'remove rules', backend, family, bridge }));
}

/** Plans the end of connections whose addresses the kernel would go on to treat as before. */
function planConnections(
  { bridge, treatment: to }: DesiredNetwork,
  { treatment: from }: Pick<ObservedNetwork, 'treatment'>,
): Step[] {
  if (from === null || to === null) return [];
  const isSame = from.subnet === to.subnet && from.isTranslated === to.isTranslated;
  return isSame ? [] : [{ kind: 'end connections', bridge, from, to }];
}

function planLeftovers({ bridge }: DesiredNetwork, { leftovers }: ObservedNetwork): Step[] {
  return leftovers.map(({ family, flavour }) => ({ kind: 'remove leftovers', family, flavour, bridge }));
}

/** A table whose rules are right keeps its counters: only elements are changed. */
function planGuard({ bridge, guard }: DesiredNetwork, { guard: found }: ObservedNetwork): Step[] {
  if (guard === null) return found.present ? [{ kind: 'remove guard', bridge }] : [];
  if (!found.present || found.loaded !== guard.table || found.drift.length > 0)
    return [{ kind: 'load guard', bridge, guard, isPresent: found.present, drift: found.drift }];
  const wanted = joinElements([guard.belongings, ...guard.taps.map(({ elements }) => elements)]);
  const missing = elementsWithout(wanted, found.elements);
  const surplus = elementsWithout(found.elements, wanted);
  return countElements(missing) + countElements(surplus) === 0
    ? []
    : [{ kind: 'change guard', bridge, taps: guard.taps, missing, surplus }];
}

/**
 * Returns the changes of virlan's rules in other firewalls. Stale rules may be an older form of the missing
 * ones.
 */
export function planOtherFirewalls(bridge: string, wanted: RulesByFirewall, found: RulesByFirewall): Step[] {
  const { stale, missing } = compareRules(bridge, wanted, found);
  return [
    ...stale.map(change => ({ kind: 'withdraw from', ...change }) as const),
    ...missing.map(change => ({ kind: 'allow in', ...change }) as const),
  ];
}

/** Adds what is missing, and takes the right to write from all but the owner. */
function planModes({ bridge, modes }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  return [...modes].flatMap(([path, required]) => {
    const from = observed.modes.get(path) ?? null;
    const to = from === null ? null : (from | required) & ~0o022;
    return from === null || to === null || from === to
      ? []
      : [{ kind: 'set mode', bridge, path, from, to } as const];
  });
}

function planReservations(
  { reservations: wanted }: DesiredNetwork,
  { published: found }: ObservedNetwork,
): Step[] {
  if (wanted.kind === 'leave') return [];
  const { name, bridge, gateway, hosts } = wanted.network;
  const network = { name, bridge, gateway, hosts };
  const plan = (kind: 'write reservations' | 'write names', what: keyof typeof found): Step[] => {
    const { missing, stale } = compareLines(wanted[what], found[what]);
    return missing.length + stale.length === 0 ? [] : [{ kind, network, bridge, missing, stale }];
  };
  return [...plan('write reservations', 'reservations'), ...plan('write names', 'names')];
}

/** Compares lines in any order. */
function compareLines(wanted: readonly string[], found: readonly string[]) {
  const [isWanted, isFound] = [new Set(wanted), new Set(found)];
  return {
    missing: wanted.filter(line => !isFound.has(line)),
    stale: found.filter(line => !isWanted.has(line)),
  };
}

function planDnsmasq({ bridge, link, dnsmasq: wanted }: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const { conf, pid, isStopped } = observed.dnsmasq;
  // dnsmasq binds its DHCP socket to the bridge, and with `no-ping` it has given up CAP_NET_RAW by the time
  // that the bridge is made anew, so that it cannot bind it again.
  const isUnbound = observed.dnsmasq.isUnbound || (link !== null && observed.link === null);
  const isSilent = pid !== null && wanted.runs && (isStopped || isUnbound);
  if (wanted.conf === conf && wanted.runs === (pid !== null) && !isSilent) return [];
  return [
    ...(pid === null ? [] : [{ kind: 'stop dnsmasq', bridge, pid, isStopped, isUnbound } as const]),
    ...planFile(dnsmasqPaths(bridge).conf, wanted.conf, conf),
    ...(wanted.runs ? [{ kind: 'start dnsmasq', bridge } as const] : []),
  ];
}

function planFile(path: string, to: string | null, from: string | null): Step[] {
  if (to === from) return [];
  if (to !== null) return [{ kind: 'write file', path, from, to }];
  return from === null ? [] : [{ kind: 'remove file', path, from }];
}

function setLink(link: string, change: LinkChange): Step[] {
  return change.from === change.to ? [] : [{ kind: 'set link', link, ...change }];
}

function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.ip === b.ip && a.prefixLength === b.prefixLength;
}

function upOrDown(up: boolean): 'up' | 'down' {
  return up ? 'up' : 'down';
}
