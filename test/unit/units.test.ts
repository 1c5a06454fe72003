// units.test.ts: tests how steps are grouped into repair units.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { groupByUnit } from '../../src/network/steps/group-by-unit.ts';
import type { Step } from '../../src/network/steps/steps.ts';
import { isAlwaysRepaired, type Unit } from '../../src/network/steps/units.ts';
import { unitText } from '../../src/report/unit-text.ts';
import { bridgeWith, ip, mac } from './builders.ts';

const units = suite('units');
const state = bridgeWith([]);
const address = { ip: ip('10.0.0.1'), prefixLength: 24, broadcast: ip('10.0.0.255') };
const conf = '/var/lib/dnsmasq/br0/dnsmasq.conf';

const forwarding: Step = { kind: 'set sysctl', key: 'net.ipv4.ip_forward', from: '0', to: '1' };
const ipv6: Step = { kind: 'set sysctl', key: 'net.ipv6.conf.br0.disable_ipv6', from: null, to: '1' };
const rules: Step = {
  kind: 'load rules',
  role: 'primary',
  backend: 'nftables',
  family: 'ipv4',
  bridge: 'br0',
  script: '',
  drift: [],
};
const bridge: Step = { kind: 'add bridge', link: 'br0', state };
const addressStep: Step = { kind: 'add address', link: 'br0', address };
const tap: Step = { kind: 'set link', link: 'vnet0', attribute: 'bridge', from: null, to: 'br0' };
const stop: Step = {
  kind: 'stop dnsmasq',
  bridge: 'br0',
  pid: 7,
  isStopped: false,
  isUnbound: false,
  hasOtherLeases: false,
};
const write: Step = { kind: 'write file', path: conf, from: null, to: 'x' };
const start: Step = { kind: 'start dnsmasq', bridge: 'br0' };

function stepsByUnit(...steps: Step[]): Record<string, Step[]> {
  return Object.fromEntries(groupByUnit('br0', steps).map(({ unit, steps: own }) => [unitText(unit), own]));
}

units('steps are grouped by unit, and the configuration belongs to dnsmasq', () => {
  assert.deepEqual(stepsByUnit(forwarding, rules, addressStep, tap, ipv6, stop, write, start), {
    'net.ipv4.ip_forward': [forwarding],
    'firewall (nftables) of br0': [rules],
    'address on br0': [addressStep],
    'port vnet0': [tap],
    'net.ipv6.conf.br0.disable_ipv6': [ipv6],
    'dnsmasq of br0': [stop, write, start],
  });
});

units('the entries of a port are part of it, and of a bridge that is made', () => {
  const entry: Step = { kind: 'add entry', link: 'vnet0', entry: { mac: mac(5), isSticky: false } };
  assert.deepEqual(stepsByUnit(tap, entry), { 'port vnet0': [tap, entry] });
  const all = [bridge, addressStep, tap, entry];
  assert.deepEqual(stepsByUnit(...all), { 'bridge br0': all });
});

units('IPv6 that is on again, and a tunnel, are always repaired; others are left after a fight', () => {
  for (const setting of ['disable_ipv6', 'accept_ra', 'autoconf'])
    assert(isAlwaysRepaired({ kind: 'sysctl', key: `net.ipv6.conf.br0.${setting}` }), setting);
  assert(isAlwaysRepaired({ kind: 'tunnel', bridge: 'br0' }));
  const others: Unit[] = [
    { kind: 'sysctl', key: 'net.ipv4.ip_forward' },
    { kind: 'sysctl', key: 'net.ipv4.conf.br0.forwarding' },
    { kind: 'rules', backend: 'nftables', family: 'ipv6', bridge: 'br0' },
  ];
  for (const unit of others) assert(!isAlwaysRepaired(unit), unit.kind);
});

units(
  'each port that starts is a unit of its own, and the steps that pause STP meanwhile belong to all',
  () => {
    const stp = (from: boolean, to: boolean): Step => ({
      kind: 'set link',
      link: 'br0',
      attribute: 'stp',
      from,
      to,
    });
    const [off, on] = [stp(true, false), stp(false, true)];
    assert.deepEqual(stepsByUnit(off, tap, on), { 'port vnet0': [off, tap, on] });
    const other: Step = { ...tap, link: 'vnet1' };
    const up: Step = { kind: 'set link', link: 'vnet1', attribute: 'state', from: 'down', to: 'up' };
    const mtu: Step = { kind: 'set link', link: 'vnet2', attribute: 'mtu', from: 1400, to: 1500 };
    assert.deepEqual(stepsByUnit(off, tap, other, up, mtu, on), {
      'port vnet0': [off, tap, on],
      'port vnet1': [off, other, up, on],
      'mtu of vnet2': [mtu],
    });
    assert.deepEqual(stepsByUnit(on), { 'stp of br0': [on] });
  },
);

units('steps on a bridge that is added belong to the bridge', () => {
  assert.deepEqual(stepsByUnit(forwarding, rules, bridge, addressStep, tap, ipv6, start), {
    'net.ipv4.ip_forward': [forwarding],
    'firewall (nftables) of br0': [rules],
    'bridge br0': [bridge, addressStep, tap, ipv6],
    'dnsmasq of br0': [start],
  });
});

units.run();
