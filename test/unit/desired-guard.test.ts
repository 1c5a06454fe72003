// desired-guard.test.ts: tests which taps are guarded, and what is wrong with running machines.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { NetworkConfig } from '../../src/config/config.ts';
import type { Binding } from '../../src/guard/bindings.ts';
import { noElements } from '../../src/guard/elements.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { machineNamespace } from '../../src/identity/machine.ts';
import type { Domain } from '../../src/libvirt/domain-xml.ts';
import { desiredGuard, type GuardReading } from '../../src/network/desired-guard.ts';
import { asMade, entry, ip, mac, network, uuid } from './builders.ts';

const guards = suite('desired guard');

/** The lines of a network whose machines are isolated, on several hosts. */
const isolated = [
  'isolate = yes',
  'vni = 100',
  'dhcp-range = 192.168.100.2-192.168.100.99',
  '[cluster]',
  'address = 10.0.0.1',
  'peers = 10.0.0.2',
];

function ledgerOf(...entries: readonly LedgerEntry[]): Ledger {
  return Ledger.of(entries.map(each => ({ entry: each, fields: {} })));
}

/** Returns a running machine with a tap, and this attribute in its metadata. */
function machine(number: number, tap: string | null, attribute: readonly [string, string] | null = null) {
  const element = {
    name: 'machine',
    namespace: machineNamespace,
    attributes: new Map(attribute === null ? [] : [attribute]),
    text: '',
    children: [],
  };
  const nics = [{ mac: mac(number), bridge: 'k8s-br0', network: null, tap, ...asMade }];
  return { name: `m${number}`, uuid: uuid(number), nics, metadata: [element] } satisfies Domain;
}

function link(name: string, index: number, changes: Partial<GuardReading['links'][number]> = {}) {
  return { name, index, type: 'tun', mac: null, master: 'k8s-br0', ...changes };
}

function bindingOf(changes: Partial<Binding> = {}): Binding {
  const elements = { ...noElements, ports: new Set(['"vnet0" : goto strict']) };
  return { tap: 'vnet0', index: 10, bridge: 'k8s-br0', uuid: uuid(1), group: null, elements, ...changes };
}

function guardOf(changes: Partial<GuardReading>, config: NetworkConfig = network()) {
  return desiredGuard(config, {
    gatewayMac: mac(0xfe),
    links: [link('vnet0', 10)],
    reflecting: [],
    filtersFrames: false,
    limitsConnections: true,
    ledger: Ledger.empty,
    leases: [],
    running: [],
    passThrough: new Set(),
    bound: [],
    ...changes,
  });
}

/** Returns each guarded tap with its machine, and the guard of its port. */
function tapsOf(changes: Partial<GuardReading>, config?: NetworkConfig) {
  const { guard } = guardOf(changes, config);
  return guard?.taps.map(each => [each.tap, each.index, each.uuid, ...each.elements.ports].join(' '));
}

guards(
  "a tap belongs to the machine of libvirt's file, unless its link was given to another one since",
  () => {
    const running = [machine(2, 'vnet0')];
    const ofFile = `vnet0 10 ${uuid(2)} "vnet0" : goto others`;
    assert.deepEqual(tapsOf({ running }), [ofFile]);
    const ofBinding = `vnet0 10 ${uuid(1)} "vnet0" : goto strict`;
    assert.deepEqual(tapsOf({ running, bound: [bindingOf()] }), [ofBinding]);
    // The binding is about an earlier link of that name.
    assert.deepEqual(tapsOf({ running, bound: [bindingOf({ index: 9 })] }), [ofFile]);
    assert.deepEqual(tapsOf({ running, bound: [bindingOf({ uuid: uuid(2) })] }), [ofFile]);
    assert.deepEqual(tapsOf({ running, links: [] }), []);
  },
);

guards('a tap that nobody names yet is known by its MAC, if it is in the bridge', () => {
  const ledger = ledgerOf(entry({ uuid: uuid(3), macs: [mac(3)] }));
  const running = [machine(3, null)];
  const own = link('vnet7', 17, { mac: mac('fe:54:00:00:00:03') });
  assert.deepEqual(tapsOf({ ledger, running, links: [own] }), [`vnet7 17 ${uuid(3)} "vnet7" : goto others`]);
  assert.deepEqual(tapsOf({ ledger, running, links: [{ ...own, master: 'virbr0' }] }), []);
  const bound = [bindingOf({ tap: 'vnet7', index: 17, uuid: uuid(3) })];
  assert.equal(tapsOf({ ledger, running, links: [own], bound })?.length, 1);
});

guards('a machine that starts reaches those of its group that have come on other hosts since', () => {
  const there = entry({ uuid: uuid(5), macs: [mac(5)], host: ip('10.0.0.2'), group: 'shop' });
  const { guard } = guardOf(
    { ledger: ledgerOf(there), bound: [bindingOf({ group: 'shop' })] },
    network(...isolated),
  );
  assert.deepEqual([...(guard?.taps[0]?.elements.remote_peers ?? [])], ['"vnet0" . 0x525400000005']);
});

guards('where nobody is guarded, there is a table only for ports that reflect', () => {
  const free = network('guard = no');
  assert.equal(guardOf({ running: [machine(1, 'vnet0')] }, free).guard, null);
  assert.equal(guardOf({ running: [machine(1, 'vnet0', ['guard', 'strict'])] }, free).guard?.taps.length, 1);
  const { guard } = guardOf({ reflecting: ['vnet0', 'a"b'], filtersFrames: true }, free);
  assert.deepEqual([...(guard?.belongings.reflecting ?? [])], ['"vnet0" . "vnet0"']);
  assert.equal(guardOf({ reflecting: ['a"b'] }, free).guard, null);
});

guards('what is wrong with a machine is said where it has a tap in the bridge', () => {
  const wrong = (tap: string | null) =>
    guardOf({ running: [machine(1, tap, ['guard', 'yes'])] }).warnings.map(({ kind }) => kind);
  assert.deepEqual(wrong('vnet0'), ['guard-metadata']);
  assert.deepEqual(wrong(null), []);
  assert.deepEqual(wrong('a"b'), ['guard-tap-name']);
});

guards('connections are counted by tap unless the kernel cannot', () => {
  const table = (limitsConnections: boolean) => guardOf({ limitsConnections }).guard?.table ?? '';
  assert.match(table(true), /jhash iifname/);
  assert.doesNotMatch(table(false), /jhash/);
});

guards.run();
