import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { Damping } from '../../src/watcher/fight-limiter.ts';

const damping = suite('damping');
const second = 1000;
const minute = 60 * second;
const start = Date.parse('2026-11-22T10:00:00Z');

/** Repairs at these seconds after the start; gives for each whether the thing is left alone from then on. */
function repairAt(damp: Damping, ...seconds: readonly number[]): boolean[] {
  return seconds.map(after => damp.count('rules', start + after * second));
}

damping('three repairs within a minute are too many, and one thing does not count for another', () => {
  const damp = new Damping();
  assert.deepEqual(repairAt(damp, 0, 10), [false, false]);
  assert.equal(damp.count('address', start + 15 * second), false);
  assert.equal(damp.allows('rules', start + 19 * second), true);
  assert.deepEqual(damp.fights(start + 19 * second), []);
  assert.deepEqual(repairAt(damp, 20), [true]);
  assert.equal(damp.allows('rules', start + 21 * second), false);
  assert.equal(damp.allows('address', start + 21 * second), true);
  assert.deepEqual(damp.fights(start + 21 * second), [
    { thing: 'rules', since: start, until: start + 35 * second },
  ]);
});

damping('repairs that are far apart are none too many', () => {
  assert.deepEqual(repairAt(new Damping(), 0, 31, 61, 92, 122), [false, false, false, false, false]);
});

damping('after the pause it is tried again, and a fight that goes on pauses twice as long', () => {
  const damp = new Damping();
  repairAt(damp, 0, 1, 2);
  assert.equal(damp.allows('rules', start + 16 * second), false);
  assert.equal(damp.allows('rules', start + 17 * second), true);
  assert.deepEqual(damp.fights(start + 17 * second), []);
  assert.deepEqual(repairAt(damp, 17), [true]);
  assert.deepEqual(damp.fights(start + 18 * second), [
    { thing: 'rules', since: start, until: start + 47 * second },
  ]);
  assert.deepEqual(repairAt(damp, 47), [true]);
  assert.equal(damp.fights(start + 48 * second)[0]?.until, start + 47 * second + minute);
});

damping('a repair that lasts for a minute ends the fight', () => {
  const damp = new Damping();
  repairAt(damp, 0, 1, 2);
  assert.deepEqual(repairAt(damp, 2 + 15 + 60, 78, 79), [false, false, true]);
  assert.equal(damp.fights(start + 80 * second)[0]?.since, start + 77 * second);
});

damping('however hard somebody fights, a thing is repaired eleven times in the first hour', () => {
  const damp = new Damping();
  let repairs = 0;
  for (let now = start; now < start + 60 * minute; now += 200) {
    if (!damp.allows('rules', now)) continue;
    damp.count('rules', now);
    repairs++;
  }
  assert.equal(repairs, 3 + 8);
});

damping('a pause is never longer than sixteen minutes', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20 * minute), { maxLength: 60 }), gaps => {
      const damp = new Damping();
      let now = start;
      for (const gap of gaps) {
        now += gap;
        if (damp.allows('rules', now)) damp.count('rules', now);
        for (const { until } of damp.fights(now)) assert(until - now <= 16 * minute);
      }
    }),
  );
});

damping.run();
