// decide-by-asking.test.ts: tests how answers on the bridge change the choice of addresses.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import { decideByAsking } from '../../src/identity/decide-by-asking.ts';
import { ip, mac } from './builders.ts';

const asking = suite('decide by asking');
const first = ip('192.168.100.10');

/** Chooses the first address from .10 on that nobody of these answers for, and returns it with the questions. */
async function choose(answers: (address: Ipv4) => boolean): Promise<{ chosen: number; asked: number }> {
  const answered = new Set<Ipv4>();
  let asked = 0;
  const chosen = await decideByAsking(
    async addresses => {
      asked += addresses.length;
      return addresses.map(({ ip }) => ip).filter(answers);
    },
    answered,
    () => {
      let address = first;
      while (answered.has(address)) address = (address + 1) as Ipv4;
      return address;
    },
    address => [{ ip: address, macs: [mac(1)], isLeased: false }],
  );
  return { chosen: chosen - first, asked };
}

asking('an address that nobody answers for is chosen, after those that somebody has', async () => {
  assert.deepEqual(await choose(() => false), { chosen: 0, asked: 1 });
  assert.deepEqual(await choose(address => address < first + 3), { chosen: 3, asked: 4 });
});

asking('somebody who answers for every address moves no machine from its own', async () => {
  assert.deepEqual(await choose(() => true), { chosen: 0, asked: 8 });
});

asking.run();
