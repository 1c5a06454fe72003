// A connection to a scripted daemon: the opening calls, and everything that ends it.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { isNoSuchProcedure } from '../src/errors.ts';
import { eventsOf, type RemoteEventName } from '../src/procedures.ts';
import { bytes, keepaliveProgram, u32 } from './peer.ts';
import { scenesOf, silent, xml } from './scene.ts';

const test = suite('node-libvirt connection');
const scene = scenesOf(test);

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
