// status-feed.test.ts: tests the stream of the status: when it is read, and what readers get.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { suite } from 'uvu';
import type { Status } from '../../src/report/status.ts';
import { StatusFeed } from '../../src/watcher/socket/status-feed.ts';
import { keepAlive } from './keep-alive.ts';

const feeds = suite('status feed');
keepAlive(feeds);

const pauseMs = 20;

function statusOf(virlan: string): Status {
  return { virlan, watcher: { running: true, pid: 1, libvirt: 'connected' }, networks: [], notes: [] };
}

/** Returns a feed whose status has the value of `current.version`, and counts how often it is read. */
function makeFeed(read: () => string) {
  const readings: string[] = [];
  const feed = new StatusFeed(async () => {
    const version = read();
    readings.push(version);
    return statusOf(version);
  }, pauseMs);
  return { feed, readings };
}

/** The timers of a feed keep no process alive. */
async function alive<T>(work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => {}, 10_000);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

async function nextLine(output: PassThrough): Promise<string> {
  const [chunk] = await alive(once(output, 'data'));
  return String(chunk);
}

feeds('a reader gets the status at once, and one line for a burst of changes', async () => {
  let version = '1';
  const { feed, readings } = makeFeed(() => version);
  const output = new PassThrough();
  feed.add(output);
  assert.equal(await nextLine(output), `${JSON.stringify(statusOf('1'))}\n`);
  version = '2';
  for (let change = 0; change < 100; change++) feed.changed();
  assert.equal(await nextLine(output), `${JSON.stringify(statusOf('2'))}\n`);
  assert.deepEqual(readings, ['1', '2']);
});

feeds('a status that did not change is not sent again, except to a new reader', async () => {
  let version = '1';
  const { feed } = makeFeed(() => version);
  const first = new PassThrough();
  feed.add(first);
  await nextLine(first);
  const again: string[] = [];
  first.on('data', chunk => again.push(String(chunk)));
  const second = new PassThrough();
  feed.add(second);
  assert.equal(await nextLine(second), `${JSON.stringify(statusOf('1'))}\n`);
  assert.deepEqual(again, []);
  version = '2';
  feed.changed();
  await nextLine(second);
  assert.deepEqual(again, [`${JSON.stringify(statusOf('2'))}\n`]);
});

feeds('nothing is read without a reader, nor after the last one has closed', async () => {
  const { feed, readings } = makeFeed(() => '1');
  feed.changed();
  assert.deepEqual(readings, []);
  const output = new PassThrough();
  feed.add(output);
  await nextLine(output);
  output.destroy();
  await once(output, 'close');
  feed.changed();
  await alive(new Promise(resolve => setTimeout(resolve, 3 * pauseMs)));
  assert.deepEqual(readings, ['1']);
});

feeds('a slow reader gets the newest status, not those that lie between, and holds up no other', async () => {
  let version = 0;
  const { feed } = makeFeed(() => String(version));
  const written: string[] = [];
  let read = () => {};
  const slow = new Writable({
    highWaterMark: 1,
    write(chunk, _, done) {
      written.push(JSON.parse(String(chunk)).virlan);
      read = done;
    },
  });
  const fast = new PassThrough();
  feed.add(slow);
  feed.add(fast);
  await nextLine(fast);
  for (version = 1; version <= 5; version++) {
    feed.changed();
    await nextLine(fast);
  }
  assert.deepEqual([written, slow.writableLength > 0], [['0'], true]);
  read();
  assert.deepEqual(written, ['0', '5']);
});

feeds('a status that cannot be read is a line with the error, and the stream goes on', async () => {
  let isBroken = true;
  const { feed } = makeFeed(() => {
    if (isBroken) throw new Error('no nft');
    return '1';
  });
  const output = new PassThrough();
  feed.add(output);
  assert.equal(await nextLine(output), '{"error":"no nft"}\n');
  isBroken = false;
  feed.changed();
  assert.equal(await nextLine(output), `${JSON.stringify(statusOf('1'))}\n`);
  feed.close();
  await once(output, 'end');
});

feeds.run();
