// libvirt-xml.test.ts: tests the parsers of libvirt’s XML: domains, networks and ports.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp } from '../../src/address/ip.ts';
import { parseActiveNetwork } from '../../src/libvirt/active-network.ts';
import {
  type Domain,
  type MetadataElement,
  parseDomain,
  parseDomainJob,
} from '../../src/libvirt/domain-xml.ts';
import { parseLibvirtNetwork, parseNetworkPort } from '../../src/libvirt/network-xml.ts';
import { anyName, asMade, mac } from './builders.ts';

const xml = suite('libvirt XML');

const id = '6b4a5c7e-3a0d-4f6e-9d51-0c8f6f1f2a3b';

/** The input of the qemu hook at `prepare`, shortened to the elements that matter here. */
const prepared = `<domain type='kvm' id='3'>
  <name>it&apos;s &lt;a&gt; &quot;vm&quot; &amp; $(id)</name>
  <uuid>${id}</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
    <v:machine xmlns:v="urn:virlan:machine:1" mac="keep" ip="192.168.100.50" hostname='web'>
      <devices><interface type='bridge'><mac address='52:54:00:66:66:66'/></interface></devices>
    </v:machine>
    <second:machine xmlns:second="urn:virlan:machine:1" ip="10.0.0.1"/>
  </metadata>
  <memory unit='KiB'>131072</memory>
  <!-- <interface type='bridge'><mac address='52:54:00:77:77:77'/></interface> -->
  <description><![CDATA[<interface><mac address='52:54:00:88:88:88'/></interface> ]]]]><![CDATA[>]]></description>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:0A'/>
      <source bridge='k8s-br0'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:00:02'/>
      <source network='default'/>
    </interface>
    <interface type='user'>
      <mac address='01:00:5e:00:00:01'/>
    </interface>
  </devices>
  <seclabel type='none'/>
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <qemu:arg value='-S'/>
  </qemu:commandline>
</domain>
`;

/** A status file from /run/libvirt/qemu, where NICs have their taps. */
const status = `<!--
WARNING: THIS IS AN AUTO-GENERATED FILE.
-->
<domstatus state='running' reason='booted' pid='4711'>
  <monitor path='/var/lib/libvirt/qemu/domain-3-web/monitor.sock' type='unix'/>
  <domain type='kvm' id='3'>
    <name> web\u00a0\u865a</name>
    <uuid>
      ${id.toUpperCase()}
    </uuid>
    <devices>
      <interface type='network'>
        <mac address='52:54:00:00:00:01'/>
        <source network='k8s-br0' portid='6d4d53f1-5a6b-4b1a-9d4c-1f53b1a3a111' bridge='k8s-br0'/>
        <target dev='vnet0'/>
        <alias name='net0'/>
      </interface>
    </devices>
  </domain>
</domstatus>
`;

const port = `<hookData>
  <network>
    <name>lan</name>
    <uuid>6d4d53f1-5a6b-4b1a-9d4c-1f53b1a3a222</uuid>
    <forward mode='bridge'/>
    <bridge name='k8s-br0'/>
    <metadata><x:name xmlns:x='urn:x'>other</x:name></metadata>
  </network>
  <networkport>
    <uuid>6d4d53f1-5a6b-4b1a-9d4c-1f53b1a3a111</uuid>
    <owner>
      <name>a &amp; b</name>
      <uuid>${id}</uuid>
    </owner>
    <mac address='52:54:00:00:00:0B'/>
    <plug type='bridge' bridge='k8s-br0'/>
  </networkport>
</hookData>
`;

function domain(text: string): Domain {
  const result = parseDomain(text);
  assert(result.ok, JSON.stringify(result));
  return result.value;
}

function errorOf(result: ReturnType<typeof parseDomain>) {
  return result.ok ? '' : result.error;
}

xml('a domain from the input of the hook is parsed', () => {
  const { metadata, ...rest } = domain(prepared);
  assert.deepEqual(rest, {
    name: `it's <a> "vm" & $(id)`,
    uuid: id,
    nics: [
      { mac: mac(10), bridge: 'k8s-br0', network: null, tap: null, ...asMade },
      { mac: mac(2), bridge: null, network: 'default', tap: null, ...asMade },
      { mac: null, bridge: null, network: null, tap: null, ...asMade },
    ],
  });
  const tree = (name: string, attributes: Record<string, string>, ...children: object[]) => ({
    name,
    attributes: new Map(Object.entries(attributes)),
    children,
  });
  const withoutText = ({ name, attributes, children }: MetadataElement): object => ({
    name,
    attributes,
    children: children.map(withoutText),
  });
  assert.deepEqual(
    metadata.map(({ namespace }) => namespace),
    ['http://libosinfo.org/xmlns/libvirt/domain/1.0', 'urn:virlan:machine:1'],
    'the prefix does not matter, and the first of two elements is used',
  );
  const machine = metadata[1];
  assert(machine);
  const attributes = { v: 'urn:virlan:machine:1', mac: 'keep', ip: '192.168.100.50', hostname: 'web' };
  const plugged = { type: 'bridge' };
  assert.deepEqual(
    withoutText(machine),
    tree(
      'machine',
      attributes,
      tree('devices', {}, tree('interface', plugged, tree('mac', { address: '52:54:00:66:66:66' }))),
    ),
  );
});

xml('the status file of a running domain is parsed', () => {
  assert.deepEqual(domain(status), {
    name: ' web\u00a0\u865a',
    uuid: id,
    nics: [{ mac: mac(1), bridge: 'k8s-br0', network: 'k8s-br0', tap: 'vnet0', ...asMade }],
    metadata: [],
  });
});

xml(
  'link state, MTU, isolation and lower link of a NIC are parsed; an MTU that no tap can have counts as none',
  () => {
    const nicWith = (elements: string) => {
      const { nics } = domain(
        `<domain><name>a</name><uuid>${id}</uuid><devices><interface>${elements}</interface></devices></domain>`,
      );
      const [{ device, isUp, mtu, isolated, teamed } = asMade] = nics;
      return { device, isUp, mtu, isolated, teamed };
    };
    assert.deepEqual(nicWith("<link state='up'/><port isolated='no'/>"), asMade);
    assert.deepEqual(
      nicWith("<link state='down'/><mtu size='9000'/><port isolated='yes'/><teaming type='persistent'/>"),
      { device: null, isUp: false, mtu: 9000, isolated: true, teamed: true },
    );
    assert.equal(nicWith("<source dev='eth0' mode='bridge'/>").device, 'eth0');
    for (const size of ['', '0', '67', '65522', '1e3', '99999999', '-1500', '1500 type dummy'])
      assert.equal(nicWith(`<mtu size='${size}'/>`).mtu, null, size);
  },
);

xml('a port from the input of the hook, and a network, are parsed', () => {
  const network = { name: 'lan', forward: 'bridge', bridge: 'k8s-br0' };
  assert.deepEqual(parseNetworkPort(port), {
    ok: true,
    value: { network, owner: { name: 'a & b', uuid: id }, mac: mac(11), isIsolated: false },
  });
  const isolated = parseNetworkPort(port.replace('</networkport>', "<port isolated='yes'/></networkport>"));
  assert(isolated.ok && isolated.value.isIsolated);
  const cases: [text: string, forward: string | null, bridge: string | null][] = [
    ["<network><name>n</name><forward/><bridge name='virbr0' stp='on'/></network>", 'nat', 'virbr0'],
    ["<network><name>n</name><forward mode='route'/></network>", 'route', null],
    ["<network connections='1'><name>n</name><bridge stp='on'/></network>", null, null],
  ];
  for (const [text, forward, bridge] of cases)
    assert.deepEqual(parseLibvirtNetwork(text), { ok: true, value: { name: 'n', forward, bridge } });
});

xml('metadata is parsed as a tree, with repeated elements and text', () => {
  const forwards = ['8443', '2222'].map(
    port => `<f:forward port='${port}'>to ${port}<!-- --> &amp;</f:forward>`,
  );
  const [machine] = domain(
    `<domain><name>a</name><uuid>${id}</uuid><metadata><f:m xmlns:f='urn:f'> <f:x/>${forwards.join('')}</f:m></metadata></domain>`,
  ).metadata;
  assert.deepEqual(
    machine?.children.map(({ name, namespace, attributes, text }) => [
      name,
      namespace,
      attributes.get('port'),
      text,
    ]),
    [
      ['x', 'urn:f', undefined, ''],
      ['forward', 'urn:f', '8443', 'to 8443 &'],
      ['forward', 'urn:f', '2222', 'to 2222 &'],
    ],
  );
});

xml('prefixes that libvirt accepts are read: its own before another, and those without a namespace', () => {
  const named = (metadata: string) =>
    `<domain><name>a</name><uuid>${id}</uuid><metadata>${metadata}</metadata></domain>`;
  // `virsh metadata web urn:virlan:machine:1 --key virlan --set '<virlan:machine ip="10.0.0.7"/>'`
  const [machine] = domain(
    named(
      "<virlan:virlan:machine xmlns:virlan='urn:virlan:machine:1' ip='10.0.0.7'><virlan:virlan:allow/></virlan:virlan:machine>",
    ),
  ).metadata;
  assert.deepEqual([machine?.name, machine?.namespace], ['machine', 'urn:virlan:machine:1']);
  assert.equal(machine?.attributes.get('ip'), '10.0.0.7');
  assert.deepEqual(
    machine?.children.map(({ name, namespace }) => [name, namespace]),
    [['allow', 'urn:virlan:machine:1']],
  );
  const [other, ...more] = domain(
    named("<a:x xmlns:a='urn:a'><b:y c:z='1'/></a:x><v:machine xmlns:v='urn:virlan:machine:1'/>"),
  ).metadata;
  assert.deepEqual(
    other?.children.map(({ name, namespace }) => [name, namespace]),
    [['y', '']],
  );
  assert.deepEqual(
    more.map(({ namespace }) => namespace),
    ['urn:virlan:machine:1'],
  );
  const [outer] = domain(named("<m xmlns='urn:m'><n/><n xmlns=''/></m>")).metadata;
  assert.deepEqual(
    outer?.children.map(({ namespace }) => namespace),
    ['urn:m', ''],
  );
});

xml('metadata is truncated per namespace, so that other tools cannot displace that of virlan', () => {
  const many = (count: number) => '<a><b/></a>'.repeat(count / 2);
  const otherTools = Array.from(
    { length: 1000 },
    (_, index) => `<x:x xmlns:x='urn:${index}'>${many(40)}</x:x>`,
  ).join('');
  const own = `<v:machine xmlns:v='urn:virlan:machine:1' mac='keep'>${many(5000)}</v:machine>`;
  const again = `<v:machine xmlns:v='urn:virlan:machine:1'>${many(100)}</v:machine>`;
  const { metadata } = domain(
    `<domain><name>a</name><uuid>${id}</uuid><metadata>${otherTools}${own}${again}</metadata></domain>`,
  );
  const count = ({ children }: MetadataElement): number =>
    children.reduce((sum, child) => sum + count(child), 1);
  assert.equal(metadata.length, 1001);
  const machine = metadata.at(-1);
  assert(machine?.namespace === 'urn:virlan:machine:1' && machine.attributes.get('mac') === 'keep');
  assert.equal(count(machine), 1000);
  assert(metadata.slice(0, 1000).every(each => count(each) === 41));
});

xml('text that consists of several XML nodes is joined', () => {
  const name = 'a<![CDATA[<b>]]><!-- no -->&amp;<?no no?>&#x63;';
  assert.equal(domain(`<domain><name>${name}</name><uuid>${id}</uuid></domain>`).name, 'a<b>&c');
});

xml('every name that XML can represent is parsed', () => {
  const escaped = (text: string) => text.replace(/[<>&'"]/g, char => `&#${char.charCodeAt(0)};`);
  fc.assert(
    fc.property(anyName, name => {
      if (name === '' || /[\p{Cc}\p{Cs}\ufffe\uffff]/u.test(name)) return;
      assert.equal(domain(`<domain><name>${escaped(name)}</name><uuid>${id}</uuid></domain>`).name, name);
    }),
  );
});

xml('XML that is not a domain, network or port is refused with a reason', () => {
  const cases: [text: string, error: RegExp][] = [
    ['', /^not XML|not the XML/],
    ['web', /^not XML/],
    ['<domain>', /^not XML/],
    ['<domain/>', /it has no <name>/],
    [`<domain><uuid>${id}</uuid></domain>`, /it has no <name>/],
    ['<domain><name>web</name></domain>', /it has no <uuid>/],
    ['<domain><name>web</name><uuid>../../x</uuid></domain>', /it has no <uuid>/],
    [`<network><name>web</name><uuid>${id}</uuid></network>`, /not the XML of a domain/],
    [`<a><domain><name>web</name><uuid>${id}</uuid></domain></a>`, /not the XML of a domain/],
    [`<domain><name>&nbsp;</name><uuid>${id}</uuid></domain>`, /^not XML/],
  ];
  for (const [text, error] of cases) assert.match(errorOf(parseDomain(text)), error, text);
  assert(!parseLibvirtNetwork(prepared).ok && !parseLibvirtNetwork('<network/>').ok);
  for (const missing of [/<mac .*\n/, /<owner>(.|\n)*<\/owner>/, /<name>a.*\n/])
    assert(!parseNetworkPort(port.replace(missing, '')).ok, String(missing));
});

xml('entities that expand or read files are not resolved', () => {
  const entities = Array.from({ length: 20 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join(
    '',
  );
  const bomb = `<!DOCTYPE domain [<!ENTITY l0 "ha">${entities}]><domain><name>&l20;</name><uuid>${id}</uuid></domain>`;
  const file = `<!DOCTYPE domain [<!ENTITY f SYSTEM "file:///etc/passwd">]><domain><name>&f;</name><uuid>${id}</uuid></domain>`;
  for (const text of [bomb, file]) assert.match(errorOf(parseDomain(text)), /^not XML: .*undefined entity/);
});

xml('XML that is longer or deeper than libvirt passes on is refused', () => {
  assert.match(errorOf(parseDomain(`<domain>${' '.repeat(4 * 2 ** 20)}</domain>`)), /limit is 4194304/);
  assert.match(errorOf(parseDomain('<a>'.repeat(2 ** 20))), /more than 256 elements deep/);
  const deep = (depth: number) =>
    prepared.replace('<os>', `${'<a>'.repeat(depth)}${'</a>'.repeat(depth)}<os>`);
  assert(parseDomain(deep(255)).ok && !parseDomain(deep(256)).ok);
});

const readers = [parseDomain, parseDomainJob, parseLibvirtNetwork, parseNetworkPort, parseActiveNetwork];

xml("the job of a running domain is libvirt's own, and no element of the metadata", () => {
  const value = (job: string | null) => ({ ok: true, value: { uuid: id, job } });
  const withJob = (attributes: string) => status.replace('<monitor', `<job ${attributes}/><monitor`);
  assert.deepEqual(parseDomainJob(status), value(null));
  assert.deepEqual(parseDomainJob(withJob("type='none' async='none'")), value(null));
  assert.deepEqual(
    parseDomainJob(withJob("type='none' async='migration out' phase='perform3'")),
    value('migration out'),
  );
  const hostile = "<metadata><domstatus><job xmlns='' async='migration out'/></domstatus></metadata>";
  assert.deepEqual(parseDomainJob(status.replace('<devices>', `${hostile}<devices>`)), value(null));
  assert.equal(parseDomainJob(prepared).ok, false);
});

const network = (dns: string) =>
  `<networkstatus><network><name>n</name><forward mode='bridge'/><bridge name='br0'/>${dns}</network></networkstatus>`;

xml('entries of dns-host are read, without what is neither an address nor a host name', () => {
  const hosts = (...entries: [ip: string, ...names: string[]][]) => {
    const elements = entries.map(
      ([at, ...names]) =>
        `<host ip='${at}'>${names.map(name => `<hostname>${name}</hostname>`).join('')}</host>`,
    );
    const parsed = parseActiveNetwork(network(`<dns>${elements.join('')}</dns>`));
    assert(parsed.ok && parsed.value.bridge === 'br0' && parsed.value.forward === 'bridge');
    invalid = parsed.value.dnsHosts.flatMap(host => host.invalid);
    return parsed.value.dnsHosts.map(host => [formatIp(host.ip), ...host.names]);
  };
  let invalid: string[] = [];
  assert.deepEqual(hosts(['10.0.0.5', ' Foo ', 'foo.example.org', '_sip._tcp'], ['FD00::5', 'six']), [
    ['10.0.0.5', 'foo', 'foo.example.org', '_sip._tcp'],
    ['fd00::5', 'six'],
  ]);
  const bad = ['', 'a b', 'a\nb', 'a#b', '-a', 'a..b', 'localhost', 'x'.repeat(64), '$(reboot)'];
  assert.deepEqual(hosts(['nonsense', 'foo'], ['10.0.0.6', ...bad], ['10.0.0.7', 'last']), [
    ['10.0.0.6'],
    ['10.0.0.7', 'last'],
  ]);
  assert.deepEqual(invalid, bad);
});

xml('entries of dns-txt and dns-srv are read as they are written', () => {
  const parsed = parseActiveNetwork(
    network(`<dns><txt name='A.example' value='b,&quot;c&#10;d'/>
      <srv service='ldap' protocol='tcp' domain='example.org' target='.' port='389' priority='1' weight='5'/>
      <srv service='x' protocol='udp'/></dns><other><dns><txt name='no' value='no'/></dns></other>`),
  );
  assert(parsed.ok);
  const none = { domain: null, target: null, port: null, priority: null, weight: null };
  const ldap = { domain: 'example.org', target: '.', port: '389', priority: '1', weight: '5' };
  assert.deepEqual(parsed.value.dnsRecords, [
    { kind: 'txt', name: 'A.example', value: 'b,"c\nd' },
    { kind: 'srv', service: 'ldap', protocol: 'tcp', ...ldap },
    { kind: 'srv', service: 'x', protocol: 'udp', ...none },
  ]);
});

xml('a document that is truncated anywhere is refused without an exception', () => {
  for (const text of [prepared, status, port]) {
    const whole = text.trimEnd().length;
    for (let length = 0; length < whole; length++) {
      for (const read of readers) assert(!read(text.slice(0, length)).ok, `${length} of ${whole}`);
    }
  }
});

xml('no text makes a parser throw', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '<domain>',
      '</domain>',
      '<name>',
      '<![CDATA[',
      ']]>',
      '<!--',
      '-->',
      '<?',
      '?>',
      '&lt;',
      '&#0;',
      '&',
      '<a b=',
      "'",
      '<!DOCTYPE',
      'xmlns:a="b"',
    ),
    anyName,
  );
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      for (const read of readers) assert.equal(typeof read(pieces.join('')).ok, 'boolean');
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(prepared, status, port),
      fc.nat(),
      fc.nat(40),
      anyName,
      (text, place, removedLength, inserted) => {
        const at = place % text.length;
        const changed = `${text.slice(0, at)}${inserted}${text.slice(at + removedLength)}`;
        for (const read of readers) assert.equal(typeof read(changed).ok, 'boolean');
      },
    ),
    { numRuns: 500 },
  );
});

xml.run();
