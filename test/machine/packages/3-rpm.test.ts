// 3-rpm.test.ts: the third boot: installs, upgrades and erases the .rpm, without the dependencies, which are not
// packages of rpm here. Hosts of its own kind, and SELinux, are not tested.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../../sandbox/formula-values.ts';
import { leaseOf } from '../../sandbox/leases.ts';
import { virsh } from '../../sandbox/libvirtd.ts';
import { define, destroyMachine, macsOf, startMachine, undefine } from '../../sandbox/machine.ts';
import { until } from '../../sandbox/until.ts';
import { denials, differences, newMachine, output, timeoutSeconds } from '../booted.ts';
import { packageName } from './package.ts';
import { assertService, assertUpgraded, isEstablished } from './running.ts';

const rpm = suite('third boot: the .rpm');

function runRpm(verb: '--install' | '--upgrade', version: 'before' | 'now'): Promise<string> {
  return output('rpm', '--nodeps', verb, `build/machine/${process.argv[2]}/${version}.rpm`);
}

rpm('the .rpm installs the network, the hooks and the service', async () => {
  assert(!existsSync('/etc/libvirt/hooks/qemu'));
  console.log(await runRpm('--install', 'before'));
  await isEstablished();
  await assertService();
  await define(newMachine('new'));
  await until(async () => (await macsOf('new'))[0] === formulaMacOf('new'), timeoutSeconds);
  await startMachine('new');
  assert.equal((await leaseOf(formulaMacOf('new'), timeoutSeconds)).ip, formulaAddressOf('new'));
});

rpm('the upgrade changes neither machines nor network, and restarts the watcher', async () => {
  await assertUpgraded(() => runRpm('--upgrade', 'now'));
  assert.deepEqual(await denials(), []);
});

rpm('erased: the state before the installation, but for the data', async () => {
  await destroyMachine('new');
  await undefine('new');
  console.log(await output('rpm', '--erase', packageName));
  const kept = /^\+ file \/(var\/lib\/(rpm|virlan|dnsmasq)|etc\/virlan|usr\/lib\/sysimage\/rpm)\b/;
  assert.deepEqual(
    (await differences()).filter(line => !kept.test(line)),
    [],
  );
  assert.match(await virsh('net-list', '--all'), /default +active +yes/);
});

rpm.run();
