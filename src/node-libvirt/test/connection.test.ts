// A connection to a scripted daemon: the opening calls, replies, events, keepalive, and everything that ends
// it.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Connection, type ConnectionOptions } from '../src/connection.ts';
import { ConnectionError, isNoDomain, isNoSuchProcedure } from '../src/errors.ts';
import type { LibvirtEvent } from '../src/events.ts';
import type { Notice } from '../src/notices.ts';
import { eventsOf, type RemoteEventName } from '../src/procedures.ts';
import {
  type Answer,
  type Answers,
  bytes,
  type Conversation,
  domain,
  frame,
  keepaliveProgram,
  lifecycle,
  network,
  Peer,
  type Received,
  remoteError,
  sampleUuid,
  u32,
  until,
  xdrString,
} from './peer.ts';

const test = suite('node-libvirt connection');

const vm1 = { name: 'vm1', uuid: sampleUuid, id: -1 };
const lifecycleEvent = 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE';
const ping = frame({ program: keepaliveProgram, procedure: 1, type: 2 });
const pong = frame({ program: keepaliveProgram, procedure: 2, type: 2 });
const silent: Answer = () => {};

function xml(connection: Connection, name = 'vm1'): Promise<string> {
  return connection
    .call('REMOTE_PROC_DOMAIN_GET_XML_DESC', { dom: { ...vm1, name }, flags: 0 })
    .then(reply => reply.xml);
}

interface Scene {
  readonly peer: Peer;
  readonly connection: Connection;
  readonly notices: Notice[];
}

/** Adds a test with a connection to a scripted daemon; the test opens it. */
function scene(
  name: string,
  answers: Answers,
  run: (scene: Scene) => Promise<void>,
  options: Partial<ConnectionOptions> = {},
): void {
  test(`connection: ${name}`, async () => {
    const peer = await new Peer(answers).listen();
    const notices: Notice[] = [];
    const connection = new Connection({
      socket: peer.socket,
      uri: 'qemu:///system',
      handshakeTimeoutMs: 30_000,
      callTimeoutMs: 5_000,
      keepalive: { intervalMs: 60_000, count: 5 },
      notice: notice => notices.push(notice),
      ...options,
    });
    try {
      await run({ peer, connection, notices });
    } finally {
      connection.close();
      peer.close();
    }
  });
}

scene('the opening calls, byte by byte', {}, async ({ peer, connection }) => {
  assert.deepEqual(await connection.open(eventsOf(['domain', 'network'])), []);
  assert.deepEqual(
    peer.conversation.received.map(({ bytes }) => bytes),
    [
      bytes('0000001c 20008086 00000001 00000042 00000000 00000001 00000000'), // AUTH_LIST
      bytes('00000020 20008086 00000001 0000003c 00000000 00000002 00000000 0000000a'), // keepalive?
      bytes(
        '00000038 20008086 00000001 00000001 00000000 00000003 00000000', // CONNECT_OPEN
        '00000001 0000000e 71656d753a2f2f2f73797374656d0000 00000000',
      ),
      bytes('00000024 20008086 00000001 00000139 00000000 00000004 00000000 00000000 00000000'), // networks
      bytes('00000024 20008086 00000001 0000013c 00000000 00000005 00000000 00000000 00000000'), // lifecycle
      bytes('00000024 20008086 00000001 0000013c 00000000 00000006 00000000 0000000f 00000000'), // removed
      bytes('00000024 20008086 00000001 0000013c 00000000 00000007 00000000 00000013 00000000'), // added
      bytes('00000024 20008086 00000001 0000013c 00000000 00000008 00000000 00000017 00000000'), // metadata
    ],
  );
});

scene(
  'polkit, where the daemon requires it',
  {
    66: (peer, call) => peer.reply(call, u32(1) + u32(2)),
    70: (peer, call) => peer.reply(call, u32(1)),
  },
  async ({ peer, connection }) => {
    await connection.open([]);
    assert.deepEqual(
      peer.conversation.received.map(({ procedure }) => procedure),
      [66, 70, 60, 1],
    );
  },
);

scene(
  'polkit refuses',
  {
    66: (peer, call) => peer.reply(call, u32(1) + u32(2)),
    70: (peer, call) => peer.refuse(call, 45, 'authentication failed'),
  },
  async ({ connection }) => {
    await assert.rejects(connection.open([]), { name: 'LibvirtError', code: 45 });
    const { failure, message, cause } = await connection.closed;
    assert.equal(failure, 'refused');
    assert.match(message, /libvirt-sock: authentication failed$/);
    assert.equal((cause as { code?: number }).code, 45);
  },
);

scene(
  'an authentication that this package does not have',
  { 66: (peer, call) => peer.reply(call, u32(1) + u32(1)) },
  async ({ connection }) => {
    await assert.rejects(connection.open([]), { failure: 'refused', message: /authentication of type 1/ });
  },
);

scene(
  'a daemon that refuses to open the URI',
  { 1: (peer, call) => peer.refuse(call, 38, 'no connection driver available') },
  async ({ connection }) => {
    await assert.rejects(connection.open([]), { name: 'LibvirtError', code: 38 });
    assert.equal((await connection.closed).failure, 'refused');
  },
);

scene(
  'a daemon that is still starting: no keepalive requests, but a limit',
  { 66: silent },
  async ({ peer, connection }) => {
    await assert.rejects(connection.open([]), { name: 'ConnectionError', failure: 'handshake-timeout' });
    assert.equal(peer.conversation.received.length, 1);
  },
  { handshakeTimeoutMs: 100, keepalive: { intervalMs: 10, count: 2 } },
);

scene(
  'a daemon without keepalive and without an event',
  {
    60: (peer, call) => peer.refuse(call, 39, 'unbekannte Prozedur: 60'),
    313: (peer, call) => peer.refuse(call, 3, 'this function is not supported by the connection driver'),
  },
  async ({ peer, connection, notices }) => {
    const missing: readonly RemoteEventName[] = ['REMOTE_PROC_NETWORK_EVENT_LIFECYCLE'];
    assert.deepEqual(await connection.open(eventsOf(['domain', 'network'])), missing);
    assert.deepEqual(
      notices.map(notice => notice.kind === 'unsupported' && notice.what),
      ['keepalive', ...missing],
    );
    assert(notices.every(notice => notice.kind === 'unsupported' && isNoSuchProcedure(notice.error)));
    await new Promise(resolve => setTimeout(resolve, 60));
    assert(peer.conversation.received.every(({ program }) => program !== keepaliveProgram));
  },
  { keepalive: { intervalMs: 5, count: 2 } },
);

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

scene(
  'an event of an unknown number is ignored and reported',
  {
    14: (peer, call) => {
      peer.send(frame({ procedure: 9999, type: 2 }, u32(1)));
      peer.reply(call, xdrString(''));
    },
  },
  async ({ connection, notices }) => {
    await connection.open([]);
    await xml(connection);
    assert.deepEqual(notices, [{ kind: 'unknown-event', procedure: 9999 }]);
  },
);

function describe(event: LibvirtEvent): string {
  return event.kind === 'domain-lifecycle' ? `${event.domain.name} ${event.event}` : event.kind;
}

scene(
  'events that come before the reply to their registration are kept, in order',
  {
    316: (peer, call) => {
      peer.send(lifecycle(21, 'a', 0, 0), lifecycle(21, 'b', 2, 0));
      peer.reply(call, u32(21));
      peer.send(lifecycle(21, 'c', 5, 0));
    },
    14: (peer, call) => {
      peer.send(lifecycle(21, 'd', 1, 0));
      peer.reply(call, xdrString(''));
    },
  },
  async ({ connection }) => {
    await connection.open([lifecycleEvent]);
    await xml(connection);
    const events: string[] = [];
    connection.deliverEvents(event => events.push(describe(event)));
    assert.deepEqual(events, ['a defined', 'b started', 'c stopped', 'd undefined']);
    await xml(connection);
    assert.deepEqual(events.slice(4), ['d undefined']);
  },
);

scene(
  'events of a registration that fails after all are dropped',
  {
    313: (peer, call) => {
      peer.send(frame({ procedure: 315, type: 2 }, u32(7) + network('n') + u32(0).repeat(2)));
      peer.refuse(call, 1, 'no');
    },
    316: (peer, call) => {
      peer.reply(call, u32(7));
      peer.send(lifecycle(7, 'a', 0, 0));
    },
  },
  async ({ connection }) => {
    await connection.open(eventsOf(['network']).concat(lifecycleEvent));
    const events: string[] = [];
    connection.deliverEvents(event => events.push(describe(event)));
    await until(() => events.length === 1, 'the event');
    assert.deepEqual(events, ['a defined']);
  },
);

scene(
  'too many events before they may be delivered end it',
  { 316: peer => peer.send(...Array.from({ length: 10_001 }, () => lifecycle(1, 'a', 0, 0))) },
  async ({ connection }) => {
    await assert.rejects(connection.open([lifecycleEvent]), { failure: 'protocol' });
  },
);

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

scene('closing sends CONNECT_CLOSE', {}, async ({ peer, connection }) => {
  await connection.open([]);
  connection.close();
  await assert.rejects(xml(connection), { failure: 'not-connected' });
  assert.equal((await connection.closed).failure, 'closed');
  assert.equal(peer.conversation.received.at(-1)?.procedure, 2);
});

scene(
  'a daemon that closes the socket in reply to CONNECT_CLOSE has not failed',
  { 2: peer => peer.end() },
  async ({ connection }) => {
    await connection.open([]);
    connection.close();
    assert.equal((await connection.closed).failure, 'closed');
  },
);

scene(
  'a daemon that does not reply to CONNECT_CLOSE is disconnected from',
  { 2: silent, 14: silent },
  async ({ connection }) => {
    await connection.open([]);
    const call = xml(connection);
    connection.close();
    assert.equal((await connection.closed).failure, 'closed');
    await assert.rejects(call, { failure: 'closed' });
  },
);

scene('closing while it opens', { 66: silent }, async ({ connection }) => {
  const opened = connection.open([]);
  connection.close();
  await assert.rejects(opened, { failure: 'closed' });
});

for (const [name, socket] of [
  ['no socket', '/nonexistent/libvirt-sock'],
  ['a socket path that is too long', `/tmp/${'a'.repeat(200)}`],
] as const) {
  scene(
    name,
    {},
    async ({ connection }) => {
      await assert.rejects(connection.open([]), { failure: 'connect' });
      assert.equal((await connection.closed).failure, 'connect');
    },
    { socket },
  );
}

test.run();
