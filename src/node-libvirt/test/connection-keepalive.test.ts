// Keepalive between a connection and a scripted daemon.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { ConnectionError } from '../src/errors.ts';
import { frame, keepaliveProgram, until } from './peer.ts';
import { ping, pong, scenesOf, silent, xml } from './scene.ts';

const test = suite('node-libvirt keepalive');
const scene = scenesOf(test);

scene('keepalive requests are answered, byte by byte', {}, async ({ peer, connection }) => {
  await connection.open([]);
  peer.conversation.send(ping, pong, frame({ program: keepaliveProgram, procedure: 3, type: 2 }), ping);
  await until(() => peer.conversation.received.length === 5, 'two answers');
  for (const { bytes } of peer.conversation.received.slice(3)) assert.deepEqual(bytes, pong);
});

scene(
  'the connection to a daemon that stops answering is given up',
  { 14: silent },
  async ({ peer, connection }) => {
    const started = Date.now();
    await connection.open([]);
    const call = xml(connection);
    const { failure } = await connection.closed;
    assert.equal(failure, 'keepalive');
    await assert.rejects(call, ConnectionError);
    assert(Date.now() - started >= 4 * 30);
    const requests = peer.conversation.received.filter(({ program }) => program === keepaliveProgram);
    assert.deepEqual(
      requests.map(({ bytes }) => bytes),
      [ping, ping, ping],
    );
  },
  { keepalive: { intervalMs: 30, count: 3 } },
);

scene(
  'the connection to a daemon that answers every keepalive request is kept',
  { ping: peer => peer.send(pong) },
  async ({ peer, connection }) => {
    await connection.open([]);
    await until(() => peer.conversation.received.length === 3 + 5, 'five requests');
    connection.close();
    assert.equal((await connection.closed).failure, 'closed');
  },
  { keepalive: { intervalMs: 30, count: 2 } },
);

scene(
  'any packet counts as an answer to a keepalive request',
  {},
  async ({ peer, connection }) => {
    let closed = false;
    void connection.closed.then(() => {
      closed = true;
    });
    await connection.open([]);
    for (let i = 0; i < 10; i++) {
      peer.conversation.send(i % 2 ? pong : ping);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
    assert.equal(closed, false);
  },
  { keepalive: { intervalMs: 150, count: 1 } },
);

test.run();
