// Events of a scripted daemon: their order, and those that come too early or that nobody knows.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { LibvirtEvent } from '../src/events.ts';
import { eventsOf } from '../src/procedures.ts';
import { frame, lifecycle, network, u32, until, xdrString } from './peer.ts';
import { lifecycleEvent, scenesOf, xml } from './scene.ts';

const test = suite('node-libvirt events');
const scene = scenesOf(test);

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

test.run();
