import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Unit } from '../../src/network/units.ts';
import { FightLimiter } from '../../src/watcher/fight-limiter.ts';

const limiter = suite('fight limiter');
const second = 1000;
const minute = 60 * second;
const rules: Unit = { kind: 'rules', backend: 'nftables', family: 'ipv4', bridge: 'br0' };
const address: Unit = { kind: 'address', link: 'br0', family: 'ipv4' };
const start = Date.parse('2026-11-22T10:00:00Z');

/** Repairs at these seconds after the start; returns for each whether the unit is left alone from then on. */
function repairAt(limit: FightLimiter, ...seconds: readonly number[]): boolean[] {
  return seconds.map(after => limit.count(rules, start + after * second) !== null);
}

limiter('three repairs within a minute are too many, and one thing does not count for another', () => {
  const limit = new FightLimiter();
  assert.deepEqual(repairAt(limit, 0, 10), [false, false]);
  assert.equal(limit.count(address, start + 15 * second), null);
  assert.equal(limit.allows(rules, start + 19 * second), true);
  assert.deepEqual(limit.fights(start + 19 * second), []);
  assert.deepEqual(repairAt(limit, 20), [true]);
  assert.equal(limit.allows(rules, start + 21 * second), false);
  assert.equal(limit.allows(address, start + 21 * second), true);
  assert.deepEqual(limit.fights(start + 21 * second), [
    { unit: rules, since: start, until: start + 35 * second },
  ]);
});

limiter('repairs that are far apart are none too many', () => {
  assert.deepEqual(repairAt(new FightLimiter(), 0, 31, 61, 92, 122), [false, false, false, false, false]);
});

limiter('after the pause it is tried again, and a fight that goes on pauses twice as long', () => {
  const limit = new FightLimiter();
  repairAt(limit, 0, 1, 2);
  assert.equal(limit.allows(rules, start + 16 * second), false);
  assert.equal(limit.allows(rules, start + 17 * second), true);
  assert.deepEqual(limit.fights(start + 17 * second), []);
  assert.deepEqual(repairAt(limit, 17), [true]);
  assert.deepEqual(limit.fights(start + 18 * second), [
    { unit: rules, since: start, until: start + 47 * second },
  ]);
  assert.deepEqual(repairAt(limit, 47), [true]);
  assert.equal(limit.fights(start + 48 * second)[0]?.until, start + 47 * second + minute);
});

limiter('a repair that lasts for a minute ends the fight', () => {
  const limit = new FightLimiter();
  repairAt(limit, 0, 1, 2);
  assert.deepEqual(repairAt(limit, 2 + 15 + 60, 78, 79), [false, false, true]);
  assert.equal(limit.fights(start + 80 * second)[0]?.since, start + 77 * second);
});

limiter('however hard somebody fights, a thing is repaired eleven times in the first hour', () => {
  const limit = new FightLimiter();
  let repairs = 0;
  for (let now = start; now < start + 60 * minute; now += 200) {
    if (!limit.allows(rules, now)) continue;
    limit.count(rules, now);
    repairs++;
  }
  assert.equal(repairs, 3 + 8);
});

limiter('a pause is never longer than sixteen minutes', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20 * minute), { maxLength: 60 }), gaps => {
      const limit = new FightLimiter();
      let now = start;
      for (const gap of gaps) {
        now += gap;
        if (limit.allows(rules, now)) limit.count(rules, now);
        for (const { until } of limit.fights(now)) assert(until - now <= 16 * minute);
      }
    }),
  );
});

limiter.run();
