// Events: as libvirtd sent them, and every number of libvirt's headers.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type Arrival, decodeEvent } from '../src/events.ts';
import { bytes, domain, network, u32, xdrString } from './peer.ts';

const test = suite('node-libvirt events');

const vm1 = { name: 'vm1', uuid: '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ab', id: -1 };
const net1 = { name: 'net1', uuid: vm1.uuid };

function decoded(procedure: number, ...hex: string[]): Arrival | null {
  return decodeEvent(procedure, bytes(...hex));
}

test('events: a machine is defined, as libvirtd 9.0.0 sent it', () => {
  assert.deepEqual(
    decoded(
      318,
      '00000000', // callbackID
      '00000003 766d3100', // dom.name: vm1, padded
      '6e1b0f4e3f5d4e8a9d6c0123456789ab', // dom.uuid
      'ffffffff', // dom.id: -1
      '00000000', // event: defined
      '00000000', // detail: added
    ),
    {
      name: 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE',
      callbackId: 0,
      event: { kind: 'domain-lifecycle', domain: vm1, event: 'defined', detail: 'added' },
    },
  );
});

test('events: a network stops, as libvirtd 9.0.0 sent it', () => {
  assert.deepEqual(
    decoded(
      315,
      '00000000', // callbackID
      '00000007 64656661756c7400', // net.name: default, padded
      '34f03fbcd5584cb180167e8488127435', // net.uuid
      '00000003', // event: stopped
      '00000000', // detail: there are none
    ),
    {
      name: 'REMOTE_PROC_NETWORK_EVENT_LIFECYCLE',
      callbackId: 0,
      event: {
        kind: 'network-lifecycle',
        network: { name: 'default', uuid: '34f03fbc-d558-4cb1-8016-7e8488127435' },
        event: 'stopped',
      },
    },
  );
});

test('events: metadata changes, as libvirtd 9.0.0 sent it', () => {
  assert.deepEqual(
    decoded(
      379,
      '00000003', // callbackID
      '00000003 766d3100', // dom.name: vm1, padded
      '6e1b0f4e3f5d4e8a9d6c0123456789ab', // dom.uuid
      'ffffffff', // dom.id: -1
      '00000002', // type: element
      '00000001 00000005 75726e3a78000000', // nsuri: urn:x
    ),
    {
      name: 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE',
      callbackId: 3,
      event: { kind: 'metadata-change', domain: vm1, metadataType: 2, uri: 'urn:x' },
    },
  );
});

test('events: devices', () => {
  const payload = [u32(9), domain('vm1'), xdrString('net1')];
  assert.deepEqual(decoded(354, ...payload)?.event, { kind: 'device-added', domain: vm1, alias: 'net1' });
  assert.deepEqual(decoded(333, ...payload)?.event, { kind: 'device-removed', domain: vm1, alias: 'net1' });
});

test('events: every number of libvirt-domain.h and libvirt-network.h, and those beyond', () => {
  const names = [
    'defined added updated renamed from-snapshot unknown',
    'undefined removed renamed unknown',
    'started booted migrated restored from-snapshot wakeup unknown',
    'suspended paused migrated ioerror watchdog restored from-snapshot api-error postcopy postcopy-failed unknown',
    'resumed unpaused migrated from-snapshot postcopy postcopy-failed unknown',
    'stopped shutdown destroyed crashed migrated saved failed from-snapshot unknown',
    'shutdown finished guest host unknown',
    'pmsuspended memory disk unknown',
    'crashed panicked crashloaded unknown',
    'unknown unknown unknown',
  ];
  for (const [number, line] of names.entries()) {
    const [event, ...details] = line.split(' ');
    for (const [detail, name] of details.entries()) {
      assert.deepEqual(decoded(318, u32(0), domain('vm1'), u32(number), u32(detail))?.event, {
        kind: 'domain-lifecycle',
        domain: vm1,
        event,
        detail: name,
      });
    }
  }
  for (const [number, event] of ['defined', 'undefined', 'started', 'stopped', 'unknown'].entries()) {
    assert.deepEqual(decoded(315, u32(0), network('net1'), u32(number), u32(0))?.event, {
      kind: 'network-lifecycle',
      network: net1,
      event,
    });
  }
  assert.deepEqual(decoded(318, u32(0), domain('vm1'), u32(-1), u32(-1))?.event, {
    kind: 'domain-lifecycle',
    domain: vm1,
    event: 'unknown',
    detail: 'unknown',
  });
});

test('events: a number that is not in the table is not decoded', () => {
  assert.equal(decoded(9999), null);
});

test.run();
