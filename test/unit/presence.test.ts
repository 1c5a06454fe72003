// presence.test.ts: tests that the end of a process is noticed, however it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import { Presence } from '../../src/system/presence.ts';

const presence = suite('presence');

presence('a process that is stopped, or ends, no longer runs; the next one is found', async () => {
  const processes = [spawn('sleep', ['1000']), spawn('sleep', ['1000'])] as const;
  const pids = [processes[0].pid ?? 0, null, processes[1].pid ?? 0];
  let searches = 0;
  const watched = new Presence(() => pids[searches++] ?? null);
  assert(watched.isRunning('a') && watched.isRunning('a'));
  assert.equal(searches, 1, 'it is not searched again while it runs');
  const ended = once(processes[0], 'exit');
  processes[0].kill('SIGKILL');
  await ended;
  assert.equal(watched.isRunning('a'), false);
  assert.equal(watched.isRunning('a'), false, 'there is none');
  assert(watched.isRunning('a'), 'there is another');
  assert.equal(searches, 3);
  processes[1].kill('SIGSTOP');
  while (watched.isRunning('a')) await new Promise(resolve => setImmediate(resolve));
  processes[1].kill('SIGKILL');
});

presence('each name has a process of its own', () => {
  const watched = new Presence(name => (name === 'mine' ? process.pid : null));
  assert.deepEqual(
    ['mine', 'none', 'mine'].map(name => watched.isRunning(name)),
    [true, false, true],
  );
});

presence.run();
