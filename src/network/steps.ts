// Steps: single changes of the host. This file declares every kind of step, and for each how it is described,
// which repair unit it belongs to, which check of the doctor it fails, and what is wrong while it is pending.
// executors.ts executes them.
import { type Family, familyOf, formatIp, type Ipv4 } from '../address/ip.ts';
import type { FilterDrift, Tunnel } from '../cluster/tunnel.ts';
import { withoutMark } from '../dnsmasq/hostsfile.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import type { BackendName, RulesScript } from '../firewall/backend.ts';
import { backends } from '../firewall/backends.ts';
import type { Leftover } from '../firewall/flavours.ts';
import { type TranslationsChange, translationText } from '../firewall/translation.ts';
import { countElements, type Elements } from '../guard/elements.ts';
import { guardTable } from '../guard/ruleset.ts';
import type { LinkNames } from '../host-names/resolved.ts';
import type { ReservedNetwork } from '../identity/decision.ts';
import { describeRules, type OtherFirewallChange } from '../other-firewalls/registry.ts';
import { dummyName } from './desired.ts';
import { type LinkManagerName, linkManagers } from './link-managers.ts';
import {
  type BridgeState,
  type DummyState,
  formatAddress,
  formatDestination,
  type GuardState,
  isForGuard,
  type LinkAddress,
  type LinkChange,
  type RuleDrift,
  type TapElements,
  type Treatment,
} from './state.ts';
import {
  changeCount,
  compareText,
  countOf,
  type Description,
  describeAddress,
  describeDrift,
  describeLines,
  describeLinkChange,
  domainsText,
  driftFault,
  line,
  lineCount,
  linkValues,
  modeText,
  onOff,
  ownRules,
} from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind of step. */
interface StepFields {
  'add bridge': { readonly link: string; readonly state: BridgeState };
  'add dummy': { readonly link: string; readonly state: DummyState };
  /** Adds the link to the other hosts, which is in no bridge yet. */
  'add tunnel': { readonly link: string; readonly tunnel: Tunnel };
  /** Changes to which hosts a tunnel sends frames whose receiver is not known. */
  'set peers': {
    readonly link: string;
    readonly missing: readonly Ipv4[];
    readonly surplus: readonly Ipv4[];
  };
  /** Loads the filter of a tunnel, and puts its link into the bridge. */
  'connect tunnel': {
    readonly link: string;
    readonly bridge: string;
    readonly tunnel: Tunnel;
    readonly drift: readonly FilterDrift[];
  };
  'remove tunnel filter': { readonly bridge: string };
  'remove link': { readonly link: string; readonly type: 'bridge' | 'dummy' | 'vxlan' };
  'set link': { readonly link: string } & LinkChange;
  'add address': { readonly link: string; readonly address: LinkAddress };
  'remove address': { readonly link: string; readonly address: LinkAddress };
  /** Adds the route to the network of an address that the link has. */
  'add route': { readonly link: string; readonly address: LinkAddress };
  'set sysctl': { readonly key: string; readonly from: string | null; readonly to: string };
  'write file': { readonly path: string; readonly from: string | null; readonly to: string };
  'remove file': { readonly path: string; readonly from: string };
  /** Tells a manager of links to leave those of a network alone, by a file. */
  'claim links': {
    readonly manager: LinkManagerName;
    readonly bridge: string;
    readonly from: string | null;
    readonly to: string;
  };
  'release links': { readonly manager: LinkManagerName; readonly bridge: string; readonly from: string };
  /** Changes the mode of a file or a directory of dnsmasq's. */
  'set mode': {
    readonly bridge: string;
    readonly path: string;
    readonly from: number;
    readonly to: number;
  };
  'load rules': {
    readonly backend: BackendName;
    readonly family: Family;
    readonly bridge: string;
    readonly role: RulesScript['role'];
    readonly script: string;
    readonly drift: readonly RuleDrift[];
  };
  'remove rules': { readonly backend: BackendName; readonly family: Family; readonly bridge: string };
  /** Ends connections of machines whose addresses are translated, or not, other than it is right now. */
  'end connections': { readonly bridge: string; readonly from: Treatment; readonly to: Treatment };
  /** Removes virlan's rules of the flavour of iptables that is not selected. */
  'remove leftovers': Leftover & { readonly bridge: string };
  /** Loads the table of the guard with all its elements. */
  'load guard': {
    readonly bridge: string;
    readonly guard: GuardState;
    /** True if a table of the guard is there, which stays in force if the new one is refused. */
    readonly isPresent: boolean;
    readonly drift: readonly RuleDrift[];
  };
  /** Changes elements of the guard's sets. `taps` are all that are guarded. */
  'change guard': {
    readonly bridge: string;
    readonly taps: readonly TapElements[];
    readonly missing: Elements;
    readonly surplus: Elements;
  };
  'remove guard': { readonly bridge: string };
  /** Changes the translations of forwards, whose rules exist. */
  'change forwards': { readonly backend: BackendName; readonly bridge: string } & TranslationsChange;
  /** Adds rules in the place of another program's firewall. */
  'allow in': OtherFirewallChange;
  'withdraw from': OtherFirewallChange;
  'write reservations': ChangedLines;
  'write names': ChangedLines;
  /** Tells systemd-resolved which names to ask at the bridge. */
  'tell resolved': { readonly bridge: string; readonly from: LinkNames | null; readonly to: LinkNames };
  'revert resolved': { readonly bridge: string };
  /** Tells the dnsmasq of NetworkManager, by a file, which names to ask at the gateway. */
  'tell NetworkManager': { readonly bridge: string; readonly from: string | null; readonly to: string };
  'forget NetworkManager': { readonly bridge: string };
  'start dnsmasq': { readonly bridge: string };
  'stop dnsmasq': {
    readonly bridge: string;
    readonly pid: number;
    readonly isStopped: boolean;
    readonly isUnbound: boolean;
  };
}

/** Lines to write into a file of a network's reservations, and those to remove. */
interface ChangedLines {
  readonly network: ReservedNetwork;
  readonly bridge: string;
  readonly missing: readonly string[];
  readonly stale: readonly string[];
}

export type StepName = keyof StepFields;

export type StepOf<Name extends StepName> = { readonly kind: Name } & StepFields[Name];

/** One change of the host. */
export type Step = { [Name in StepName]: StepOf<Name> }[StepName];

/** The check of `virlan doctor` that fails while a step is pending. */
export type StepCheck =
  | 'bridge'
  | 'stp'
  | 'taps'
  | 'settings'
  | 'forwarding'
  | 'reservations'
  | 'dnsmasq'
  | 'rules'
  | 'foreign';

/** The declaration of one kind of step. `bridge` is that of the network whose plan the step is in. */
interface StepKind<S> {
  describe(step: S): Description;
  unit(step: S, bridge: string): Unit;
  check(step: S, bridge: string): StepCheck;
  /** Describes the fault of the host while the step is pending. */
  fault(step: S, bridge: string): string;
}

/** By type of link: what people call it. */
const linkNames: Readonly<Record<StepOf<'remove link'>['type'], string>> = {
  bridge: 'bridge',
  dummy: 'dummy NIC',
  vxlan: 'tunnel',
};

const kinds: { readonly [Name in StepName]: StepKind<StepOf<Name>> } = {
  'add bridge': {
    describe: ({ link, state: { mac, mtu, stp } }) =>
      line('+', `bridge ${link}`, `${mac}, MTU ${mtu}, STP ${onOff(stp)}`),
    unit: ({ link }) => ({ kind: 'bridge', bridge: link }),
    check: () => 'bridge',
    fault: ({ link }) => `there is no bridge ${link}`,
  },
  'add dummy': {
    describe: ({ link, state }) => line('+', `dummy NIC ${link}`, state.mac),
    unit: ({ link }) => ({ kind: 'dummy', link }),
    check: () => 'settings',
    fault: ({ link }) => `there is no dummy NIC ${link}`,
  },
  'remove link': {
    describe: ({ link, type }) => line('-', `${linkNames[type]} ${link}`),
    unit({ link, type }, bridge) {
      switch (type) {
        case 'dummy':
          return { kind: 'dummy', link };
        case 'bridge':
          return { kind: 'bridge', bridge: link };
        case 'vxlan':
          return { kind: 'tunnel', bridge };
      }
    },
    check: () => 'settings',
    fault: ({ link }) => `${link} is not needed`,
  },
  'add tunnel': {
    describe: ({ link, tunnel: { vni, local, mtu } }) =>
      line('+', `tunnel ${link}`, `VNI ${vni} from ${formatIp(local)}, MTU ${mtu}`),
    unit: tunnelUnit,
    check: () => 'bridge',
    fault: ({ link }) => `there is no tunnel ${link}`,
  },
  'set peers': {
    describe: ({ link, missing, surplus }) =>
      line('~', `hosts behind ${link}`, changeCount(missing.length + surplus.length), [
        ...missing.map(peer => `+ ${formatIp(peer)}`),
        ...surplus.map(peer => `- ${formatIp(peer)}`),
      ]),
    unit: tunnelUnit,
    check: () => 'bridge',
    fault: ({ link, missing: [lacking], surplus: [other] }) =>
      lacking === undefined
        ? `${link} leads to ${other === undefined ? '' : formatIp(other)}, which is not configured`
        : `${link} does not lead to ${formatIp(lacking)}`,
  },
  'connect tunnel': {
    describe: ({ link, bridge, drift }) =>
      line('~', link, `into ${bridge}, behind its filter`, drift.map(describeDrift)),
    unit: tunnelUnit,
    check: () => 'bridge',
    fault: ({ link, bridge, drift: [first] }) =>
      first === undefined
        ? `${link} is not in ${bridge}, or has no filter`
        : `the filter of ${link} was changed: ${driftFault(first)}`,
  },
  'remove tunnel filter': {
    describe: ({ bridge }) => line('-', 'filter of the tunnel', `of ${bridge}`),
    unit: tunnelUnit,
    check: () => 'bridge',
    fault: ({ bridge }) => `the filter of a tunnel of ${bridge} is not needed`,
  },
  'set link': {
    describe: describeLinkChange,
    unit: ({ link, attribute }) => ({ kind: 'link-attribute', link, attribute }),
    check(step, bridge) {
      const { link, attribute } = step;
      if (attribute === 'group_fwd_mask') return isForGuard(step) ? 'rules' : 'stp';
      if (link === dummyName(bridge) || (link !== bridge && attribute === 'mtu')) return 'settings';
      if (link !== bridge) return 'taps';
      return ['stp', 'priority', 'forward delay'].includes(attribute) ? 'stp' : 'bridge';
    },
    fault(step, bridge) {
      if (step.attribute === 'state') return `${step.link} is ${step.from}`;
      if (step.attribute === 'bridge') return `${step.link} is not in ${bridge}`;
      if (isForGuard(step)) return `frames of ${step.link} to bridges do not pass the guard`;
      if (step.attribute === 'group_fwd_mask')
        return `a guest's bridge, behind ${step.link}, is the root of the spanning tree`;
      const { from, to } = linkValues(step);
      return `${step.attribute} of ${step.link} is ${from}, not ${to}`;
    },
  },
  'add address': {
    describe: ({ link, address }) => line('+', `address on ${link}`, describeAddress(address)),
    unit: ({ link, address }) => ({ kind: 'address', link, family: familyOf(address.ip) }),
    check: () => 'bridge',
    fault: ({ link, address }) => `${link} lacks its ${formatAddress(address)}`,
  },
  'remove address': {
    describe: ({ link, address }) => line('-', `address on ${link}`, describeAddress(address)),
    unit: ({ link, address }) => ({ kind: 'address', link, family: familyOf(address.ip) }),
    check: () => 'bridge',
    fault: ({ link, address }) => `${link} has ${formatAddress(address)}, which is not configured`,
  },
  'add route': {
    describe: ({ link, address }) => line('+', `route on ${link}`, formatDestination(address)),
    unit: ({ link, address }) => ({ kind: 'route', link, family: familyOf(address.ip) }),
    check: () => 'bridge',
    fault: ({ link, address }) => `no route to ${formatDestination(address)} leads to ${link}`,
  },
  'set sysctl': {
    describe: ({ key, from, to }) => line('~', key, `${from === null ? '' : `${from} → `}${to}`),
    unit: ({ key }) => ({ kind: 'sysctl', key }),
    check: ({ key }) => (key.endsWith('.forwarding') ? 'forwarding' : 'settings'),
    fault: ({ key, from, to }) => (from === null ? `${key} is not set` : `${key} is ${from}, not ${to}`),
  },
  'write file': {
    describe: ({ path, from, to }) => line(from === null ? '+' : '~', path, '', compareText(from, to)),
    unit: fileUnit,
    check: () => 'dnsmasq',
    fault: ({ path, from }) =>
      `${path} ${from === null ? 'does not exist' : 'is not what virlan.ini calls for'}`,
  },
  'remove file': {
    describe: ({ path }) => line('-', path),
    unit: fileUnit,
    check: () => 'dnsmasq',
    fault: ({ path }) => `${path} is not needed`,
  },
  'claim links': {
    describe: ({ manager, bridge, from, to }) =>
      line(from === null ? '+' : '~', manager, `leaves the links of ${bridge} alone`, compareText(from, to)),
    unit: managerUnit,
    check: () => 'settings',
    fault: ({ manager, bridge }) => `${manager} has not been told to leave the links of ${bridge} alone`,
  },
  'release links': {
    describe: ({ manager, bridge }) => line('-', manager, `forgets the links of ${bridge}`),
    unit: managerUnit,
    check: () => 'settings',
    fault: ({ manager, bridge }) => `${manager} is told to leave the links of ${bridge} alone`,
  },
  'set mode': {
    describe: ({ path, from, to }) => line('~', `mode of ${path}`, `${modeText(from)} → ${modeText(to)}`),
    unit: ({ path }) => ({ kind: 'file', path }),
    check: () => 'dnsmasq',
    fault: ({ path, from, to }) => `the mode of ${path} is ${modeText(from)}, not ${modeText(to)}`,
  },
  'load rules': {
    describe: step =>
      line(
        step.drift.length === 0 ? '+' : '~',
        `firewall (${step.backend})`,
        `${backends[step.backend].describePlace(step)}, ${countOf(step.script, step.backend)}`,
        step.drift.map(describeDrift),
      ),
    unit: ({ backend, family, bridge }) => ({ kind: 'rules', backend, family, bridge }),
    check: () => 'rules',
    fault({ backend, family, drift: [first] }) {
      const own = ownRules(backend, family);
      return first === undefined ? `${own} are missing` : `${own} were changed: ${driftFault(first)}`;
    },
  },
  'remove rules': {
    describe: step => line('-', `firewall (${step.backend})`, backends[step.backend].describePlace(step)),
    unit: ({ backend, family, bridge }) => ({ kind: 'rules', backend, family, bridge }),
    check: () => 'rules',
    fault: ({ backend, family }) => `${ownRules(backend, family)} are not needed`,
  },
  'end connections': {
    describe: ({ from }) => line('-', 'connections', `that machines of ${from.subnet} began before`),
    unit: ({ bridge }) => ({ kind: 'connections', bridge }),
    check: () => 'rules',
    fault: ({ from }) =>
      `connections that machines of ${from.subnet} began before are ${from.isTranslated ? 'still' : 'not'} translated`,
  },
  'remove leftovers': {
    describe: ({ family, flavour, bridge }) =>
      line('-', `firewall (iptables-${flavour})`, backends.iptables.describePlace({ bridge, family })),
    unit: ({ family, bridge }) => ({ kind: 'rules', backend: 'iptables', family, bridge }),
    check: () => 'rules',
    fault: ({ flavour }) => `rules of virlan's are left in iptables-${flavour}, which is not selected`,
  },
  'load guard': {
    describe: ({ bridge, guard: { taps }, drift }) =>
      line(
        drift.length === 0 ? '+' : '~',
        'guard',
        `table ${guardTable(bridge)}, ${taps.length} ${taps.length === 1 ? 'tap' : 'taps'}`,
        drift.map(describeDrift),
      ),
    unit: guardUnit,
    check: () => 'rules',
    fault: ({ bridge, drift: [first] }) =>
      first === undefined
        ? `the guard of ${bridge} is missing`
        : `the guard of ${bridge} was changed: ${driftFault(first)}`,
  },
  'change guard': {
    describe({ bridge, missing, surplus }) {
      const counts = [`${countElements(missing)} more`, `${countElements(surplus)} less`];
      return line('~', 'guard', `table ${guardTable(bridge)}, elements: ${counts.join(', ')}`);
    },
    unit: guardUnit,
    check: () => 'rules',
    fault: ({ bridge }) => `the guard of ${bridge} does not know all MACs and addresses`,
  },
  'remove guard': {
    describe: ({ bridge }) => line('-', 'guard', `table ${guardTable(bridge)}`),
    unit: guardUnit,
    check: () => 'rules',
    fault: ({ bridge }) => `the guard of ${bridge} is not needed`,
  },
  'change forwards': {
    describe: ({ bridge, missing, stale }) =>
      line('~', `forwards to ${bridge}`, changeCount(missing.length + stale.length), [
        ...missing.map(each => `+ ${translationText(each)}`),
        ...stale.map(each => `- ${translationText(each)}`),
      ]),
    unit: ({ bridge }) => ({ kind: 'forwards', bridge }),
    check: () => 'rules',
    fault({ missing: [lacking], stale: [surplus] }) {
      if (lacking !== undefined) return `the forward ${translationText(lacking)} is not in force`;
      return `the forward ${surplus === undefined ? '' : translationText(surplus)} is not needed`;
    },
  },
  'allow in': {
    describe: step =>
      line('+', step.firewall, `lets ${step.bridge} pass, ${lineCount(step)}`, describeRules(step)),
    unit: otherFirewallUnit,
    check: () => 'foreign',
    fault: ({ firewall, bridge }) => `${firewall} has not been told to let ${bridge} through`,
  },
  'withdraw from': {
    describe: step =>
      line('-', step.firewall, `forgets ${step.bridge}, ${lineCount(step)}`, describeRules(step)),
    unit: otherFirewallUnit,
    check: () => 'foreign',
    fault: ({ firewall, bridge }) => `${firewall} has more rules for ${bridge} than needed`,
  },
  'write reservations': {
    describe: step => describeLines(dnsmasqPaths(step.bridge).hostsfile, step),
    unit: ({ bridge }) => ({ kind: 'reservations', bridge }),
    check: () => 'reservations',
    fault: ({ missing: [lacking], stale: [surplus = ''] }) =>
      lacking === undefined
        ? `the hostsfile has a surplus line: ${withoutMark(surplus)}`
        : `the hostsfile lacks ${withoutMark(lacking)}`,
  },
  'write names': {
    describe: step => describeLines(dnsmasqPaths(step.bridge).names, step),
    unit: ({ bridge }) => ({ kind: 'names', bridge }),
    check: () => 'reservations',
    fault: ({ missing: [lacking], stale: [surplus = ''] }) =>
      lacking === undefined
        ? `the file of names has a surplus line: ${surplus}`
        : `the file of names lacks ${lacking}`,
  },
  'tell resolved': {
    describe: ({ bridge, from, to }) =>
      line(from === null ? '+' : '~', 'systemd-resolved', `asks ${bridge} for ${domainsText(to)}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    check: () => 'settings',
    fault: ({ bridge }) => `systemd-resolved does not ask ${bridge} for the names of machines`,
  },
  'revert resolved': {
    describe: ({ bridge }) => line('-', 'systemd-resolved', `forgets ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    check: () => 'settings',
    fault: ({ bridge }) => `systemd-resolved asks ${bridge} for names`,
  },
  'tell NetworkManager': {
    describe: ({ bridge, from, to }) =>
      line(
        from === null ? '+' : '~',
        'NetworkManager',
        `its dnsmasq asks ${bridge} for names`,
        compareText(from, to),
      ),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    check: () => 'settings',
    fault: ({ bridge }) => `the dnsmasq of NetworkManager does not ask ${bridge} for the names of machines`,
  },
  'forget NetworkManager': {
    describe: ({ bridge }) => line('-', 'NetworkManager', `its dnsmasq forgets ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    check: () => 'settings',
    fault: ({ bridge }) => `the dnsmasq of NetworkManager asks ${bridge} for names`,
  },
  'start dnsmasq': {
    describe: ({ bridge }) => line('+', 'dnsmasq', `DHCP and DNS on ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'dnsmasq', bridge }),
    check: () => 'dnsmasq',
    fault: ({ bridge }) => `no dnsmasq runs on ${bridge}`,
  },
  'stop dnsmasq': {
    describe: ({ pid }) => line('-', 'dnsmasq', `process ${pid}`),
    unit: ({ bridge }) => ({ kind: 'dnsmasq', bridge }),
    check: () => 'dnsmasq',
    fault({ bridge, pid, isStopped, isUnbound }) {
      if (isStopped) return `dnsmasq, process ${pid}, was stopped by a signal and answers nobody`;
      if (isUnbound) return `dnsmasq, process ${pid}, does not hear ${bridge}, which was made anew`;
      return 'dnsmasq does not run with the configuration that virlan.ini calls for';
    },
  },
};

function kindOf<Name extends StepName>(step: StepOf<Name>): StepKind<StepOf<Name>> {
  return kinds[step.kind];
}

/** Describes a step for people. */
export function describeStep<Name extends StepName>(step: StepOf<Name>): Description {
  return kindOf(step).describe(step);
}

/** Returns the check of the doctor that fails while a step is pending. */
export function checkOf<Name extends StepName>(step: StepOf<Name>, bridge: string): StepCheck {
  return kindOf(step).check(step, bridge);
}

/** Describes the fault of the host while a step is pending. */
export function faultOf<Name extends StepName>(step: StepOf<Name>, bridge: string): string {
  return kindOf(step).fault(step, bridge);
}

const notEssential: readonly StepName[] = [
  'end connections',
  'claim links',
  'release links',
  'remove leftovers',
  'load guard',
  'change guard',
  'tell resolved',
  'revert resolved',
  'tell NetworkManager',
  'forget NetworkManager',
];

/**
 * Returns whether a network must not be established, or count as taken down, without a step. A kernel may lack the
 * rules of IPv6 and of bridges, and that which fills in checksums, a host the program that ends connections, and a manager of links
 * may refuse to read its files.
 */
export function isEssential(step: Step): boolean {
  if (notEssential.includes(step.kind) || (step.kind === 'set link' && isForGuard(step))) return false;
  return step.kind !== 'load rules' || (step.family !== 'ipv6' && step.role === 'primary');
}

export function unitOfStep<Name extends StepName>(step: StepOf<Name>, bridge: string): Unit {
  return kindOf(step).unit(step, bridge);
}

function fileUnit({ path }: { readonly path: string }, bridge: string): Unit {
  return path === dnsmasqPaths(bridge).conf ? { kind: 'dnsmasq', bridge } : { kind: 'file', path };
}

function managerUnit({
  manager,
  bridge,
}: {
  readonly manager: LinkManagerName;
  readonly bridge: string;
}): Unit {
  return { kind: 'file', path: linkManagers[manager].path(bridge) };
}

function tunnelUnit(_: unknown, bridge: string): Unit {
  return { kind: 'tunnel', bridge };
}

function guardUnit({ bridge }: { readonly bridge: string }): Unit {
  return { kind: 'guard', bridge };
}

function otherFirewallUnit({ firewall, bridge }: OtherFirewallChange): Unit {
  return { kind: 'other-firewall', firewall, bridge };
}
