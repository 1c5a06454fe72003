// shared-ledger.test.ts: tests how hosts share their ledgers: rules one by one, and a simulation of several hosts with
// the real decisions, and the double of etcd.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatIp, type Ipv4, type Ipv4Range, rangeContains } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import { assignMacs } from '../../src/identity/assign.ts';
import type { Moment } from '../../src/identity/context.ts';
import { decideEntries } from '../../src/identity/decision.ts';
import { startedNics, withoutStart } from '../../src/identity/failed-start.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { type Machine, noWishes } from '../../src/identity/machine.ts';
import { reserve } from '../../src/identity/reserve.ts';
import { asForgotten, retire } from '../../src/identity/retire.ts';
import { withCluster } from '../../src/report/cluster-status.ts';
import { blockSize, countFree, ownBlocks, planClaims, spareOf } from '../../src/shared-ledger/blocks.ts';
import { type Change, type Presence, planImports } from '../../src/shared-ledger/imports.ts';
import { keyOf, prefixOf, readPair } from '../../src/shared-ledger/keys.ts';
import { Mirror } from '../../src/shared-ledger/mirror.ts';
import { planDrops, planPushes } from '../../src/shared-ledger/pushes.ts';
import { planLeave, planRegistration } from '../../src/shared-ledger/register.ts';
import type { Transaction } from '../../src/shared-ledger/transaction.ts';
import { planYields } from '../../src/shared-ledger/yields.ts';
import { aDate, entry, ip, mac, network, newHost, uuid } from './builders.ts';
import { Etcd } from './etcd-double.ts';

const shared = suite('shared ledger');

const vni = 100;
const prefix = prefixOf(vni);

function networkOf(...lines: readonly string[]): NetworkConfig {
  return network(
    `vni = ${vni}`,
    ...lines,
    '[cluster]',
    'address = 10.0.0.9',
    'peers = 10.0.0.8',
    'etcd = https://10.0.0.1:2379',
  );
}

/** A host: its ledger and machines, and whether it hears from etcd. */
class Host {
  ledger = Ledger.empty;
  blocks: readonly Ipv4Range[] = [];
  now = aDate;
  readonly defined = new Map<string, Machine>();
  /** The machines that run, with the addresses that they started with. */
  readonly running = new Map<string, readonly (Ipv4 | null)[]>();
  readonly starting = new Set<string>();
  /** The machines among them that migrate to another host. */
  readonly migrating = new Set<string>();
  readonly network: NetworkConfig;
  readonly member: { network: string; host: Ipv4 };
  readonly #etcd: Etcd;
  readonly #mirror: Mirror;
  #read = 0;
  #isConnected = true;

  constructor(etcd: Etcd, number: number, config: NetworkConfig = networkOf()) {
    this.#etcd = etcd;
    this.network = config;
    this.member = { network: config.name, host: ip(`10.0.0.${number}`) };
    this.#mirror = new Mirror(config.name, prefix);
  }

  get entries(): LedgerEntry[] {
    return this.ledger.entries().filter(({ network: name }) => name === this.network.name);
  }

  entriesOf(name: string): LedgerEntry[] {
    return this.ledger.named(this.network.name, name).filter(({ retired }) => retired === null);
  }

  mirror(): Mirror {
    this.#mirror.apply(this.#etcd.since(this.#read));
    this.#read = this.#etcd.revision;
    return this.#mirror;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The lease of a host that is cut off ends. */
  set isConnected(isConnected: boolean) {
    if (isConnected === this.#isConnected) return;
    this.#isConnected = isConnected;
    if (isConnected) this.register();
    else this.#write([{ compares: [], operations: [{ key: keyOf.alive(this.member.host), value: null }] }]);
  }

  register(): void {
    this.#write([planRegistration(this.member, '00000000', '1', this.mirror())]);
  }

  leave(): void {
    this.#write(planLeave(this.member, this.mirror()));
  }

  #write(transactions: readonly Transaction[]): boolean[] {
    return transactions.map(transaction => this.#etcd.write(transaction, prefix));
  }

  decide(machine: Machine, moment: Moment): readonly LedgerEntry[] {
    const { ledger, entries } = decideEntries(
      this.network,
      machine,
      moment,
      {
        ...newHost,
        ledger: this.ledger,
        ownBlocks: () => this.blocks,
        isKnown: id => this.defined.has(id) || this.running.has(id),
      },
      this.now,
    );
    // As it is read from disk.
    this.ledger = Ledger.of(ledger.entries().map(each => ({ entry: each, fields: {} })));
    return entries;
  }

  /** Defines a machine as the watcher handles it. */
  define(name: string, id: string, macs: readonly Mac[] = [macOf(name)]): void {
    // One that runs has the MACs that it booted with.
    const live = this.running.has(id) ? this.defined.get(id)?.macs : undefined;
    this.defined.set(id, { name, uuid: id, macs: live ?? macs, isolated: new Set<Mac>(), wishes: noWishes });
    this.reconcile(id);
  }

  /** Changes a machine that runs. */
  change(id: string, changes: Partial<Machine>): void {
    const machine = this.defined.get(id);
    if (machine === undefined) return;
    this.defined.set(id, {
      ...machine,
      ...changes,
      macs: this.decide({ ...machine, ...changes }, 'booting').flatMap(({ macs }) => macs.slice(0, 1)),
    });
  }

  /** Writes MACs where they are due, and reserves. */
  reconcile(id: string): void {
    const machine = this.defined.get(id);
    if (machine === undefined) return;
    if (this.running.has(id)) {
      this.decide(machine, 'booting');
      return;
    }
    const sources = {
      network: this.network,
      ledger: this.ledger,
      byHand: [],
      hostMacs: [],
      isDefinedElsewhere: () => false,
      paired: new Set<never>(),
      onOthers: new Set<never>(),
      hasImage: false,
    };
    const changes = assignMacs(machine, sources);
    const macs = machine.macs.map((own, index) => changes.get(index) ?? own);
    const assigned = { ...machine, macs };
    this.defined.set(id, assigned);
    const replaced = new Map(
      [...changes].map(([index, given]) => [given, machine.macs[index] ?? given] as const),
    );
    this.decide(assigned, replaced.size === 0 ? 'defined' : { replaced });
  }

  /** A start that then fails: returns a function that ends it. */
  beginStart(id: string): () => void {
    const machine = this.defined.get(id);
    assert(machine !== undefined);
    this.starting.add(id);
    const reserved = reserve(this.ledger, machine, 'booting', {
      ...newHost,
      network: this.network,
      byHand: [],
      ownBlocks: () => this.blocks,
      isKnown: () => true,
      now: this.now,
    });
    this.ledger = Ledger.of(reserved.ledger.entries().map(each => ({ entry: each, fields: {} })));
    return () => {
      this.starting.delete(id);
      this.ledger = withoutStart(this.ledger, id, startedNics(reserved)).ledger;
    };
  }

  start(id: string): void {
    const machine = this.defined.get(id);
    if (machine === undefined || this.running.has(id)) return;
    this.running.set(
      id,
      this.decide(machine, 'booting').map(each => each.ip),
    );
  }

  /** Its watcher ends, or the host: its lease in etcd ends. */
  die(): void {
    this.isConnected = false;
    this.#write([{ compares: [], operations: [{ key: keyOf.alive(this.member.host), value: null }] }]);
  }

  stop(id: string): void {
    this.running.delete(id);
    this.migrating.delete(id);
    this.reconcile(id);
  }

  undefine(id: string): void {
    this.defined.delete(id);
    if (!this.running.has(id)) this.ledger = retire(this.ledger, [id], this.now).ledger;
  }

  forget(name: string): void {
    for (const each of this.ledger.named(this.network.name, name).filter(({ host }) => host === null))
      if (!this.running.has(each.uuid)) this.ledger = this.ledger.replace(each, asForgotten(each));
  }

  /** One round of the watcher. */
  synchronize(): void {
    if (!this.isConnected) return;
    const { claims, isShort } = planClaims(
      this.member,
      this.network,
      this.entries,
      this.ledger,
      this.mirror(),
      this.blocks,
    );
    this.#write(claims);
    this.blocks = ownBlocks(this.member, this.network, this.mirror(), this.blocks);
    this.#yield();
    this.#write(
      planPushes(this.member, this.entries, this.ledger, this.mirror(), id => this.starting.has(id)).map(
        each => each.transaction,
      ),
    );
    const drops = planDrops(this.member, this.entries, this.mirror(), isShort ? 4 : 0, this.now);
    const dropped = this.#write(drops.map(each => each.transaction));
    for (const { uuid: id } of drops.filter((_, index) => dropped[index]))
      for (const each of this.ledger.ofMachine(this.network.name, id))
        this.ledger = this.ledger.replace(each, null);
    this.#change(planImports(this.member, this.entries, this.mirror(), id => this.#presence(id)));
    this.#yield();
  }

  #presence(id: string): Presence {
    if (!this.running.has(id)) return 'off';
    return this.migrating.has(id) ? 'migrating-out' : 'running';
  }

  #yield(): void {
    const yielded = planYields(this.member, this.entries, this.ledger, this.mirror());
    this.#change(yielded);
    for (const { after } of yielded) for (const each of after) this.reconcile(each.uuid);
  }

  #change(changes: readonly Change[]): void {
    for (const { before, after } of changes)
      for (let index = 0; index < Math.max(before.length, after.length); index++)
        this.ledger = this.ledger.replace(before[index] ?? null, after[index] ?? null);
  }
}

function macOf(name: string): Mac {
  return formulaMac({ network: 'k8s-br0', machine: name, nic: 0 }, () => false);
}

/** Returns connected hosts that have joined, with their blocks. */
function cluster(count: number, config?: NetworkConfig): { etcd: Etcd; hosts: Host[] } {
  const etcd = new Etcd();
  const hosts = Array.from({ length: count }, (_, index) => new Host(etcd, index + 1, config));
  for (const host of hosts) host.register();
  settle(hosts);
  return { etcd, hosts };
}

/** Lets all hosts compare until nothing changes any more. */
function settle(hosts: readonly Host[]): void {
  for (let round = 0; round < 6; round++) for (const host of hosts) host.synchronize();
}

function pair(hosts: readonly Host[]): [Host, Host] {
  const [first, second] = hosts;
  assert(first && second);
  return [first, second];
}

shared('a machine is known on all hosts, with its address, MAC and name', () => {
  const [first, second] = pair(cluster(2).hosts);
  first.define('web', uuid(1));
  settle([first, second]);
  const [here] = first.entriesOf('web');
  const [there] = second.entriesOf('web');
  assert.equal(there?.host, first.member.host);
  assert.deepEqual({ ...there, host: null }, { ...here, host: null });
  // Its MAC and its address are not given again.
  second.define('other', uuid(2), [macOf('web')]);
  assert.notEqual(second.defined.get(uuid(2))?.macs[0], macOf('web'));
});

shared('two hosts that define one name get one winner, and one named problem', () => {
  const [first, second] = pair(cluster(2).hosts);
  first.define('web', uuid(1));
  second.define('web', uuid(2));
  second.start(uuid(2));
  const before = second.running.get(uuid(2));
  settle([first, second]);
  const [winner] = first.entriesOf('web').filter(({ host }) => host === null);
  const [loser] = second.entriesOf('web').filter(({ host }) => host === null);
  assert.equal(winner?.problem, null);
  assert.deepEqual(loser?.problem, { kind: 'name-taken', host: first.member.host });
  assert.equal(winner?.hostname, 'web');
  assert.match(loser?.hostname ?? '', /^web-[0-9a-f]{6}$/);
  assert.deepEqual([loser?.ip], before, 'it runs');
  // Once it has stopped, it has another MAC.
  assert.equal(loser?.macs[0], winner?.macs[0]);
  second.stop(uuid(2));
  settle([first, second]);
  const [stopped] = second.entriesOf('web').filter(({ host }) => host === null);
  assert.notEqual(stopped?.macs[0], winner?.macs[0]);
  assert.deepEqual([stopped?.ip], before);
  // The problem is over when the other one is.
  first.undefine(uuid(1));
  settle([first, second]);
  second.reconcile(uuid(2));
  assert.equal(second.entriesOf('web').find(({ host }) => host === null)?.problem, null);
});

/** Returns hosts, and the entry of a machine that migrates from the first of them to the second. */
function migrating(): { hosts: readonly Host[]; first: Host; second: Host; entry: LedgerEntry } {
  const { hosts } = cluster(3);
  const [first, second] = pair(hosts);
  first.define('web', uuid(1));
  first.start(uuid(1));
  settle(hosts);
  const [entry] = first.entriesOf('web');
  assert(entry);
  first.migrating.add(uuid(1));
  second.define('web', uuid(1));
  second.start(uuid(1));
  settle(hosts);
  return { hosts, first, second, entry };
}

/** Returns where each host has the machine, with its address and problem. */
function placesOf(hosts: readonly Host[]): unknown[] {
  return hosts.map(host => {
    const [known] = host.entriesOf('web');
    return [known?.host === null ? 'here' : known?.host, known?.ip, known?.problem];
  });
}

shared('a machine that migrates is on its old host until it stops there, and no problem of either', () => {
  const { hosts, first, second, entry } = migrating();
  const there = second.member.host;
  assert.deepEqual(placesOf(hosts), [
    ['here', entry.ip, null],
    ['here', entry.ip, null],
    [there, entry.ip, null],
  ]);
  first.stop(uuid(1));
  settle(hosts);
  assert.deepEqual(placesOf(hosts), [
    [there, entry.ip, null],
    ['here', entry.ip, null],
    [there, entry.ip, null],
  ]);
});

for (const [title, end] of [
  [
    'a migration that fails',
    (second: Host) => {
      second.stop(uuid(1));
      second.undefine(uuid(1));
    },
  ],
  ['a migration to a host that dies', (second: Host) => second.die()],
] as const)
  shared(`${title} leaves the machine with its host`, () => {
    const { hosts, first, second, entry } = migrating();
    end(second);
    first.migrating.delete(uuid(1));
    settle(hosts);
    const [here, , third] = placesOf(hosts);
    assert.deepEqual(
      [here, third],
      [
        ['here', entry.ip, null],
        [first.member.host, entry.ip, null],
      ],
    );
  });

shared('a start that fails takes over no machine of another host, neither here nor in etcd', () => {
  const { hosts } = cluster(3);
  const [first, second] = pair(hosts);
  first.define('web', uuid(1));
  first.start(uuid(1));
  settle(hosts);
  const [before] = second.entriesOf('web');
  second.define('web', uuid(1));
  const fail = second.beginStart(uuid(1));
  assert.equal(second.entriesOf('web')[0]?.host, null);
  settle(hosts);
  assert.deepEqual([first.entriesOf('web')[0]?.host, first.entriesOf('web')[0]?.problem], [null, null]);
  fail();
  settle(hosts);
  assert.deepEqual(second.entriesOf('web'), [before]);
  second.start(uuid(1));
  settle(hosts);
  assert.equal(second.entriesOf('web')[0]?.host, null);
});

shared(
  'a machine that is started on another host keeps all that it has; so does one of a host that died',
  () => {
    const { hosts } = cluster(3);
    const [first, second] = pair(hosts);
    first.define('web', uuid(1));
    first.start(uuid(1));
    settle(hosts);
    const [before] = first.entriesOf('web');
    // No word from the first host any more.
    first.isConnected = false;
    second.define('web', uuid(1));
    assert.equal(second.entriesOf('web')[0]?.host, first.member.host, 'it is only defined there');
    second.start(uuid(1));
    settle(hosts);
    const [after] = second.entriesOf('web');
    assert.deepEqual(
      [after?.host, after?.ip, after?.macs, after?.hostname],
      [null, before?.ip, before?.macs, 'web'],
    );
    // The first one comes back, and the machine runs there, too.
    first.isConnected = true;
    settle(hosts);
    assert.deepEqual(first.entriesOf('web')[0]?.problem, {
      kind: 'runs-elsewhere',
      host: second.member.host,
    });
    assert.equal(first.entriesOf('web')[0]?.ip, before?.ip);
    first.reconcile(uuid(1));
    assert.equal(
      first.entriesOf('web')[0]?.problem?.kind,
      'runs-elsewhere',
      'a reservation does not end the problem',
    );
    first.stop(uuid(1));
    settle(hosts);
    assert.equal(first.entriesOf('web')[0]?.host, second.member.host);
    assert.equal(first.entriesOf('web')[0]?.problem, null);
    first.undefine(uuid(1));
    settle(hosts);
    assert.equal(second.entriesOf('web')[0]?.ip, before?.ip, 'the first host has nothing to retire');
  },
);

shared('without etcd a host gives addresses of its blocks, and none beyond', () => {
  const { hosts } = cluster(2);
  const [first, second] = pair(hosts);
  for (const host of hosts) host.isConnected = false;
  for (let number = 0; number < 40; number++) {
    first.define(`a${number}`, uuid(100 + number));
    second.define(`b${number}`, uuid(200 + number));
  }
  const given = hosts.map(host => host.entries.flatMap(each => (each.ip === null ? [] : [each.ip])));
  for (const all of given) assert(all.length >= spareOf(first.network), `${all.length}`);
  assert.equal(new Set(given.flat()).size, given.flat().length);
  const lacking = first.entries.find(each => each.ip === null);
  assert.equal(lacking?.problem?.kind, 'pool-exhausted');
  // With etcd they get one.
  for (const host of hosts) host.isConnected = true;
  settle(hosts);
  for (const id of first.defined.keys()) first.reconcile(id);
  settle(hosts);
  for (const id of first.defined.keys()) first.reconcile(id);
  assert(first.entries.every(each => each.ip !== null || each.host !== null));
});

shared('addresses of machines that were undefined are given again where there are no others', () => {
  const config = networkOf('subnet = 10.9.0.0/28');
  const { hosts } = cluster(2, config);
  const [first] = pair(hosts);
  for (let number = 0; number < 60; number++) {
    first.define(`vm${number}`, uuid(number));
    assert(first.entriesOf(`vm${number}`)[0]?.ip, `vm${number}`);
    settle(hosts);
    first.undefine(uuid(number));
    settle(hosts);
  }
});

shared('what is forgotten is dropped everywhere, once etcd agrees', () => {
  const [first, second] = pair(cluster(2).hosts);
  first.define('web', uuid(1));
  settle([first, second]);
  first.isConnected = false;
  first.undefine(uuid(1));
  first.forget('web');
  const [forgotten] = first.entries;
  assert(forgotten?.ip && first.ledger.hasIp('k8s-br0', forgotten.ip), 'the address stays taken until then');
  first.isConnected = true;
  settle([first, second]);
  assert.deepEqual([...first.entries, ...second.entries], []);
});

shared(
  'a machine that was forgotten on its host has another address on one that heard of that, and was cut off',
  () => {
    const [first, second] = pair(cluster(2).hosts);
    first.define('web', uuid(1));
    settle([first, second]);
    const before = first.entriesOf('web')[0]?.ip;
    first.undefine(uuid(1));
    first.forget('web');
    first.synchronize();
    second.synchronize();
    second.isConnected = false;
    // Its first host drops it, and may give its address again.
    first.synchronize();
    second.define('web', uuid(1));
    second.start(uuid(1));
    const [own] = second.entriesOf('web');
    assert(own?.ip && own.ip !== before, 'the address is that of the first host');
    assert(second.blocks.some(block => rangeContains(block, own.ip as Ipv4)));
    second.isConnected = true;
    settle([first, second]);
    const [there] = first.entriesOf('web');
    assert.deepEqual([there?.host, there?.ip], [second.member.host, own.ip]);
  },
);

shared('what is forgotten, or old, keeps its address while a host does not hear of that', () => {
  for (const forget of [true, false]) {
    const { hosts } = cluster(2);
    const [first, second] = pair(hosts);
    first.define('web', uuid(1));
    settle(hosts);
    const [before] = first.entriesOf('web');
    assert(before?.ip);
    second.isConnected = false;
    first.undefine(uuid(1));
    if (forget) first.forget('web');
    first.now = new Date(aDate.getTime() + 400 * 86_400_000);
    settle(hosts);
    assert(first.ledger.hasIp('k8s-br0', before.ip), 'the other host may start the machine');
    second.define('web', uuid(1));
    second.start(uuid(1));
    assert.equal(second.entriesOf('web')[0]?.ip, before.ip);
    second.isConnected = true;
    settle(hosts);
    assert.deepEqual(
      first.entriesOf('web').map(each => [each.host, each.ip]),
      [[second.member.host, before.ip]],
    );
    second.stop(uuid(1));
    second.undefine(uuid(1));
    second.forget('web');
    settle(hosts);
    assert.deepEqual([...first.entries, ...second.entries], [], 'all hosts hear of it');
  }
});

shared('a host that joins brings its machines, and one that leaves takes them along', () => {
  const { etcd, hosts } = cluster(1);
  const joining = new Host(etcd, 7);
  const address = [77, 78, 79, 80, 120, 180]
    .map(last => ip(`192.168.100.${last}`))
    .find(each => !hosts[0]?.blocks.some(({ first, last }) => first <= each && last >= each));
  assert(address);
  joining.ledger = Ledger.of([
    { entry: entry({ uuid: uuid(5), name: 'old', hostname: 'old', ip: address }), fields: {} },
  ]);
  joining.register();
  settle([...hosts, joining]);
  assert.equal(hosts[0]?.entriesOf('old')[0]?.ip, address);
  const block = joining.blocks.some(({ first, last }) => first <= address && last >= address);
  assert(block, 'it claims the blocks of its machines');
  joining.leave();
  settle(hosts);
  assert.deepEqual(hosts[0]?.entries, []);
  const left = [...etcd.keys.keys()].filter(key => !key.includes('/10.0.0.1') && !key.includes('/block/'));
  assert.deepEqual(left, []);
});

shared(
  'two hosts that join with one address for different machines: the second names it, and keeps it',
  () => {
    const etcd = new Etcd();
    const hosts = [new Host(etcd, 1), new Host(etcd, 2)];
    for (const [index, host] of hosts.entries()) {
      const own = entry({
        uuid: uuid(index),
        name: `vm${index}`,
        hostname: `vm${index}`,
        macs: [mac(index)],
      });
      host.ledger = Ledger.of([{ entry: own, fields: {} }]);
      host.define(own.name, own.uuid, own.macs);
      host.start(own.uuid);
      host.register();
    }
    settle(hosts);
    const [first, second] = pair(hosts);
    assert.equal(first.entriesOf('vm0')[0]?.problem, null);
    const [loser] = second.entriesOf('vm1');
    assert.deepEqual([loser?.ip, loser?.problem?.kind], [ip('192.168.100.7'), 'address-taken']);
    assert.equal(first.entriesOf('vm1')[0]?.ip, null, 'others do not have it twice');
    second.reconcile(uuid(1));
    assert.equal(second.entriesOf('vm1')[0]?.ip, ip('192.168.100.7'), 'it runs');
    second.stop(uuid(1));
    const [moved] = second.entriesOf('vm1');
    assert(moved?.ip && moved.ip !== ip('192.168.100.7'), 'it has stopped');
  },
);

shared(
  'of two writes that are planned at the same time one takes effect: of one name, and of one machine',
  () => {
    const { etcd, hosts } = cluster(3);
    const [first, second] = pair(hosts);
    const race = () =>
      [first, second]
        .map(host => planPushes(host.member, host.entries, host.ledger, host.mirror(), () => false))
        .map(writes => writes.map(({ transaction }) => etcd.write(transaction, prefix)));
    first.define('web', uuid(1));
    second.define('web', uuid(2));
    assert.deepEqual(race(), [[true], [false]]);
    hosts[2]?.define('moved', uuid(3));
    settle(hosts);
    for (const host of [first, second]) {
      host.define('moved', uuid(3));
      host.start(uuid(3));
    }
    assert.deepEqual(race(), [[true], [false]]);
  },
);

shared('a ledger that was lost comes back from etcd', () => {
  const { etcd, hosts } = cluster(2);
  const [first] = pair(hosts);
  first.define('web', uuid(1));
  settle(hosts);
  const rebuilt = new Host(etcd, 1);
  settle([rebuilt]);
  assert.deepEqual(rebuilt.entriesOf('web')[0]?.ip, first.entriesOf('web')[0]?.ip);
  assert.equal(rebuilt.entriesOf('web')[0]?.host, null);
  assert.deepEqual(rebuilt.blocks, first.blocks);
});

shared('an etcd that lost everything is filled again by all hosts', () => {
  const { hosts } = cluster(2);
  const [first, second] = pair(hosts);
  first.define('web', uuid(1));
  second.define('db', uuid(2));
  settle(hosts);
  const addresses = [...first.entriesOf('web'), ...second.entriesOf('db')].map(each => each.ip);
  const empty = new Etcd();
  const again = hosts.map((host, index) => {
    const next = new Host(empty, index + 1);
    [next.ledger, next.blocks] = [host.ledger, host.blocks];
    next.register();
    return next;
  });
  settle(again);
  const [one, two] = pair(again);
  assert.deepEqual(
    [...one.entriesOf('web'), ...two.entriesOf('db')].map(each => each.ip),
    addresses,
  );
  assert.equal(two.entriesOf('web')[0]?.host, one.member.host);
});

shared('one address for two hosts is refused', () => {
  const mirror = new Mirror('k8s-br0', prefix);
  mirror.apply([{ key: `${prefix}alive/10.0.0.1`, value: '{"machine": "aaaaaaaa"}', revision: 3 }]);
  const member = { network: 'k8s-br0', host: ip('10.0.0.1') };
  assert.throws(
    () => planRegistration(member, 'bbbbbbbb', '1', mirror),
    /another host is there with 10\.0\.0\.1/,
  );
  planRegistration(member, 'aaaaaaaa', '1', mirror);
});

/** Values that somebody could write into etcd. */
const hostile = [
  '',
  'null',
  '[]',
  '{"host": "x"}',
  '{"host": "10.0.0.2", "entries": []}',
  '{"host": "10.0.0.2", "entries": [{"ip": "1"}]}',
];

shared('what is not valid is left out, and not overwritten', () => {
  const [first] = pair(cluster(2).hosts);
  first.define('web', uuid(1));
  for (const value of hostile) {
    const etcd = new Etcd();
    const machine = `${prefix}machine/${uuid(1)}`;
    etcd.keys.set(machine, { value, revision: 2 });
    const mirror = new Mirror('k8s-br0', prefix);
    mirror.apply([{ key: machine, value, revision: 2 }]);
    assert.deepEqual(
      planPushes(first.member, first.entries, first.ledger, mirror, () => false),
      [],
      value,
    );
    const imports = planImports(first.member, first.entries, mirror, () => 'off');
    assert.deepEqual(imports, [], value);
  }
  for (const key of ['machine/../../etc', 'claim/ip/../x', 'claim/other/1', 'block/x', 'host/1.2.3', 'else'])
    assert.equal(readPair('k8s-br0', { key, value: '{}', revision: 1 }), null, key);
});

shared('whether libvirt isolates a NIC is told to the other hosts, and changes while it runs', () => {
  const { hosts } = cluster(2);
  const [first, second] = pair(hosts);
  first.define('web', uuid(1));
  first.start(uuid(1));
  const known = () => second.ledger.ofMachine('k8s-br0', uuid(1)).map(({ isolated }) => isolated);
  for (const isolated of [true, false]) {
    first.change(uuid(1), { isolated: new Set(isolated ? [macOf('web')] : []) });
    settle(hosts);
    assert.deepEqual(known(), [isolated]);
  }
});

shared('fields of a later virlan are kept', () => {
  const { etcd, hosts } = cluster(2);
  const [first, second] = pair(hosts);
  first.define('web', uuid(1));
  settle(hosts);
  const key = `${prefix}machine/${uuid(1)}`;
  const known = JSON.parse(etcd.keys.get(key)?.value ?? '');
  known.entries[0].later = { x: 1 };
  etcd.write(
    { compares: [], operations: [{ key: `machine/${uuid(1)}`, value: JSON.stringify(known) }] },
    prefix,
  );
  settle(hosts);
  second.define('web', uuid(1));
  second.start(uuid(1));
  settle(hosts);
  const written = JSON.parse(etcd.keys.get(key)?.value ?? '');
  assert.deepEqual([written.host, written.entries[0].later], ['10.0.0.2', { x: 1 }]);
});

shared('fields of a later virlan stay at the NIC that they are about', () => {
  const { etcd, hosts } = cluster(1);
  const [first] = hosts;
  assert(first !== undefined);
  first.define('web', uuid(1), [mac(1), mac(2)]);
  settle(hosts);
  const key = `${prefix}machine/${uuid(1)}`;
  const known = JSON.parse(etcd.keys.get(key)?.value ?? '');
  for (const each of known.entries) each.later = each.nic;
  etcd.write(
    { compares: [], operations: [{ key: `machine/${uuid(1)}`, value: JSON.stringify(known) }] },
    prefix,
  );
  settle(hosts);
  const second = first.entries.filter(({ nic }) => nic === 1);
  first.ledger = Ledger.of(second.map(each => ({ entry: each, fields: {} })));
  const [write] = planPushes(first.member, second, first.ledger, first.mirror(), () => false);
  const value = write?.transaction.operations.find(
    operation => operation.key === `machine/${uuid(1)}`,
  )?.value;
  assert.deepEqual(
    JSON.parse(value ?? '{}').entries?.map((each: { nic: number; later: number }) => [each.nic, each.later]),
    [[1, 1]],
  );
});

shared('a subnet has enough blocks for many hosts', () => {
  const sizes = ['11.0.0.0/8', '11.0.0.0/22', '11.0.0.0/24', '11.0.0.0/26', '11.0.0.0/29'].map(subnet =>
    blockSize(networkOf(`subnet = ${subnet}`)),
  );
  assert.deepEqual(sizes, [16, 16, 4, 1, 1]);
  const { hosts } = cluster(3);
  for (const host of hosts)
    assert(
      countFree(host.network, host.blocks, host.ledger) >= spareOf(host.network),
      formatIp(host.member.host),
    );
});

shared('a machine that is undefined on one host while it starts on another is that of the other', () => {
  const { hosts } = cluster(3);
  const [first, second] = pair(hosts);
  first.define('moved', uuid(3));
  settle(hosts);
  const [before] = first.entriesOf('moved');
  second.define('moved', uuid(3));
  first.undefine(uuid(3));
  second.start(uuid(3));
  first.synchronize();
  settle(hosts);
  const [there] = first.entriesOf('moved');
  assert.deepEqual([there?.host, there?.ip, there?.retired], [second.member.host, before?.ip, null]);
  const [here] = second.entriesOf('moved');
  assert.deepEqual([here?.host, here?.ip, here?.problem], [null, before?.ip, null]);
});

shared('a host without a free address counts those of its blocks, and all others', () => {
  const [first] = pair(cluster(2, networkOf('subnet = 11.0.0.0/8')).hosts);
  first.isConnected = false;
  for (let number = 0; number < 40; number++) first.define(`vm${number}`, uuid(number));
  const lacking = first.entries.find(each => each.ip === null);
  assert(lacking?.problem?.kind === 'pool-exhausted');
  // All of the reserve was given, wherever the formula's place is.
  const given = first.entries.flatMap(each => each.ip ?? []);
  assert.deepEqual(
    [given.length, countFree(first.network, first.blocks, first.ledger)],
    [first.blocks.reduce((sum, block) => sum + block.last - block.first + 1, 0), 0],
  );
  const { held } = lacking.problem;
  assert.equal(held.reserved + held.elsewhere, 2 ** 24 - 3);
});

shared('the status looks at each machine of the others once, however many hosts there are', () => {
  let reads = 0;
  const machines = Array.from({ length: 1000 }, (_, number) => ({
    name: `vm${number}`,
    uuid: uuid(number),
    nic: 0,
    mac: mac(number),
    ip: null,
    hostname: `vm${number}`,
    get host() {
      reads++;
      return `10.0.0.${number % 100}`;
    },
  }));
  const hosts = Array.from({ length: 100 }, (_, number) => ({ address: `10.0.0.${number}`, alive: true }));
  const etcd = { connected: true, endpoint: null, since: aDate, error: null };
  const without = { etcd: null, freeAddresses: 16, hosts: [], machines };
  const status = withCluster(without, { etcd, freeAddresses: 16, hosts });
  assert.deepEqual([status.hosts.length, status.hosts[7]?.machines], [100, 10]);
  assert.equal(reads, machines.length);
});

/** Returns numbers that follow from a seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below) | 0;
  };
}

/** Checks what must always hold. `machines`: where each runs. */
function check(hosts: readonly Host[], seed: string): void {
  const holders = new Map<Ipv4, string>();
  for (const host of hosts)
    for (const [id, started] of host.running) {
      const now = host.ledger.ofMachine(host.network.name, id).map(each => each.ip);
      for (const [index, address] of started.entries()) {
        // One that had none may have got one.
        if (address === null) continue;
        assert.equal(now[index], address, `${seed}: the address of ${id} changed while it ran`);
        const other = holders.get(address);
        assert(
          other === undefined || other === id,
          `${seed}: ${formatIp(address)} is that of ${other} and of ${id}`,
        );
        holders.set(address, id);
      }
    }
}

shared('no address twice, and none changes under a running machine, whatever happens in which order', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const next = random(seed);
    const { hosts } = cluster(3, networkOf(seed % 2 === 0 ? 'subnet = 10.9.0.0/25' : 'subnet = 10.9.0.0/24'));
    const trail: string[] = [];
    for (let step = 0; step < 150; step++) {
      const host = hosts[next(hosts.length)];
      assert(host);
      const number = next(30);
      const id = uuid(number);
      // A few machines share a name.
      const name = `vm${number % 22}`;
      const runsElsewhere = hosts.some(other => other !== host && other.running.has(id));
      const act: [string, () => void][] = [
        ['define', () => host.define(name, id)],
        ['define', () => host.define(name, id)],
        ['start', () => runsElsewhere || host.start(id)],
        ['start', () => runsElsewhere || host.start(id)],
        ['stop', () => host.stop(id)],
        ['undefine', () => host.running.has(id) || host.undefine(id)],
        ['forget', () => host.forget(name)],
        ['reconcile', () => host.reconcile(id)],
        [
          'cut',
          () => {
            host.isConnected = next(3) > 0;
          },
        ],
        ['synchronize', () => host.synchronize()],
        ['synchronize', () => host.synchronize()],
      ];
      const [what, work] = act[next(act.length)] ?? ['', () => {}];
      trail.push(`${what} ${name} ${number} on ${formatIp(host.member.host)}`);
      work();
      check(hosts, `seed ${seed}, step ${step}, after ${trail.slice(-12).join('; ')}`);
    }
    for (const host of hosts) host.isConnected = true;
    settle(hosts);
    check(hosts, `seed ${seed}, merged`);
    // All hosts agree on who has which address and which name, except for machines that two of them have a claim to.
    const disputed = new Set(
      hosts
        .flatMap(host => host.entries.filter(({ problem }) => problem?.kind === 'runs-elsewhere'))
        .map(each => each.uuid),
    );
    assert(disputed.size < 8, `seed ${seed}: ${disputed.size} machines are disputed`);
    const seen = hosts.map(host =>
      host.entries
        .filter(each => each.retired === null && !disputed.has(each.uuid))
        .map(
          each =>
            `${each.uuid} ${each.nic} ${formatIp(each.ip ?? (0 as Ipv4))} ${each.hostname} ${formatIp(each.host ?? host.member.host)}`,
        )
        .sort(),
    );
    assert.deepEqual(seen[1], seen[0], `seed ${seed}`);
    assert.deepEqual(seen[2], seen[0], `seed ${seed}`);
    const names =
      hosts[0]?.entries.filter(({ retired }) => retired === null).map(each => each.hostname) ?? [];
    assert.equal(new Set(names).size, names.length, `seed ${seed}: one name has one address`);
  }
});

shared.run();
