// followed-files.test.ts: tests when changes that were missed are looked for, and which way is in force.
import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { suite } from 'uvu';
import type { InotifySysctl } from '../../src/system/inotify.ts';
import { FollowedFiles } from '../../src/watcher/monitors/followed-files.ts';

const followed = suite('followed files');
const watches = 'fs.inotify.max_user_watches';

/**
 * Returns followed files, the list of calls in their order, the callbacks of the last way by events, and a function
 * that replaces the directory.
 */
function follow() {
  const calls: string[] = [];
  const events = { started: () => {}, usedUp: (_limit: InotifySysctl) => {} };
  let inode = 1;
  const files = new FollowedFiles(
    {
      identity: () => String(inode),
      byEvents: (started, usedUp) => {
        Object.assign(events, { started, usedUp });
        calls.push('events');
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
  const replace = () => {
    inode += 1;
  };
  return { files, events, news, replace };
}

followed.before.each(() => mock.timers.enable({ apis: ['setTimeout'] }));
followed.after.each(() => mock.timers.reset());

followed('a change before files are followed by events is looked for when they are', () => {
  const { files, events, news } = follow();
  assert.deepEqual(news(), ['events']);
  events.started();
  assert.deepEqual(news(), ['settled']);
  assert.equal(files.usedUp, null);
});

followed('a change between two ways is looked for when the old one has ended', () => {
  const { files, events, news } = follow();
  events.started();
  events.usedUp(watches);
  assert.deepEqual(news(), ['events', 'settled', 'polling', `polled: ${watches}`]);
  assert.equal(files.usedUp, watches);
  mock.timers.tick(4000);
  assert.deepEqual(news(), ['events closed', 'settled']);

  mock.timers.tick(11_000);
  events.started();
  assert.deepEqual(news(), ['events', 'settled', 'followed']);
  assert.equal(files.usedUp, null);
  mock.timers.tick(4000);
  assert.deepEqual(news(), ['polling closed']);
});

followed('files are followed again when they are others, and the earlier way has no effect any more', () => {
  const { files, events, news, replace } = follow();
  const first = { ...events };
  first.started();
  files.followReplaced();
  assert.deepEqual(news(), ['events', 'settled']);
  replace();
  files.followReplaced();
  files.followReplaced();
  assert.deepEqual(news(), ['events closed', 'events']);
  first.started();
  first.usedUp(watches);
  assert.deepEqual([news(), files.usedUp], [[], null]);
  events.started();
  assert.deepEqual(news(), ['settled']);
});

followed('replaced files are polled at their paths, and followed by events later', () => {
  const { files, events, news, replace } = follow();
  events.usedUp(watches);
  news();
  replace();
  files.followReplaced();
  assert.deepEqual(news(), []);
  mock.timers.tick(15_000);
  events.started();
  files.followReplaced();
  assert.deepEqual(news(), ['events closed', 'settled', 'events', 'settled', 'followed']);
});

followed('nothing is called after the end', () => {
  const { files, events, news, replace } = follow();
  events.usedUp(watches);
  news();
  void files.close();
  assert.deepEqual(news(), ['polling closed', 'events closed']);
  events.started();
  replace();
  files.followReplaced();
  mock.timers.tick(60_000);
  assert.deepEqual(news(), []);
});

followed.run();
