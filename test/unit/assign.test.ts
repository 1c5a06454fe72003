// assign.test.ts: tests which MACs are assigned, and how they are written into a definition.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type Mac, parseMac } from '../../src/address/mac.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import type { HandLine } from '../../src/dnsmasq/hostsfile.ts';
import { type AssignContext, assignMacs, pairedMacs } from '../../src/identity/assign.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { noWishes } from '../../src/identity/machine.ts';
import { predictMac } from '../../src/identity/predict.ts';
import { parseDomain } from '../../src/libvirt/domain-xml.ts';
import { replaceMacs } from '../../src/libvirt/replace-mac.ts';
import { DefinedMacs } from '../../src/watcher/machines/defined-macs.ts';
import { asMade, entry, ip, mac, network, uuid } from './builders.ts';

const assign = suite('assign');

function formula(nic = 0, taken: (other: Mac) => boolean = () => false) {
  return formulaMac({ network: 'k8s-br0', machine: 'web', nic }, taken);
}

function machine(...macs: Mac[]) {
  return { name: 'web', uuid: entry().uuid, macs, isolated: new Set<Mac>(), wishes: noWishes };
}

const context: AssignContext = {
  network: network(),
  paired: new Set(),
  onOthers: new Set(),
  hasImage: false,
  ledger: Ledger.empty,
  isDefinedElsewhere: () => false,
  byHand: [],
  hostMacs: [],
};

function definedFor(holder: string, mac: Mac) {
  const macs = new DefinedMacs();
  macs.set(holder, new Set([mac]));
  return { isDefinedElsewhere: macs.isElsewhere.bind(macs) };
}

function recorded(...entries: readonly LedgerEntry[]) {
  return {
    ledger: entries.reduce((ledger, one) => ledger.replace(null, one), Ledger.empty),
  };
}

const other = '02:00:00:00:00:01' as Mac;
const second = formula(0, each => each === formula());

function line(own: Mac, hostname: string | null): HandLine {
  return {
    macs: [own],
    ip: ip('192.168.100.50'),
    hostname,
    effect: 'serves',
  };
}

/** Returns the network with one `[host.…]` section. */
function withHost(name: string, own: Mac): NetworkConfig {
  return network(`[host.${name}]`, 'network = k8s-br0', `mac = ${own}`, 'ip = 192.168.100.50');
}

assign('NICs belong together by <teaming>, or by a MAC that they share with one on another network', () => {
  const nic = (number: number, teamed = false) => ({
    mac: mac(number),
    bridge: null,
    network: 'any',
    tap: null,
    ...asMade,
    teamed,
  });
  const [plain, shared, twin, teamed] = [nic(1), nic(2), nic(2), nic(3, true)];
  assert.deepEqual([...pairedMacs([plain, shared, teamed], new Set([mac(2)]))], [mac(2), mac(3)]);
  assert.deepEqual([...pairedMacs([shared, twin], new Set())], [], 'on one network it is a mistake');
});

assign('a machine gets its formula MAC or keeps its own', () => {
  const own = entry({ macs: [mac(1)], macOrigin: 'own' });
  const given = entry({ macs: [mac(1)], macOrigin: 'given', name: 'old-name' });
  const policy = (text: 'assign' | 'always' | 'keep') => ({
    ...context,
    network: { ...network(), macPolicy: text },
  });
  const cases: [string, ReturnType<typeof machine>, Parameters<typeof assignMacs>[1], Mac | null][] = [
    ['a new machine', machine(mac(1)), context, formula()],
    ['a machine that has its formula MAC', machine(formula()), context, null],
    ['a MAC without the prefix of KVM', machine(other), context, null],
    ['a MAC in a line written by hand', machine(mac(1)), { ...context, byHand: [line(mac(1), null)] }, null],
    ['a MAC in virlan.ini', machine(mac(1)), { ...context, network: withHost('x', mac(1)) }, null],
    ['a MAC that another NIC has as well', machine(mac(1)), { ...context, paired: new Set([mac(1)]) }, null],
    ['a known machine that has not booted', machine(mac(1)), { ...context, ...recorded(own) }, formula()],
    [
      'a machine that has booted',
      machine(mac(1)),
      { ...context, ...recorded({ ...own, booted: true }) },
      null,
    ],
    [
      'a machine that has booted, mac = always',
      machine(mac(1)),
      { ...policy('always'), ...recorded({ ...own, booted: true }) },
      formula(),
    ],
    [
      'an adopted machine',
      machine(mac(1)),
      { ...context, ...recorded({ ...own, booted: true, macOrigin: 'due' }) },
      formula(),
    ],
    ['a renamed machine', machine(mac(1)), { ...context, ...recorded(given) }, null],
    ['a renamed machine, mac = always', machine(mac(1)), { ...policy('always'), ...recorded(given) }, null],
    ['mac = keep', machine(mac(1)), policy('keep'), null],
    [
      'a machine whose metadata says mac=keep',
      { ...machine(mac(1)), wishes: { ...noWishes, keepsMac: true } },
      context,
      null,
    ],
    [
      'the formula MAC is in use by another machine',
      machine(mac(1)),
      { ...context, ...definedFor(uuid(2), formula()) },
      formula(0, each => each === formula()),
    ],
    [
      "the formula's MAC is that of the bridge",
      machine(mac(1)),
      { ...context, hostMacs: [formula()] },
      second,
    ],
  ];
  for (const [title, subject, given, expected] of cases) {
    assert.deepEqual([...assignMacs(subject, given)], expected === null ? [] : [[0, expected]], title);
  }
});

assign('a NIC that is moved to another network keeps the MAC that its machine booted with', () => {
  const elsewhere = entry({ network: 'lab', macs: [mac(1)], macOrigin: 'own', booted: true });
  const here = entry({ macs: [mac(1)], macOrigin: 'own' });
  const always = { network: { ...network(), macPolicy: 'always' as const } };
  const cases: [string, LedgerEntry[], Partial<AssignContext>, Mac | null][] = [
    ['its own', [elsewhere], {}, null],
    ["the other network's formula's", [{ ...elsewhere, macOrigin: 'given' }], {}, null],
    ['an earlier one', [{ ...elsewhere, macs: [mac(2), mac(1)] }], {}, null],
    ['also once it is reserved here', [elsewhere, here], {}, null],
    ['booted here with another one', [elsewhere, { ...here, macs: [mac(3)], booted: true }], {}, null],
    [
      'adopted, and booted here',
      [elsewhere, { ...here, macs: [mac(3)], booted: true, macOrigin: 'due' }],
      {},
      formula(),
    ],
    ['not booted', [{ ...elsewhere, booted: false }], {}, formula()],
    ['booted with another one', [{ ...elsewhere, macs: [mac(2)] }], {}, formula()],
    ['of another machine', [{ ...elsewhere, uuid: uuid(9), retired: new Date(0) }], {}, formula()],
    ['mac = always', [elsewhere], always, formula()],
    ['adopted', [elsewhere, { ...here, macOrigin: 'due' }], {}, formula()],
  ];
  for (const [title, found, given, expected] of cases) {
    const changes = assignMacs(machine(mac(1)), { ...context, ...recorded(...found), ...given });
    assert.deepEqual([...changes], expected === null ? [] : [[0, expected]], title);
  }
});

assign('a MAC that comes in place of the one in the ledger is kept only before the first boot', () => {
  const given = entry({ macs: [mac(1)], macOrigin: 'given' });
  const own = entry({ macs: [mac(1)], macOrigin: 'own' });
  const booted = { booted: true };
  const always = { network: { ...network(), macPolicy: 'always' as const } };
  const heldBy = definedFor(uuid(2), mac(1));
  const cases: [string, LedgerEntry, Partial<AssignContext>, Mac | null][] = [
    ['not booted, given', given, {}, null],
    ['not booted, given, undefined meanwhile', { ...given, retired: new Date(0) }, {}, formula()],
    ['booted with the given one', { ...given, ...booted }, {}, mac(1)],
    ['booted with its own', { ...own, ...booted }, {}, mac(1)],
    ['booted, undefined meanwhile', { ...given, ...booted, retired: new Date(0) }, {}, mac(1)],
    ['booted with both', { ...given, ...booted, macs: [mac(1), mac(2)] }, {}, null],
    ['booted, and another machine has its MAC now', { ...given, ...booted }, heldBy, null],
    ['mac = always, given', given, always, mac(1)],
    ['mac = always, booted with its own', { ...own, ...booted }, always, formula()],
  ];
  for (const [title, found, given, expected] of cases) {
    const changes = assignMacs(machine(mac(2)), { ...context, ...recorded(found), ...given });
    assert.deepEqual([...changes], expected === null ? [] : [[0, expected]], title);
  }
});

assign('a machine that is defined anew under its name keeps a MAC that it booted with', () => {
  const before = entry({ uuid: uuid(9), macs: [mac(1)], macOrigin: 'own', booted: true });
  const retired = { ...before, retired: new Date(0) };
  const always = { network: { ...network(), macPolicy: 'always' as const } };
  const cases: [string, LedgerEntry[], Partial<AssignContext>, Mac | null][] = [
    ['undefined', [retired], {}, null],
    ['undefined while nobody watched', [before], {}, null],
    ['an earlier one', [{ ...retired, macs: [mac(2), mac(1)] }], {}, null],
    ['its UUID exists: it was renamed', [before], definedFor(uuid(9), mac(1)), formula()],
    ['not booted', [{ ...retired, booted: false }], {}, formula()],
    ['of another name', [{ ...retired, name: 'db' }], {}, formula()],
    ['of another host', [{ ...retired, host: ip('10.0.0.2') }], {}, formula()],
    ['adopted', [{ ...retired, macOrigin: 'due' }], {}, formula()],
    ['mac = always', [retired], always, formula()],
  ];
  for (const [title, found, given, expected] of cases) {
    const changes = assignMacs(machine(mac(1)), { ...context, ...recorded(...found), ...given });
    assert.deepEqual([...changes], expected === null ? [] : [[0, expected]], title);
  }
});

assign('while a managed-save image has its MAC, a machine only gets back the one that it booted with', () => {
  const booted = entry({ macs: [mac(1)], macOrigin: 'own', booted: true });
  const always = { network: { ...network(), macPolicy: 'always' as const } };
  const elsewhere = entry({ uuid: uuid(9), name: 'db', macs: [mac(2)], host: ip('10.0.0.2') });
  const cases: [string, LedgerEntry[], Partial<AssignContext>, Mac | null][] = [
    ['booted with another one', [booted], {}, mac(1)],
    ['mac = always, given', [{ ...booted, macOrigin: 'given' }], always, mac(1)],
    ['mac = always, its own', [booted], always, null],
    ['adopted', [{ ...booted, macOrigin: 'due' }], {}, null],
    ['on a network that it never booted on', [], {}, null],
    ['another host has its MAC', [{ ...booted, macs: [mac(2)] }, elsewhere], {}, null],
  ];
  for (const [title, found, given, expected] of cases) {
    const changes = assignMacs(machine(mac(2)), {
      ...context,
      ...recorded(...found),
      ...given,
      hasImage: true,
    });
    assert.deepEqual([...changes], expected === null ? [] : [[0, expected]], title);
  }
});

assign('a MAC that replaced another one before the first boot stays', () => {
  const replaced = entry({ macs: [mac(2), mac(1)], macOrigin: 'own' });
  assert.deepEqual([...assignMacs(machine(mac(2)), { ...context, ...recorded(replaced) })], []);
});

assign('a NIC in the place of one that was moved with its MAC does not get that MAC', () => {
  const had = entry({ macs: [formula()], macOrigin: 'given', booted: true });
  const away = { onOthers: new Set([formula()]) };
  const changes = assignMacs(machine(mac(2)), { ...context, ...recorded(had), ...away });
  assert.deepEqual([...changes], [[0, second]]);
  assert.deepEqual([...assignMacs(machine(mac(2)), { ...context, ...away })], [[0, second]], 'before a boot');
});

assign('a NIC added before another does not get the MAC of that one', () => {
  const found = entry({ macs: [formula(0)], macOrigin: 'given', booted: true });
  const changes = assignMacs(machine(mac(2), formula(0)), { ...context, ...recorded(found) });
  assert.deepEqual([...changes], [[0, second]]);
});

assign('each NIC of a machine that is redefined without MACs gets back its own', () => {
  const entries = [0, 1].map(nic =>
    entry({
      nic,
      macs: [mac(11 + nic)],
      hostname: `web-${nic}`,
      ip: ip(`192.168.100.${7 + nic}`),
      booted: true,
    }),
  );
  const changes = assignMacs(machine(mac(1), mac(2)), { ...context, ...recorded(...entries) });
  assert.deepEqual(
    [...changes],
    [
      [0, mac(11)],
      [1, mac(12)],
    ],
  );
});

assign('the assigned MAC is the predicted one, for each other user of the formula MAC', () => {
  const mine = formula();
  const cases: [user: string, given: Partial<AssignContext>, expected: Mac][] = [
    ['nobody', {}, mine],
    ['another definition', definedFor(uuid(2), mine), second],
    ['its own definition', definedFor(uuid(1), mine), mine],
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
  for (const [user, given, expected] of cases) {
    const { network: lan, ...sources } = { ...context, ...given };
    const assigned = assignMacs(machine(mac(1)), { ...sources, network: lan }).get(0);
    const reading = {
      ...sources,
      hostsfile: {
        ours: [],
        byHand: sources.byHand.map(each => [...each.macs, each.hostname ?? ''].join(',')),
        configured: [],
      },
      names: '',
      hostName: 'sandbox',
      leases: () => [],
      answered: new Set<never>(),
      ownBlocks: () => [],
      isKnown: () => true,
      isRunning: () => false,
      machine: null,
    };
    // `virlan mac web` predicts from the definition if there is one, and from the name alone before.
    const isDefined = user === 'its own definition';
    const predicted = predictMac(
      lan,
      { name: 'web', nic: 0 },
      isDefined ? { ...reading, machine: machine(mine) } : reading,
    );
    assert.equal(assigned, expected, `${user}: assigned`);
    assert.equal(predicted.mac, expected, `${user}: predicted`);
    const [step] = predicted.why;
    assert(step?.kind === 'mac');
    assert.equal(step.reason, isDefined ? 'definition' : 'formula');
    assert.equal(step.skipped.length, expected === second ? 1 : 0, user);
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

function domain(...nics: string[]) {
  return `<?xml version='1.0'?>
<domain type='kvm'><!-- é 💥 <mac address='52:54:00:00:00:99'/> -->\r
  <name>web</name><uuid>${entry().uuid}</uuid>
  <metadata><x:interface xmlns:x='urn:x'><mac address='52:54:00:00:00:98'/></x:interface></metadata>
  <devices><hostdev><mac address='52:54:00:00:00:97'/></hostdev>${nics.join('')}
    <graphics passwd='a&amp;b'><![CDATA[ <mac address='52:54:00:00:00:96'/> ]]></graphics></devices>
</domain>`;
}

function nic(address: string, quote = "'") {
  return `<interface type='bridge'>\n<mac  address = ${quote}${address}${quote} /><source bridge='k8s-br0'/></interface>`;
}

assign('only the selected MAC changes; the rest of the document stays byte for byte', () => {
  const xml = domain(nic(mac(1)), nic(mac(2), '"'), nic(mac(3)));
  const changed = replaceMacs(xml, new Map([[1, mac(7)]]));
  assert.equal(changed, domain(nic(mac(1)), nic(mac(7), '"'), nic(mac(3))));
  assert.equal(replaceMacs(xml, new Map()), xml);
  assert.throws(() => replaceMacs(xml, new Map([[3, mac(7)]])), /interface 3/);
});

assign('the interface whose MAC is replaced is the one that the parser counts', () => {
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
