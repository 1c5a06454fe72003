// conflicts.test.ts: tests which subnets and addresses of the host conflict with a network and its machines.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatIp, parseAddressWithPrefix, prefixOf } from '../../src/address/ip.ts';
import type { KnownSubnet, Link } from '../../src/network/kernel/links.ts';
import { findConflicts } from '../../src/network/warnings/conflicts.ts';
import { conflictText } from '../../src/network/warnings/obstacle-text.ts';
import { findSharedAddresses } from '../../src/network/warnings/shared-addresses.ts';
import { warningText } from '../../src/report/warning-text.ts';
import { network } from './builders.ts';

const conflicts = suite('conflicts');
const none = new Map<string, string>();

function known(text: string, link: string | null, by: KnownSubnet['by']): KnownSubnet {
  const read = parseAddressWithPrefix(text);
  assert(read, text);
  return { subnet: prefixOf(read.address, read.length), link, by, yields: false };
}

conflicts('a subnet that overlaps 192.168.100.0/24 is reported with its link', () => {
  const cases: [found: [subnet: string, link: string | null, by: KnownSubnet['by']], text: string | null][] =
    [
      [['192.168.100.0/24', 'eth0', 'address'], '192.168.100.0/24 of eth0'],
      [['192.168.100.0/24', 'eth0', 'route'], '192.168.100.0/24 of a route on eth0'],
      [['192.168.0.0/16', 'eth0', 'route'], null],
      [['192.168.1.7/16', 'eth0', 'address'], '192.168.0.0/16 of eth0'],
      [['192.168.100.64/26', 'docker0', 'address'], '192.168.100.64/26 of docker0'],
      [['192.168.100.255/32', 'wg0', 'route'], '192.168.100.255/32 of a route on wg0'],
      [['192.0.0.0/2', 'wg0', 'route'], null],
      [['192.168.0.0/17', null, 'route'], null],
      [['192.168.100.0/25', null, 'route'], '192.168.100.0/25 of a route without a link'],
      [['192.168.101.0/24', 'eth0', 'address'], null],
      [['192.168.99.0/24', 'eth0', 'address'], null],
      [['0.0.0.0/0', 'eth0', 'route'], null],
      [['0.0.0.0/1', 'tun0', 'route'], null],
      [['128.0.0.0/1', 'tun0', 'route'], null],
      [['192.168.100.0/24', 'k8s-br0', 'address'], null],
      [['192.168.100.0/24', 'k8s-br0', 'route'], null],
    ];
  for (const [found, expected] of cases) {
    const lines = findConflicts(network(), [known(...found)], none).map(conflictText);
    const remedy = 'choose another subnet for [network.k8s-br0] in virlan.ini, or remove the other one';
    assert.deepEqual(
      lines,
      expected === null ? [] : [`subnet 192.168.100.0/24 overlaps ${expected}: ${remedy}`],
      String(found),
    );
  }
});

conflicts('a less preferred route to the same subnet is not a conflict', () => {
  const route = { ...known('192.168.100.0/24', 'tun0', 'route'), yields: true };
  assert.deepEqual(findConflicts(network(), [route], none), []);
});

conflicts('a link with an address and a route is reported once, by its address', () => {
  const lines = findConflicts(
    network(),
    [
      known('192.168.100.7/24', 'eth0', 'address'),
      known('192.168.100.0/24', 'eth0', 'route'),
      known('192.168.100.0/25', 'eth1', 'route'),
    ],
    none,
  ).map(conflictText);
  assert.deepEqual(
    lines.map(line => / of (.*?):/.exec(line)?.[1]),
    ['eth0', 'a route on eth1'],
  );
});

conflicts('the own bridge is recognised by its name, not by that of the network', () => {
  const own = known('192.168.100.1/24', 'br7', 'address');
  assert.deepEqual(findConflicts(network('bridge = br7'), [own], none), []);
  assert.equal(findConflicts(network(), [own], none).length, 1);
});

conflicts(
  'a network that virlan made by an earlier configuration is named with the command that removes it',
  () => {
    const made = new Map([['br7', 'lab']]);
    const found = findConflicts(network(), [known('192.168.100.1/24', 'br7', 'address')], made);
    assert.deepEqual(found.map(conflictText), [
      'subnet 192.168.100.0/24 overlaps that of br7, a network that virlan made by an earlier virlan.ini: virlan down lab removes it',
    ]);
  },
);

conflicts("a network of libvirt's that has the name and leads elsewhere is named in one line", () => {
  const text = (forward: string | null, bridge: string | null) =>
    warningText({ kind: 'name-of-libvirt', bridge: 'br7', other: { name: 'lab', forward, bridge } });
  assert.equal(
    text('nat', 'virbr7'),
    "libvirt has a network lab that does not lead to br7 (forward mode nat, bridge virbr7), and machines on it are not virlan's: virsh net-destroy lab; virsh net-undefine lab; or rename [network.lab] in virlan.ini",
  );
  assert.match(text(null, null), /\(no forward mode, no bridge\)/);
  assert.match(text('a\nb', '\u001b[1m'), /\(forward mode a\?b, bridge \?\[1m\)/);
});

conflicts('an address of a link that is up and that a machine has is found', () => {
  const link = (name: string, up: boolean, ...texts: readonly string[]) => {
    const addresses = texts.flatMap(text => {
      const read = parseAddressWithPrefix(text);
      return read === null ? [] : [{ ip: read.address, prefixLength: read.length, broadcast: null }];
    });
    return { name, up, addresses } as unknown as Link;
  };
  const links = [
    link('k8s-br0', true, '192.168.100.1/24', '192.168.100.50/24', 'fe80::1/64'),
    link('lo', true, '192.168.100.51/32', '10.0.0.50/32'),
    link('eth1', false, '192.168.100.52/24'),
  ];
  const found = findSharedAddresses(network(), links, address => (address % 256 === 51 ? null : 'web'));
  const described = found.map(({ address, prefixLength, link, machine }) =>
    [formatIp(address), prefixLength, link, machine].join(' '),
  );
  assert.deepEqual(described, ['192.168.100.50 24 k8s-br0 web']);
});

conflicts.run();
