// leases.test.ts: tests the parser of dnsmasq’s lease file and the format that libvirt reads.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { promisedAddresses } from '../../src/dnsmasq/hostsfile.ts';
import { isCurrent, type Lease, leasesInTheWay, parseLeases } from '../../src/dnsmasq/leases.ts';
import { formatLeaseStatus } from '../../src/libvirt/lease-status.ts';
import { aDate, anyName, ip, mac, network } from './builders.ts';

const leases = suite('leases');

const lease: Lease = {
  mac: mac(1),
  ip: ip('10.0.0.7'),
  hostname: 'web',
  clientId: '01:52:54',
  expires: 1_795_000_000,
};

leases('a lease file is parsed without its IPv6 leases', () => {
  const text = `1795000000 ${mac(1)} 10.0.0.7 web 01:52:54
0 52:54:00:00:00:0A 10.0.0.8 * *
duid 00:01:00:01:2f:6a:8c:3e:52:54:00:00:00:01
1795000000 5505025 fd00::7 web 00:01:00:01:2f:6a
1795000000 T5505025 fd00::8 * *
`;
  const permanent = { mac: mac(10), ip: ip('10.0.0.8'), hostname: null, clientId: null, expires: 0 };
  assert.deepEqual(parseLeases(text), [lease, permanent]);
});

leases('a file that is truncated at any byte yields only valid leases', () => {
  const text = `1795000000 ${mac(1)} 10.0.0.7 web 01:52:54\n0 ${mac(2)} 10.0.0.89 * *\n`;
  for (let length = 0; length < text.length; length++) {
    for (const found of parseLeases(text.slice(0, length))) {
      assert([mac(1), mac(2)].includes(found.mac));
      assert(['10.0.0.7', '10.0.0.8', '10.0.0.89'].map(ip).includes(found.ip));
    }
  }
  assert.deepEqual(parseLeases(''), []);
});

leases('any host name of a guest stays in its field', () => {
  fc.assert(
    fc.property(anyName, anyName, (hostname, clientId) => {
      const [first, ...more] = parseLeases(`5 ${mac(1)} 10.0.0.7 ${hostname} ${clientId}\n`);
      if (/[ \n]/.test(hostname + clientId)) return;
      assert.deepEqual(first, { ...lease, expires: 5, hostname, clientId });
      assert.equal(more.length, 0);
    }),
  );
  const forged = `x\n1795000000 ${mac(9)} 10.0.0.9 y`;
  assert.equal(parseLeases(`nonsense\n-1 ${mac(1)} 10.0.0.7 a *\n1e3 ${mac(1)} 10.0.0.7 a *`).length, 0);
  assert.equal(parseLeases(forged.replace('\n', ' ')).length, 0);
});

leases('leases of promised addresses to others are in the way, whatever hardware they name', () => {
  const text = `1795000000 ${mac(1)} 10.0.0.7 web 01:52:54
1795000000 ${mac(2)} 10.0.0.8 10.0.0.7 *
0 06-01:02 10.0.0.9 * ff:01
0 ${mac(3)} 10.0.0.10 * *
0 nonsense 10.0.0.7 * *
`;
  const promised = [
    { ip: ip('10.0.0.7'), macs: [mac(4), mac(1)] },
    { ip: ip('10.0.0.8'), macs: [mac(4)] },
    { ip: ip('10.0.0.8'), macs: [mac(5)] },
    { ip: ip('10.0.0.9'), macs: [mac(4)] },
  ];
  const hex = (text: string) => Buffer.from(text, 'hex');
  assert.deepEqual(leasesInTheWay(text, promised), [
    { ip: ip('10.0.0.8'), hardwareType: 1, hardware: hex('525400000002'), clientId: null },
    { ip: ip('10.0.0.9'), hardwareType: 6, hardware: hex('0102'), clientId: hex('ff01') },
  ]);
  assert.deepEqual(leasesInTheWay(text, [...promised, { ip: ip('10.0.0.8'), macs: [mac(2)] }]).length, 1);
});

leases('a line that gives an address to a name or a client id promises it to no MAC', () => {
  const hostsfile = {
    ours: [`${mac(1)},id:*,10.0.0.7,web # virlan`],
    byHand: ['id:x,10.0.0.8', `${mac(2)},10.0.0.8`],
    configured: [],
  };
  assert.deepEqual(promisedAddresses(hostsfile, network('subnet = 10.0.0.0/24')), [
    { ip: ip('10.0.0.7'), macs: [mac(1)] },
  ]);
});

leases('a lease that never expires is always current', () => {
  const at = aDate.getTime() / 1000;
  const current = [0, at - 1, at, at + 1].map(expires => isCurrent({ ...lease, expires }, aDate));
  assert.deepEqual(current, [true, false, false, true]);
});

leases('leases are formatted as libvirt does, with any host name of a guest', () => {
  const bare = { ip: '10.0.0.8', mac: mac(2), hostname: null, clientId: null, expires: 6 };
  assert.equal(
    formatLeaseStatus([
      { ip: '10.0.0.7', mac: mac(1), hostname: 'web', clientId: '01:52', expires: 5 },
      bare,
    ]),
    `[
  {
    "ip-address": "10.0.0.7",
    "mac-address": "52:54:00:00:00:01",
    "hostname": "web",
    "client-id": "01:52",
    "expiry-time": 5
  },
  {
    "ip-address": "10.0.0.8",
    "mac-address": "52:54:00:00:00:02",
    "expiry-time": 6
  }
]
`,
  );
  assert.equal(formatLeaseStatus([]), '[]\n');
  fc.assert(
    fc.property(anyName, hostname => {
      const [read, ...more] = JSON.parse(formatLeaseStatus([{ ...bare, hostname }]));
      assert.equal(read.hostname, hostname);
      assert.equal(more.length, 0);
    }),
  );
});

leases.run();
