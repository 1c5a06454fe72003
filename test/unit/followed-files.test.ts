// followed-files.test.ts: tests when changes that were missed are looked for, and which way is in force.
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { suite } from 'uvu';
import type { InotifySysctl } from '../../src/system/inotify.ts';
import { FollowedFiles } from '../../src/watcher/monitors/followed-files.ts';

const followed = suite('followed files');
const watches = 'fs.inotify.max_user_watches';

/** Returns followed files, the list of calls in their order, and the callbacks of the last way by events. */
function follow() {
  const calls: string[] = [];
  const events = { started: () => {}, usedUp: (_limit: InotifySysctl) => {} };
  const files = new FollowedFiles(
    {
      byEvents: (started, usedUp) => {
        Object.assign(events, { started, usedUp });
        return { close: () => calls.push('events closed') };
      },
      byPolling: () => {
        calls.push('polling');
        return { close: () => calls.push('polling closed') };
      },
    },
    {
      polled: limit => calls.push(`polled: ${limit}`),
      followed: () => calls.push('followed'),
      settled: () => calls.push('settled'),
    },
  );
  /** Returns the calls since the last time. */
  const news = () => calls.splice(0);
  return { files, events, news };
}

followed.before.each(() => mock.timers.enable({ apis: ['setTimeout'] }));
followed.after.each(() => mock.timers.reset());

followed('a change before files are followed by events is looked for when they are', () => {
  const { files, events, news } = follow();
  assert.deepEqual(news(), []);
  events.started();
  assert.deepEqual(news(), ['settled']);
  assert.equal(files.usedUp, null);
});

followed('a change between two ways is looked for when the old one has ended', () => {
  const { files, events, news } = follow();
  events.started();
  events.usedUp(watches);
  assert.deepEqual(news(), ['settled', 'polling', `polled: ${watches}`]);
  assert.equal(files.usedUp, watches);
  mock.timers.tick(4000);
  assert.deepEqual(news(), ['events closed', 'settled']);

  mock.timers.tick(11_000);
  events.started();
  assert.deepEqual(news(), ['settled', 'followed']);
  assert.equal(files.usedUp, null);
  mock.timers.tick(4000);
  assert.deepEqual(news(), ['polling closed']);
});

followed('nothing is called after the end', () => {
  const { files, events, news } = follow();
  events.usedUp(watches);
  news();
  void files.close();
  assert.deepEqual(news(), ['polling closed', 'events closed']);
  events.started();
  mock.timers.tick(60_000);
  assert.deepEqual(news(), []);
});

followed.run();
