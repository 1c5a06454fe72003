// Tests messages that a daemon must not send: each ends the connection, and the calls in flight fail.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  bytes,
  type Conversation,
  domain,
  frame,
  keepaliveProgram,
  lifecycle,
  network,
  type Received,
  remoteError,
  u32,
  xdrString,
} from './peer.ts';
import { lifecycleEvent, scenesOf, xml } from './scene.ts';

const test = suite('node-libvirt nonsense');
const scene = scenesOf(test);

// All of these end the connection. The only call in flight is of procedure 14 and has this serial.
const serial = 5;
const nonsense: [name: string, failure: string, sent: Buffer][] = [
  ['a length of 0', 'protocol', bytes(u32(0))],
  ['a length below that of a header', 'protocol', bytes(u32(27))],
  ['a length of 2^32 - 1', 'protocol', bytes(u32(0xffffffff))],
  ['a length above the maximum', 'protocol', bytes(u32(33554437))],
  ['a frame cut off', 'lost', lifecycle(8, 'vm1', 0, 0).subarray(0, 40)],
  ['a length cut off', 'lost', bytes('0000')],
  ['nothing at all', 'lost', bytes('')],
  ['an unknown program', 'protocol', frame({ program: 0x20008087, procedure: 1, type: 2 })],
  ['an unknown version', 'protocol', frame({ version: 2, procedure: 14, type: 1, serial }, xdrString(''))],
  [
    'an unknown keepalive version',
    'protocol',
    frame({ program: keepaliveProgram, version: 2, procedure: 1, type: 2 }),
  ],
  ['a keepalive call', 'protocol', frame({ program: keepaliveProgram, procedure: 1, type: 0 })],
  ['a call', 'protocol', frame({ procedure: 14, type: 0, serial })],
  ['a stream', 'protocol', frame({ procedure: 14, type: 3, serial })],
  ['a reply with file descriptors', 'protocol', frame({ procedure: 14, type: 5, serial })],
  ['an unknown type', 'protocol', frame({ procedure: 14, type: 7, serial })],
  ['a reply to no call', 'protocol', frame({ procedure: 14, type: 1, serial: 6 }, xdrString(''))],
  ['a reply of another procedure', 'protocol', frame({ procedure: 43, type: 1, serial }, xdrString(''))],
  ['a reply with an unknown status', 'protocol', frame({ procedure: 14, type: 1, serial, status: 2 })],
  ['a reply without its payload', 'protocol', frame({ procedure: 14, type: 1, serial })],
  [
    'a reply with too much payload',
    'protocol',
    frame({ procedure: 14, type: 1, serial }, xdrString('') + u32(0)),
  ],
  ['a string longer than its frame', 'protocol', frame({ procedure: 14, type: 1, serial }, u32(5) + u32(0))],
  [
    'an error cut off',
    'protocol',
    frame({ procedure: 14, type: 1, serial, status: 1 }, remoteError(42, 10, 'x').slice(8)),
  ],
  [
    'an event with status error',
    'protocol',
    frame({ procedure: 318, type: 2, status: 1 }, u32(7) + domain('vm1') + u32(0).repeat(2)),
  ],
  ['an event cut off', 'protocol', frame({ procedure: 318, type: 2 }, u32(8) + domain('vm1'))],
  ['an event of another callback', 'protocol', lifecycle(99, 'vm1', 0, 0)],
  [
    'an event that nobody registered for',
    'protocol',
    frame({ procedure: 315, type: 2 }, u32(7) + network('n') + u32(0).repeat(2)),
  ],
];

for (const [name, failure, sent] of nonsense) {
  scene(
    `${name} ends it`,
    {
      14: (peer, call) => {
        assert.equal(call.serial, serial);
        peer.send(sent);
        if (failure === 'lost') peer.end();
      },
    },
    async ({ connection }) => {
      await connection.open([lifecycleEvent]);
      let delivered = 0;
      connection.deliverEvents(() => delivered++);
      const call = xml(connection);
      const closed = await connection.closed;
      assert.equal(closed.failure, failure);
      assert.equal(delivered, 0);
      assert.equal(/in the middle of a frame/.test(closed.message), failure === 'lost' && sent.length > 0);
      await assert.rejects(call, error => error === closed);
      await assert.rejects(xml(connection), { failure: 'not-connected' });
    },
  );
}

for (const [procedure, payload] of [
  [66, u32(1) + u32(0)],
  [60, u32(1)],
  [1, ''],
  [316, u32(7)],
] as const) {
  scene(
    `garbage right behind an opening reply, of procedure ${procedure}, ends it`,
    {
      [procedure]: (peer: Conversation, call: Received) =>
        peer.send(frame({ procedure, type: 1, serial: call.serial }, payload), bytes(u32(0))),
    },
    async ({ connection }) => {
      await assert.rejects(connection.open([lifecycleEvent]), { failure: 'protocol' });
      assert.equal((await connection.closed).failure, 'protocol');
      await assert.rejects(xml(connection), { failure: 'not-connected' });
    },
  );
}

test.run();
