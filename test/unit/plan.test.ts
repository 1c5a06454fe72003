// plan.test.ts: tests which steps change an observed host into the desired one, and their order.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatPrefix } from '../../src/address/ip.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import type { BackendName, Lacking } from '../../src/firewall/backend.ts';
import { usableFamilies } from '../../src/firewall/backends.ts';
import { translationText } from '../../src/firewall/translation.ts';
import {
  absentNetwork,
  asDesired,
  desiredHost,
  desiredNetwork as desiredWithBackend,
  type HostFacts,
} from '../../src/network/desired.ts';
import { blocksOfMachines } from '../../src/network/executors/connections.ts';
import { planHost, planNetwork } from '../../src/network/plan.ts';
import { linkManagers, managerFile } from '../../src/network/state/link-managers.ts';
import { dummyName } from '../../src/network/state/link-names.ts';
import type {
  BridgeState,
  DesiredNetwork,
  LinkAddress,
  ObservedNetwork,
  TapState,
} from '../../src/network/state/state.ts';
import { planOtherFirewalls } from '../../src/network/steps/rule-steps.ts';
import type { Step } from '../../src/network/steps/steps.ts';
import { noOtherRules, type OtherFirewallsReading, type RuleOf } from '../../src/other-firewalls/model.ts';
import { wantedRules } from '../../src/other-firewalls/registry.ts';
import { config, ip, mac, network, noFirewalls, rulesetOf } from './builders.ts';
import { FakeKernel } from './fake-kernel.ts';

const plans = suite('plan');

function tapOf(name: string): HostFacts['taps'][number] {
  return { name, up: true, mtu: null, isolated: false, hairpin: 'leave' };
}

/** A tap as libvirt makes it. */
const newTap: Omit<TapState, 'name'> = {
  up: true,
  mtu: 1500,
  master: null,
  options: {},
  entries: [],
  vlans: null,
  groupForwardMask: 0,
};

const facts: HostFacts = {
  machineId: '4c5e4ab2a2f84b5b8a5f0c6f0e9d1b7a',
  backends: ['nftables', 'iptables'],
  lacking: [],
  hasDummy: true,
  linkManagers: ['NetworkManager', 'systemd-networkd'],
  families: { nftables: ['ipv4', 'ipv6'], iptables: ['ipv4', 'ipv6'] },
  keepsIpv6Off: true,
  defaultLinks: [],
  networksBehind: [],
  underlayMtu: null,
  taps: [tapOf('vnet0')],
  wanted: { reservations: ['a # virlan', 'b # virlan'], names: ['a', 'b'], wildcards: [], boots: [] },
  machineLines: [],
  recordLines: [],
  translations: [],
  routesLoopback: false,
  user: 'dnsmasq',
  extras: null,
  canWatchResolvConf: true,
};

/** Returns the desired network without the backend. */
function desiredNetwork(config: NetworkConfig, host: HostFacts): DesiredNetwork {
  return desiredWithBackend(config, host).network;
}

const lan = network();
const own: LinkAddress = { ip: lan.gateway, prefixLength: 24, broadcast: ip('192.168.100.255') };
const stale: LinkAddress = { ip: ip('192.168.50.1'), prefixLength: 24, broadcast: ip('192.168.50.255') };
const foreign: LinkAddress = { ip: ip('10.9.9.1'), prefixLength: 8, broadcast: null };

const besideDocker: OtherFirewallsReading = {
  ...noFirewalls,
  chains: [{ family: 'ip', table: 'filter', name: 'DOCKER-USER', hook: null, policy: null }],
};
const besideUfw: OtherFirewallsReading = { ...noFirewalls, ufw: { enabled: true, rules: '' } };

function anyTap(name: string): fc.Arbitrary<HostFacts['taps'][number]> {
  return fc.record({
    name: fc.constant(name),
    up: fc.boolean(),
    mtu: fc.constantFrom(null, 1400),
    isolated: fc.boolean(),
    hairpin: fc.constantFrom('on', 'off', 'leave'),
  });
}

const vlan10 = { vid: 10, isPvid: true, isUntagged: true };

function foundTap(bridge: string): fc.Arbitrary<Omit<TapState, 'name'>> {
  return fc.record({
    up: fc.boolean(),
    mtu: fc.constantFrom(1500, 1400),
    master: fc.constantFrom(null, bridge),
    options: fc.constantFrom<TapState['options'][]>(
      {},
      { isolated: true },
      { hairpin: true, learning: false },
      { learning: false, cost: 77, mcast_router: 2 },
    ),
    entries: fc.constantFrom<TapState['entries'][]>([], [{ mac: mac(5), isSticky: true }]),
    vlans: fc.constantFrom<TapState['vlans'][]>(null, [vlan10]),
    groupForwardMask: fc.constantFrom(0, 1),
  });
}

/** Any network that can be configured, on any host. */
const anyDesired: fc.Arbitrary<DesiredNetwork> = fc
  .record({
    stp: fc.constantFrom('yes', 'no'),
    mtu: fc.constantFrom(1500, 9000),
    backends: fc.constantFrom<HostFacts['backends'][]>(['nftables'], ['iptables'], ['nftables', 'iptables']),
    lacking: fc.subarray<Lacking>(['nftables', 'iptables', 'checksum']),
    hasDummy: fc.boolean(),
    keepsIpv6Off: fc.boolean(),
    taps: fc.subarray(['vnet0', 'vnet1']).chain(names => fc.tuple(...names.map(anyTap))),
    wanted: fc.option(
      fc.record({
        reservations: fc.subarray(['a # virlan', 'b # virlan']),
        names: fc.subarray(['a', 'b']),
        wildcards: fc.constant([]),
        boots: fc.constant([]),
      }),
    ),
  })
  .map(({ stp, mtu, ...host }) =>
    desiredNetwork(network(`stp = ${stp}`, `mtu = ${mtu}`), { ...facts, ...host }),
  );

const foundBridge: fc.Arbitrary<BridgeState> = fc
  .record(
    {
      mac: fc.constantFrom(mac(1), mac(2)),
      mtu: fc.constantFrom(1500, 1400),
      stp: fc.boolean(),
      priority: fc.constantFrom(0, 32_768),
      forwardDelay: fc.constantFrom(0, 200, 1500),
      up: fc.boolean(),
      arp: fc.boolean(),
      addresses: fc
        .subarray([own, { ...own, broadcast: null }, stale, foreign])
        .map(addresses =>
          addresses.filter(({ ip: at }, index) => addresses.findIndex(other => other.ip === at) === index),
        ),
    },
    { noNullPrototype: true },
  )
  .map(link => (link.stp && link.forwardDelay === 0 ? { ...link, forwardDelay: 200 } : link));

function foundRules(script: string) {
  return fc.constantFrom<FakeKernel['rules']['nftables'][]>(
    { loaded: null, present: false, drift: [], translations: [] },
    { loaded: script, present: false, drift: [], translations: [] },
    { loaded: script, present: true, drift: [], translations: [] },
    { loaded: script, present: true, drift: [{ kind: 'missing', rule: 'rule' }], translations: [] },
    { loaded: 'older', present: true, drift: [], translations: [] },
  );
}

/** Returns the desired script of a backend; null without one. */
function scriptOf({ rules }: DesiredNetwork, backend: BackendName): string | null {
  return rules.find(each => each.backend === backend)?.script ?? null;
}

/** Returns arbitrary hosts, changed by other programs or an older virlan. */
function anyKernel(desired: DesiredNetwork): fc.Arbitrary<FakeKernel> {
  return fc
    .record({
      link: fc.option(foundBridge),
      dummy: fc.option(
        fc.record({
          mac: fc.constantFrom(mac(3), mac(4)),
          mtu: fc.constantFrom(1500, 1400),
          up: fc.boolean(),
          master: fc.constantFrom(null, desired.bridge, 'br-other'),
        }),
      ),
      taps: fc.dictionary(fc.constantFrom('vnet0', 'vnet1'), foundTap(desired.bridge)),
      hasGuestRoot: fc.boolean(),
      groupForwardMask: fc.constantFrom(0, 1, 16),
      disableIpv6: fc.constantFrom('0', '1'),
      nftables: foundRules(scriptOf(desired, 'nftables') ?? 'nft'),
      iptables: foundRules(scriptOf(desired, 'iptables') ?? 'ipt'),
      conf: fc.constantFrom(null, 'older', desired.dnsmasq.conf),
      runs: fc.boolean(),
      reservations: fc.subarray(['a # virlan', 'c # virlan']),
      names: fc.subarray(['a', 'c']),
      own: fc.constantFrom([], [own], [own, stale]),
      unrouted: fc.subarray([own]),
    })
    .map(found => {
      const kernel = new FakeKernel(desired.bridge);
      if (found.link !== null) kernel.addBridge(found.link);
      if (found.link !== null) kernel.sysctls.set(kernel.sysctl('disable_ipv6'), found.disableIpv6);
      const isIn = (master: string | null) =>
        found.link === null && master === desired.bridge ? null : master;
      kernel.dummy =
        found.dummy === null || desired.dummy.state === null
          ? null
          : { ...found.dummy, master: isIn(found.dummy.master) };
      kernel.taps = new Map(
        Object.entries(found.taps).map(([tap, state]) => [tap, { ...state, master: isIn(state.master) }]),
      );
      const [first] = [...kernel.taps].flatMap(([name, { master }]) => (master === null ? [] : [name]));
      if (found.hasGuestRoot && found.link?.stp === true && first !== undefined) {
        kernel.rootPort = { name: first, groupForwardMask: found.groupForwardMask };
      }
      kernel.rules = { nftables: found.nftables, iptables: found.iptables };
      kernel.conf = found.conf;
      kernel.pid = found.runs && found.conf !== null ? 4000 : null;
      kernel.reservations = found.reservations;
      kernel.names = found.names;
      kernel.own = found.own;
      kernel.unrouted = found.unrouted;
      return kernel;
    });
}

const anyCase = anyDesired.chain(desired =>
  fc.record({ desired: fc.constant(desired), kernel: anyKernel(desired) }),
);

function plan(desired: DesiredNetwork, kernel: FakeKernel): Step[] {
  return planNetwork(desired, kernel.observe(desired));
}

plans('a deleted route is added again, and nothing else changes', () => {
  const kernel = new FakeKernel(lan.bridge);
  const desired = desiredNetwork(lan, { ...facts, taps: [] });
  kernel.establish(desired, plan(desired, kernel));
  kernel.unrouted = [own];
  assert.deepEqual(plan(desired, kernel), [{ kind: 'add route', link: lan.bridge, address: own }]);
});

plans('after a plan is executed, the next plan is empty', () => {
  fc.assert(
    fc.property(anyCase, ({ desired, kernel }) => {
      const { link, ownAddresses } = kernel.observe(desired);
      const otherAddresses =
        link?.addresses.filter(address => !ownAddresses.includes(address) && address.ip !== own.ip) ?? [];
      kernel.establish(desired, plan(desired, kernel));
      assert.deepEqual(plan(desired, kernel), []);
      const expected = [own.ip, ...otherAddresses.map(address => address.ip)];
      assert.deepEqual(
        kernel.link?.addresses.map(address => address.ip).sort(),
        expected.sort(),
        'addresses that are not virlan’s are kept',
      );
      assert.notEqual(kernel.pid, null);
    }),
    { numRuns: 1000 },
  );
});

plans('taking a network down removes all of it', () => {
  fc.assert(
    fc.property(anyCase, ({ desired, kernel }) => {
      const absent = absentNetwork(desired.name, desired.bridge);
      kernel.apply(plan(absent, kernel));
      assert.deepEqual(plan(absent, kernel), []);
      const { link, dummy, conf, pid, rules } = kernel;
      assert.deepEqual(
        [link, dummy, conf, pid, rules.nftables.present, rules.iptables.present],
        [null, null, null, null, false, false],
      );
    }),
  );
});

/**
 * Returns the state that a rollback restores. It moves no taps, and leaves the hostsfile as the ledger has
 * it.
 */
function restoredState({ link, dummy, sysctls, rules, dnsmasq }: ObservedNetwork) {
  const addresses = [...(link?.addresses ?? [])].sort((a, b) => Number(a.ip) - Number(b.ip));
  const scripts = rules.map(({ loaded, present }) => (present ? loaded : null));
  return {
    link: link && { ...link, addresses },
    dummy,
    sysctls: new Map([...sysctls].sort()),
    scripts,
    dnsmasq: { ...dnsmasq, pid: dnsmasq.pid !== null },
  };
}

plans('a plan that fails after any step can be rolled back to the initial state', () => {
  fc.assert(
    fc.property(anyCase, fc.nat(), ({ desired, kernel }, place) => {
      const before = kernel.observe(desired);
      const steps = planNetwork(desired, before);
      kernel.establish(desired, steps.slice(0, place % (steps.length + 1)));
      const back = asDesired(desired, before);
      kernel.apply(plan(back, kernel));
      assert.deepEqual(restoredState(kernel.observe(desired)), restoredState(before));
      assert.deepEqual(plan(back, kernel), []);
    }),
    { numRuns: 1000 },
  );
});

const linkStepKinds: ReadonlySet<Step['kind']> = new Set([
  'add bridge',
  'add dummy',
  'remove link',
  'set link',
  'add address',
  'remove address',
  'add route',
]);

function isLinkStep({ kind }: Step): boolean {
  return linkStepKinds.has(kind);
}

function positions(steps: readonly Step[], isWanted: (step: Step) => boolean) {
  return {
    first: steps.findIndex(isWanted),
    last: steps.findLastIndex(isWanted),
  };
}

plans('rules are loaded before the links exist, and removed after them', () => {
  fc.assert(
    fc.property(anyCase, ({ desired, kernel }) => {
      const up = plan(desired, kernel);
      const links = positions(up, isLinkStep);
      if (links.first !== -1) {
        // Beside nftables, iptables only fills in checksums.
        const filter = desired.rules.find(({ role }) => role === 'primary')?.backend;
        assert(
          positions(up, step => step.kind === 'load rules' && step.backend === filter).last < links.first,
        );
        const removal = positions(up, step => step.kind === 'remove rules');
        assert(removal.first === -1 || removal.first > links.last);
      }
      kernel.establish(desired, up);
      const down = plan(absentNetwork(desired.name, desired.bridge), kernel);
      const removal = positions(down, step => step.kind === 'remove rules');
      assert(removal.first > positions(down, isLinkStep).last);
      assert(down.some(isLinkStep));
    }),
  );
});

plans('STP is off while taps are added to the bridge', () => {
  fc.assert(
    fc.property(anyCase, ({ desired, kernel }) => {
      const steps = plan(desired, kernel);
      const ports = positions(
        steps,
        step =>
          step.kind === 'set link' &&
          step.attribute === 'bridge' &&
          desired.taps.some(({ name }) => name === step.link),
      );
      if (ports.first === -1) return;
      let stp = kernel.link?.stp ?? false;
      for (const step of steps.slice(0, ports.last)) {
        if (step.kind === 'add bridge') stp = step.state.stp;
        if (step.kind === 'set link' && step.attribute === 'stp') stp = step.to;
      }
      assert.equal(stp, false);
    }),
  );
});

plans('on an empty host, all steps are planned in this order', () => {
  const desired = desiredNetwork(lan, facts);
  const kernel = new FakeKernel(desired.bridge);
  kernel.taps.set('vnet0', newTap);
  const steps = plan(desired, kernel).map(step => step.kind);
  assert.deepEqual(steps, [
    'claim links',
    'claim links',
    'load rules',
    'load rules',
    'add bridge',
    'add address',
    'set link',
    'add dummy',
    'set link',
    'set link',
    'set link',
    'set link',
    'set sysctl',
    'set sysctl',
    'set sysctl',
    'set sysctl',
    'write reservations',
    'write names',
    'write file',
    'start dnsmasq',
    'load rules',
  ]);
});

function valueText(value: string | number | boolean | null): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value ?? '');
}

/** Returns a step as a short text, so that a plan is one line of a table. */
function stepText(step: Step): string {
  switch (step.kind) {
    case 'set link':
      return `${step.link}: ${step.attribute} ${valueText(step.from)} → ${valueText(step.to)}`;
    case 'add entry':
      return `${step.link}: entry ${step.entry.mac}`;
    case 'rename bridge':
      return `${step.link} → ${step.to}`;
    case 'filter vlans':
      return `${step.link}: VLANs apart, ${step.defaultVlan}`;
    case 'set vlans':
      return `${step.link}: VLANs ${step.vlans.map(({ vid }) => vid)}`;
    case 'add address':
    case 'remove address':
      return `${step.kind} ${step.address.broadcast === null ? 'without broadcast' : step.address.prefixLength}`;
    case 'set sysctl':
      return `${step.key.split('.').at(-1)} ${step.from} → ${step.to}`;
    case 'load rules':
    case 'remove rules':
      return `${step.kind} ${step.backend}${step.family === 'ipv6' ? ' IPv6' : ''}`;
    case 'end connections':
      return `${step.kind} ${step.from.subnet}`;
    case 'claim links':
    case 'release links':
      return `${step.kind} from ${step.manager}`;
    case 'remove leftovers':
      return `${step.kind} ${step.flavour}`;
    case 'change forwards':
      return `forwards +${step.missing.map(translationText)} -${step.stale.map(translationText)}`;
    case 'set mode':
      return `${step.path} ${step.from.toString(8)} → ${step.to.toString(8)}`;
    case 'write reservations':
      return `reservations +${step.missing} -${step.stale}`;
    case 'write names':
      return `names +${step.missing} -${step.stale}`;
    case 'add bridge':
    case 'add dummy':
    case 'remove link':
    case 'add tunnel':
    case 'set peers':
    case 'connect tunnel':
    case 'remove tunnel filter':
    case 'configure bgp':
    case 'withdraw bgp':
    case 'add route':
    case 'write file':
    case 'remove file':
    case 'load guard':
    case 'change guard':
    case 'remove guard':
    case 'tell resolved':
    case 'revert resolved':
    case 'tell NetworkManager':
    case 'forget NetworkManager':
    case 'allow in':
    case 'withdraw from':
    case 'start dnsmasq':
    case 'stop dnsmasq':
      return step.kind;
  }
}

plans('each difference is planned as exactly the steps that repair it', () => {
  const link = (changes: Partial<BridgeState>) => (kernel: FakeKernel) => {
    assert(kernel.link);
    kernel.link = { ...kernel.link, ...changes };
  };
  const dummy = (changes: Partial<NonNullable<FakeKernel['dummy']>>) => (kernel: FakeKernel) => {
    assert(kernel.dummy);
    kernel.dummy = { ...kernel.dummy, ...changes };
  };
  const tap = (changes: Partial<TapState>) => (kernel: FakeKernel) =>
    void kernel.taps.set('vnet0', { ...newTap, master: lan.bridge, ...changes });
  const rules = (backend: 'nftables' | 'iptables', changes: object) => (kernel: FakeKernel) => {
    kernel.rules[backend] = { ...kernel.rules[backend], ...changes };
  };
  const { mac: bridgeMac } = desiredNetwork(lan, facts).link ?? {};
  const { mac: dummyMac } = desiredNetwork(lan, facts).dummy.state ?? {};
  const cases: [change: (kernel: FakeKernel) => unknown, ...steps: string[]][] = [
    [() => {}],
    [link({ mac: mac(9) }), `k8s-br0: mac ${mac(9)} → ${bridgeMac}`],
    [link({ mtu: 1400 }), 'k8s-br0: mtu 1400 → 1500'],
    [link({ stp: false }), 'k8s-br0: stp off → on'],
    [link({ forwardDelay: 1500 }), 'k8s-br0: forward delay 1500 → 200'],
    [link({ stp: false, forwardDelay: 0 }), 'k8s-br0: forward delay 0 → 200', 'k8s-br0: stp off → on'],
    [link({ up: false }), 'k8s-br0: state down → up'],
    [link({ addresses: [] }), 'add address 24'],
    [link({ addresses: [own, foreign] })],
    [link({ addresses: [own, stale] }), 'remove address 24'],
    [
      link({ addresses: [{ ...own, broadcast: null }] }),
      'remove address without broadcast',
      'add address 24',
    ],
    [dummy({ mac: mac(9) }), `k8s-br0-nic: mac ${mac(9)} → ${dummyMac}`],
    [dummy({ up: false }), 'k8s-br0-nic: state down → up'],
    [dummy({ master: null }), 'k8s-br0-nic: bridge  → k8s-br0'],
    [dummy({ master: 'docker0' }), 'k8s-br0-nic: bridge docker0 → k8s-br0'],
    [
      kernel => {
        kernel.dummy = null;
      },
      'add dummy',
      'k8s-br0-nic: bridge  → k8s-br0',
      'k8s-br0-nic: state down → up',
    ],
    [dummy({ mtu: 1400 }), 'k8s-br0-nic: mtu 1400 → 1500'],
    [link({ priority: 32_768 }), 'k8s-br0: priority 32768 → 0'],
    [
      kernel => kernel.taps.set('vnet0', newTap),
      'k8s-br0: stp on → off',
      'vnet0: bridge  → k8s-br0',
      'k8s-br0: stp off → on',
    ],
    [
      kernel => kernel.taps.set('vnet0', { ...newTap, options: { hairpin: true, learning: false } }),
      'k8s-br0: stp on → off',
      'vnet0: bridge  → k8s-br0',
      'vnet0: hairpin off → on',
      'vnet0: learning on → off',
      'k8s-br0: stp off → on',
    ],
    [kernel => kernel.taps.set('vnet9', newTap)],
    [kernel => kernel.taps.set('vnet0', { ...newTap, up: false, mtu: 1400, master: 'br-other' })],
    [tap({})],
    [tap({ options: { hairpin: true, isolated: true } })],
    [tap({ mtu: 1400 }), 'vnet0: mtu 1400 → 1500'],
    [tap({ up: false }), 'k8s-br0: stp on → off', 'vnet0: state down → up', 'k8s-br0: stp off → on'],
    [
      kernel => {
        tap({})(kernel);
        kernel.rootPort = { name: 'vnet0', groupForwardMask: 16 };
      },
      'k8s-br0: stp on → off',
      'vnet0: group_fwd_mask 16 → 17',
      'vnet0: state up → down',
      'vnet0: state down → up',
      'k8s-br0: stp off → on',
    ],
    [kernel => kernel.managerFiles.delete('NetworkManager'), 'claim links from NetworkManager'],
    [kernel => kernel.managerFiles.set('systemd-networkd', 'older'), 'claim links from systemd-networkd'],
    [link({ forwardDelay: null })],
    [kernel => kernel.sysctls.set(kernel.sysctl('accept_ra'), '1'), 'accept_ra 1 → 0'],
    [kernel => kernel.sysctls.delete(kernel.sysctl('accept_ra')), 'accept_ra null → 0'],
    [kernel => kernel.sysctls.set(kernel.forwarding, '0'), 'forwarding 0 → 1'],
    [rules('nftables', { present: false }), 'load rules nftables'],
    [rules('nftables', { drift: [{ kind: 'added', rule: 'rule' }] }), 'load rules nftables'],
    [rules('nftables', { loaded: 'older' }), 'load rules nftables'],
    [rules('nftables', { loaded: null }), 'load rules nftables'],
    [rules('iptables', { present: false }), 'load rules iptables'],
    [
      kernel => {
        kernel.ipv6Rules.nftables = { loaded: null, present: false, drift: [], translations: [] };
      },
      'load rules nftables IPv6',
    ],
    [
      kernel => {
        kernel.pid = null;
      },
      'start dnsmasq',
    ],
    [
      kernel => {
        kernel.conf = 'older';
      },
      'stop dnsmasq',
      'write file',
      'start dnsmasq',
    ],
    [
      kernel => {
        kernel.conf = null;
      },
      'stop dnsmasq',
      'write file',
      'start dnsmasq',
    ],
    [
      kernel => {
        kernel.modes = new Map([
          ['/var/lib/dnsmasq', 0o2755],
          ['/var/lib/dnsmasq/k8s-br0', 0o700],
          ['/var/lib/dnsmasq/k8s-br0/hostsfile', 0o640],
          ['/run/dnsmasq', 0o1777],
        ]);
      },
      '/var/lib/dnsmasq/k8s-br0 700 → 755',
      '/var/lib/dnsmasq/k8s-br0/hostsfile 640 → 644',
      '/run/dnsmasq 1777 → 1755',
    ],
    [
      kernel => {
        kernel.reservations = ['a # virlan', 'c # virlan'];
      },
      'reservations +b # virlan -c # virlan',
    ],
    [
      kernel => {
        kernel.reservations = ['a # virlan', 'b # virlan', 'c # virlan'];
      },
      'reservations + -c # virlan',
    ],
    [
      kernel => {
        kernel.reservations = ['b # virlan', 'a # virlan'];
        kernel.names = ['b', 'a'];
      },
    ],
    [
      kernel => {
        kernel.names = ['c', 'a'];
      },
      'names +b -c',
    ],
  ];
  const desired = desiredNetwork(lan, facts);
  for (const [change, ...expected] of cases) {
    const kernel = new FakeKernel(desired.bridge);
    kernel.own = [stale];
    kernel.establish(desired, plan(desired, kernel));
    change(kernel);
    assert.deepEqual(plan(desired, kernel).map(stepText), expected, String(change));
  }
});

plans('a port reflects frames where it has to, and where virlan made it do so only as long', () => {
  const planned = (hairpin: 'on' | 'off' | 'leave', options: TapState['options']) => {
    const described = { name: 'vnet0', up: true, mtu: null, isolated: false, hairpin };
    const desired = desiredNetwork(lan, { ...facts, taps: [described] });
    const kernel = new FakeKernel(desired.bridge);
    kernel.establish(desired, plan(desired, kernel));
    kernel.taps.set('vnet0', { ...newTap, master: desired.bridge, options });
    return plan(desired, kernel).map(stepText);
  };
  assert.deepEqual(planned('on', {}), ['vnet0: hairpin off → on']);
  assert.deepEqual(planned('off', { hairpin: true }), ['vnet0: hairpin on → off']);
  for (const hairpin of ['off', 'leave'] as const) assert.deepEqual(planned(hairpin, {}), []);
  assert.deepEqual(planned('leave', { hairpin: true }), []);
});

plans('the file of a manager of links names taps once, in one order, and no name that is a pattern', () => {
  const names = (taps: readonly string[]) =>
    /^Name=(.*)$/m.exec(managerFile('systemd-networkd', 'br0', ['br0-nic'], taps))?.[1];
  const odd = ['web*', '[a-z]', 'w?b', 'a b', 'a\\b', '!a', 'a;b', 'a,b', '~a', 'a\nb', '"a"', ''];
  const own = 'br0 br0-nic virlan-probe vnet*';
  assert.equal(names(['web.1-tap', 'vnet7', 'db_tap', 'web.1-tap', ...odd]), `${own} db_tap web.1-tap`);
  assert.equal(names(['db_tap', 'web.1-tap']), names(['web.1-tap', 'db_tap']));
  const text = managerFile('NetworkManager', 'br0', [], ['db_tap', 'web*', 'a;b']);
  assert.match(text, /interface-name:vnet\*;interface-name:=db_tap\n/);
  assert.doesNotMatch(text, /web|a;b/);
});

plans('of all links, a manager names those that it manages', () => {
  const { NetworkManager: nm, 'systemd-networkd': networkd } = linkManagers;
  assert.deepEqual(nm.managed('eth0\nyes\n\nk8s-br0\nno\n\nlo\nno'), ['eth0']);
  const link = (name: string, state: string) => ({ Name: name, AdministrativeState: state });
  const links = [link('eth0', 'configured'), link('k8s-br0', 'unmanaged'), link('vnet0', 'configuring')];
  assert.deepEqual(networkd.managed(JSON.stringify({ Interfaces: links })), ['eth0', 'vnet0']);
  for (const { managed } of [nm, networkd])
    for (const shown of ['', 'IDX LINK TYPE']) assert.deepEqual(managed(shown), []);
});

plans('a port that returns gets its options and entries back; one in another bridge is left there', () => {
  const desired = desiredNetwork(lan, { ...facts, taps: [tapOf('vnet0')] });
  const kernel = new FakeKernel(desired.bridge);
  kernel.establish(desired, plan(desired, kernel));
  const options = { mcast_router: 2, bcast_flood: false, cost: 77 };
  const entries = [{ mac: mac(5), isSticky: true }];
  kernel.taps.set('vnet0', { ...newTap, options, entries });
  assert.deepEqual(plan(desired, kernel).map(stepText), [
    'k8s-br0: stp on → off',
    'vnet0: bridge  → k8s-br0',
    'vnet0: bcast_flood on → off',
    'vnet0: cost 100 → 77',
    'vnet0: mcast_router 1 → 2',
    `vnet0: entry ${mac(5)}`,
    'k8s-br0: stp off → on',
  ]);
  kernel.taps.set('vnet0', { ...newTap, options, entries, master: 'br9' });
  assert.deepEqual(plan(desired, kernel), []);
});

plans('a bridge that somebody has renamed gets its name back, and is not made again', () => {
  const desired = desiredNetwork(lan, facts);
  const kernel = new FakeKernel(desired.bridge);
  kernel.establish(desired, plan(desired, kernel));
  kernel.renamedTo = 'odd';
  const steps = plan(desired, kernel);
  assert.deepEqual(steps.map(stepText), ['odd → k8s-br0']);
  kernel.establish(desired, steps);
  assert.deepEqual(plan(desired, kernel), []);
});

plans(
  'a port that returns is in its VLANs again, and a bridge that is made again keeps them apart first',
  () => {
    const desired = desiredNetwork(network('stp = no'), {
      ...facts,
      hasDummy: false,
      taps: [tapOf('vnet0')],
    });
    const kernel = new FakeKernel(desired.bridge);
    kernel.establish(desired, plan(desired, kernel));
    kernel.taps.set('vnet0', { ...newTap, vlans: [vlan10], entries: [{ mac: mac(5), isSticky: false }] });
    kernel.bridgeVlans = { defaultVlan: 7, own: [{ vid: 20, isPvid: false, isUntagged: false }] };
    const returning = ['vnet0: bridge  → k8s-br0', 'vnet0: VLANs 10', `vnet0: entry ${mac(5)}`];
    assert.deepEqual(plan(desired, kernel).map(stepText), returning);
    kernel.link = null;
    const links = plan(desired, kernel)
      .map(stepText)
      .filter(text => /VLANs|vnet0|add bridge/.test(text));
    assert.deepEqual(links, ['add bridge', 'k8s-br0: VLANs apart, 7', 'k8s-br0: VLANs 20', ...returning]);
  },
);

plans(
  'a port is as libvirt describes it: its MTU, its isolation, and down where libvirt keeps it down',
  () => {
    const described = { name: 'vnet0', up: false, mtu: 1400, isolated: true, hairpin: 'leave' } as const;
    const desired = desiredNetwork(lan, { ...facts, taps: [described] });
    const kernel = new FakeKernel(desired.bridge);
    kernel.establish(desired, plan(desired, kernel));
    kernel.taps.set('vnet0', { ...newTap, up: false });
    assert.deepEqual(plan(desired, kernel).map(stepText), [
      'k8s-br0: stp on → off',
      'vnet0: mtu 1500 → 1400',
      'vnet0: bridge  → k8s-br0',
      'vnet0: isolated off → on',
      'k8s-br0: stp off → on',
    ]);
  },
);

plans('when the backend changes, its rules are loaded before those of the old one are removed', () => {
  const kernel = new FakeKernel('k8s-br0');
  kernel.apply(plan(desiredNetwork(lan, facts), kernel));
  const steps = plan(desiredNetwork(network('firewall = iptables'), facts), kernel);
  assert.deepEqual(steps.map(stepText), [
    'load rules iptables',
    'load rules iptables IPv6',
    'remove rules nftables',
    'remove rules nftables IPv6',
  ]);
});

plans('if the ledger is unreadable, the hostsfile is not changed', () => {
  const kernel = new FakeKernel('k8s-br0');
  kernel.apply(plan(desiredNetwork(lan, facts), kernel));
  assert.deepEqual(plan(desiredNetwork(lan, { ...facts, wanted: null }), kernel), []);
});

plans('the firewall backend is chosen by configuration and installed programs', () => {
  const both = ['nftables', 'iptables'] as const;
  const cases: [configured: string, installed: HostFacts['backends'], expected: string | RegExp][] = [
    ['auto', both, 'nftables+iptables+nftables'],
    ['auto', ['nftables'], 'nftables+nftables'],
    ['auto', ['iptables'], 'iptables+iptables'],
    ['auto', [], /iptables-restore is not installed on this host: install iptables/],
    ['nftables', both, 'nftables+iptables+nftables'],
    ['nftables', ['iptables'], /nft is not installed on this host: install nftables/],
    ['iptables', both, 'iptables+iptables'],
    ['iptables', ['nftables'], /install iptables/],
  ];
  for (const [configured, backends, expected] of cases) {
    const rules = () => desiredNetwork(network(`firewall = ${configured}`), { ...facts, backends }).rules;
    if (typeof expected !== 'string') assert.throws(rules, expected);
    else
      assert.equal(
        rules()
          .map(({ backend }) => backend)
          .join('+'),
        expected,
      );
  }
  const iptables = scriptOf(desiredNetwork(lan, facts), 'iptables');
  assert.equal(iptables?.match(/^-A /gm)?.length, 1, 'beside nftables, iptables only fills in checksums');
});

plans('a host without IPv6, or without the programs for it, has the rules of IPv4 alone', () => {
  const families = usableFamilies(['ipv4', 'ipv6'], program => !program.startsWith('ip6tables'));
  assert.deepEqual(families, { nftables: ['ipv4', 'ipv6'], iptables: ['ipv4'] });
  const withIptables = network('firewall = iptables');
  for (const each of [families, usableFamilies(['ipv4'], () => true)])
    assert.deepEqual(
      desiredNetwork(withIptables, { ...facts, families: each }).rules.map(({ family }) => family),
      ['ipv4'],
    );
});

plans('the name of a dummy NIC is valid, and unique for each bridge', () => {
  const names = ['br0', 'k8s-br0', 'a'.repeat(11), 'a'.repeat(12), 'a'.repeat(15), `${'a'.repeat(14)}b`];
  const found = names.map(dummyName);
  assert.deepEqual(found.slice(0, 3), ['br0-nic', 'k8s-br0-nic', 'aaaaaaaaaaa-nic']);
  assert.equal(new Set(found).size, found.length);
  for (const name of found) assert.match(name, /^[a-z0-9-]{1,15}$/);
});

plans('the sysctls of a bridge with dots in its name are written with a slash', () => {
  const { sysctls } = desiredNetwork(network('bridge = br.1'), facts);
  assert.deepEqual(
    [...sysctls],
    [
      ['ipv4', 'forwarding', '1'],
      ['ipv6', 'disable_ipv6', '1'],
      ['ipv6', 'accept_ra', '0'],
      ['ipv6', 'autoconf', '0'],
    ].map(([family, key, value]) => [`net.${family}.conf.br/1.${key}`, value]),
  );
});

plans('the desired links follow from the configuration', () => {
  const [odd] = config('[network.lab]\nsubnet = 10.0.0.8/29\nbridge = br1\nstp = no\nmtu = 9000').networks;
  assert(odd);
  const { link, dummy, name, bridge } = desiredNetwork(odd, facts);
  const addresses = [{ ip: ip('10.0.0.9'), prefixLength: 29, broadcast: ip('10.0.0.15') }];
  assert.deepEqual(
    { ...link, mac: '' },
    { mac: '', mtu: 9000, stp: false, priority: 0, forwardDelay: 200, up: true, arp: true, addresses },
  );
  assert.deepEqual([name, bridge, dummy.name, dummy.state?.master], ['lab', 'br1', 'br1-nic', 'br1']);
  assert.equal(dummy.state?.mtu, 9000);
});

plans('a change of mode ends translated connections once, and rules and settings follow', () => {
  const kernel = new FakeKernel(lan.bridge);
  const become = (...lines: readonly string[]) => {
    const desired = desiredNetwork(network(...lines), facts);
    const steps = planNetwork(desired, kernel.observe(desired));
    kernel.establish(desired, steps);
    assert.deepEqual(planNetwork(desired, kernel.observe(desired)), []);
    return steps.map(stepText).filter(text => !/dnsmasq|file/.test(text));
  };
  become();
  const ends = 'end connections 192.168.100.0/24';
  assert.deepEqual(become('mode = routed'), ['load rules nftables', ends]);
  assert.deepEqual(become('mode = isolated'), ['load rules nftables', 'forwarding 1 → 0']);
  assert.deepEqual(become(), ['load rules nftables', 'forwarding 0 → 1', ends]);
  const removals = ['nftables', 'nftables IPv6', 'iptables'].map(backend => `remove rules ${backend}`);
  assert.deepEqual(become('mode = open'), [...removals, ends]);
});

plans('machines are told apart from the host when connections end', () => {
  const blocks = (subnet: string) => blocksOfMachines(subnet).map(formatPrefix);
  assert.deepEqual(blocks('10.0.0.8/29'), ['10.0.0.10/31', '10.0.0.12/30']);
  assert.equal(blocks('10.0.0.0/8').at(-1), '10.128.0.0/9');
  assert.equal(blocks('10.0.0.0/8').length, 23);
});

plans('forwarding is enabled now and after a boot, and its original state is restored', () => {
  const path = '/etc/sysctl.d/virlan.conf';
  const wanted = desiredHost();
  const before = {
    sysctls: new Map([
      ['net.ipv4.ip_forward', '0'],
      ['net.ipv4.conf.all.forwarding', '1'],
    ]),
    sysctlFile: null,
  };
  assert.deepEqual(planHost(wanted, before, path), [
    { kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: '0', to: '1' },
    { kind: 'write file', path, from: null, to: wanted.sysctlFile },
  ]);
  assert.match(
    wanted.sysctlFile ?? '',
    /\nnet\.ipv4\.ip_forward = 1\nnet\.ipv4\.conf\.all\.forwarding = 1\n$/,
  );
  assert.deepEqual(planHost(wanted, wanted, path), []);
  assert.deepEqual(planHost(before, wanted, path), [
    { kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: '1', to: '0' },
    { kind: 'remove file', path, from: wanted.sysctlFile },
  ]);
});

/** Generates rules that are wanted in other firewalls, with the rules found there, older forms included. */
const anyOtherRules = fc
  .constantFrom(besideDocker, besideUfw, noFirewalls)
  .map(reading => wantedRules(rulesetOf(lan), 'nftables', reading))
  .chain(wanted =>
    fc.record({
      wanted: fc.constant(wanted),
      docker: fc.subarray<RuleOf<'docker'>>([...wanted.docker, { kind: 'iptables-rule', rule: 'older' }]),
      ufw: fc.subarray<RuleOf<'ufw'>>([
        ...wanted.ufw.filter(rule => rule.kind !== 'reload'),
        { kind: 'tuple', tuple: 'an older form' },
      ]),
    }),
  );

plans(
  'rules in other firewalls: what is stale goes, then what is missing comes, and nothing is left to do',
  () => {
    fc.assert(
      fc.property(anyOtherRules, ({ wanted, docker, ufw }) => {
        const kernel = new FakeKernel(lan.bridge);
        kernel.otherFirewallRules = { docker, ufw, firewalld: [] };
        const steps = planOtherFirewalls(lan.bridge, wanted, kernel.otherFirewallRules);
        const removal = positions(steps, step => step.kind === 'withdraw from');
        const addition = positions(steps, step => step.kind === 'allow in');
        assert(removal.last === -1 || addition.first === -1 || removal.last < addition.first);
        kernel.apply(steps);
        // ufw's reload leaves no trace, so it is planned until the kernel has ufw's rules.
        const left = planOtherFirewalls(lan.bridge, wanted, kernel.otherFirewallRules);
        for (const step of left) {
          assert(step.kind === 'allow in');
          assert.deepEqual(step.rules, [{ kind: 'reload' }]);
        }
        kernel.apply(planOtherFirewalls(lan.bridge, noOtherRules, kernel.otherFirewallRules));
        assert.deepEqual(kernel.otherFirewallRules, noOtherRules);
      }),
    );
  },
);

plans.run();
