// cluster.ts: a cluster of many hosts in one process: what each decides is virlan's code, and etcd is the double of the
// unit tests, in memory. All hosts share one mirror, which is what each of them would have.
import assert from 'node:assert/strict';
import { formatIp, type Ipv4, type Ipv4Range, ipv4After } from '../../../src/address/ip.ts';
import type { Mac } from '../../../src/address/mac.ts';
import type { NetworkConfig } from '../../../src/config/config.ts';
import { decideEntries } from '../../../src/identity/decision.ts';
import { formulaMac } from '../../../src/identity/formula.ts';
import { type IndexKey, keysOf, Ledger, type LedgerSource } from '../../../src/identity/ledger.ts';
import type { LedgerEntry, MachineRecord } from '../../../src/identity/ledger-format.ts';
import { noWishes } from '../../../src/identity/machine.ts';
import { ownBlocks, planClaims } from '../../../src/shared-ledger/blocks.ts';
import type { Change } from '../../../src/shared-ledger/imports.ts';
import { prefixOf } from '../../../src/shared-ledger/keys.ts';
import { Mirror } from '../../../src/shared-ledger/mirror.ts';
import { type Member, planPushes } from '../../../src/shared-ledger/pushes.ts';
import { planRegistration } from '../../../src/shared-ledger/register.ts';
import type { Transaction } from '../../../src/shared-ledger/transaction.ts';
import { planYields } from '../../../src/shared-ledger/yields.ts';
import { aDate, ip, network, newHost, uuid } from '../../unit/builders.ts';
import { Etcd } from '../../unit/etcd-double.ts';

export const vni = 100;
export const prefix = prefixOf(vni);
export const hostCount = 1000;
const machinesEach = 100;
export const machineCount = hostCount * machinesEach;

/** Machines that a host defines between two rounds of its watcher. */
const machinesPerRound = 15;

/** Machines on other hosts that have the name of one on the host before. */
const sharedNames = 100;

const firstHost = ip('10.200.0.1');

/** Returns the network of a subnet, whose hosts share their ledger. */
function networkIn(subnet: string): NetworkConfig {
  const cluster = ['[cluster]', 'address = 10.200.0.1', 'peers = etcd', 'etcd = http://127.0.0.1:2379'];
  return network(`vni = ${vni}`, `subnet = ${subnet}`, ...cluster);
}

/** The machines of a host in memory, with the index that virlan has on disk. */
export class MemorySource implements LedgerSource {
  readonly #records = new Map<string, MachineRecord>();
  readonly #holders = new Map<IndexKey, Set<string>>();

  /** Takes over what has changed, and returns the ledger that has it. */
  write(ledger: Ledger): Ledger {
    for (const { uuid, before, after } of ledger.changes()) {
      for (const key of keysOf(before)) this.#holders.get(key)?.delete(uuid);
      for (const key of keysOf(after))
        this.#holders.set(key, (this.#holders.get(key) ?? new Set<string>()).add(uuid));
      if (after !== null) this.#records.set(uuid, after);
    }
    return Ledger.from(this);
  }

  machine(uuid: string): MachineRecord | null {
    return this.#records.get(uuid) ?? null;
  }

  holders(key: IndexKey): string[] {
    return [...(this.#holders.get(key) ?? [])];
  }

  addresses(): string[] {
    return [...this.#records.values()].flatMap(({ entries }) =>
      entries.flatMap(({ entry }) => (entry.ip === null ? [] : [formatIp(entry.ip)])),
    );
  }

  present(): string[] {
    return [...this.#records.keys()];
  }

  retired(): string[] {
    return [];
  }

  retirements(): [] {
    return [];
  }
}

/** A host with its own machines: it gives only addresses of its blocks, and so needs no others. */
class SimulatedHost {
  readonly member: Member;
  readonly cluster: SimulatedCluster;
  readonly #source = new MemorySource();
  ledger = Ledger.from(this.#source);
  blocks: readonly Ipv4Range[] = [];

  constructor(cluster: SimulatedCluster, index: number) {
    this.cluster = cluster;
    this.member = { network: cluster.network.name, host: ipv4After(firstHost, index) };
  }

  get entries(): LedgerEntry[] {
    return this.ledger.entries();
  }

  register(): void {
    this.#write([planRegistration(this.member, '00000000', '1', this.cluster.mirror())]);
  }

  define(id: string, name: string): void {
    const { network } = this.cluster;
    const macs = [formulaMac({ network: network.name, machine: name, nic: 0 }, () => false)];
    const input = { ...newHost, ledger: this.ledger, ownBlocks: () => this.blocks, isKnown: () => true };
    const machine = { name, uuid: id, macs, isolated: new Set<Mac>(), wishes: noWishes };
    this.ledger = this.#source.write(decideEntries(network, machine, 'booting', input, aDate).ledger);
  }

  /** One round of the watcher, without the machines of others. */
  synchronize(): void {
    const { member, cluster } = this;
    const { claims } = planClaims(
      member,
      cluster.network,
      this.entries,
      this.ledger,
      cluster.mirror(),
      this.blocks,
    );
    this.#write(claims);
    this.blocks = ownBlocks(member, cluster.network, cluster.mirror(), this.blocks);
    this.#change(planYields(member, this.entries, this.ledger, cluster.mirror()));
    this.#write(
      planPushes(member, this.entries, this.ledger, cluster.mirror(), () => false).map(
        each => each.transaction,
      ),
    );
  }

  #change(changes: readonly Change[]): void {
    for (const { before, after } of changes)
      for (const [index, each] of after.entries())
        this.ledger = this.#source.write(this.ledger.replace(before[index] ?? null, each));
  }

  #write(transactions: readonly Transaction[]): void {
    for (const transaction of transactions) this.cluster.write(transaction);
  }
}

/** The hosts, their etcd, and the mirror of it that each of them has. */
export class SimulatedCluster {
  readonly network: NetworkConfig;
  readonly etcd = new Etcd();
  readonly hosts: readonly SimulatedHost[];
  readonly #mirror: Mirror;
  #read = 0;
  #refused = 0;

  constructor(subnet: string) {
    this.network = networkIn(subnet);
    this.#mirror = new Mirror(this.network.name, prefix);
    this.hosts = Array.from({ length: hostCount }, (_, index) => new SimulatedHost(this, index));
    for (const host of this.hosts) host.register();
    for (const host of this.hosts) host.synchronize();
  }

  /** The address of a host that has not joined. */
  get outsider(): Ipv4 {
    return ipv4After(firstHost, hostCount);
  }

  /** Transactions that did not take effect because somebody else wrote first. */
  get refused(): number {
    return this.#refused;
  }

  mirror(): Mirror {
    if (this.#read < this.etcd.revision) this.#mirror.apply(this.etcd.since(this.#read));
    this.#read = this.etcd.revision;
    return this.#mirror;
  }

  write(transaction: Transaction): void {
    if (!this.etcd.write(transaction, prefix)) this.#refused++;
  }

  /** Lets each host define its machines, some at a time, and write them. */
  fill(): void {
    for (let first = 0; first < machinesEach; first += machinesPerRound)
      for (const [index, host] of this.hosts.entries()) {
        for (let number = first; number < Math.min(first + machinesPerRound, machinesEach); number++) {
          const id = index * machinesEach + number;
          const isNamesake = number === 0 && index > 0 && index <= sharedNames;
          host.define(uuid(id), `machine-${isNamesake ? id - machinesEach : id}`);
        }
        host.synchronize();
      }
  }

  /** Returns the addresses of all machines. Fails if two have one. */
  addresses(): Ipv4[] {
    const holders = new Map<Ipv4, string>();
    for (const host of this.hosts)
      for (const { ip: address, uuid: id } of host.entries) {
        if (address === null) continue;
        assert.equal(holders.get(address), undefined, `${formatIp(address)} of ${id}`);
        holders.set(address, id);
      }
    return [...holders.keys()];
  }
}
