import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { checksumRules, renderIptables } from '../../src/firewall/iptables.ts';
import { makeRuleset } from '../../src/firewall/model.ts';
import { renderNftables } from '../../src/firewall/nftables.ts';
import { describeStep } from '../../src/network/describe.ts';
import type { Step } from '../../src/network/plan.ts';
import { ip, mac, network } from './builders.ts';

const describe = suite('describe');

const link = 'br0';
const bridge = 'br0';
const path = '/var/lib/dnsmasq/br0/dnsmasq.conf';
const state = { mac: mac(1), mtu: 1500, stp: true, forwardDelay: 200, up: true, addresses: [] };
const address = { ip: ip('10.0.0.1'), prefix: 24, broadcast: ip('10.0.0.255') };
const nft = renderNftables(makeRuleset(network()));
const checksum = renderIptables(checksumRules(bridge));
const on = { name: 'lan', hosts: [] };

/** Every kind of step, at least once, and what a person reads. */
const cases: [step: Step, line: string, ...more: string[]][] = [
  [{ do: 'add bridge', link, state }, '+ bridge br0: 52:54:00:00:00:01, MTU 1500, STP on'],
  [
    { do: 'add bridge', link, state: { ...state, stp: false } },
    '+ bridge br0: 52:54:00:00:00:01, MTU 1500, STP off',
  ],
  [
    { do: 'add dummy', link: 'br0-nic', state: { mac: mac(2), up: true, master: link } },
    '+ dummy NIC br0-nic: 52:54:00:00:00:02',
  ],
  [{ do: 'remove link', link, type: 'bridge' }, '- bridge br0: '],
  [{ do: 'remove link', link: 'br0-nic', type: 'dummy' }, '- dummy NIC br0-nic: '],
  [{ do: 'set link', link, attribute: 'state', from: 'down', to: 'up' }, '~ link of br0: down → up'],
  [
    { do: 'set link', link, attribute: 'forward delay', from: '1500', to: '200' },
    '~ forward delay of br0: 1500 → 200',
  ],
  [{ do: 'set link', link: 'vnet0', attribute: 'bridge', from: '', to: link }, '~ vnet0: into br0'],
  [
    { do: 'set link', link: 'vnet0', attribute: 'bridge', from: 'br1', to: link },
    '~ vnet0: into br0, out of br1',
  ],
  [{ do: 'set link', link: 'vnet0', attribute: 'bridge', from: 'br1', to: '' }, '~ vnet0: out of br1'],
  [{ do: 'add address', link, address }, '+ address on br0: 10.0.0.1/24, broadcast 10.0.0.255'],
  [{ do: 'remove address', link, address: { ...address, broadcast: null } }, '- address on br0: 10.0.0.1/24'],
  [{ do: 'set sysctl', key: 'net.ipv4.ip_forward', from: '0', to: '1' }, '~ net.ipv4.ip_forward: 0 → 1'],
  [{ do: 'set sysctl', key: 'net.ipv4.ip_forward', from: null, to: '1' }, '~ net.ipv4.ip_forward: 1'],
  [{ do: 'write file', path, from: null, to: 'a\n' }, `+ ${path}: `],
  [{ do: 'write file', path, from: 'a\nb\n', to: 'b\nc\n' }, `~ ${path}: `, '- a', '+ c'],
  [{ do: 'remove file', path, from: 'a\n' }, `- ${path}: `],
  [
    { do: 'load rules', backend: 'nftables', bridge, rules: nft, drift: [] },
    '+ firewall (nftables): table virlan-br0, 19 rules',
  ],
  [
    { do: 'load rules', backend: 'iptables', bridge, rules: checksum, drift: ['- x'] },
    '~ firewall (iptables): chains VIRLAN-…-br0, 1 rule',
    '- x',
  ],
  [{ do: 'remove rules', backend: 'nftables', bridge }, '- firewall (nftables): table virlan-br0'],
  [{ do: 'remove rules', backend: 'iptables', bridge }, '- firewall (iptables): chains VIRLAN-…-br0'],
  [
    { do: 'write reservations', network: on, bridge, missing: ['a', 'b'], stale: ['c'] },
    '~ /var/lib/dnsmasq/br0/hostsfile: 3 of its lines',
    '+ a',
    '+ b',
    '- c',
  ],
  [
    {
      do: 'allow in',
      firewall: 'ufw',
      bridge,
      lines: ['route:allow any any 0.0.0.0/0 any 10.0.0.0/24 in_br0', 'reload'],
    },
    '+ ufw: lets br0 pass, 2 lines',
    'ufw route allow in on br0 from 10.0.0.0/24 to 0.0.0.0/0',
    'ufw reload',
  ],
  [
    { do: 'withdraw from', firewall: 'docker', bridge, lines: ['-A DOCKER-USER -i br0 -j ACCEPT'] },
    '- docker: forgets br0, 1 line',
    'iptables -A DOCKER-USER -i br0 -j ACCEPT',
  ],
  [{ do: 'start dnsmasq', bridge }, '+ dnsmasq: DHCP and DNS on br0'],
  [{ do: 'stop dnsmasq', bridge, pid: 7 }, '- dnsmasq: process 7'],
];

describe('every kind of step, as a person reads it', () => {
  for (const [step, line, ...more] of cases) {
    const { sign, subject, detail, lines } = describeStep(step);
    assert.equal(`${sign} ${subject}: ${detail}`, line);
    assert.deepEqual(lines, more);
  }
});

describe.run();
