// 3-removed.test.ts: the third boot: tests that nothing of virlan is left after its uninstallation.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { virsh } from '../../sandbox/libvirtd.ts';
import { startMachine } from '../../sandbox/machine.ts';
import { until } from '../../sandbox/until.ts';
import { differences, linksEverSeen, timeoutSeconds } from '../booted.ts';

const removed = suite('third boot: virlan is removed');

removed("libvirt's default network is active, and virlan's bridge did not exist", async () => {
  assert.match(await virsh('net-list', '--all'), /default +active +yes/);
  const seen = linksEverSeen();
  assert.deepEqual(
    [...seen].filter(name => name.startsWith('k8s-br0')),
    [],
  );
  assert(seen.has('virbr0'));
});

removed('the state is that before the installation', async () => {
  assert.deepEqual(await differences(), []);
});

removed("the machine on default has an address of libvirt's network", async () => {
  await startMachine('old');
  await until(async () => / 192\.168\.122\.\d+\//.test(await virsh('domifaddr', 'old')), timeoutSeconds);
});

removed.run();
