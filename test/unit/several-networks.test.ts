// several-networks.test.ts: tests that what a machine has on one network keeps nobody from anything on another: a
// NIC moves with its MAC, machines on separate networks have one MAC, a section of virlan.ini gets another name.

import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatIp } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import type { NetworkConfig } from '../../src/config/config.ts';
import { decide } from '../../src/identity/decision.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { machineNamespace, machineOn, noWishes } from '../../src/identity/machine.ts';
import { readDomain } from '../../src/libvirt/domain-xml.ts';
import { aDate, config, ip, mac, newHost, uuid } from './builders.ts';

const networks = suite('several networks');

const [first, second] = config('[network.k8s-br0]\n[network.lab]\nsubnet = 10.9.0.0/24').networks as [
  NetworkConfig,
  NetworkConfig,
];
const [renamed] = config('[network.new]\nbridge = k8s-br0').networks as [NetworkConfig];

/** A host where machines boot one after the other. */
class Host {
  ledger = Ledger.empty;
  readonly #known = new Set<string>();

  boot(network: NetworkConfig, number: number, macs: readonly number[], address: string | null = null) {
    const machine = {
      name: `vm${number}`,
      uuid: uuid(number),
      macs: macs.map(mac),
      isolated: new Set<Mac>(),
      wishes: { ...noWishes, ip: address === null ? null : ip(address) },
    };
    this.#known.add(machine.uuid);
    const { reserved, hostsfile } = decide(network, machine, 'booting', this.#reading(), aDate);
    this.ledger = reserved.ledger;
    return { entries: reserved.entries, lines: hostsfile?.ours ?? [] };
  }

  #reading() {
    return {
      ...newHost,
      ledger: this.ledger,
      ownBlocks: () => [],
      isKnown: (id: string) => this.#known.has(id),
    };
  }
}

function addressOf(entry: LedgerEntry | undefined): string | null {
  assert.equal(entry?.problem, null);
  return entry?.ip == null ? null : formatIp(entry.ip);
}

networks('the address that a machine asks for is for its NIC on the network that has it', () => {
  const nic = (source: string, number: number) =>
    `<interface type='bridge'><mac address='${mac(number)}'/><source bridge='${source}'/></interface>`;
  const machineAt = (network: NetworkConfig, asked: string, ...nics: string[]) =>
    machineOn(
      network.bridge,
      new Set(),
      readDomain(`<domain><name>web</name><uuid>${uuid(1)}</uuid>
        <metadata><virlan:machine xmlns:virlan='${machineNamespace}' ip='${asked}'/></metadata>
        <devices>${nics.join('')}</devices></domain>`),
    );
  const both = [nic('k8s-br0', 1), nic('lab', 2)];
  const decided = (network: NetworkConfig, asked: string, ...nics: string[]) => {
    const reading = { ...newHost, ledger: Ledger.empty, ownBlocks: () => [], isKnown: () => true };
    const subject = machineAt(network, asked, ...nics);
    const [entry] = decide(network, subject, 'defined', reading, aDate).reserved.entries;
    return [entry?.ip === ip(asked), entry?.problem?.kind];
  };
  assert.deepEqual(decided(first, '192.168.100.70', ...both), [true, undefined]);
  assert.deepEqual(decided(second, '192.168.100.70', ...both), [false, undefined]);
  assert.deepEqual(decided(first, '10.9.0.70', ...both), [false, undefined]);
  assert.deepEqual(decided(second, '10.9.0.70', ...both), [true, undefined]);
  // A network that it is not on, or that virlan.ini does not have.
  assert.deepEqual(decided(first, '10.9.0.70', nic('k8s-br0', 1)), [false, 'address-unusable']);
  assert.deepEqual(decided(first, '10.77.0.70', ...both), [false, 'address-unusable']);
});

networks('a NIC that is moved to another network with its MAC gets an address there', () => {
  const host = new Host();
  const before = host.boot(first, 1, [1]);
  const { entries, lines } = host.boot(second, 1, [1]);
  const address = addressOf(entries[0]);
  assert.match(address ?? '', /^10\.9\.0\./);
  assert.deepEqual(lines, [`${mac(1)},id:*,${address},vm1 # virlan`]);
  assert.equal(
    addressOf(host.boot(first, 1, [1]).entries[0]),
    addressOf(before.entries[0]),
    'moved back, it has the address that it had',
  );
});

networks('two machines with one MAC on two networks each have an address, and neither loses its own', () => {
  const host = new Host();
  const own = addressOf(host.boot(first, 1, [1]).entries[0]);
  assert.match(addressOf(host.boot(second, 2, [1]).entries[0]) ?? '', /^10\.9\.0\./);
  assert.equal(addressOf(host.boot(first, 1, [1]).entries[0]), own);
});

networks('an earlier MAC of a NIC stays its own when a machine on another network gets it', () => {
  const host = new Host();
  host.boot(first, 1, [1]);
  host.boot(first, 1, [2]);
  host.boot(second, 2, [1]);
  assert.deepEqual(host.boot(first, 1, [2]).entries[0]?.macs, [mac(2), mac(1)]);
});

networks('a section with another name: machines have addresses, and those of their metadata', () => {
  const host = new Host();
  host.boot(first, 1, [1]);
  host.boot(first, 2, [2], '192.168.100.50');
  assert.match(addressOf(host.boot(renamed, 1, [1]).entries[0]) ?? '', /^192\.168\.100\./);
  assert.equal(addressOf(host.boot(renamed, 2, [2], '192.168.100.50').entries[0]), '192.168.100.50');
});

networks.run();
