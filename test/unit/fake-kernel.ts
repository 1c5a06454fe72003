// fake-kernel.ts: simulates a host, as far as the steps of one network change it.
import assert from 'node:assert/strict';
import type { Family } from '../../src/address/ip.ts';
import { dnsmasqPaths } from '../../src/dnsmasq/paths.ts';
import type { BackendName } from '../../src/firewall/backend.ts';
import { countElements, elementsWithout, joinElements, noElements } from '../../src/guard/elements.ts';
import type { LinkManagerName } from '../../src/network/state/link-managers.ts';
import { newPortFlags, newPortNumbers } from '../../src/network/state/port-options.ts';
import type {
  BridgeState,
  DesiredNetwork,
  DummyState,
  FoundGuard,
  FoundRules,
  LinkAddress,
  ObservedNetwork,
  RootPort,
  TapState,
  Treatment,
} from '../../src/network/state/state.ts';
import type { Step, StepOf } from '../../src/network/steps/steps.ts';
import { noOtherRules, type RulesByFirewall } from '../../src/other-firewalls/model.ts';

type FoundBackendRules = Omit<FoundRules, 'backend' | 'family'>;

const noGuard: FoundGuard = { present: false, loaded: null, drift: [], elements: noElements };

const noRules: FoundBackendRules = { loaded: null, present: false, drift: [], translations: [] };

/** The kernel's defaults for a new bridge. */
const newBridgeSysctls = { disable_ipv6: '0', accept_ra: '1', autoconf: '1' };

const families = ['ipv4', 'ipv6'] as const;

/** Executes steps on a simulated host. Throws for a step that the kernel would refuse. */
export class FakeKernel {
  link: BridgeState | null = null;
  dummy: DummyState | null = null;
  /** Addresses of the bridge whose route was deleted. */
  unrouted: readonly LinkAddress[] = [];
  taps = new Map<string, Omit<TapState, 'name'>>();
  rootPort: RootPort | null = null;
  renamedTo: string | null = null;
  bridgeVlans: ObservedNetwork['bridgeVlans'] = null;
  managerFiles = new Map<LinkManagerName, string>();
  sysctls = new Map<string, string>();
  /** The rules of IPv4. */
  rules: Record<BackendName, FoundBackendRules> = { nftables: noRules, iptables: noRules };
  ipv6Rules: Record<BackendName, FoundBackendRules> = { nftables: noRules, iptables: noRules };
  guard = noGuard;
  conf: string | null = null;
  pid: number | null = null;
  /** By path. */
  modes = new Map<string, number>();
  reservations: readonly string[] = [];
  names: readonly string[] = [];
  otherFirewallRules: RulesByFirewall = noOtherRules;
  /** The record of addresses that virlan has added or is about to add. */
  own: readonly LinkAddress[] = [];
  treatment: Treatment | null = null;

  constructor(readonly bridge: string) {}

  addBridge(state: BridgeState): void {
    this.link = state;
    for (const [key, value] of Object.entries(newBridgeSysctls)) this.sysctls.set(this.sysctl(key), value);
    // A hardened host: net.ipv4.conf.default.forwarding is 0.
    this.sysctls.set(this.forwarding, '0');
  }

  get forwarding(): string {
    return `net.ipv4.conf.${this.bridge.replaceAll('.', '/')}.forwarding`;
  }

  leftovers: ObservedNetwork['leftovers'] = [];

  sysctl(key: string): string {
    return `net.ipv6.conf.${this.bridge.replaceAll('.', '/')}.${key}`;
  }

  observe(desired: DesiredNetwork): ObservedNetwork {
    return {
      link: this.link,
      renamedTo: this.renamedTo,
      bridgeVlans: this.bridgeVlans,
      leftovers: this.leftovers,
      dummy: this.dummy,
      ownAddresses: (this.link?.addresses ?? []).filter(address =>
        this.own.some(other => isSameAddress(other, address)),
      ),
      unrouted: this.#findUnrouted(desired.link),
      taps: desired.taps.flatMap(({ name }) => {
        const found = this.taps.get(name);
        return found === undefined ? [] : [{ name, ...found }];
      }),
      tunnel: null,
      managerFiles: this.managerFiles,
      otherPorts: [],
      rootPort: this.rootPort,
      sysctls: new Map([...this.sysctls].filter(([key]) => desired.sysctls.has(key))),
      rules: (['nftables', 'iptables'] as const).flatMap(backend =>
        families.map(family => ({ backend, family, ...this.#rulesOf(family)[backend] })),
      ),
      treatment: this.treatment,
      guard: this.guard,
      dnsmasq: { conf: this.conf, pid: this.pid, isStopped: false, isUnbound: false, hasOtherLeases: false },
      modes: new Map([...this.modes].filter(([path]) => desired.modes.has(path))),
      published: { reservations: this.reservations, names: this.names },
    };
  }

  #rulesOf(family: Family): Record<BackendName, FoundBackendRules> {
    return family === 'ipv4' ? this.rules : this.ipv6Rules;
  }

  #findUnrouted(wanted: BridgeState | null): LinkAddress[] {
    const found = this.link;
    if (!found?.up || !wanted?.up) return [];
    const isIn = (list: readonly LinkAddress[], address: LinkAddress) =>
      list.some(other => isSameAddress(other, address));
    return wanted.addresses.filter(address => isIn(found.addresses, address) && isIn(this.unrouted, address));
  }

  /** Executes steps as virlan does: records the desired addresses as its own first. */
  establish(desired: DesiredNetwork, steps: readonly Step[]): void {
    this.own = [...this.own, ...(desired.link?.addresses ?? [])];
    this.treatment ??= desired.treatment;
    this.apply(steps);
  }

  apply(steps: readonly Step[]): void {
    for (const step of steps) this.#apply(step);
  }

  #apply(step: Step): void {
    switch (step.kind) {
      case 'add bridge':
        assert.equal(this.link, null, 'File exists');
        this.addBridge({ ...step.state, up: false, addresses: [] });
        return;
      case 'add entry': {
        const tap = this.taps.get(step.link);
        assert(tap?.master === this.bridge, 'Operation not supported');
        this.taps.set(step.link, { ...tap, entries: [...tap.entries, step.entry] });
        return;
      }
      case 'rename bridge':
        assert.equal(step.link, this.renamedTo, 'Cannot find device');
        this.renamedTo = null;
        return;
      case 'filter vlans':
        assert(this.link !== null, 'Cannot find device');
        this.bridgeVlans = { defaultVlan: step.defaultVlan, own: [] };
        return;
      case 'set vlans':
        this.#setVlans(step);
        return;
      case 'claim links':
        this.managerFiles.set(step.manager, step.to);
        return;
      case 'release links':
        this.managerFiles.delete(step.manager);
        return;
      case 'add dummy':
        assert.equal(this.dummy, null, 'File exists');
        this.dummy = { ...step.state, up: false, master: null };
        return;
      case 'remove link':
        assert(step.type !== 'vxlan', 'tunnels are tested in cluster.test.ts');
        this.#removeLink(step.type);
        return;
      case 'add tunnel':
      case 'set peers':
      case 'connect tunnel':
      case 'remove tunnel filter':
        assert.fail('tunnels are tested in cluster.test.ts');
        return;
      case 'set link':
        this.#setLink(step);
        return;
      case 'add address':
      case 'remove address':
        this.#changeAddress(step);
        return;
      case 'add route':
        assert(this.link?.up, 'Network is down');
        assert(
          this.link.addresses.some(other => isSameAddress(other, step.address)),
          'Invalid argument',
        );
        this.unrouted = this.unrouted.filter(lost => !isSameAddress(lost, step.address));
        return;
      case 'set sysctl':
        assert(this.sysctls.has(step.key), `${step.key}: No such file or directory`);
        this.sysctls.set(step.key, step.to);
        return;
      case 'write file':
      case 'remove file':
        assert.equal(step.path, dnsmasqPaths(this.bridge).conf);
        assert.equal(step.from, this.conf);
        assert.equal(this.pid, null, 'the configuration changed under a running dnsmasq');
        this.conf = step.kind === 'write file' ? step.to : null;
        return;
      case 'end connections':
        assert.deepEqual(step.from, this.treatment);
        this.treatment = step.to;
        return;
      case 'set mode':
        this.modes.set(step.path, step.to);
        return;
      case 'load rules':
        this.#rulesOf(step.family)[step.backend] = {
          loaded: step.script,
          present: true,
          drift: [],
          translations: [],
        };
        return;
      case 'remove leftovers':
        this.leftovers = [];
        return;
      case 'remove rules':
        this.#rulesOf(step.family)[step.backend] = noRules;
        return;
      case 'load guard': {
        const { table, belongings, taps } = step.guard;
        const elements = joinElements([belongings, ...taps.map(tap => tap.elements)]);
        this.guard = { present: true, loaded: table, drift: [], elements };
        return;
      }
      case 'change guard': {
        assert(this.guard.present, 'No such file or directory');
        const { missing, surplus } = step;
        assert.equal(countElements(elementsWithout(surplus, this.guard.elements)), 0, 'no such element');
        const left = elementsWithout(this.guard.elements, surplus);
        this.guard = { ...this.guard, elements: joinElements([left, missing]) };
        return;
      }
      case 'remove guard':
        this.guard = noGuard;
        return;
      case 'change forwards': {
        const found = this.rules[step.backend];
        assert(found.present, 'No such file or directory');
        this.rules[step.backend] = { ...found, translations: step.all };
        return;
      }
      case 'allow in':
      case 'withdraw from': {
        const { firewall } = step;
        const texts = step.rules.map(rule => JSON.stringify(rule));
        const before = this.otherFirewallRules[firewall];
        const others = before.filter(rule => !texts.includes(JSON.stringify(rule)));
        const isAllowed = step.kind === 'allow in';
        const exists = others.length < before.length;
        assert.notEqual(exists, isAllowed, isAllowed ? 'the rule exists' : 'the rule does not exist');
        // A reload of ufw is not a rule.
        const added = isAllowed ? step.rules.filter(rule => rule.kind !== 'reload') : [];
        this.otherFirewallRules = { ...this.otherFirewallRules, [firewall]: [...others, ...added] };
        return;
      }
      case 'write reservations':
        this.reservations = [
          ...this.reservations.filter(line => !step.stale.includes(line)),
          ...step.missing,
        ];
        return;
      case 'write names':
        this.names = [...this.names.filter(line => !step.stale.includes(line)), ...step.missing];
        return;
      case 'start dnsmasq':
        assert.equal(this.pid, null, 'Address already in use');
        assert.notEqual(this.conf, null, 'cannot read the configuration');
        this.pid = 4711;
        return;
      case 'stop dnsmasq':
        assert.equal(step.pid, this.pid, 'No such process');
        this.pid = null;
    }
  }

  #removeLink(type: 'bridge' | 'dummy'): void {
    assert.notEqual(type === 'bridge' ? this.link : this.dummy, null, 'Cannot find device');
    if (type === 'dummy') {
      this.dummy = null;
      return;
    }
    this.link = null;
    this.unrouted = [];
    this.sysctls.clear();
    if (this.dummy?.master === this.bridge) this.dummy = { ...this.dummy, master: null };
    this.rootPort = null;
    for (const [tap, state] of this.taps)
      if (state.master === this.bridge) this.taps.set(tap, { ...state, master: null });
  }

  #setVlans({ link, vlans }: StepOf<'set vlans'>): void {
    const tap = this.taps.get(link);
    if (tap === undefined) {
      assert(link === this.bridge && this.bridgeVlans !== null, 'Operation not supported');
      this.bridgeVlans = { ...this.bridgeVlans, own: vlans };
    } else {
      assert.equal(tap.master, this.bridge, 'Operation not supported');
      this.taps.set(link, { ...tap, vlans });
    }
  }

  #setLink(step: StepOf<'set link'>): void {
    const { link } = step;
    const tap = this.taps.get(link);
    if (tap !== undefined) {
      this.#setTap(tap, step);
    } else if (step.attribute === 'bridge') {
      if (step.to === this.bridge) assert(this.link, 'Cannot find device');
      assert(this.dummy && link !== this.bridge, 'Cannot find device');
      // If the plan has removed its bridge, the dummy is in none.
      if (this.link !== null) assert.equal(step.from, this.dummy.master);
      this.dummy = { ...this.dummy, master: step.to };
    } else if (link !== this.bridge) {
      assert(this.dummy, 'Cannot find device');
      this.dummy = { ...this.dummy, ...changeDummy(step) };
    } else {
      assert(this.link, 'Cannot find device');
      // The kernel removes routes when a link goes down, and adds them when it comes up.
      if (step.attribute === 'state') this.unrouted = [];
      this.link = { ...this.link, ...changeBridge(this.link, step) };
    }
  }

  #setTap(tap: Omit<TapState, 'name'>, step: StepOf<'set link'>): void {
    const { link } = step;
    switch (step.attribute) {
      case 'mtu':
        this.taps.set(link, { ...tap, mtu: step.to });
        return;
      case 'state':
        this.taps.set(link, { ...tap, up: step.to === 'up' });
        // A port that goes down forgets the root.
        if (this.rootPort?.name === link && (this.rootPort.groupForwardMask & 1) === 1) this.rootPort = null;
        return;
      case 'bridge':
        assert(this.link, 'Cannot find device');
        this.taps.set(link, { ...tap, master: step.to, options: {}, entries: [], groupForwardMask: 0 });
        return;
      case 'group_fwd_mask':
        this.taps.set(link, { ...tap, groupForwardMask: step.to });
        if (this.rootPort?.name === link) this.rootPort = { name: link, groupForwardMask: step.to };
        return;
      case 'mac':
      case 'stp':
      case 'priority':
      case 'forward delay':
        assert.fail(`${step.attribute} of a tap`);
        return;
      case 'isolated':
      case 'hairpin':
      case 'learning':
      case 'flood':
      case 'mcast_flood':
      case 'bcast_flood':
      case 'mcast_to_unicast':
      case 'neigh_suppress':
      case 'neigh_vlan_suppress':
      case 'vlan_tunnel':
      case 'proxy_arp':
      case 'proxy_arp_wifi':
      case 'fastleave':
      case 'cost':
      case 'port priority':
      case 'mcast_router':
      case 'locked':
      case 'mab':
      case 'root_block':
      case 'guard': {
        assert.equal(tap.master, this.bridge, 'not a port of the bridge');
        const ofNewPort = { ...newPortFlags, ...newPortNumbers };
        assert.equal({ ...ofNewPort, ...tap.options }[step.attribute], step.from);
        const others = Object.entries(tap.options).filter(([name]) => name !== step.attribute);
        const own = step.to === ofNewPort[step.attribute] ? [] : [[step.attribute, step.to]];
        this.taps.set(link, { ...tap, options: Object.fromEntries([...others, ...own]) });
      }
    }
  }

  #changeAddress({ kind, address }: StepOf<'add address' | 'remove address'>): void {
    assert(this.link, 'Cannot find device');
    const others = this.link.addresses.filter(other => !isSameAddress(other, address));
    const exists = others.length < this.link.addresses.length;
    if (kind === 'remove address') assert(exists, 'Cannot assign requested address');
    // inet_rtm_newaddr() changes only the lifetimes of an existing address.
    if (kind === 'add address' && exists) return;
    this.unrouted = this.unrouted.filter(lost => !isSameAddress(lost, address));
    this.link = { ...this.link, addresses: kind === 'add address' ? [...others, address] : others };
  }
}

function changeDummy(step: StepOf<'set link'>): Partial<DummyState> {
  if (step.attribute === 'mac') return { mac: step.to };
  if (step.attribute === 'mtu') return { mtu: step.to };
  if (step.attribute === 'state') return { up: step.to === 'up' };
  assert.fail(step.attribute);
}

function changeBridge(link: BridgeState, step: StepOf<'set link'>): Partial<BridgeState> {
  switch (step.attribute) {
    case 'mac':
      return { mac: step.to };
    case 'mtu':
      return { mtu: step.to };
    case 'state':
      return { up: step.to === 'up' };
    case 'stp':
      // br_stp_start() raises a delay that is too short for STP.
      return {
        stp: step.to,
        forwardDelay: step.to ? Math.max(link.forwardDelay ?? 200, 200) : link.forwardDelay,
      };
    case 'forward delay':
      // br_set_forward_delay() accepts 2 to 30 s while STP is on, in hundredths of a second.
      assert(!link.stp || (step.to >= 200 && step.to <= 3000), 'Numerical result out of range');
      return { forwardDelay: step.to };
    case 'priority':
      return { priority: step.to };
    case 'arp':
      return { arp: step.to };
    case 'bridge':
      return assert.fail('a bridge in a bridge: Too many levels of symbolic links');
    case 'group_fwd_mask':
    case 'isolated':
    case 'hairpin':
    case 'learning':
    case 'flood':
    case 'mcast_flood':
    case 'bcast_flood':
    case 'mcast_to_unicast':
    case 'neigh_suppress':
    case 'neigh_vlan_suppress':
    case 'vlan_tunnel':
    case 'proxy_arp':
    case 'proxy_arp_wifi':
    case 'fastleave':
    case 'cost':
    case 'port priority':
    case 'mcast_router':
    case 'locked':
    case 'mab':
    case 'root_block':
    case 'guard':
      return assert.fail(`${step.attribute} of a bridge`);
  }
}

function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.ip === b.ip && a.prefixLength === b.prefixLength;
}
