import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type Mac, parseMac } from '../../src/address/mac.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import type { HandLine } from '../../src/dnsmasq/hostsfile.ts';
import { type AssignContext, assignMacs } from '../../src/identity/assign.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { noWishes } from '../../src/identity/machine.ts';
import { predictMac } from '../../src/identity/predict.ts';
import { parseDomain } from '../../src/libvirt/domain-xml.ts';
import { replaceMacs } from '../../src/libvirt/replace-mac.ts';
import { entry, ip, mac, network, uuid } from './builders.ts';

const assign = suite('assign');

const formula = (nic = 0, taken: (other: Mac) => boolean = () => false) =>
  formulaMac({ network: 'k8s-br0', machine: 'web', nic }, taken);
const machine = (...macs: Mac[]) => ({ name: 'web', uuid: entry().uuid, macs, wishes: noWishes });
const context: AssignContext = { network: network(), ledger: Ledger.empty, domains: [], byHand: [] };
const recorded = (...entries: readonly LedgerEntry[]) => ({
  ledger: entries.reduce((ledger, one) => ledger.replace(null, one), Ledger.empty),
});
const other = '02:00:00:00:00:01' as Mac;
const second = formula(0, each => each === formula());
const line = (own: Mac, hostname: string | null): HandLine => ({
  macs: [own],
  ip: ip('192.168.100.50'),
  hostname,
});

/** The network with one `[host.…]` section. */
function withHost(name: string, own: Mac): NetworkConfig {
  return network(`[host.${name}]`, 'network = k8s-br0', `mac = ${own}`, 'ip = 192.168.100.50');
}

assign('who gets the formula’s MAC, and who keeps its own', () => {
  const own = entry({ macs: [mac(1)], macOrigin: 'own' });
  const given = entry({ macs: [mac(1)], macOrigin: 'given', name: 'old-name' });
  const policy = (text: 'assign' | 'always' | 'keep') => ({
    ...context,
    network: { ...network(), macPolicy: text },
  });
  const cases: [string, ReturnType<typeof machine>, Parameters<typeof assignMacs>[1], Mac | null][] = [
    ['one that is new', machine(mac(1)), context, formula()],
    ['one that has it', machine(formula()), context, null],
    ['one with another prefix', machine(other), context, null],
    [
      'one that a line written by hand has',
      machine(mac(1)),
      { ...context, byHand: [line(mac(1), null)] },
      null,
    ],
    ['one that virlan.ini has', machine(mac(1)), { ...context, network: withHost('x', mac(1)) }, null],
    ['one that never booted', machine(mac(1)), { ...context, ...recorded(own) }, formula()],
    ['one that booted', machine(mac(1)), { ...context, ...recorded({ ...own, booted: true }) }, null],
    [
      'one that booted, with always',
      machine(mac(1)),
      { ...policy('always'), ...recorded({ ...own, booted: true }) },
      formula(),
    ],
    [
      'one that is adopted',
      machine(mac(1)),
      { ...context, ...recorded({ ...own, booted: true, macOrigin: 'due' }) },
      formula(),
    ],
    ['one that was renamed', machine(mac(1)), { ...context, ...recorded(given) }, null],
    ['one that was renamed, with always', machine(mac(1)), { ...policy('always'), ...recorded(given) }, null],
    ['with keep', machine(mac(1)), policy('keep'), null],
    [
      'one that wishes to keep it',
      { ...machine(mac(1)), wishes: { ...noWishes, keepsMac: true } },
      context,
      null,
    ],
    [
      'whose MAC is another’s',
      machine(mac(1)),
      { ...context, domains: [[uuid(2), new Set([formula()])]] },
      formula(0, each => each === formula()),
    ],
  ];
  for (const [who, which, given, expected] of cases) {
    assert.deepEqual([...assignMacs(which, given)], expected === null ? [] : [[0, expected]], who);
  }
});

assign('the MAC that is assigned is the one that was foretold, whoever else has the formula’s', () => {
  const mine = formula();
  const cases: [who: string, given: Partial<AssignContext>, expected: Mac][] = [
    ['nobody', {}, mine],
    ['another definition', { domains: [[uuid(2), new Set([mine])]] }, second],
    ['its own definition', { domains: [[uuid(1), new Set([mine])]] }, mine],
    ['another entry', recorded(entry({ uuid: uuid(2), name: 'db', macs: [mac(7), mine] })), second],
    [
      'a retired entry',
      recorded(entry({ uuid: uuid(2), name: 'db', macs: [mine], retired: new Date(0) })),
      mine,
    ],
    ['another device', { network: withHost('printer', mine) }, second],
    ['a section of its own name', { network: withHost('web', mine) }, mine],
    ['a line of another name', { byHand: [line(mine, 'printer')] }, second],
    ['a line of its own name', { byHand: [line(mine, 'web')] }, mine],
    ['a line without a name', { byHand: [line(mine, null)] }, mine],
  ];
  for (const [who, given, expected] of cases) {
    const { network: lan, ...sources } = { ...context, ...given };
    const assigned = assignMacs(machine(mac(1)), { ...sources, network: lan }).get(0);
    const reading = {
      ...sources,
      hostsfile: {
        ours: [],
        byHand: sources.byHand.map(each => [...each.macs, each.hostname ?? ''].join(',')),
      },
      leases: () => [],
      isKnown: () => true,
      machine: null,
    };
    // `virlan mac web` before the machine is defined; afterwards libvirt has its definition.
    const isDefined = who === 'its own definition';
    const foretold = predictMac(
      lan,
      { name: 'web', nic: 0 },
      isDefined ? { ...reading, machine: machine(mine) } : reading,
    );
    assert.equal(assigned, expected, `${who}: assigned`);
    assert.equal(foretold.mac, expected, `${who}: foretold`);
    const [step] = foretold.why;
    assert(step?.kind === 'mac');
    assert.equal(step.reason, isDefined ? 'definition' : 'formula');
    assert.equal(step.skipped.length, expected === second ? 1 : 0, who);
  }
});

assign('two NICs of one machine get two MACs', () => {
  const changes = assignMacs(machine(mac(1), mac(2)), context);
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
