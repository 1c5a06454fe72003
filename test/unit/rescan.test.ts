import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { pauseAfter, Rescan } from '../../src/watcher/rescan.ts';

const rescan = suite('rescan');

/** A rescan with one source, and what happens to it in order. */
function watched(findings: readonly boolean[] = []) {
  const events: string[] = [];
  let looks = 0;
  const after: (() => void)[] = [];
  const out = new Rescan(async () => {
    events.push('look');
    after.shift()?.();
    return findings[looks++] ?? false;
  });
  let resume = () => {};
  const source = {
    pause: () => void events.push('pause'),
    resume: () => {
      events.push('resume');
      resume();
    },
    stop: () => void events.push('stop'),
  };
  out.pauseWhileScanning([source]);
  /** Resolves when the source was resumed this many times. */
  const rounds = (count: number) =>
    new Promise<void>(resolve => {
      // Its own timers keep no process alive.
      const alive = setInterval(() => {}, 1000);
      resume = () => {
        if (events.filter(event => event === 'resume').length < count) return;
        clearInterval(alive);
        resolve();
      };
    });
  return { out, events, after, rounds };
}

rescan('a burst of signs is one look, and nobody listens meanwhile', async () => {
  const { out, events, rounds } = watched();
  const done = rounds(1);
  for (let sign = 0; sign < 100; sign++) out.request();
  await done;
  assert.deepEqual(events, ['pause', 'look', 'resume']);
});

rescan('a sign that comes during a look is looked after', async () => {
  const { out, events, after, rounds } = watched([true]);
  after.push(() => out.request());
  const done = rounds(2);
  out.request();
  await done;
  assert.deepEqual(events, ['pause', 'look', 'resume', 'pause', 'look', 'resume']);
  out.stop();
  assert.equal(events.at(-1), 'stop');
});

rescan(
  'who changed something is given time for more; looks that find nothing get rarer, down to one a second',
  () => {
    const rests = [0, 1, 3, 4, 7, 8, 100].map(inVain => pauseAfter(80, inVain));
    assert.deepEqual(rests, [400, 20, 80, 160, 1000, 1000, 1000]);
    assert.equal(pauseAfter(3000, 20), 3000);
  },
);

rescan.run();
