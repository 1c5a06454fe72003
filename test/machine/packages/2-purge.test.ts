// 2-purge.test.ts: the second boot: tests that the network is back, and that a purge of the package leaves nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../../sandbox/formula-values.ts';
import { leaseOf } from '../../sandbox/leases.ts';
import { virsh } from '../../sandbox/libvirtd.ts';
import { destroyMachine, undefine } from '../../sandbox/machine.ts';
import { until } from '../../sandbox/until.ts';
import { virlan } from '../../sandbox/virlan.ts';
import { denials, differences, linksEverSeen, output, property, timeoutSeconds } from '../booted.ts';
import { packageName } from './package.ts';

const purge = suite('second boot: the package is purged');

purge('the network was up before libvirtd started, and virbr0 did not exist', async () => {
  const seen = linksEverSeen();
  assert.deepEqual(
    [seen.has('k8s-br0'), seen.has('virbr0')],
    [true, false],
    readFileSync('/run/link-watch', 'utf8'),
  );
  const [watcher, libvirtd] = await Promise.all([
    property('virlan.service', 'ActiveEnterTimestampMonotonic'),
    property('libvirtd.service', 'ExecMainStartTimestampMonotonic'),
  ]);
  assert(Number(watcher) < Number(libvirtd), `virlan ${watcher}, libvirtd ${libvirtd}`);
});

purge('the autostarted machine has its address', async () => {
  assert.match(await virsh('list', '--name'), /^new$/m);
  assert.equal((await leaseOf(formulaMacOf('new'), timeoutSeconds)).ip, formulaAddressOf('new'));
  await until(async () => (await virlan('plan')).exitCode === 0, timeoutSeconds);
  assert.deepEqual(await denials(), []);
});

purge('apt purge restores the state before the installation', async () => {
  await destroyMachine('new');
  await undefine('new');
  console.log(await output('apt-get', '--yes', '--quiet', 'purge', packageName));
  assert.deepEqual(await differences(), []);
  assert.match(await virsh('net-list', '--all'), /default +active +yes/);
});

purge.run();
