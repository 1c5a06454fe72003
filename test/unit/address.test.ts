// address.test.ts: tests addresses, prefixes, ranges, pools and MACs.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import {
  broadcastOf,
  familyOf,
  formatIp,
  formatPrefix,
  type Ipv4,
  type Ipv6,
  ipv4After,
  netmaskOf,
  type Prefix,
  parseAddressWithPrefix,
  parseIp,
  parseIpv4,
  parseIpv6,
  prefixContains,
  prefixesOverlap,
  prefixOf,
  rangeContains,
} from '../../src/address/ip.ts';
import { kvmMac, parseMac } from '../../src/address/mac.ts';
import { lastFree, makePool, poolAddress, poolSize } from '../../src/identity/pool.ts';
import { ip } from './builders.ts';

const address = suite('address');

const anyIp = fc.nat(0xffffffff).map(number => number as Ipv4);
const anySubnet = fc
  .tuple(anyIp, fc.integer({ min: 0, max: 32 }))
  .map(([at, length]) => prefixOf(at, length));

/** Returns an address as 32 binary digits: slow, but simple enough to be a reference. */
function bits(at: Ipv4): string {
  return at.toString(2).padStart(32, '0');
}

function prefix(text: string): Prefix {
  const read = parseAddressWithPrefix(text);
  assert(read, text);
  return prefixOf(read.address, read.length);
}

function subnet(text: string): Prefix<Ipv4> {
  const { network, length } = prefix(text);
  assert(typeof network === 'number', text);
  return { network, length };
}

address('an address that is formatted and parsed stays the same', () => {
  fc.assert(fc.property(anyIp, at => assert.equal(parseIpv4(formatIp(at)), at)));
  assert.equal(ip('255.255.255.255'), 0xffffffff);
  assert.equal(ip('1.2.3.4'), 0x01020304);
});

address('an invalid address is refused', () => {
  const bad = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.04',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.-4',
    '0x1.2.3.4',
    '::1',
  ];
  for (const text of bad) assert.equal(parseIpv4(text), null, text);
});

address('an address with a prefix length is parsed', () => {
  assert.deepEqual(parseAddressWithPrefix('10.1.2.3/8'), { address: ip('10.1.2.3'), length: 8 });
  assert.deepEqual(parseAddressWithPrefix('0.0.0.0/0'), { address: 0, length: 0 });
  for (const text of [
    '10.1.2.3',
    '10.1.2.3/',
    '10.1.2.3/33',
    '10.1.2.3/08',
    '10.1.2.3/-1',
    '300.1.2.3/8',
    '/8',
    '10.1.2.3/8 ',
  ]) {
    assert.equal(parseAddressWithPrefix(text), null, text);
  }
});

address('IPv6 addresses are formatted as RFC 5952 says, and parsed from that form', () => {
  const cases: [text: string, canonical: string][] = [
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['FD00:0:0:0:0192:168:100:155', 'fd00::192:168:100:155'],
    ['fe80::1:0:0:0:1', 'fe80:0:0:1::1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ];
  for (const [text, canonical] of cases) {
    const read = parseIp(text);
    assert(read !== null && familyOf(read) === 'ipv6', text);
    assert.equal(formatIp(read), canonical);
  }
  const anyIpv6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(number => number as Ipv6);
  fc.assert(fc.property(anyIpv6, at => assert.equal(parseIpv6(formatIp(at)), at)));
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7',
    'g::',
    '::1 ',
    '[::1]',
    '1.2.3.4',
  ])
    assert.equal(parseIpv6(text), null, text);
});

address('prefixes contain and overlap in IPv6 as in IPv4, and never across families', () => {
  const ula = prefix('fd12:3456:789a::1/64');
  assert.equal(formatPrefix(ula), 'fd12:3456:789a::/64');
  const inside = parseIp('fd12:3456:789a::ffff');
  const outside = parseIp('fd12:3456:789a:1::');
  assert(inside !== null && outside !== null);
  assert.equal(prefixContains(ula, inside), true);
  assert.equal(prefixContains(ula, outside), false);
  assert.equal(prefixContains(prefix('::/0'), inside), true);
  assert.equal(prefixContains(prefix('::/0'), ip('10.0.0.1')), false);
  assert.equal(prefixesOverlap(prefix('fd00::/8'), ula), true);
  assert.equal(prefixesOverlap(prefix('fd12:3456:789b::/48'), ula), false);
  assert.equal(prefixesOverlap(prefix('::/0'), prefix('0.0.0.0/0')), false);
  for (const text of ['::/129', '10.0.0.0/33', 'fd00::/064', 'fd00::/', '::1'])
    assert.equal(parseAddressWithPrefix(text), null, text);
});

address('subnets at both ends of the address space, and of extreme lengths', () => {
  const cases: [text: string, network: string, broadcast: string, netmask: string][] = [
    ['10.255.3.4/8', '10.0.0.0', '10.255.255.255', '255.0.0.0'],
    ['192.168.100.15/29', '192.168.100.8', '192.168.100.15', '255.255.255.248'],
    ['255.255.255.255/24', '255.255.255.0', '255.255.255.255', '255.255.255.0'],
    ['255.255.255.255/32', '255.255.255.255', '255.255.255.255', '255.255.255.255'],
    ['200.1.2.3/0', '0.0.0.0', '255.255.255.255', '0.0.0.0'],
    ['128.0.0.1/1', '128.0.0.0', '255.255.255.255', '128.0.0.0'],
  ];
  for (const [text, network, broadcast, netmask] of cases) {
    const found = subnet(text);
    const texts = [found.network, broadcastOf(found), netmaskOf(found)].map(formatIp);
    assert.deepEqual(texts, [network, broadcast, netmask], text);
    assert.equal(formatPrefix(found), `${network}/${found.length}`);
  }
});

address('a subnet contains exactly the addresses that begin with its bits', () => {
  fc.assert(
    fc.property(anySubnet, fc.oneof(anyIp, fc.integer({ min: -2, max: 2 })), (within, other) => {
      const near = [ipv4After(within.network, other), ipv4After(broadcastOf(within), other), other as Ipv4];
      for (const at of near.filter(number => number >= 0)) {
        const same = bits(at).slice(0, within.length) === bits(within.network).slice(0, within.length);
        assert.equal(prefixContains(within, at), same);
      }
    }),
  );
});

address('subnets overlap if both begin with the shorter prefix', () => {
  fc.assert(
    fc.property(anySubnet, anySubnet, fc.boolean(), (a, other, isNear) => {
      const b = isNear ? prefixOf(a.network, other.length) : other;
      const shorter = Math.min(a.length, b.length);
      const expected = bits(a.network).slice(0, shorter) === bits(b.network).slice(0, shorter);
      assert.equal(prefixesOverlap(a, b), expected);
      assert.equal(prefixesOverlap(b, a), expected);
    }),
  );
  assert(!prefixesOverlap(subnet('10.0.0.0/25'), subnet('10.0.0.128/25')));
});

address('the address after the last one is the first one', () => {
  assert.equal(ipv4After(ip('255.255.255.255'), 1), 0);
  assert.equal(ipv4After(ip('10.0.0.255'), 1), ip('10.0.1.0'));
  assert.equal(ipv4After(ip('10.0.1.0'), -1), ip('10.0.0.255'));
});

address('a range contains both its ends', () => {
  const range = { first: ip('10.0.0.2'), last: ip('10.0.0.4') };
  const inside = [1, 2, 3, 4, 5].filter(byte => rangeContains(range, ip(`10.0.0.${byte}`)));
  assert.deepEqual(inside, [2, 3, 4]);
});

address('the last free address of a pool is searched from its end', () => {
  const range = { first: 10 as Ipv4, last: 15 as Ipv4 };
  const pool = makePool(range, [15 as Ipv4]);
  assert.equal(
    lastFree(pool, () => false),
    14,
  );
  assert.equal(
    lastFree(pool, ip => ip > 11),
    11,
  );
  assert.equal(
    lastFree(pool, () => true),
    null,
  );
});

address('a pool contains its range without the reserved addresses', () => {
  fc.assert(
    fc.property(fc.nat(30), fc.array(fc.integer({ min: -3, max: 40 })), (length, excluded) => {
      const first = ip('10.0.0.10');
      const reserved = excluded.map(place => ipv4After(first, place));
      const pool = makePool({ first, last: ipv4After(first, length) }, reserved);
      const expected = Array.from({ length: length + 1 }, (_, place) => ipv4After(first, place)).filter(
        at => !reserved.includes(at),
      );
      assert.equal(poolSize(pool), expected.length);
      assert.deepEqual(
        expected.map((_, place) => poolAddress(pool, place)),
        expected,
      );
    }),
  );
});

address('a MAC is parsed in either case, and a multicast MAC is refused', () => {
  assert.equal(parseMac('52:54:00:AB:cd:0F'), '52:54:00:ab:cd:0f');
  const bad = [
    '',
    '52:54:00:ab:cd',
    '52:54:00:ab:cd:0f:00',
    '52-54-00-ab-cd-0f',
    '525400abcd0f',
    '52:54:00:ab:cd:0g',
    ' 52:54:00:ab:cd:0f',
    '01:00:5e:00:00:01',
    'ff:ff:ff:ff:ff:ff',
  ];
  for (const text of bad) assert.equal(parseMac(text), null, text);
});

address('a MAC for KVM ends with the first three of the given bytes', () => {
  assert.equal(kvmMac(Buffer.from([1, 2, 255, 4])), '52:54:00:01:02:ff');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 3, maxLength: 32 }), bytes => {
      const made = kvmMac(bytes);
      assert.equal(
        made,
        `52:54:00:${Buffer.from(bytes.subarray(0, 3))
          .toString('hex')
          .replace(/..(?=.)/g, '$&:')}`,
      );
      assert.equal(parseMac(made), made);
    }),
  );
});

address.run();
