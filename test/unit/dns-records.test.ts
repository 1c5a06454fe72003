// dns-records.test.ts: tests the records of libvirt's networks: which are served, by which lines of dnsmasq.conf, and
// what is said of the others.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { renderDnsmasqConf } from '../../src/dnsmasq/conf.ts';
import { machinesHeader, readMachineLines } from '../../src/dnsmasq/machine-lines.ts';
import { readRecordLines, recordLines, recordsHeader } from '../../src/dnsmasq/record-lines.ts';
import { type ActiveNetwork, withoutDomain } from '../../src/libvirt/active-network.ts';
import { refusedEntries, servedRecords } from '../../src/libvirt/dns-entries.ts';
import { refusedEntryText } from '../../src/libvirt/dns-entries-text.ts';
import { parseRecord, type RecordText } from '../../src/names/dns-record.ts';
import { anyName, ip, network } from './builders.ts';

const records = suite('DNS records');

const domain = 'lan.internal';
const txt = (name: string, value: string): RecordText => ({ kind: 'txt', name, value });
const srv = (fields: Partial<RecordText & { kind: 'srv' }> = {}): RecordText => ({
  kind: 'srv',
  service: 'ldap',
  protocol: 'tcp',
  domain: null,
  target: null,
  port: null,
  priority: null,
  weight: null,
  ...fields,
});

function linesOf(...texts: RecordText[]): string[] {
  return recordLines(servedRecords([libvirt({ dnsRecords: texts })], domain));
}

function libvirt(dns: Partial<ActiveNetwork>): ActiveNetwork {
  return { name: 'k8s-br0', forward: 'bridge', bridge: 'k8s-br0', dnsHosts: [], dnsRecords: [], ...dns };
}

records('a TXT record has its value as one text, whatever dnsmasq reads into it', () => {
  assert.deepEqual(
    linesOf(
      txt('_dmarc.Example.ORG.', 'v=DMARC1; p=none'),
      txt('a', 'b,"c\\d" #e'),
      txt('a', ''),
      txt('a', 'grün'),
      txt('a', ''),
    ),
    [
      'txt-record=_dmarc.example.org,"v=DMARC1; p=none"',
      'txt-record=a,"b,\\"c\\\\d\\" #e"',
      'txt-record=a,""',
      'txt-record=a,"grün"',
    ],
  );
});

records(
  'an SRV record has the domain of the network and the values of libvirt unless others are written',
  () => {
    assert.deepEqual(
      linesOf(
        srv({ domain: 'example.org', target: 'l.example.org', port: '389', priority: '1', weight: '5' }),
        srv({ target: 'web', weight: '7' }),
        srv({ protocol: 'udp' }),
        srv({ target: '.', port: '70000' }),
      ),
      [
        'srv-host=_ldap._tcp.example.org,l.example.org,389,1,5',
        'srv-host=_ldap._tcp.lan.internal,web,1,0,7',
        'srv-host=_ldap._udp.lan.internal',
        'srv-host=_ldap._tcp.lan.internal',
      ],
    );
  },
);

records('what would be more than one line, or another one, is refused', () => {
  for (const [text, fault] of [
    ...['', 'a b', 'a,b', 'a\nb', 'a"b', 'a#', '-a', 'a..b', '*', '*.a', 'x'.repeat(64), 'ä', '$(id)'].map(
      name => [txt(name, 'x'), 'name'] as const,
    ),
    ...['a\nb', 'a\rb', 'a\tb', 'a\0b', '\u0085', '\x7f'].map(value => [txt('a', value), 'value'] as const),
    [txt('a', 'x'.repeat(1000)), 'length'],
    [txt('a', '"'.repeat(500)), 'length'],
    [txt('a', 'ü'.repeat(500)), 'length'],
    ...['', '_ldap', 'l dap', 'ldap,x', 'l.dap', 'ldap\nuser=root', 'l'.repeat(63)].flatMap(label => [
      [srv({ service: label }), 'name'] as const,
      [srv({ protocol: label }), 'name'] as const,
    ]),
    ...['a,b', 'a b', '', `${'a.'.repeat(125)}org`].map(other => [srv({ domain: other }), 'name'] as const),
    ...['a,b', '', 'a\nb', '..'].map(target => [srv({ target }), 'target'] as const),
    ...['', '-1', '65536', '1.5', '0x10', '1,2', '١', '9'.repeat(400)].flatMap(port => [
      [srv({ target: 'a', port }), 'number'] as const,
      [srv({ target: 'a', priority: port }), 'number'] as const,
      [srv({ target: 'a', weight: port }), 'number'] as const,
    ]),
  ] as const)
    assert.deepEqual(parseRecord(text, domain), { ok: false, fault }, JSON.stringify(text));
});

records('no record breaks out of its line, which is never longer than dnsmasq reads', () => {
  const part = fc.oneof(
    anyName,
    fc.constantFrom(
      'a',
      'example.org',
      '\n',
      ',',
      '"',
      '\\',
      '#',
      ' #',
      'user=root',
      machinesHeader,
      recordsHeader,
    ),
    fc.string({ unit: 'binary', maxLength: 40 }),
  );
  const text = fc.array(part, { maxLength: 40 }).map(parts => parts.join(''));
  const name = fc.oneof(fc.constant('a'), text);
  const orNull = fc.option(text);
  const record = fc.oneof(
    fc.record({ kind: fc.constant('txt' as const), name, value: text }),
    fc.record({
      kind: fc.constant('srv' as const),
      service: name,
      protocol: name,
      domain: orNull,
      target: orNull,
      port: orNull,
      priority: orNull,
      weight: orNull,
    }),
  );
  const form =
    /^(txt-record=[a-z0-9_.-]+,"([^"\\\p{Cc}]|\\["\\])*"|srv-host=[a-z0-9_.-]+(,[a-z0-9_.-]+(,\d{1,5}){3})?)$/u;
  fc.assert(
    fc.property(fc.array(record), texts => {
      const lines = linesOf(...texts);
      for (const line of lines) assert(form.test(line) && Buffer.byteLength(line) < 1024, line);
      const conf = renderDnsmasqConf(network(), {
        user: 'dnsmasq',
        canWatchResolvConf: true,
        machineLines: [],
        recordLines: lines,
        extras: { directory: '/d', digest: '1' },
      });
      assert.deepEqual([readRecordLines(conf), readMachineLines(conf)], [lines, []]);
    }),
  );
  const [longest = ''] = linesOf(txt('a', 'x'.repeat(999)));
  assert(longest.length > 1000 && longest.length < 1024);
});

records('a host that is named with the domain of the network is the one without it', () => {
  const names = ['web.lan.internal', 'web', 'a.b.lan.internal', 'web.elsewhere', 'lan.internal'];
  const named = withoutDomain(libvirt({ dnsHosts: [{ ip: ip('10.0.0.60'), names, invalid: [] }] }), domain);
  assert.deepEqual(named.dnsHosts[0]?.names, ['web', 'a.b', 'web.elsewhere', 'lan.internal']);
  assert.deepEqual(
    refusedEntries([named], domain, '10.0.0.5 web\n').map(({ name }) => name),
    ['web'],
  );
});

records('what is not served is named with its reason, and with nothing that a terminal obeys', () => {
  const names = '10.0.0.5 web\n10.0.0.60 registry # libvirt\n10.0.0.61 mirror # libvirt\n';
  const refused = refusedEntries(
    [
      libvirt({
        dnsHosts: [
          { ip: ip('10.0.0.60'), names: ['registry', 'web', 'not-written-yet'], invalid: ['a b'] },
          { ip: ip('10.0.0.62'), names: ['mirror'], invalid: [] },
        ],
        dnsRecords: [txt('fine', 'x'), txt('a', '\x1b[31m'), srv({ service: '_x' })],
      }),
      libvirt({ name: "d'e\x1b", dnsRecords: [txt('x'.repeat(300), '')] }),
    ],
    domain,
    names,
  );
  assert.deepEqual(
    refused.map(({ kind, name, fault }) => [kind, name.slice(0, 20), fault]),
    [
      ['host', 'a b', 'name'],
      ['host', 'web', 'taken'],
      ['host', 'mirror', 'taken'],
      ['txt', 'a', 'value'],
      ['srv', '__x._tcp', 'name'],
      ['txt', 'x'.repeat(20), 'name'],
    ],
  );
  assert.equal(
    refusedEntryText(refused[3] ?? assert.fail()),
    'dns-txt "a" of libvirt\'s network k8s-br0 is not served, because its value has a control character: remove it: virsh net-update k8s-br0 delete dns-txt …',
  );
  for (const entry of refused) assert.match(refusedEntryText(entry), /^[\x20-\x7e…]{1,300}$/);
  assert.match(refusedEntryText(refused[5] ?? assert.fail()), /net-update 'd'\\''e\?' delete dns-txt/);
});

records.run();
