// machine-starts.test.ts: tests for how long others wait for machines that start.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { DomainLifecycleEvent } from 'node-libvirt';
import { suite } from 'uvu';
import type { Config } from '../../src/config/config.ts';
import { MachineStarts } from '../../src/watcher/machines/machine-starts.ts';
import { PausedStarts } from '../../src/watcher/machines/paused-starts.ts';
import { domainXml } from '../sandbox/machine.ts';
import { network } from './builders.ts';

const starts = suite('machine starts');

/** Returns machine starts on a host with these networks, and how many have begun. */
function makeStarts(networks: Config['networks'] = []) {
  let begun = 0;
  const host = { listDirectory: () => [], readFile: () => null };
  const config = { networks } as Config;
  const began = () => {
    begun += 1;
  };
  return {
    machines: new MachineStarts(host, () => config, { began, prepared: () => {}, failed: () => {} }),
    begun: () => begun,
  };
}

function xmlOf(uuid: string): string {
  return domainXml({ name: 'web', uuid, nics: [] });
}

/** Returns whether a promise is resolved after all that needs no timer. */
async function isResolved(promise: Promise<void>): Promise<boolean> {
  let resolved = false;
  void promise.then(() => {
    resolved = true;
  });
  await new Promise(resolve => setImmediate(resolve));
  return resolved;
}

starts('a machine whose XML cannot be read starts unless a network wants virlan to abort', async () => {
  for (const [onErrors, isAborted] of [
    [[], false],
    [['start'], false],
    [['start', 'abort'], true],
  ] as const) {
    const networks = onErrors.map(onError => ({ ...network(), onError }));
    const { events, abort } = await makeStarts(networks).machines.prepare('<broken');
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['failed'],
    );
    assert.equal(abort !== null, isAborted);
    if (abort !== null) assert.match(abort.message, /^libvirt's XML of a domain cannot be read: /);
  }
});

starts('nobody waits unless a machine starts', () => {
  assert.equal(makeStarts().machines.whenEnded(), null);
});

starts('others wait until the last machine has started', async () => {
  const { machines, begun } = makeStarts();
  const [one, two] = [randomUUID(), randomUUID()];
  await machines.prepare(xmlOf(one));
  await machines.prepare(xmlOf(two));
  assert.equal(begun(), 2);
  const waiting = machines.whenEnded();
  assert(waiting !== null);
  machines.ended(randomUUID());
  machines.ended(one);
  assert.equal(await isResolved(waiting), false);
  machines.ended(two);
  assert.equal(await isResolved(waiting), true);
  assert.equal(machines.whenEnded(), null);
});

starts('a machine that is started again before the end of its last start counts once', async () => {
  const { machines } = makeStarts();
  const uuid = randomUUID();
  await machines.prepare(xmlOf(uuid));
  await machines.prepare(xmlOf(uuid));
  machines.ended(uuid);
  assert.equal(machines.whenEnded(), null);
});

starts('nobody waits longer than 400 ms for one that does not end', async () => {
  const { machines } = makeStarts();
  await machines.prepare(xmlOf(randomUUID()));
  const began = performance.now();
  // The timers of MachineStarts do not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  await machines.whenEnded();
  clearInterval(alive);
  assert(performance.now() - began >= 399);
  assert.notEqual(machines.whenEnded(), null);
});

starts(
  'a machine may be paused since it booted from its hook on, before libvirt sends an event',
  async () => {
    const { machines } = makeStarts();
    const uuid = randomUUID();
    assert.equal(machines.paused.mayBePausedSinceBoot(uuid), false);
    await machines.prepare(xmlOf(uuid));
    assert.equal(machines.paused.mayBePausedSinceBoot(uuid), true);
    assert.equal(machines.paused.isPausedSinceBoot(uuid), false);
  },
);

starts('a machine that was started paused is told from one that ran, or comes from an image', () => {
  const uuid = randomUUID();
  const isPaused = (...events: readonly string[]) => {
    const paused = new PausedStarts();
    for (const text of events) {
      const [event, detail] = text.split(' ');
      const domain = { name: 'web', uuid, id: 1 };
      if (text === 'seen to run') paused.forget(uuid);
      else paused.follow({ kind: 'domain-lifecycle', domain, event, detail } as DomainLifecycleEvent);
    }
    return paused.isPausedSinceBoot(uuid);
  };
  const paused = ['started booted', 'suspended paused'];
  assert.equal(isPaused(...paused), true);
  assert.equal(isPaused(...paused, 'defined updated', 'suspended ioerror'), true);
  assert.equal(isPaused('started booted'), false);
  assert.equal(isPaused(...paused, 'resumed unpaused', 'suspended paused'), false);
  assert.equal(isPaused('started booted', 'seen to run', 'suspended paused'), false);
  assert.equal(isPaused('started booted', 'suspended ioerror'), false);
  for (const detail of ['restored', 'from-snapshot', 'migrated'])
    assert.equal(isPaused(...paused, 'stopped destroyed', `started ${detail}`, 'suspended paused'), false);
});

starts.run();
