// records.test.ts: tests the files in which virlan records states, and their older versions.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as v from 'valibot';
import { formatForwardsRecord, parseForwardsRecord } from '../../src/forwards/record.ts';
import { formatBinding, parseBinding } from '../../src/guard/bindings.ts';
import { formatSavedNetwork, parseSavedNetwork } from '../../src/libvirt-networks/saved-network.ts';
import { parseApplied } from '../../src/network/records/applied-record.ts';
import { formatOriginalState, parseOriginalState } from '../../src/network/records/original-state.ts';
import { formatAdded, parseAdded } from '../../src/network/tunnel/bgp.ts';
import { formatClusterCopy, parseClusterCopy } from '../../src/records/cluster-copy.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../../src/records/record.ts';
import { ip, mac } from './builders.ts';

const records = suite('records');

function fixture(name: string): string {
  return readFileSync(`test/unit/fixtures/${name}`, 'utf8');
}

records('an original state of version 1 is read', () => {
  const state = parseOriginalState(fixture('before-version-1.json'), 'before.json');
  assert.deepEqual(state.sysctls, { 'net.ipv4.ip_forward': '0', 'net.ipv4.conf.all.forwarding': '0' });
  assert.equal(state.networks['k8s-br0']?.link, null);
  assert.equal(state.networks['k8s-br0']?.dummy, null);
  const lab = state.networks.br1;
  assert.deepEqual(lab?.link?.addresses, [
    { ip: ip('192.168.100.1'), prefixLength: 24, broadcast: ip('192.168.100.255') },
    { ip: ip('10.0.0.1'), prefixLength: 8, broadcast: null },
  ]);
  assert.deepEqual([lab?.link?.mac, lab?.link?.forwardDelay], [mac('52:54:00:aa:bb:cc'), 1500]);
  assert.deepEqual({ ...lab?.dummy }, { mac: mac('52:54:00:aa:bb:cd'), mtu: 1500, up: true, master: 'br1' });
  assert.deepEqual({ ...lab?.dnsmasq }, { conf: 'interface=br1\n', running: true });
});

records('an original state is unchanged after it is written and read, including unknown fields', () => {
  const written = JSON.parse(formatOriginalState(parseOriginalState(fixture('before-version-1.json'), '')));
  written.later = { a: 1 };
  written.networks.br1.later = true;
  written.networks.br1.dnsmasq.later = 'x';
  const again = JSON.parse(formatOriginalState(parseOriginalState(JSON.stringify(written), '')));
  assert.deepEqual(again, written);
  assert.equal(again.version, 2);
  assert.deepEqual(again.networks.br1.link.addresses[0], {
    address: '192.168.100.1/24',
    broadcast: '192.168.100.255',
  });
});

records('a damaged original state is an error that names the file, the field and the remedy', () => {
  const damaged: [text: string, error: RegExp][] = [
    ['', /^before\.json: not a JSON object: repair it, or remove it/],
    ['[]', /not a JSON object/],
    ['{"networks": {}}', /^before\.json: sysctls: /],
    ['{"sysctls": {}, "sysctlFile": null, "networks": {"br0": 7}}', /networks\.br0/],
    ['{"sysctls": {}, "sysctlFile": null, "networks": {"br0": null}}', /not a record of version 1/],
    [
      '{"sysctls": {}, "sysctlFile": null, "networks": {"br0": {"link": {"addresses": 7}}}}',
      /not a record of version 1/,
    ],
    ['{"version": 3, "sysctls": {}, "sysctlFile": null, "networks": {}}', /written by a newer virlan/],
    ['{"version": "2", "sysctls": {}, "sysctlFile": null, "networks": {}}', /"version" is not/],
  ];
  for (const [text, error] of damaged) {
    assert.throws(
      () => parseOriginalState(text, 'before.json'),
      (thrown: { code?: string; message?: string }) =>
        thrown.code === 'damaged-file' && error.test(thrown.message ?? ''),
      text,
    );
  }
});

records('a rules record of version 1 is read, and a damaged one counts as empty', () => {
  const { rules, addresses } = parseApplied(fixture('applied-version-1.json'));
  assert.deepEqual(
    rules.map(({ backend, family, listing }) => [backend, family, listing.length]),
    [
      ['nftables', 'ipv4', 2],
      ['iptables', 'ipv4', 1],
    ],
  );
  assert.deepEqual(addresses, ['192.168.100.1/24']);
  const emptyRecord = {
    rules: [],
    addresses: [],
    dnsmasq: null,
    treatment: null,
    guard: null,
    tunnel: null,
    vlans: null,
    ports: {},
    entries: {},
    reflecting: [],
    lacking: { parts: [], under: '' },
  };
  for (const text of ['', 'null', '{"rules": 7, "version": 2}', '{"version": 99}', '{"rules": {"nft": 1}}'])
    assert.deepEqual(parseApplied(text), emptyRecord, text);
});

/** The fields whose objects are maps: by bridge, by key of the kernel, by set. */
const maps = ['networks', 'sysctls', 'elements'];

/** Returns a value with a field that only a later version knows, in each object but maps. */
function withLaterFields(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map(each => withLaterFields(each));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, field]) => [key, withLaterFields(field, key)]);
  return { ...Object.fromEntries(fields), ...(maps.includes(name) ? {} : { later: 'x' }) };
}

/** By name: a record as it is on disk, and how it is read and written again. */
const formats: [name: string, written: object, again: (text: string) => string | null][] = [
  [
    'forwards',
    {
      claims: [{ uuid: 'u', name: 'web', forward: 'tcp/8443:443', ip: '10.0.0.7' }],
      booting: [{ uuid: 'v', name: 'db', since: 7, forwards: [{ forward: 'udp/53', source: 'metadata' }] }],
      refused: ['r'],
      version: 1,
    },
    text => formatForwardsRecord(parseForwardsRecord(text)),
  ],
  [
    'cluster copy',
    { blocks: ['10.0.0.16-10.0.0.19'], hosts: ['192.0.2.3'], version: 1 },
    text => formatClusterCopy(parseClusterCopy(text)),
  ],
  [
    'binding',
    { bridge: 'br0', uuid: 'u', group: null, elements: { ports: ['"vnet0" : goto others'] }, version: 1 },
    text => {
      const binding = parseBinding(text);
      return binding === null ? null : formatBinding(binding);
    },
  ],
  [
    'bgp',
    { bgpd: '7', instance: true, lines: [{ family: null, command: 'neighbor virlan' }], version: 1 },
    text => formatAdded('7', parseAdded(text, '7')),
  ],
  [
    'saved network',
    { xml: '<network/>', autostart: true, active: false, version: 1 },
    text => formatSavedNetwork(parseSavedNetwork(text, '')),
  ],
  [
    'original state of version 1',
    JSON.parse(fixture('before-version-1.json')),
    text => formatOriginalState(parseOriginalState(text, '')),
  ],
];

for (const [name, written, again] of formats) {
  records(`what a later version adds to ${name} is kept`, () => {
    const before = again(JSON.stringify(written));
    const after = again(JSON.stringify(withLaterFields(written)));
    assert.deepEqual(JSON.parse(after ?? ''), withLaterFields(JSON.parse(before ?? '')));
  });
}

records('migrations run in order, from the version of the record', () => {
  const schema = v.looseObject({ trail: v.string() });
  const format: RecordFormat<typeof schema> = {
    version: 3,
    migrations: [
      fields => ({ ...fields, trail: `${fields.trail ?? ''}a` }),
      fields => ({ ...fields, trail: `${fields.trail}b` }),
    ],
    schema,
  };
  const read = (text: string) => {
    const result = parseRecord(text, format);
    return result.ok ? result.value.trail : result.error;
  };
  assert.equal(read('{}'), 'ab');
  assert.equal(read('{"version": 2, "trail": "x"}'), 'xb');
  assert.equal(read('{"version": 3, "trail": "x"}'), 'x');
  assert.match(read('{"version": 4, "trail": "x"}'), /newer/);
  assert.match(read('{"version": 0}'), /positive/);
  assert.equal(JSON.parse(formatRecord({ trail: 'x', version: 1 }, format)).version, 3);
});

records.run();
