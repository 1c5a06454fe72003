// The client against a scripted daemon: reconnection, layouts, listeners that fail.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import { backoffDelay } from '../src/backoff.ts';
import {
  type Connected,
  type Disconnected,
  LibvirtClient,
  type LibvirtClientOptions,
  type LibvirtEvent,
  type Notice,
} from '../src/index.ts';
import { type Answer, domain, lifecycle, network, Peer, u32, until } from './peer.ts';

const test = suite('node-libvirt client');

const quick: LibvirtClientOptions = {
  reconnect: { minMs: 2, maxMs: 20 },
  keepalive: { intervalMs: 60_000, count: 5 },
};

function watch(directory: string, options: LibvirtClientOptions = {}) {
  const client = new LibvirtClient({ ...quick, socketDirectory: directory, ...options });
  const connected: Connected[] = [];
  const disconnected: Disconnected[] = [];
  const events: LibvirtEvent[] = [];
  const notices: Notice[] = [];
  client.on('connected', value => connected.push(value));
  client.on('disconnected', value => disconnected.push(value));
  client.on('event', value => events.push(value));
  client.on('notice', value => notices.push(value));
  client.start();
  return { client, connected, disconnected, events, notices };
}

function dead(name: string): Buffer {
  return lifecycle(8, name, 1, 0);
}

test('client: events follow `connected`, and go on after each reconnection', async () => {
  const peer = await new Peer({
    // One callback ID for all: the lifecycle registration is the first of the four.
    316: (conversation, call) => {
      if (conversation.count(316) === 1) conversation.send(dead('early'));
      conversation.reply(call, u32(8));
    },
  }).listen();
  const told: string[] = [];
  const { client, disconnected, notices } = watch(peer.directory);
  client.on('connected', ({ drivers }) => told.push(`connected ${drivers}`));
  client.on('event', event => told.push(event.kind));
  client.on('disconnected', ({ error }) => told.push(`disconnected ${error.failure}`));
  const round = ['connected domain,network', 'domain-lifecycle', 'disconnected protocol'];
  for (let rounds = 1; rounds <= 5; rounds++) {
    await until(() => told.length === rounds * 3 - 1, 'an event');
    assert.equal(client.isConnected('domain'), true);
    assert.equal(client.isConnected('network'), true);
    peer.conversation.send(Buffer.alloc(28));
    await until(() => disconnected.length === rounds, 'the end');
    assert.equal(client.isConnected('domain'), false);
    await assert.rejects(client.connectListAllDomains(), { failure: 'not-connected' });
    assert.equal(peer.conversation.count(313), 1);
    assert.equal(peer.conversation.count(316), 4);
  }
  assert.deepEqual(told, Array.from({ length: 5 }, () => round).flat());
  assert.deepEqual(notices, []);
  await client.close();
  peer.close();
});

test('client: connections that break at once wait longer each time, also while the clock is set', async () => {
  const peer = await new Peer({}).listen();
  const { client, connected, disconnected } = watch(peer.directory, {
    reconnect: { minMs: 2, maxMs: 60_000 },
  });
  const clock = Date.now;
  let aheadMs = 0;
  Date.now = () => clock() + aheadMs;
  try {
    for (let rounds = 1; rounds <= 6; rounds++) {
      await until(() => connected.length === rounds, 'connected');
      aheadMs += 3_600_000;
      peer.conversation.send(Buffer.alloc(28));
      await until(() => disconnected.length === rounds, 'the end');
    }
    assert(Number(disconnected.at(-1)?.retryInMs) >= 32);
  } finally {
    Date.now = clock;
    await client.close();
    peer.close();
  }
});

test('client: a hundred connections of garbage, then a good one', async () => {
  let seed = 1;
  function noise(): number {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed >> 16;
  }
  let rounds = 0;
  const peer = await new Peer({
    66: (conversation, call) => {
      if (++rounds > 100) return conversation.reply(call, u32(1) + u32(0));
      const garbage = Buffer.from(Array.from({ length: 1 + (noise() % 60) }, noise));
      // Half of it has a correct length, so that more than the length is checked.
      if (garbage.length >= 4 && rounds % 2) garbage.writeUInt32BE(garbage.length, 0);
      conversation.send(garbage);
      conversation.end();
    },
  }).listen();
  const { client, connected, notices } = watch(peer.directory, { reconnect: { minMs: 1, maxMs: 2 } });
  await until(() => connected.length === 1, 'the good one');
  assert.equal(notices.filter(({ kind }) => kind === 'connect-failed').length, 100);
  await client.close();
  peer.close();
});

test('client: a listener that fails affects neither the others nor the connection', async () => {
  const peer = await new Peer({
    273: (conversation, call) => {
      conversation.send(dead('a'));
      conversation.reply(call, u32(1) + domain('vm1') + u32(1));
    },
  }).listen();
  const { client, connected, disconnected, notices } = watch(peer.directory);
  client.on('notice', () => {
    throw new Error('not even this');
  });
  client.on('event', () => {
    throw new Error('at once');
  });
  client.on('event', () => Promise.reject(new Error('later')));
  let heard = 0;
  const stopHearing = client.on('event', () => heard++);
  await until(() => connected.length === 1, 'connected');
  assert.equal((await client.connectListAllDomains()).length, 1);
  await until(() => notices.length === 2, 'both failures');
  assert.deepEqual(
    notices.map(notice => notice.kind === 'listener-failed' && `${notice.event}: ${notice.error}`),
    ['event: Error: at once', 'event: Error: later'],
  );
  assert.equal(heard, 1);
  stopHearing();
  await client.connectListAllDomains();
  assert.equal(heard, 1);
  assert.deepEqual(disconnected, []);
  await client.close();
  peer.close();
});

test('client: closing works at any time, and for good', async () => {
  const peer = await new Peer({ 66: () => {} }).listen();
  const opening = watch(peer.directory);
  await until(() => peer.conversations.length === 1, 'a connection');
  await opening.client.close();
  opening.client.start();

  const waiting = watch('/nonexistent', { reconnect: { minMs: 60_000, maxMs: 60_000 } });
  await until(() => waiting.notices.length === 1, 'a failure');
  await waiting.client.close();
  await new LibvirtClient().close();
  assert.deepEqual([opening.connected, opening.disconnected, waiting.disconnected], [[], [], []]);
  assert.equal(peer.conversations.length, 1);
  peer.close();
});

test('client: modular daemons, replaced by a monolithic one while it runs', async () => {
  const lists: Record<number, Answer> = {
    273: (conversation, call) => conversation.reply(call, u32(1) + domain('vm1') + u32(1)),
    283: (conversation, call) => conversation.reply(call, u32(1) + network('n1') + u32(1)),
  };
  const virtqemud = await new Peer(lists).listen('virtqemud-sock');
  const { directory } = virtqemud;
  const virtnetworkd = new Peer(lists);
  const libvirtd = new Peer(lists);
  const told: string[] = [];
  const client = new LibvirtClient({ ...quick, socketDirectory: directory });
  function tell({ socket, drivers }: Connected | Disconnected, what: string): void {
    told.push(`${what} ${socket.slice(directory.length + 1)} ${drivers}`);
  }
  client.on('connected', value => tell(value, '+'));
  client.on('disconnected', value => tell(value, '-'));
  client.start();

  await until(() => told.length === 1, 'virtqemud');
  assert.equal(client.isConnected('network'), false);
  await assert.rejects(client.connectListAllNetworks(), { failure: 'not-connected' });
  await virtnetworkd.listenAt(`${directory}/virtnetworkd-sock`);
  await until(() => told.length === 2, 'virtnetworkd');
  assert.equal((await client.connectListAllNetworks())[0]?.name, 'n1');
  assert.equal((await client.connectListAllDomains())[0]?.name, 'vm1');
  assert.equal(virtqemud.conversation.count(283), 0);
  assert.equal(virtnetworkd.conversation.count(273), 0);
  assert.equal(virtqemud.conversation.count(313), 0);
  assert.equal(virtnetworkd.conversation.count(313), 1);
  assert.equal(virtnetworkd.conversation.count(316), 0);

  await libvirtd.listenAt(`${directory}/libvirt-sock`);
  rmSync(`${directory}/virtqemud-sock`);
  virtqemud.conversation.end();
  await until(() => told.length === 4, 'libvirtd');
  assert.equal((await client.connectListAllNetworks())[0]?.name, 'n1');
  assert.equal(libvirtd.conversation.count(283), 1);
  assert.equal(libvirtd.conversation.count(313), 1);
  assert.deepEqual(told, [
    '+ virtqemud-sock domain',
    '+ virtnetworkd-sock network',
    '- virtqemud-sock domain',
    '+ libvirt-sock domain,network',
  ]);
  await until(() => virtnetworkd.conversation.count(2) === 1, 'the goodbye to virtnetworkd');
  await client.close();
  for (const peer of [virtnetworkd, libvirtd, virtqemud]) peer.close();
});

test('client: the layout can be set instead of detected', async () => {
  const peer = await new Peer().listen();
  const modular = watch(peer.directory, { layout: 'modular' });
  await until(() => modular.notices.length > 0, 'a failure');
  const [notice] = modular.notices;
  assert(notice?.kind === 'connect-failed');
  assert.equal(notice.socket, `${peer.directory}/virtqemud-sock`);
  assert.equal(notice.error.failure, 'connect');
  await modular.client.close();
  peer.close();
});

test('backoff: doubles up to the maximum, and at most half of it is random', () => {
  const options = { minMs: 100, maxMs: 5_000 };
  const longest = Array.from({ length: 8 }, (_, failures) => backoffDelay(options, failures, () => 0));
  assert.deepEqual(longest, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  fc.assert(
    fc.property(fc.nat(), failures => {
      const delay = backoffDelay(options, failures);
      assert(delay >= 50 && delay <= 5_000);
    }),
  );
});

test.run();
