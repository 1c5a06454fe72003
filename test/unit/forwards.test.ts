// forwards.test.ts: tests which forwards of machines are active, and what says why not.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type Forward, formatForward, parseForward } from '../../src/config/forward.ts';
import { backends } from '../../src/firewall/backends.ts';
import { translationsScript } from '../../src/firewall/iptables.ts';
import { changeScript, splitListing } from '../../src/firewall/nftables.ts';
import { compareTranslations, translationsOf, translationText } from '../../src/firewall/translation.ts';
import { type Candidate, type Circumstances, type Claim, chooseForwards } from '../../src/forwards/choose.ts';
import { isInTheWay, parseLibvirtPorts, parseListeners } from '../../src/forwards/listeners.ts';
import { addForwards, removeForwards } from '../../src/forwards/metadata.ts';
import { forwardProblemText, refusedForwardText } from '../../src/forwards/problem-text.ts';
import { parseForwardsRecord } from '../../src/forwards/record.ts';
import { forwardWishes, maxForwards, type WantedForward } from '../../src/forwards/wishes.ts';
import { parseDomain } from '../../src/libvirt/domain-xml.ts';
import { anyName, ip, network, uuid } from './builders.ts';

const forwards = suite('forwards');

function forward(text: string): Forward {
  const read = parseForward(text);
  assert(read !== null, text);
  return read;
}

/** Returns the wishes of a machine `web` with these elements in its metadata. */
function wishesOf(elements: string, ...lines: readonly string[]) {
  const metadata = `<v:machine xmlns:v="urn:virlan:machine:1" ip="192.168.100.9">${elements}</v:machine>`;
  const domain = parseDomain(
    `<domain><name>web</name><uuid>${uuid(1)}</uuid><metadata>${metadata}</metadata></domain>`,
  );
  assert(domain.ok, domain.ok ? '' : domain.error);
  return forwardWishes(domain.value, network(...lines).machines);
}

function texts(wanted: readonly WantedForward[]): string[] {
  return wanted.map(each => formatForward(each.forward));
}

forwards('elements in the metadata are read, and those of another namespace are not', () => {
  const { wanted, problems } = wishesOf(`
    <v:forward port="8443" to="443"/>
    <v:forward protocol="udp" port="30000-30010"/>
    <v:forward port="2222" to="22" address="192.0.2.5" from="10.0.0.0/8"/>
    <v:forward port="2222" to="22" address="192.0.2.5" from="10.0.0.0/8"/>
    <forward port="1"/><other:forward xmlns:other="x" port="2"/><v:allow port="3"/>`);
  assert.deepEqual(texts(wanted), [
    'tcp/8443:443',
    'udp/30000-30010',
    'tcp/2222:22 on 192.0.2.5 from 10.0.0.0/8',
  ]);
  assert.deepEqual(problems, []);
});

forwards('those of virlan.ini come first, and count for the machine of that name only', () => {
  const lines = ['[machine.web]', 'forward = tcp/80, tcp/8443:443', '[machine.db]', 'forward = tcp/5432'];
  const { wanted } = wishesOf('<v:forward port="8443" to="443"/><v:forward port="9000"/>', ...lines);
  assert.deepEqual(
    wanted.map(each => `${formatForward(each.forward)} ${each.source}`),
    ['tcp/80 virlan.ini', 'tcp/8443:443 virlan.ini', 'tcp/9000 metadata'],
  );
});

forwards('each invalid element is one problem in one line, and the others stay', () => {
  const cases: [attributes: string, line: RegExp][] = [
    ['', /has no port: write a port from 1 to 65535/],
    ['port="0"', /has port="0": write/],
    ['port="65536"', /has port="65536"/],
    ['port="10-5"', /has port="10-5"/],
    ['port="1" to="70000"', /has to="70000"/],
    ['port="1-3" to="1-4"', /leads ports 1-3 to 1-4: write as many/],
    ['port="1-1000" to="2001-3000"', /at most 256/],
    ['port="1" protocol="sctp"', /has protocol="sctp": write tcp or udp/],
    ['port="1" address="::1"', /has address="::1": write an IPv4 address/],
    ['port="1" from="10.0.0.1/8"', /has from="10.0.0.1\/8": write/],
    [`port="&#10;; drop ${'x'.repeat(5000)}"`, /has port="\?; drop x+\.\.\.": write/],
  ];
  for (const [attributes, line] of cases) {
    const { wanted, problems } = wishesOf(`<v:forward port="9000"/><v:forward ${attributes}/>`);
    assert.deepEqual(texts(wanted), ['tcp/9000'], attributes);
    const [text = '', ...more] = problems.map(forwardProblemText);
    assert.deepEqual(more, []);
    assert.match(text, line);
    assert(!text.includes('\n') && text.length < 300, text);
  }
});

forwards('a thousand forwards of one machine are one problem', () => {
  const many = Array.from({ length: 999 }, (_, index) => `<v:forward port="${2000 + index}"/>`).join('');
  const { wanted, problems } = wishesOf(many);
  assert.equal(wanted.length, maxForwards);
  assert.deepEqual(problems, [{ kind: 'too-many', limit: maxForwards }]);
});

function candidate(number: number, ...wanted: readonly string[]): Candidate {
  return {
    name: `vm${number}`,
    uuid: uuid(number),
    ip: ip(`192.168.100.${number}`),
    wishes: { wanted: wanted.map(text => ({ forward: forward(text), source: 'metadata' })), problems: [] },
  };
}

function claim(number: number, text: string): Claim {
  return {
    name: `vm${number}`,
    uuid: uuid(number),
    ip: ip(`192.168.100.${number}`),
    forward: forward(text),
  };
}

const ports: Circumstances['network'] = {
  forwardPorts: { first: 1024, last: 65_535 },
  localhost: false,
  mode: 'nat',
};

function choose(candidates: readonly Candidate[], circumstances: Partial<Circumstances> = {}) {
  const { claims, refused } = chooseForwards(candidates, {
    network: ports,
    held: [],
    elsewhere: [],
    listeners: () => [],
    libvirtPorts: () => [],
    ...circumstances,
  });
  return {
    claims: claims.map(each => `${each.name} ${formatForward(each.forward)}`),
    refused: refused.map(refusedForwardText),
  };
}

forwards('a port belongs to the machine that had it first, and goes to the next when that stops', () => {
  const both = [candidate(1, 'tcp/8443'), candidate(2, 'tcp/8443', 'tcp/9000')];
  assert.deepEqual(choose(both).claims, ['vm1 tcp/8443', 'vm2 tcp/9000']);
  const later = choose(both, { held: [claim(2, 'tcp/8443')] });
  assert.deepEqual(later.claims, ['vm2 tcp/8443', 'vm2 tcp/9000']);
  assert.deepEqual(later.refused, [
    'machine vm1: forward tcp/8443 waits: machine vm2 has that port until it stops',
  ]);
  assert.deepEqual(choose(both.slice(0, 1), { held: [claim(2, 'tcp/8443')] }).claims, ['vm1 tcp/8443']);
});

forwards('ranges, addresses and clients overlap only where one packet would meet both', () => {
  const pairs: [first: string, second: string, overlaps: boolean][] = [
    ['tcp/8000-8010', 'tcp/8010-8020', true],
    ['tcp/8000-8010', 'tcp/8011-8020', false],
    ['tcp/8000', 'udp/8000', false],
    ['tcp/8000 on 192.0.2.5', 'tcp/8000', true],
    ['tcp/8000 on 192.0.2.5', 'tcp/8000 on 192.0.2.6', false],
    ['tcp/8000 from 10.0.0.0/8', 'tcp/8000 from 10.1.0.0/16', true],
    ['tcp/8000 from 10.0.0.0/8', 'tcp/8000 from 11.0.0.0/8', false],
    ['tcp/8000 from 10.0.0.0/8', 'tcp/8000', true],
  ];
  for (const [first, second, overlaps] of pairs) {
    const { claims, refused } = choose([candidate(1, first), candidate(2, second)]);
    assert.equal(claims.length, overlaps ? 1 : 2, `${first}, ${second}`);
    assert.equal(refused.length, overlaps ? 1 : 0);
  }
  assert.deepEqual(choose([candidate(1, 'tcp/8000-8010', 'tcp/8005:1')]).refused, [
    'machine vm1: forward tcp/8005:1 is not active: it overlaps tcp/8000-8010 of the same machine: remove one',
  ]);
});

forwards(
  'a machine without an address, a low port, and a machine that has its ports elsewhere get none',
  () => {
    assert.deepEqual(choose([{ ...candidate(1, 'tcp/8443'), ip: null }]).refused, [
      'machine vm1: forward tcp/8443 is not active: the machine has no address',
    ]);
    const onLoopback = choose([candidate(1, 'tcp/8443 on 127.0.0.53', 'tcp/8443 on 192.0.2.5')]);
    assert.deepEqual(onLoopback.claims, ['vm1 tcp/8443 on 192.0.2.5']);
    assert.match(onLoopback.refused[0] ?? '', /tcp\/8443 on 127\.0\.0\.53 is not active: .* localhost = yes/);
    const local = { network: { ...ports, localhost: true } };
    assert.equal(choose([candidate(1, 'tcp/8443 on 127.0.0.53')], local).claims.length, 1);
    assert.match(choose([candidate(1, 'tcp/22')]).refused[0] ?? '', /ports 1024-65535 may be claimed/);
    const none = { network: { ...ports, forwardPorts: null } };
    for (const mode of ['isolated', 'open'] as const) {
      const { refused } = choose([candidate(1, 'tcp/8443')], { network: { ...ports, mode } });
      assert.match(refused[0] ?? '', /mode = (isolated|open) has none: write mode = nat or routed/);
    }
    assert.match(choose([candidate(1, 'tcp/8443')], none).refused[0] ?? '', /no port may be claimed/);
    const configured = candidate(1, 'tcp/22');
    const wanted = configured.wishes.wanted.map(each => ({ ...each, source: 'virlan.ini' as const }));
    assert.deepEqual(choose([{ ...configured, wishes: { wanted, problems: [] } }], none).claims, [
      'vm1 tcp/22',
    ]);
    const elsewhere = [claim(1, 'tcp/8443')];
    assert.deepEqual(choose([candidate(1, 'tcp/8443'), candidate(2, 'tcp/8443')], { elsewhere }), {
      claims: [],
      refused: ['machine vm2: forward tcp/8443 waits: machine vm1 has that port until it stops'],
    });
  },
);

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21312 1 0000 100 0 0 10 0
   1: 00000000:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   2: 0164A8C0:0050 0264A8C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 21314 1 0000 100 0 0 10 0
`;

const tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0017 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0000 100 0 0 10 0
   2: 00000000000000000000000001000000:0018 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0000 100 0 0 10 0
`;

forwards('listening sockets of both families are read, and connected ones are not', () => {
  assert.deepEqual(
    parseListeners('tcp', tcpTable).map(each => `${each.address} ${each.port} ${each.inode}`),
    ['127.0.0.1 3306 21312', '0.0.0.0 8443 4711'],
  );
  assert.deepEqual(
    parseListeners('tcp', tcp6Table).map(each => `${each.address} ${each.port}`),
    [':: 22', '127.0.0.1 23'],
  );
  assert.deepEqual(parseListeners('tcp', 'garbage\n\n0: x'), []);
});

forwards('a socket is in the way of a forward where it receives the same packets', () => {
  const at = (address: string, port = 8443) => ({ protocol: 'tcp', address, port, inode: '1' }) as const;
  const cases: [address: string, text: string, localhost: boolean, expected: boolean][] = [
    ['0.0.0.0', 'tcp/8443', false, true],
    ['::', 'tcp/8443', false, true],
    ['0.0.0.0', 'udp/8443', false, false],
    ['0.0.0.0', 'tcp/8000-9000', false, true],
    ['0.0.0.0', 'tcp/8444', false, false],
    ['127.0.0.1', 'tcp/8443', false, false],
    ['127.0.0.1', 'tcp/8443', true, true],
    ['192.0.2.5', 'tcp/8443', false, true],
    ['192.0.2.5', 'tcp/8443 on 192.0.2.6', false, false],
    ['0.0.0.0', 'tcp/8443 on 192.0.2.6', false, true],
  ];
  for (const [address, text, localhost, expected] of cases)
    assert.equal(isInTheWay(at(address), forward(text), localhost), expected, `${address} ${text}`);
  const busy = choose([candidate(1, 'tcp/8443')], { listeners: () => [at('::')] });
  assert.match(busy.refused[0] ?? '', /a program listens on \[::\]:8443: choose another port/);
  // A machine that has the port keeps it.
  const held = { held: [claim(1, 'tcp/8443')], listeners: () => [at('::')] };
  assert.deepEqual(choose([candidate(1, 'tcp/8443')], held).claims, ['vm1 tcp/8443']);
});

forwards("libvirt's ports count where qemu.conf sets them", () => {
  assert.deepEqual(parseLibvirtPorts('#migration_port_min = 49152\n'), []);
  const ports = parseLibvirtPorts('migration_port_min = 40000\nremote_display_port_max = 6000\n');
  assert.deepEqual(
    ports.map(({ first, last }) => [first, last]),
    [
      [5900, 6000],
      [40_000, 49_215],
    ],
  );
  const { refused } = choose([candidate(1, 'tcp/5901', 'tcp/40000-50000', 'udp/5901')], {
    libvirtPorts: () => ports,
  });
  assert.deepEqual(refused.length, 2);
  assert.match(refused[1] ?? '', /libvirt may use that port \(migration_port_min in qemu\.conf\)/);
});

const anyForward = fc
  .record({
    protocol: fc.constantFrom('tcp', 'udp'),
    first: fc.integer({ min: 1, max: 65_000 }),
    count: fc.integer({ min: 0, max: 20 }),
    shift: fc.integer({ min: 0, max: 300 }),
    on: fc.constantFrom('', ' on 192.0.2.5'),
    from: fc.constantFrom('', ' from 10.0.0.0/8', ' from 10.0.0.1/32'),
  })
  .map(({ protocol, first, count, shift, on, from }) =>
    forward(`${protocol}/${first}-${first + count}:${first + shift}-${first + shift + count}${on}${from}`),
  );

forwards('what a backend is told is what is read in its listing', () => {
  const place = { bridge: 'k8s-br0', family: 'ipv4' } as const;
  fc.assert(
    fc.property(fc.array(anyForward, { minLength: 1, maxLength: 5 }), list => {
      const all = list.flatMap(each => translationsOf(each, ip('192.168.100.57')));
      const elements = changeScript(place, { all, missing: all, stale: [] })
        .split('\n')
        .flatMap(line => /\{ (.*) \}$/.exec(line)?.[1] ?? [])
        // As nft lists them.
        .map(line => line.replace(' tcp ', ' 6 ').replace(' udp ', ' 17 ').replace('/32 ', ' '));
      const listing = `table ip x {\n\tmap ports {\n\t\telements = { ${elements.join(',\n\t\t\t     ')} }\n\t}\n}\n`;
      const nft = splitListing(listing);
      assert.deepEqual(nft.translations.map(translationText), all.map(translationText));
      assert.deepEqual(nft.lines, ['table ip x {', '\tmap ports {', '\t}', '}']);
    }),
  );
  assert.deepEqual(splitListing('\t\telements = { 1.2.3.4 . x : y }').lines, ['1.2.3.4 . x : y']);
  // The kernel adds these itself.
  assert.deepEqual(
    splitListing('\t\telements = { be1a:8001 ct count over 8, be1b:0 ct count over 8 }').lines,
    [],
  );
});

forwards('iptables lists what it was told, and what others added stays among the rules', async () => {
  const all = [
    ...translationsOf(forward('tcp/8443:443 on 192.0.2.5 from 10.0.0.0/8'), ip('192.168.100.57')),
    ...translationsOf(forward('udp/30000-30010'), ip('192.168.100.58')),
  ];
  const foreign = '-A VIRLAN-DNAT-k8s-br0 -p tcp -m tcp --dport 22 -j DNAT --to-destination 8.8.8.8-8.8.9.9';
  const save = translationsScript('k8s-br0', all).replace('COMMIT', `${foreign}\nCOMMIT`);
  const reader = {
    nftTable: async () => '',
    savedIptables: async () => save,
    ruleset: async () => '',
    savedByFlavour: async () => '',
  };
  const listing = await backends.iptables.list(reader, { bridge: 'k8s-br0', family: 'ipv4' });
  assert.deepEqual(listing.translations.map(translationText), all.map(translationText));
  assert(listing.lines.includes(foreign));
  assert.equal(listing.lines.length, 3);
});

forwards('only what differs is changed', () => {
  const to = ip('192.168.100.57');
  const [a, b, c] = ['tcp/1', 'tcp/2', 'udp/1'].map(text => translationsOf(forward(text), to));
  assert(a && b && c);
  const { missing, stale } = compareTranslations([...a, ...b], [...b, ...c]);
  assert.deepEqual([missing, stale], [a, c]);
});

forwards('forwards in metadata are added and removed, and all else stays as it is', () => {
  const [a, b] = [forward('tcp/8443:443'), forward('udp/53 on 192.0.2.5 from 10.0.0.0/8')];
  assert.equal(addForwards('<machine/>', [a]).text, '<machine><forward port="8443" to="443"/></machine>');
  const text =
    '<machine mac="keep" ip=\'1.2.3.4\'>\n  <allow x="/>"/>\n  <forward to="443" port="8443"></forward>\n</machine>';
  assert.deepEqual(addForwards(text, [a]), { text, found: [true] });
  const added = addForwards(text, [a, b]);
  assert.deepEqual(added.found, [true, false]);
  assert.equal(
    added.text,
    text.replace(
      '\n</machine>',
      '\n<forward protocol="udp" port="53" address="192.0.2.5" from="10.0.0.0/8"/></machine>',
    ),
  );
  assert.equal(
    removeForwards(added.text, [a, b]).text,
    '<machine mac="keep" ip=\'1.2.3.4\'>\n  <allow x="/>"/>\n  \n</machine>',
  );
  assert.deepEqual(removeForwards('<machine/>', [a]), { text: '<machine/>', found: [false] });
  const prefixed = added.text.replaceAll(/<(\/?)forward/g, '<$1virlan:forward');
  assert.deepEqual(removeForwards(prefixed, [a]).found, [true], 'as virsh metadata accepts it');
  for (const broken of ['', '<machine>', '<!DOCTYPE x [<!ENTITY e "x">]><machine>&e;</machine>'])
    assert.throws(() => addForwards(broken, [a]), { code: 'unreadable-xml' });
  // The elements that are added are those that are read.
  fc.assert(
    fc.property(fc.uniqueArray(anyForward, { selector: formatForward, maxLength: 4 }), list => {
      const { text: written } = addForwards('<machine/>', list);
      const elements = written
        .replace(/^<machine\/?>|<\/machine>$/g, '')
        .replaceAll('<forward', '<v:forward');
      assert.deepEqual(texts(wishesOf(elements).wanted), list.map(formatForward));
      assert.equal(removeForwards(written, list).text.replace('></machine>', '/>'), '<machine/>');
    }),
  );
});

forwards('a damaged record is empty, and names in it change nothing', () => {
  for (const text of ['', '{', '[]', '{"version": 9}', '{"claims": [{}]}'])
    assert.deepEqual(parseForwardsRecord(text), { claims: [], booting: [], refused: [] });
  fc.assert(
    fc.property(anyName, name => {
      const fields = { uuid: uuid(1), name, forward: 'tcp/1', ip: '192.168.100.7' };
      const bad = { ...fields, ip: 'x' };
      const { claims } = parseForwardsRecord(
        JSON.stringify({ claims: [fields, bad], booting: [], refused: [] }),
      );
      assert.deepEqual(
        claims.map(each => each.name),
        [JSON.parse(JSON.stringify(name))],
      );
    }),
  );
});

forwards('translations differ in each part of them, the address of the machine included', () => {
  const [one, other] = [ip('192.168.100.57'), ip('192.168.100.58')];
  const all = [
    ...translationsOf(forward('tcp/8443:443'), one),
    ...translationsOf(forward('tcp/8443:443'), other),
    ...[
      'udp/8443:443',
      'tcp/8444:443',
      'tcp/8443:444',
      'tcp/8443-8444',
      'tcp/8443-8445',
      'tcp/8444-8445',
    ].flatMap(text => translationsOf(forward(text), one)),
    ...['on 192.0.2.5', 'on 192.0.2.6', 'from 10.0.0.0/8', 'from 10.0.0.0/9', 'from 11.0.0.0/8'].flatMap(
      rest => translationsOf(forward(`tcp/8443:443 ${rest}`), one),
    ),
  ];
  for (const [index, wanted] of all.entries())
    for (const [place, found] of all.entries()) {
      const { missing, stale } = compareTranslations([wanted], [found]);
      const expected = index === place ? [[], []] : [[wanted], [found]];
      assert.deepEqual([missing, stale], expected, `${translationText(wanted)}, ${translationText(found)}`);
    }
});

forwards.run();
