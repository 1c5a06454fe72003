// Calls to a scripted daemon: replies in any order, limits, errors.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { isNoDomain } from '../src/errors.ts';
import { type Answer, frame, keepaliveProgram, u32, until, xdrString } from './peer.ts';
import { ping, scenesOf, xml } from './scene.ts';

const test = suite('node-libvirt calls');
const scene = scenesOf(test);

/** Holds calls, so that a test can reply to them in an order of its own. */
function held(): { answer: Answer; flush: (order: number[]) => void; calls: () => string[] } {
  const waiting: Parameters<Answer>[] = [];
  function nameOf([, call]: Parameters<Answer>): string {
    return call.payload.toString('utf8', 4, 4 + call.payload.readUInt32BE(0));
  }
  return {
    answer: (...held) => waiting.push(held),
    flush: order => {
      for (const index of order) {
        const [peer, call] = waiting[index] as Parameters<Answer>;
        peer.reply(call, xdrString(`<${nameOf([peer, call])}/>`));
      }
    },
    calls: () => waiting.map(nameOf),
  };
}

const order = held();
scene('replies in any order', { 14: order.answer }, async ({ connection }) => {
  await connection.open([]);
  const calls = ['a', 'b', 'c', 'd'].map(name => xml(connection, name));
  await until(() => order.calls().length === 4, 'four calls');
  order.flush([2, 0, 3, 1]);
  assert.deepEqual(await Promise.all(calls), ['<a/>', '<b/>', '<c/>', '<d/>']);
});

const five = held();
scene('never more than four calls in flight', { 14: five.answer }, async ({ peer, connection }) => {
  await connection.open([]);
  const calls = Array.from('abcdefg', name => xml(connection, name));
  // A keepalive request that is answered proves that nothing else was sent before.
  peer.conversation.send(ping);
  await until(
    () => peer.conversation.received.at(-1)?.program === keepaliveProgram,
    'the answer to the request',
  );
  assert.deepEqual(five.calls(), ['a', 'b', 'c', 'd']);
  five.flush([3]);
  await until(() => five.calls().length === 5, 'the fifth call');
  five.flush([1, 2]);
  await until(() => five.calls().length === 7, 'the other calls');
  assert.deepEqual(five.calls(), ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  five.flush([6, 5, 4, 0]);
  assert.deepEqual(await Promise.all(calls), ['<a/>', '<b/>', '<c/>', '<d/>', '<e/>', '<f/>', '<g/>']);
});

const late = held();
scene(
  'a call that takes too long fails, and keeps its place until its reply',
  { 14: late.answer },
  async ({ connection }) => {
    await connection.open([]);
    const calls = Array.from('abcde', name => xml(connection, name));
    for (const outcome of await Promise.allSettled(calls)) {
      assert(outcome.status === 'rejected');
      assert.equal(outcome.reason.name, 'CallTimeoutError');
      assert.equal(outcome.reason.message, 'REMOTE_PROC_DOMAIN_GET_XML_DESC was not answered within 200 ms');
    }
    assert.deepEqual(late.calls(), ['a', 'b', 'c', 'd'], 'one that still waited is never sent');
    const next = xml(connection, 'next');
    late.flush([1]);
    await until(() => late.calls().length === 5, 'the next call');
    late.flush([4, 0, 2, 3]);
    assert.equal(await next, '<next/>');
  },
  { callTimeoutMs: 200 },
);

scene(
  'an error has the code and the text of libvirt',
  { 14: (peer, call) => peer.refuse(call, 42, 'Domain not found') },
  async ({ connection }) => {
    await connection.open([]);
    await assert.rejects(xml(connection), error => {
      assert(isNoDomain(error));
      const procedure = { name: 'REMOTE_PROC_DOMAIN_GET_XML_DESC', number: 14 };
      assert.deepEqual({ ...error }, { name: 'LibvirtError', code: 42, domain: 38, procedure });
      assert.equal(error.message, 'Domain not found');
      return true;
    });
  },
);

scene(
  'an error without a text',
  {
    14: (peer, call) =>
      peer.send(
        frame({ procedure: 14, type: 1, serial: call.serial, status: 1 }, u32(1) + u32(0) + u32(0).repeat(9)),
      ),
  },
  async ({ connection }) => {
    await connection.open([]);
    await assert.rejects(xml(connection), { code: 1, message: 'error 1, no message' });
  },
);

scene('what cannot be encoded is rejected and does not end the connection', {}, async ({ connection }) => {
  await connection.open([]);
  await assert.rejects(xml(connection, 'a\0b'), { name: 'XdrError' });
  await assert.rejects(connection.call('REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID', { uuid: 'none' }), {
    name: 'XdrError',
  });
});

test.run();
