// decide-together.test.ts: tests that machines that are decided about together get what they would get one by
// one.

import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Mac } from '../../src/address/mac.ts';
import { formatHostsfile, type Hostsfile, parseHostsfile } from '../../src/dnsmasq/hostsfile.ts';
import { formatNames } from '../../src/dnsmasq/names.ts';
import { decideTogether } from '../../src/identity/decide-together.ts';
import { type DecisionInput, decide } from '../../src/identity/decision.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import { type Machine, noWishes } from '../../src/identity/machine.ts';
import { aDate, mac, network, uuid } from './builders.ts';

const together = suite('decide together');

/** A subnet with six addresses, so that machines are in each other's way. */
const small = network('subnet = 192.168.100.0/29');

function machine(number: number, changes: Partial<Machine> = {}): Machine {
  return {
    uuid: uuid(number),
    name: `vm${number}`,
    macs: [mac(number)],
    isolated: new Set<Mac>(),
    wishes: noWishes,
    ...changes,
  };
}

function input(changes: Partial<DecisionInput> = {}): DecisionInput {
  const parsed = parseHostsfile('52:54:00:00:00:77,192.168.100.3\n');
  assert(parsed.ok);
  return {
    ledger: Ledger.empty,
    hostsfile: parsed.value,
    names: '',
    hostName: 'host',
    hostMacs: [],
    leases: () => [],
    answered: new Set(),
    ownBlocks: () => [],
    isKnown: () => true,
    isRunning: () => false,
    ...changes,
  };
}

function sortedLines(text: string): string[] {
  return text.split('\n').sort();
}

const crowd = [
  machine(1),
  machine(2, { macs: [mac(1)] }),
  machine(3, { name: 'vm1', macs: [mac(3), mac(4)] }),
  machine(5),
  machine(6),
  machine(7),
];

together('machines with the same name or MAC, several NICs or too few addresses: as one by one', () => {
  const requests = crowd.map(each => ({ machine: each, moment: 'defined' as const }));
  const all = decideTogether(small, requests, input(), aDate);
  let state: { ledger: Ledger; hostsfile: Hostsfile; names: string } = input();
  const single = crowd.map(each => {
    const { reserved, hostsfile, names } = decide(small, each, 'defined', input(state), aDate);
    state = {
      ledger: reserved.ledger,
      hostsfile: hostsfile ?? state.hostsfile,
      names: names === null ? state.names : formatNames(names),
    };
    return reserved.entries;
  });
  assert.deepEqual(
    all.reserved.map(({ entries }) => entries),
    single,
  );
  assert.deepEqual(all.ledger.entries(), state.ledger.entries());
  assert(all.hostsfile !== null && all.names !== null);
  // The order of lines means nothing to dnsmasq: each address has one.
  assert.deepEqual(
    sortedLines(formatHostsfile(all.hostsfile)),
    sortedLines(formatHostsfile(state.hostsfile)),
  );
  assert.deepEqual(sortedLines(formatNames(all.names)), sortedLines(state.names));
  const addresses = single.flat().flatMap(({ ip }) => (ip === null ? [] : [ip]));
  assert.equal(new Set(addresses).size, addresses.length);
  assert.equal(addresses.length, 4, 'the pool is used up');
});

together('nothing is to be written for machines that have everything', () => {
  const requests = crowd.slice(0, 1).map(each => ({ machine: each, moment: 'defined' as const }));
  const { ledger, hostsfile, names } = decideTogether(small, requests, input(), aDate);
  assert(hostsfile !== null && names !== null);
  const again = input({ ledger, hostsfile, names: formatNames(names) });
  const second = decideTogether(small, requests, again, aDate);
  assert.deepEqual([second.hostsfile, second.names, second.ledger === ledger], [null, null, true]);
});

together.run();
