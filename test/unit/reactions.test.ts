// reactions.test.ts: tests which reactions follow from which events of libvirt.
import assert from 'node:assert/strict';
import type { LibvirtEvent } from 'node-libvirt';
import { suite } from 'uvu';
import { reactionsTo } from '../../src/watcher/machines/reactions.ts';

const reactions = suite('reactions');

const domain = { name: 'web', uuid: '00000000-0000-4000-8000-000000000001', id: -1 };
const network = { name: 'default', uuid: '00000000-0000-4000-8000-000000000002' };

/** An event's name and detail → the kinds of reactions. */
const lifecycle: [event: string, detail: string, ...reactions: string[]][] = [
  ['defined', 'added', 'reconcile-machine', 'arrange-networks'],
  ['defined', 'updated', 'reconcile-machine', 'arrange-networks'],
  ['defined', 'renamed', 'reconcile-machine', 'arrange-networks'],
  ['defined', 'from-snapshot', 'reconcile-machine', 'arrange-networks'],
  ['undefined', 'removed', 'retire-machine', 'reserve-missing', 'arrange-networks'],
  ['undefined', 'renamed'],
  ['undefined', 'unknown', 'reconcile-machine'],
  ['started', 'booted', 'end-start', 'scan', 'reconcile-machine'],
  ['started', 'migrated', 'end-start', 'scan', 'reconcile-machine'],
  ['suspended', 'paused', 'reconcile-machine'],
  ['resumed', 'unpaused', 'reconcile-machine'],
  ['stopped', 'shutdown', 'end-start', 'retire-machine', 'reconcile-machine', 'arrange-networks'],
  ['stopped', 'failed', 'end-start', 'retire-machine', 'reconcile-machine', 'arrange-networks'],
  ['shutdown', 'finished', 'reconcile-machine'],
  ['pmsuspended', 'memory', 'reconcile-machine'],
  ['crashed', 'panicked', 'reconcile-machine'],
  ['unknown', 'unknown', 'reconcile-machine'],
];

reactions('each lifecycle event of a domain has its reactions', () => {
  for (const [event, detail, ...expected] of lifecycle) {
    const found = reactionsTo({ kind: 'domain-lifecycle', domain, event, detail } as LibvirtEvent);
    assert.deepEqual(
      found.map(({ kind }) => kind),
      expected,
      `${event} ${detail}`,
    );
    for (const reaction of found) if ('domain' in reaction) assert.equal(reaction.domain, domain);
  }
});

reactions('events of devices, metadata and networks have their reactions', () => {
  const cases: [event: LibvirtEvent, ...expected: string[]][] = [
    [{ kind: 'device-added', domain, alias: 'net1' }, 'scan', 'reconcile-machine'],
    [{ kind: 'device-removed', domain, alias: 'net1' }, 'scan', 'reconcile-machine'],
    [
      { kind: 'metadata-change', domain, metadataType: 2, uri: 'urn:virlan:machine:1' },
      'scan',
      'reconcile-machine',
    ],
    [{ kind: 'network-lifecycle', network, event: 'started' }, 'scan', 'reserve-missing', 'arrange-networks'],
    [{ kind: 'network-lifecycle', network, event: 'defined' }, 'scan', 'reserve-missing', 'arrange-networks'],
    [{ kind: 'network-lifecycle', network, event: 'undefined' }, 'scan', 'arrange-networks'],
    [{ kind: 'network-lifecycle', network, event: 'stopped' }, 'scan', 'rest-network'],
    [{ kind: 'network-lifecycle', network, event: 'unknown' }, 'scan', 'arrange-networks'],
  ];
  for (const [event, ...expected] of cases)
    assert.deepEqual(
      reactionsTo(event).map(({ kind }) => kind),
      expected,
      event.kind,
    );
});

reactions.run();
