// fight-limiter.test.ts: tests when the watcher stops to repair a unit that others keep changing.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { Unit } from '../../src/network/units.ts';
import { FightLimiter } from '../../src/watcher/fight-limiter.ts';

const limiter = suite('fight limiter');
const secondMs = 1000;
const minuteMs = 60 * secondMs;
const rules: Unit = { kind: 'rules', backend: 'nftables', family: 'ipv4', bridge: 'br0' };
const address: Unit = { kind: 'address', link: 'br0', family: 'ipv4' };
const start = Date.parse('2026-11-22T10:00:00Z');

/**
 * Counts repairs at these seconds after the start. Returns for each whether the unit is left alone from then
 * on.
 */
function repairAt(limit: FightLimiter, ...seconds: readonly number[]): boolean[] {
  return seconds.map(after => limit.count(rules, '', start + after * secondMs) !== null);
}

limiter('the third repair within a minute pauses repairs; units are counted separately', () => {
  const limit = new FightLimiter();
  assert.deepEqual(repairAt(limit, 0, 10), [false, false]);
  assert.equal(limit.count(address, '', start + 15 * secondMs), null);
  assert.equal(limit.allows(rules, start + 19 * secondMs), true);
  assert.deepEqual(limit.fights(start + 19 * secondMs), []);
  assert.deepEqual(repairAt(limit, 20), [true]);
  assert.equal(limit.allows(rules, start + 21 * secondMs), false);
  assert.equal(limit.allows(address, start + 21 * secondMs), true);
  assert.deepEqual(limit.fights(start + 21 * secondMs), [
    { unit: rules, since: start, until: start + 35 * secondMs },
  ]);
});

limiter(
  'only repairs to the same state in a row are a fight; rules that follow a route may change often',
  () => {
    const limit = new FightLimiter();
    const goals = ['eth0', 'wlan0', 'eth0', 'wlan0', 'tun0', 'tun0', 'eth0', 'eth0', 'eth0'];
    const isLeftAlone = goals.map(
      (goal, index) => limit.count(rules, goal, start + index * secondMs) !== null,
    );
    assert.deepEqual(isLeftAlone, [...Array(8).fill(false), true]);
  },
);

limiter('more than a dozen changes within a minute pause repairs', () => {
  const limit = new FightLimiter();
  const isLeftAlone = Array.from({ length: 12 }, (_, index) =>
    limit.count(rules, String(index), start + index),
  );
  assert.deepEqual(
    isLeftAlone.map(fight => fight !== null),
    [...Array(11).fill(false), true],
  );
});

limiter('repairs that are at least 30 s apart are not limited', () => {
  assert.deepEqual(repairAt(new FightLimiter(), 0, 31, 61, 92, 122), [false, false, false, false, false]);
});

limiter('after the pause the unit is repaired again, and the next pause is twice as long', () => {
  const limit = new FightLimiter();
  repairAt(limit, 0, 1, 2);
  assert.equal(limit.allows(rules, start + 16 * secondMs), false);
  assert.equal(limit.allows(rules, start + 17 * secondMs), true);
  assert.deepEqual(limit.fights(start + 17 * secondMs), []);
  assert.deepEqual(repairAt(limit, 17), [true]);
  assert.deepEqual(limit.fights(start + 18 * secondMs), [
    { unit: rules, since: start, until: start + 47 * secondMs },
  ]);
  assert.deepEqual(repairAt(limit, 47), [true]);
  assert.equal(limit.fights(start + 48 * secondMs)[0]?.until, start + 47 * secondMs + minuteMs);
});

limiter('a repair that holds for a minute ends the fight', () => {
  const limit = new FightLimiter();
  repairAt(limit, 0, 1, 2);
  assert.deepEqual(repairAt(limit, 2 + 15 + 60, 78, 79), [false, false, true]);
  assert.equal(limit.fights(start + 80 * secondMs)[0]?.since, start + 77 * secondMs);
});

limiter('a unit is repaired eleven times at most in the first hour', () => {
  const limit = new FightLimiter();
  let repairs = 0;
  for (let now = start; now < start + 60 * minuteMs; now += 200) {
    if (!limit.allows(rules, now)) continue;
    limit.count(rules, '', now);
    repairs++;
  }
  assert.equal(repairs, 3 + 8);
});

limiter('a pause lasts sixteen minutes at most', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20 * minuteMs), { maxLength: 60 }), gaps => {
      const limit = new FightLimiter();
      let now = start;
      for (const gap of gaps) {
        now += gap;
        if (limit.allows(rules, now)) limit.count(rules, '', now);
        for (const { until } of limit.fights(now)) assert(until - now <= 16 * minuteMs);
      }
    }),
  );
});

limiter.run();
