import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type Mac, parseMac } from '../../src/address/mac.ts';
import { assignMacs } from '../../src/identity/assign.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { noWishes } from '../../src/identity/machine.ts';
import { parseDomain } from '../../src/libvirt/domain-xml.ts';
import { replaceMacs } from '../../src/libvirt/replace-mac.ts';
import { entry, mac, network } from './builders.ts';

const assign = suite('assign');

const formula = (nic = 0, taken: (other: Mac) => boolean = () => false) =>
  formulaMac({ network: 'k8s-br0', machine: 'web', nic }, taken);
const machine = (...macs: Mac[]) => ({ name: 'web', uuid: entry().uuid, macs, wishes: noWishes });
const around = { network: network(), entries: [], chosen: new Set<Mac>(), taken: () => false };
const other = '02:00:00:00:00:01' as Mac;

assign('who gets the formula’s MAC, and who keeps its own', () => {
  const own = entry({ macs: [mac(1)], mac: 'own' });
  const given = entry({ macs: [mac(1)], mac: 'given', name: 'old-name' });
  const policy = (text: 'assign' | 'always' | 'keep') => ({
    ...around,
    network: { ...network(), mac: text },
  });
  const cases: [string, ReturnType<typeof machine>, Parameters<typeof assignMacs>[1], Mac | null][] = [
    ['one that is new', machine(mac(1)), around, formula()],
    ['one that has it', machine(formula()), around, null],
    ['one with another prefix', machine(other), around, null],
    ['one that the user names', machine(mac(1)), { ...around, chosen: new Set([mac(1)]) }, null],
    ['one that never booted', machine(mac(1)), { ...around, entries: [own] }, formula()],
    ['one that booted', machine(mac(1)), { ...around, entries: [{ ...own, booted: true }] }, null],
    [
      'one that booted, with always',
      machine(mac(1)),
      { ...policy('always'), entries: [{ ...own, booted: true }] },
      formula(),
    ],
    [
      'one that is adopted',
      machine(mac(1)),
      { ...around, entries: [{ ...own, booted: true, mac: 'due' }] },
      formula(),
    ],
    ['one that was renamed', machine(mac(1)), { ...around, entries: [given] }, null],
    ['one that was renamed, with always', machine(mac(1)), { ...policy('always'), entries: [given] }, null],
    ['with keep', machine(mac(1)), policy('keep'), null],
    [
      'one that wishes to keep it',
      { ...machine(mac(1)), wishes: { ...noWishes, mac: 'keep' } },
      around,
      null,
    ],
    [
      'whose MAC is another’s',
      machine(mac(1)),
      { ...around, taken: each => each === formula() },
      formula(0, each => each === formula()),
    ],
  ];
  for (const [who, which, circumstances, expected] of cases) {
    assert.deepEqual([...assignMacs(which, circumstances)], expected === null ? [] : [[0, expected]], who);
  }
});

assign('two NICs of one machine get two MACs', () => {
  const changes = assignMacs(machine(mac(1), mac(2)), around);
  assert.deepEqual(
    [...changes],
    [
      [0, formula(0)],
      [1, formula(1)],
    ],
  );
});

const domain = (...nics: string[]) => `<?xml version='1.0'?>
<domain type='kvm'><!-- é 💥 <mac address='52:54:00:00:00:99'/> -->\r
  <name>web</name><uuid>${entry().uuid}</uuid>
  <metadata><x:interface xmlns:x='urn:x'><mac address='52:54:00:00:00:98'/></x:interface></metadata>
  <devices><hostdev><mac address='52:54:00:00:00:97'/></hostdev>${nics.join('')}
    <graphics passwd='a&amp;b'><![CDATA[ <mac address='52:54:00:00:00:96'/> ]]></graphics></devices>
</domain>`;
const nic = (address: string, quote = "'") =>
  `<interface type='bridge'>\n<mac  address = ${quote}${address}${quote} /><source bridge='k8s-br0'/></interface>`;

assign('only the MAC that is meant changes, all else stays byte for byte', () => {
  const xml = domain(nic(mac(1)), nic(mac(2), '"'), nic(mac(3)));
  const changed = replaceMacs(xml, new Map([[1, mac(7)]]));
  assert.equal(changed, domain(nic(mac(1)), nic(mac(7), '"'), nic(mac(3))));
  assert.equal(replaceMacs(xml, new Map()), xml);
  assert.throws(() => replaceMacs(xml, new Map([[3, mac(7)]])), /interface 3/);
});

assign('what is replaced is what is read', () => {
  const anyMac = fc.integer({ min: 0, max: 0xffffff }).map(number => {
    const hex = number.toString(16).padStart(6, '0');
    return parseMac(`52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`) as Mac;
  });
  fc.assert(
    fc.property(fc.array(anyMac, { minLength: 1, maxLength: 5 }), fc.nat(), anyMac, (macs, at, to) => {
      const place = at % macs.length;
      const parsed = parseDomain(replaceMacs(domain(...macs.map(each => nic(each))), new Map([[place, to]])));
      assert(parsed.ok);
      assert.deepEqual(
        parsed.value.nics.map(each => each.mac),
        macs.with(place, to),
      );
    }),
  );
});

assign.run();
