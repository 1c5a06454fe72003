// expel.test.ts: tests the transactions by which a host that died is removed from a shared ledger.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import { keyOfIp } from '../../src/identity/ledger.ts';
import { checkExpulsion, planExpulsion, planMachineRemovals } from '../../src/shared-ledger/expulsion.ts';
import { blockValue, hostValue, keyOf, machineValue, prefixOf } from '../../src/shared-ledger/keys.ts';
import { Mirror } from '../../src/shared-ledger/mirror.ts';
import { maxOperations } from '../../src/shared-ledger/pushes.ts';
import { planLeave } from '../../src/shared-ledger/register.ts';
import type { Transaction } from '../../src/shared-ledger/transaction.ts';
import { entry, ip, uuid } from './builders.ts';

const expel = suite('expel');

const prefix = prefixOf(100);
const [here, there] = [ip('10.0.0.1'), ip('10.0.0.2')];

/** Returns a mirror of these keys, whose revisions begin with 2. */
function mirrorOf(values: Readonly<Record<string, string>>): Mirror {
  const mirror = new Mirror('k8s-br0', prefix);
  const pairs = Object.entries(values).map(([key, value], index) => ({
    key: `${prefix}${key}`,
    value,
    revision: index + 2,
  }));
  mirror.apply(pairs);
  return mirror;
}

function machineOn(host: Ipv4, number: number): Record<string, string> {
  const own = entry({ uuid: uuid(number), ip: ip(`192.168.100.${number}`) });
  return {
    [keyOf.machine(own.uuid)]: machineValue({ host, entries: [{ entry: own, fields: {} }] }),
    [keyOf.claim(keyOfIp(ip(`192.168.100.${number}`)))]: own.uuid,
  };
}

const keys = {
  [keyOf.host(here)]: hostValue('0123456789abcdef'),
  [keyOf.host(there)]: hostValue('fedcba9876543210'),
  [keyOf.block(ip('192.168.100.16'))]: blockValue(there),
  [keyOf.block(ip('192.168.100.20'))]: blockValue(here),
  [keyOf.block(ip('192.168.100.24'))]: blockValue(there),
  ...machineOn(there, 17),
  ...machineOn(here, 21),
};

/** Returns the keys that transactions remove, in their order. They write nothing. */
function removed(transactions: readonly Transaction[]): string[] {
  const operations = transactions.flatMap(each => each.operations);
  assert(operations.every(({ value }) => value === null));
  return operations.map(({ key }) => key);
}

const isGone = { key: 'alive/10.0.0.2', revision: null };

expel('the blocks of the host go, and the host last, while it is not there; its machines stay', () => {
  const plan = planExpulsion(there, mirrorOf(keys));
  assert.deepEqual(removed(plan), ['block/192.168.100.16', 'block/192.168.100.24', 'host/10.0.0.2']);
  assert.deepEqual(
    plan.map(({ compares }) => compares),
    [[isGone]],
  );
});

expel('its machines go one by one, each only if no other host has taken it over meanwhile', () => {
  const plan = planMachineRemovals(there, mirrorOf(keys));
  assert.deepEqual(
    plan.map(each => each.uuid),
    [uuid(17)],
  );
  assert.deepEqual(removed(plan.map(({ transaction }) => transaction)), [
    `machine/${uuid(17)}`,
    'claim/ip/192.168.100.17',
  ]);
  assert.deepEqual(plan[0]?.transaction.compares, [isGone, { key: `machine/${uuid(17)}`, revision: 7 }]);
});

expel('many blocks are several transactions, each of which holds only while the host is not there', () => {
  const blocks = Array.from({ length: maxOperations + 5 }, (_, index) => [
    keyOf.block(ip(`10.1.${index}.0`)),
    blockValue(there),
  ]);
  const plan = planExpulsion(there, mirrorOf(Object.fromEntries(blocks)));
  assert.deepEqual(
    plan.map(({ operations }) => operations.length),
    [maxOperations, 6],
  );
  assert(plan.every(({ compares }) => compares.length === 1));
  assert.equal(removed(plan).at(-1), 'host/10.0.0.2');
});

expel('a host that leaves takes its machines and the key of its watcher along', () => {
  const plan = planLeave({ network: 'k8s-br0', host: there }, mirrorOf(keys));
  assert.deepEqual(removed(plan), [
    'alive/10.0.0.2',
    `machine/${uuid(17)}`,
    'claim/ip/192.168.100.17',
    'block/192.168.100.16',
    'block/192.168.100.24',
    'host/10.0.0.2',
  ]);
});

/** The key of a watcher that runs. */
function alive(host: Ipv4): Record<string, string> {
  return { [keyOf.alive(host)]: hostValue('0123456789abcdef') };
}

expel('a host that is there, this host and an unknown one are refused in one line', () => {
  const nobody = ip('10.0.0.3');
  const check = (host: Ipv4, values: Record<string, string>, machines: 'keep' | 'drop' = 'keep') =>
    checkExpulsion(host, here, machines, [mirrorOf({}), mirrorOf({ ...alive(here), ...values })]);
  assert.throws(() => check(here, keys), /^VirlanError: 10\.0\.0\.1 is this host: /);
  assert.throws(() => check(there, { ...keys, ...alive(there) }), /10\.0\.0\.2 is there: /);
  assert.throws(() => check(nobody, keys), /no host 10\.0\.0\.3 has joined: see "virlan status"$/);
  check(there, keys);
  check(there, keys, 'drop');
  // Only its machines are left.
  check(there, machineOn(there, 17));
});

expel('machines are not forgotten while another host does not hear of it', () => {
  const third = ip('10.0.0.3');
  const withThird = { ...keys, ...alive(here), [keyOf.host(third)]: hostValue('00000000') };
  const check = (values: Record<string, string>, machines: 'keep' | 'drop') =>
    checkExpulsion(there, here, machines, [mirrorOf(values)]);
  assert.throws(() => check(withThird, 'drop'), /while 10\.0\.0\.3 does not hear of it/);
  check(withThird, 'keep');
  check({ ...withThird, ...alive(third) }, 'drop');
});

expel.run();
