// failed-starts.test.ts: tests what a start changes in the ledger, and the ledger after one that failed.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { startedNics, withoutStart } from '../../src/identity/failed-start.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { noWishes } from '../../src/identity/machine.ts';
import { reserve } from '../../src/identity/reserve.ts';
import { hasRunBy } from '../../src/libvirt/domain-xml.ts';
import { aDate, entry, ip, mac, network, newHost, uuid } from './builders.ts';

const failed = suite('failed starts');

function ledgerOf(...entries: readonly LedgerEntry[]): Ledger {
  return entries.reduce((ledger, each) => ledger.replace(null, each), Ledger.empty);
}

/** Starts the machine of `entry()` with these MACs. */
function start(ledger: Ledger, ...macs: LedgerEntry['macs']) {
  const machine = { name: 'web', uuid: uuid(1), macs, isolated: new Set<never>(), wishes: noWishes };
  const rest = { byHand: [], ownBlocks: () => [], isKnown: () => false, now: aDate };
  return reserve(ledger, machine, 'booting', { ...newHost, ...rest, network: network() });
}

/** Returns the entries of the machine after a start that failed. */
function afterFailure(ledger: Ledger, ...macs: LedgerEntry['macs']): LedgerEntry[] {
  const reserved = start(ledger, ...macs);
  return withoutStart(reserved.ledger, uuid(1), startedNics(reserved)).ledger.ofUuid(uuid(1));
}

failed('a start that changes neither the MAC nor whether it has booted leaves nothing to take back', () => {
  assert.deepEqual(startedNics(start(ledgerOf(entry({ booted: true })), mac(1))), []);
});

failed('the first start of a machine, known or not, was not a boot', () => {
  assert.deepEqual(afterFailure(ledgerOf(entry()), mac(1)), [entry()]);
  const [made, ...others] = afterFailure(Ledger.empty, mac(1));
  assert.deepEqual([made?.macs, made?.macOrigin, made?.booted, others], [[mac(1)], 'own', false, []]);
});

failed('a machine that has booted has the MAC of its last boot, and its origin', () => {
  const before = entry({ booted: true, macs: [mac(1), mac(3)], macOrigin: 'given', replacedMac: mac(3) });
  const reserved = start(ledgerOf(before), mac(2));
  assert.deepEqual(reserved.entries[0]?.macs, [mac(2), mac(1), mac(3)]);
  const without = withoutStart(reserved.ledger, uuid(1), startedNics(reserved));
  assert.deepEqual([without.ledger.ofUuid(uuid(1)), without.networks], [[before], ['k8s-br0']]);
});

failed('only the new NIC of a machine that has booted has not', () => {
  const first = entry({ booted: true });
  const [kept, added] = afterFailure(ledgerOf(first), mac(1), mac(2));
  assert.deepEqual(kept, first);
  assert.deepEqual([added?.macs, added?.booted], [[mac(2)], false]);
});

failed("a machine of another host is that host's again, also a NIC that is not plugged in here", () => {
  const elsewhere = { host: ip('10.0.0.2'), revision: 7, booted: true };
  const plugged = entry(elsewhere);
  const unplugged = entry({
    ...elsewhere,
    nic: 1,
    macs: [mac(2)],
    ip: ip('192.168.100.8'),
    hostname: 'web-1',
  });
  for (const started of [mac(1), mac(3)]) {
    const reserved = start(ledgerOf(plugged, unplugged), started);
    assert.equal(reserved.entries[0]?.host, null);
    const without = withoutStart(reserved.ledger, uuid(1), startedNics(reserved));
    assert.deepEqual([without.ledger.ofUuid(uuid(1)), without.networks], [[plugged, unplugged], ['k8s-br0']]);
  }
});

failed('a machine that the other hosts know to be here stays here', () => {
  const reserved = start(ledgerOf(entry({ host: ip('10.0.0.2'), revision: 7, booted: true })), mac(1));
  const [taken] = reserved.entries;
  assert(taken !== undefined);
  const written = reserved.ledger.replace(taken, { ...taken, revision: 8 });
  const without = withoutStart(written, uuid(1), startedNics(reserved));
  assert.deepEqual(without.ledger.ofUuid(uuid(1)), [{ ...taken, revision: 8 }]);
});

failed('an earlier machine of the same name gives its MACs to nobody', () => {
  const earlier = entry({ uuid: uuid(9), macs: [mac(9)], booted: true, retired: aDate });
  const [made] = afterFailure(ledgerOf(earlier), mac(1));
  assert.deepEqual([made?.uuid, made?.macs[0], made?.booted], [uuid(1), mac(1), true]);
});

failed('a MAC that another machine has got meanwhile stays there', () => {
  const before = entry({ booted: true });
  const reserved = start(ledgerOf(before), mac(2));
  const [started] = reserved.entries;
  assert(started !== undefined);
  const other = entry({ uuid: uuid(2), name: 'db', hostname: 'db', ip: ip('192.168.100.8') });
  const meanwhile = reserved.ledger.replace(started, { ...started, macs: [mac(2)] }).replace(null, other);
  const without = withoutStart(meanwhile, uuid(1), startedNics(reserved));
  assert.deepEqual(without.ledger.ofUuid(uuid(1))[0]?.macs, [mac(2)]);
});

failed('an entry that has changed since the start is left alone', () => {
  const nics = startedNics(start(ledgerOf(entry()), mac(1)));
  for (const changes of [{ macs: [mac(4)] }, { host: ip('10.0.0.2') }, { retired: aDate }, { nic: 1 }]) {
    const now = ledgerOf(entry({ ...changes, booted: true }));
    assert.equal(withoutStart(now, uuid(1), nics).ledger, now);
  }
});

failed("libvirt's file says whether a machine has run", () => {
  const status = (attributes: string) =>
    `<!--\nWARNING\n-->\n<domstatus ${attributes} pid='7'>\n  <domain type='qemu' state='shutoff'/></domstatus>`;
  for (const [state, expected] of [
    ["state='paused' reason='starting up'", false],
    ["state='shutoff' reason='unknown'", false],
    ["state='running' reason='booted'", true],
    ["state='paused' reason='user'", true],
    ["state='paused' reason='migration'", true],
    ["state='shutdown' reason='unknown'", true],
    ["state='crashed' reason='panicked'", true],
  ] as const)
    assert.equal(hasRunBy(status(state)), expected, state);
  // None is written before QEMU has begun.
  assert.equal(hasRunBy(''), false);
});

failed.run();
