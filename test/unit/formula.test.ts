// formula.test.ts: tests the formulas of MACs and addresses against docs/identity.md.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp, type Ipv4, ipv4After } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import { formulaAddress, formulaMac, linkMac } from '../../src/identity/formula.ts';
import { makePool, poolOf, poolSize } from '../../src/identity/pool.ts';
import { anyName, ip, mac, network } from './builders.ts';

const formula = suite('formula');

const manual = readFileSync('docs/identity.md', 'utf8');

function neverTaken() {
  return false;
}

/** A second implementation of the formulas, written from docs/identity.md alone. */
const reference = {
  hash: (text: string) => createHash('sha256').update(text).digest('hex'),
  mac: (text: string) => `52:54:00:${reference.hash(text).slice(0, 6).match(/../g)?.join(':')}`,
  pool(range: string): string[] {
    const [first = 0n, last = 0n] = range
      .split('-')
      .map(end => end.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n));
    return Array.from({ length: Number(last - first) + 1 }, (_, place) => {
      const hex = (first + BigInt(place)).toString(16).padStart(8, '0');
      return (hex.match(/../g) ?? []).map(pair => Number.parseInt(pair, 16)).join('.');
    });
  },
  address(text: string, range: string): string | undefined {
    const pool = reference.pool(range);
    return pool[Number(BigInt(`0x${reference.hash(text).slice(0, 8)}`) % BigInt(pool.length))];
  },
};

/** Returns the rows of the table whose header begins with this word, without back quotes around cells. */
function tableOf(word: string): string[][] {
  const [, rows = ''] = new RegExp(`^\\| ${word} \\|.*\\n\\|[-|]+\\n((?:\\|.*\\n)+)`, 'm').exec(manual) ?? [];
  return rows
    .trimEnd()
    .split('\n')
    .map(row =>
      row
        .slice(2, -2)
        .split(' | ')
        .map(cell => cell.replace(/^`(.*)`$/, '$1')),
    );
}

formula('the twenty documented examples match the reference and the program', () => {
  const rows = tableOf('network');
  assert.equal(rows.length, 20);
  for (const [on = '', quoted = '', nic = '', range = '', documentedMac, documentedIp] of rows) {
    const key = { network: on, machine: String(JSON.parse(quoted)), nic: Number(nic) };
    const text = `${on}/${key.machine}/${nic}`;
    const [first = '', last = ''] = range.split('-');
    const pool = makePool({ first: ip(first), last: ip(last) }, []);
    const address = formulaAddress(key, pool, () => 0);

    assert.equal(reference.mac(`virlan:mac:${text}:0`), documentedMac, text);
    assert.equal(reference.address(`virlan:ip:${text}:0`, range), documentedIp, text);
    assert.equal(formulaMac(key, neverTaken), documentedMac, text);
    assert.equal(address && formatIp(address), documentedIp, text);
  }
});

formula('the documented shell examples match the reference', () => {
  const commands = [...manual.matchAll(/\$ printf %s (\S+) \| sha256sum\n +(\w+)/g)];
  assert.equal(commands.length, 2);
  for (const [, text = '', hash] of commands) assert.equal(reference.hash(text), hash);
  const [, dividend, divisor, rest] = /\$\(\((0x\w+) % (\d+)\)\)\n +(\d+)/.exec(manual) ?? [];
  assert.equal(Number(dividend) % Number(divisor), Number(rest));
  assert.equal(`0x${commands[1]?.[2]?.slice(0, 8)}`, dividend);
});

formula('the MACs of the bridge and of its dummy NIC match the reference', () => {
  const rows = tableOf('machine-id');
  assert.equal(rows.length, 3);
  for (const [id = '', bridge = '', ofBridge, ofNic] of rows) {
    assert.equal(reference.mac(`virlan:bridge:${id}:${bridge}`), ofBridge);
    assert.equal(reference.mac(`virlan:nic:${id}:${bridge}`), ofNic);
    assert.equal(linkMac('bridge', id, bridge), ofBridge);
    assert.equal(linkMac('nic', id, bridge), ofNic);
  }
});

formula('if a MAC is taken, the next attempt is used', () => {
  const key = { network: 'k8s-br0', machine: 'web', nic: 0 };
  const attempts = [0, 1, 2].map(attempt => reference.mac(`virlan:mac:k8s-br0/web/0:${attempt}`));
  for (const [count, expected] of attempts.entries()) {
    assert.equal(
      formulaMac(key, candidate => attempts.slice(0, count).includes(candidate)),
      expected,
    );
  }
  assert(manual.includes(`\`${attempts[1]}\``));
});

formula('if an address is taken, the next one is used, and the first one after the last', () => {
  const key = { network: 'lan', machine: 'web', nic: 0 };
  fc.assert(
    fc.property(
      fc.nat(9),
      fc.array(fc.nat(9)),
      fc.array(fc.nat(9)),
      anyName,
      (length, excluded, taken, machine) => {
        const first = ip('10.0.0.10');
        const at = (place: number) => ipv4After(first, place);
        const pool = makePool({ first, last: at(length) }, excluded.map(at));
        const listed = Array.from({ length: length + 1 }, (_, place) => at(place)).filter(
          one => !excluded.map(at).includes(one),
        );
        const hash = BigInt(`0x${reference.hash(`virlan:ip:lan/${machine}/0:0`).slice(0, 8)}`);
        const start = listed.length === 0 ? 0 : Number(hash % BigInt(listed.length));
        const rotated = [...listed.slice(start), ...listed.slice(0, start)];
        const expected = rotated.find(one => !taken.map(at).includes(one)) ?? null;
        const isTaken = (one: Ipv4) => Number(taken.map(at).includes(one));
        assert.equal(formulaAddress({ ...key, machine }, pool, isTaken), expected);
      },
    ),
  );
});

formula('several addresses are skipped in one step', () => {
  const pool = makePool({ first: ip('11.0.0.2'), last: ip('11.255.255.254') }, []);
  const asked: Ipv4[] = [];
  const found = formulaAddress({ network: 'lan', machine: 'web', nic: 0 }, pool, (one, left) => {
    asked.push(one);
    return asked.length === 3 ? 0 : Math.min(left, 1_000_000);
  });
  const [first] = asked;
  assert(first !== undefined);
  const { range } = pool;
  const expected = first + 2_000_000 <= range.last ? first + 2_000_000 : first + 2_000_000 - poolSize(pool);
  assert.equal(found, expected);
});

formula('the pool of a network contains neither the host nor the fixed hosts', () => {
  const lan = network('[host.p]', 'network = k8s-br0', `mac = ${mac(1)}`, 'ip = 192.168.100.3');
  const pool = poolOf({ ...lan, range: { first: lan.gateway, last: ip('192.168.100.5') } });
  const given = new Set<Ipv4>();
  for (let machine = 0; machine < 3; machine++) {
    const found = formulaAddress({ network: lan.name, machine: `m${machine}`, nic: 0 }, pool, one =>
      Number(given.has(one)),
    );
    if (found !== null) given.add(found);
  }
  assert.deepEqual([...given].sort().map(formatIp), ['192.168.100.2', '192.168.100.4', '192.168.100.5']);
});

formula('every name has a valid MAC and address, which do not change', () => {
  const { range } = network();
  fc.assert(
    fc.property(anyName, fc.nat(3), (machine, nic) => {
      const key = { network: 'k8s-br0', machine, nic };
      const found: Mac = formulaMac(key, neverTaken);
      assert.match(found, /^52:54:00(:[0-9a-f]{2}){3}$/);
      assert.equal(formulaMac({ ...key }, neverTaken), found);
      const address = formulaAddress(key, makePool(range, []), () => 0);
      assert(address !== null && address >= range.first && address <= range.last);
    }),
  );
});

formula.run();
