// fight-limiter.test.ts: tests when the watcher stops to repair a unit that others keep changing.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { goalOf, type Step } from '../../src/network/steps/steps.ts';
import type { Unit } from '../../src/network/steps/units.ts';
import { FightLimiter } from '../../src/watcher/repairs/fight-limiter.ts';
import { network } from './builders.ts';

const limiter = suite('fight limiter');
const secondMs = 1000;
const minuteMs = 60 * secondMs;
const rules: Unit = { kind: 'rules', backend: 'nftables', family: 'ipv4', bridge: 'br0' };
const address: Unit = { kind: 'address', link: 'br0', family: 'ipv4' };
const on = network();
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

limiter('different reservations in a row are not a fight, the same again and again are one', () => {
  const unit: Unit = { kind: 'reservations', bridge: 'br0' };
  const fights = (kind: 'write reservations' | 'write names', ...lines: readonly string[]) => {
    const limit = new FightLimiter();
    return lines.map((missing, index) => {
      const step = { kind, network: on, bridge: 'br0', missing: [missing], stale: [] };
      return limit.count(unit, goalOf([step]), start + index * secondMs) !== null;
    });
  };
  for (const kind of ['write reservations', 'write names'] as const) {
    assert.deepEqual(fights(kind, 'web', 'db', 'mail'), [false, false, false]);
    assert.deepEqual(fights(kind, 'web', 'web', 'web'), [false, false, true]);
  }
});

limiter('a dnsmasq that others kill or stop comes to the same state', () => {
  const started: Step = { kind: 'start dnsmasq', bridge: 'br0' };
  const stopped = {
    kind: 'stop dnsmasq',
    bridge: 'br0',
    isStopped: true,
    isUnbound: false,
    hasOtherLeases: false,
  } as const;
  const restarted = (pid: number) => [{ ...stopped, pid }, started];
  assert.equal(goalOf(restarted(7)), goalOf(restarted(8)));
  assert.equal(goalOf(restarted(7)), goalOf([started]));
});

limiter('the goal of a step is where it leads to, not from where', () => {
  const set = (from: number, to: number): Step => ({
    kind: 'set link',
    link: 'br0',
    attribute: 'mtu',
    from,
    to,
  });
  assert.equal(goalOf([set(1400, 1500)]), goalOf([set(1300, 1500)]));
  assert.notEqual(goalOf([set(1500, 1400)]), goalOf([set(1500, 1300)]));
});

limiter(
  'rules that others append one after another are not a fight, and one that comes again and again is',
  () => {
    const moved = (rule: string): Step => ({
      kind: 'load rules',
      role: 'primary',
      backend: 'iptables',
      family: 'ipv4',
      bridge: 'br0',
      script: 'RULES',
      drift: [{ kind: 'overruled', rule }],
    });
    assert.notEqual(goalOf([moved('-A POSTROUTING -j a')]), goalOf([moved('-A POSTROUTING -j b')]));
    assert.equal(goalOf([moved('-A POSTROUTING -j a')]), goalOf([moved('-A POSTROUTING -j a')]));
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
