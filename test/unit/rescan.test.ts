// rescan.test.ts: tests when a rescan runs, and that the monitors pause meanwhile.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { pauseAfter, Rescan } from '../../src/watcher/repairs/rescan.ts';

const rescan = suite('rescan');

/** Returns a rescan with one monitor, and the list of calls in their order. */
function makeRescan(findings: readonly boolean[] = [], whenFree?: () => Promise<void> | null) {
  const events: string[] = [];
  let scans = 0;
  const after: (() => void)[] = [];
  const rescanner = new Rescan(async () => {
    events.push('scan');
    after.shift()?.();
    return findings[scans++] ?? false;
  }, whenFree);
  let resume = () => {};
  const monitor = {
    pause: () => void events.push('pause'),
    resume: () => {
      events.push('resume');
      resume();
    },
    stop: () => void events.push('stop'),
  };
  rescanner.pauseWhileScanning([monitor]);
  /** Resolves when the monitor was resumed so many times. */
  const rounds = (count: number) =>
    new Promise<void>(resolve => {
      // The timers of Rescan do not keep the process alive.
      const alive = setInterval(() => {}, 1000);
      resume = () => {
        if (events.filter(event => event === 'resume').length < count) return;
        clearInterval(alive);
        resolve();
      };
    });
  return { rescanner, events, after, rounds };
}

rescan('a burst of requests is one scan, and the monitor is paused meanwhile', async () => {
  const { rescanner, events, rounds } = makeRescan();
  const done = rounds(1);
  for (let request = 0; request < 100; request++) rescanner.request();
  await done;
  assert.deepEqual(events, ['pause', 'scan', 'resume']);
});

rescan('a request during a scan causes another scan', async () => {
  const { rescanner, events, after, rounds } = makeRescan([true]);
  after.push(() => rescanner.request());
  const done = rounds(2);
  rescanner.request();
  await done;
  assert.deepEqual(events, ['pause', 'scan', 'resume', 'pause', 'scan', 'resume']);
  rescanner.stop();
  assert.equal(events.at(-1), 'stop');
});

rescan(
  'requests wait while something else has precedence, with the monitors on, and are one scan',
  async () => {
    let free = () => {};
    let isFree = false;
    const whenFree = () => (isFree ? null : new Promise<void>(resolve => (free = resolve)));
    const { rescanner, events, rounds } = makeRescan([], whenFree);
    const done = rounds(1);
    for (let request = 0; request < 3; request++) rescanner.request();
    await new Promise(resolve => setTimeout(resolve, 100));
    assert.deepEqual(events, []);
    isFree = true;
    free();
    await done;
    assert.deepEqual(events, ['pause', 'scan', 'resume']);
  },
);

rescan('the monitors can be read on during a scan', async () => {
  const { rescanner, events, after, rounds } = makeRescan();
  after.push(() => rescanner.listen());
  const done = rounds(2);
  rescanner.request();
  await done;
  assert.deepEqual(events, ['pause', 'scan', 'resume', 'resume']);
});

rescan(
  'after a change the pause is 400 ms; scans without a change become rarer, down to one per second',
  () => {
    const pausesMs = [0, 1, 3, 4, 7, 8, 100].map(scansWithoutChange => pauseAfter(80, scansWithoutChange));
    assert.deepEqual(pausesMs, [400, 20, 80, 160, 1000, 1000, 1000]);
    assert.equal(pauseAfter(3000, 20), 3000);
  },
);

rescan.run();
