// inventory.test.ts: tests the inventory for Ansible.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { inventoryOf } from '../../src/report/inventory.ts';
import type { MachineStatus } from '../../src/report/machines.ts';
import type { NetworkStatus } from '../../src/report/status.ts';
import { anyName, mac, uuid } from './builders.ts';
import { machineStatus, networkStatus, statusOf } from './status-builders.ts';

const inventory = suite('inventory');

/** A machine whose texts are templates wherever others can choose them. */
function machine(number: number, name: string, changes: Partial<MachineStatus> = {}): MachineStatus {
  return machineStatus(number, name, {
    tap: '{{ tap }}',
    problem: '{{ problem }}',
    guard: { mode: 'others', group: '{{ group }}' },
    ...changes,
  });
}

function network(name: string, ...machines: readonly MachineStatus[]): NetworkStatus {
  return { ...networkStatus(name, ...machines), alsoReached: ['{{ link }}'] };
}

inventory('machines are in the groups of their networks and of their state', () => {
  const twice = machine(1, 'web');
  const off = machine(2, 'db', { state: 'shut off', ip: null, lease: { ip: '10.0.0.9', expires: null } });
  const found = inventoryOf(
    statusOf(network('k8s-br0', twice, off), network('lab', { ...twice, ip: '10.0.0.7', mac: mac(9) })),
  );
  const { _meta, ...groups } = found;
  assert.deepEqual(groups, {
    all: { children: ['k8s_br0', 'lab', 'virlan_running', 'virlan_shut_off', 'virlan_undefined'] },
    k8s_br0: { hosts: ['web', 'db'] },
    lab: { hosts: ['web'] },
    virlan_running: { hosts: ['web'] },
    virlan_shut_off: { hosts: ['db'] },
    virlan_undefined: { hosts: [] },
  });
  assert.deepEqual(Object.keys(_meta.hostvars), ['web', 'db']);
  assert.deepEqual(_meta.hostvars.db?.ansible_host, '10.0.0.9');
  const { ansible_host, virlan_nics } = _meta.hostvars.web ?? {};
  assert.equal(ansible_host, '192.168.100.1');
  assert.deepEqual(
    virlan_nics?.map(({ network: on, ip, domain }) => [on, ip, domain]),
    [
      ['k8s-br0', '192.168.100.1', 'k8s-br0.internal'],
      ['lab', '10.0.0.7', 'lab.internal'],
    ],
  );
});

inventory('names of groups do not clash with each other, nor with words of Ansible', () => {
  const { all } = inventoryOf(statusOf(network('a-b'), network('a_b'), network('all'), network('7')));
  assert.deepEqual(all.children.slice(0, 4), ['a_b', 'a_b_2', 'all_2', '_7']);
});

inventory('a machine without a plain name has its host name, and never that of another machine', () => {
  const machines = [
    machine(1, 'we b', { hostname: 'we-b' }),
    machine(2, 'we-b', { hostname: 'we-b-2' }),
    machine(3, '{{ x }}', { hostname: null }),
    machine(4, 'all', { hostname: 'all-4' }),
    machine(5, 'web', { hostname: 'web' }),
    machine(6, 'we:b', { hostname: 'web-6' }),
  ];
  const { hostvars } = inventoryOf(statusOf(network('lab', ...machines)))._meta;
  assert.deepEqual(
    Object.entries(hostvars).map(([name, { virlan_name, virlan_uuid }]) => [name, virlan_name, virlan_uuid]),
    [
      ['we-b', 'we-b', uuid(2)],
      ['web', 'web', uuid(5)],
      [uuid(1), null, uuid(1)],
      [uuid(3), null, uuid(3)],
      ['all-4', null, uuid(4)],
      ['web-6', null, uuid(6)],
    ],
  );
});

const templates = fc.constantFrom('{{ x }}', '{% x %}', '{# x #}');

inventory('nothing that a machine, or its owner, can choose is a template', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyName, templates), { maxLength: 8 }), names => {
      const machines = names.map((name, index) => machine(index + 1, name));
      const found = inventoryOf(statusOf(network('lab', ...machines)));
      assert.doesNotMatch(JSON.stringify(found), /\{[{%#]/);
      assert.equal(Object.keys(found._meta.hostvars).length, names.length);
    }),
  );
});

inventory.run();
