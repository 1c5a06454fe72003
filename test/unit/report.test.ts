// report.test.ts: tests the machines that `virlan status` reports.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type Forward, parseForward } from '../../src/config/forward.ts';
import type { Lease } from '../../src/dnsmasq/leases.ts';
import { machineNamespace } from '../../src/identity/machine.ts';
import type { Domain } from '../../src/libvirt/domain-xml.ts';
import { type MachineSources, machinesOf } from '../../src/report/machines.ts';
import { describeSubnet } from '../../src/report/status.ts';
import { aDate, asMade, entry, ip, mac, network, uuid } from './builders.ts';
import { machineStatus } from './status-builders.ts';

const report = suite('status report');

const soon = aDate.getTime() / 1000 + 60;

const noSources: MachineSources = {
  entries: [],
  defined: [],
  running: [],
  leases: [],
  passThrough: new Set(['k8s-br0']),
  now: aDate,
  forwards: null,
};

function domain(number: number, name: string, macs: readonly number[], tap: string | null = null): Domain {
  const nics = macs.map(own => ({ mac: mac(own), bridge: 'k8s-br0', network: null, tap, ...asMade }));
  return { name, uuid: uuid(number), nics, metadata: [] };
}

function lease(number: number, expires: number, lastByte = 7): Lease {
  return {
    mac: mac(number),
    ip: ip(`192.168.100.${lastByte}`),
    hostname: 'hostile\u001b[31m',
    clientId: null,
    expires,
  };
}

const config = network('[machine.web]', 'forward = tcp/2222:22, tcp/8443:443');

function forward(text: string): Forward {
  const read = parseForward(text);
  assert(read !== null, text);
  return read;
}

function machines(sources: Partial<MachineSources>) {
  return machinesOf(network(), { ...noSources, ...sources });
}

report('a machine has its reservation, its tap and its lease', () => {
  const running = [domain(1, 'web', [1], 'vnet0')];
  assert.deepEqual(
    machines({
      entries: [entry({ problem: { kind: 'legacy', text: 'p' } })],
      defined: running,
      running,
      leases: [lease(1, soon)],
    }),
    [
      machineStatus(1, 'web', {
        ip: '192.168.100.7',
        hostname: 'web',
        tap: 'vnet0',
        lease: { ip: '192.168.100.7', expires: '2026-11-22T10:01:00Z' },
        problem: 'p',
      }),
    ],
  );
});

report('the guard of a machine is that of its metadata, otherwise that of its network', () => {
  const attributes = new Map([
    ['guard', 'strict'],
    ['group', 'shop'],
  ]);
  const wish = { name: 'machine', namespace: machineNamespace, attributes, text: '', children: [] };
  const defined = [{ ...domain(1, 'a', [1]), metadata: [wish] }, domain(2, 'b', [2])];
  assert.deepEqual(
    machinesOf({ ...network(), guard: 'no' }, { ...noSources, defined }).map(({ guard }) => guard),
    [
      { mode: 'strict', group: 'shop' },
      { mode: 'no', group: null },
    ],
  );
});

report('machines without a reservation, and reservations without a machine, are listed', () => {
  const found = machines({
    entries: [entry({ name: 'gone', uuid: uuid(3), ip: null })],
    defined: [domain(1, 'off', [1, 2]), domain(2, 'on', [4])],
    running: [domain(2, 'on', [4], 'vnet3')],
  });
  assert.deepEqual(
    found.map(({ name, nic, ip: at, hostname, state, tap }) => [name, nic, at, hostname, state, tap]),
    [
      ['gone', 0, null, 'web', 'undefined', null],
      ['off', 0, null, null, 'shut off', null],
      ['off', 1, null, null, 'shut off', null],
      ['on', 0, null, null, 'running', 'vnet3'],
    ],
  );
});

report('a machine that is only on another network is not listed', () => {
  const { nics: _, ...elsewhere } = domain(1, 'web', []);
  const nics = [{ mac: mac(1), bridge: null, network: 'default', tap: null, ...asMade }];
  assert.deepEqual(machines({ defined: [{ ...elsewhere, nics }] }), []);
  assert.equal(machines({ defined: [{ ...elsewhere, nics }], passThrough: new Set(['default']) }).length, 1);
});

report('a NIC that its machine has neither in its definition nor as it runs is not listed', () => {
  const entries = [
    entry({ nic: 0, macs: [mac(1)] }),
    entry({ nic: 1, macs: [mac(2)], hostname: 'web-1' }),
    entry({ nic: 2, macs: [mac(3), mac(4)], hostname: 'web-2' }),
  ];
  const nicsListed = (defined: readonly number[] | null, running: readonly number[] | null) =>
    machines({
      entries,
      defined: defined === null ? [] : [domain(1, 'web', defined)],
      running: running === null ? [] : [domain(1, 'web', running, 'vnet0')],
    }).map(({ nic }) => nic);
  assert.deepEqual(nicsListed([2], null), [1], 'the first NIC was taken from the definition');
  assert.deepEqual(nicsListed([1], [1, 2]), [0, 1], 'a NIC that was only plugged in while it runs');
  assert.deepEqual(nicsListed([1, 2], [1]), [0, 1], 'a NIC that the next start brings back');
  assert.deepEqual(nicsListed([9, 2, 4], null), [0, 1, 2], 'MACs that are not in the ledger yet');
  assert.deepEqual(nicsListed(null, [1]), [0], 'a transient machine');
  assert.deepEqual(nicsListed([], null), [], 'no NIC on this network');
  assert.deepEqual(nicsListed(null, null), [0, 1, 2], 'a machine that libvirt does not know');
});

report('a lease is listed if it is current, for the current or an earlier MAC', () => {
  const leaseOf = (...leases: Lease[]) =>
    machines({ entries: [entry({ macs: [mac(2), mac(1)] })], leases })[0]?.lease;
  assert.equal(leaseOf(), null);
  assert.equal(leaseOf(lease(1, soon - 61)), null);
  assert.equal(leaseOf(lease(9, soon)), null);
  assert.deepEqual(leaseOf(lease(1, 0)), { ip: '192.168.100.7', expires: null });
  assert.deepEqual(
    leaseOf(lease(1, soon - 61), lease(2, soon, 8))?.ip,
    '192.168.100.8',
    'an expired lease does not hide a current one',
  );
  for (const both of [
    [lease(1, soon, 8), lease(2, soon, 9)],
    [lease(2, soon, 8), lease(1, soon, 9)],
    [lease(1, soon, 8), lease(1, soon, 9)],
  ])
    assert.equal(leaseOf(...both)?.ip, '192.168.100.8', 'of several, the first of the file');
});

report(
  'the forwards of a machine are listed once, at its first NIC, each with the first reason against it',
  () => {
    const [ssh, web] = [forward('tcp/2222:22'), forward('tcp/8443:443')];
    const own = { name: 'web', uuid: uuid(1) };
    const running = [domain(1, 'web', [1, 2]), domain(2, 'db', [3])];
    const found = machinesOf(config, {
      ...noSources,
      running,
      entries: [entry({ nic: 2, macs: [mac(2)] }), entry({ nic: 1, macs: [mac(1)] })],
      forwards: {
        claims: [{ ...own, forward: ssh, ip: ip('192.168.100.7') }],
        refused: [
          { machine: own, problem: { kind: 'too-many', limit: 128 } },
          { machine: { name: 'db', uuid: uuid(2) }, problem: { kind: 'mode', forward: web, mode: 'open' } },
          { machine: own, problem: { kind: 'no-address', forward: web } },
          { machine: own, problem: { kind: 'mode', forward: web, mode: 'open' } },
        ],
      },
    });
    const problem = 'forward tcp/8443:443 is not active: the machine has no address';
    assert.deepEqual(
      found.map(({ name, nic, forwards }) => [name, nic, forwards]),
      [
        ['db', 0, []],
        [
          'web',
          1,
          [
            { forward: 'tcp/2222:22', source: 'virlan.ini', active: true, problem: null },
            { forward: 'tcp/8443:443', source: 'virlan.ini', active: false, problem },
          ],
        ],
        ['web', 2, []],
      ],
    );
  },
);

report('machines are sorted by name, and then by NIC', () => {
  const entries = [
    ['b', 1],
    ['b', 0],
    ['a', 0],
    ['B', 0],
  ].map(([name, nic]) => entry({ name: String(name), nic: Number(nic) }));
  assert.deepEqual(
    machines({ entries }).map(({ name, nic }) => `${name}${nic}`),
    ['B0', 'a0', 'b0', 'b1'],
  );
});

report('the subnet is described as text', () => {
  assert.deepEqual(describeSubnet(network()), { subnet: '192.168.100.0/24', gateway: '192.168.100.1' });
});

report.run();
