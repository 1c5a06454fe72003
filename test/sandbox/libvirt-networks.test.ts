// virlan's networks in libvirt while a watcher runs and others stop, start and undefine them.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { configure, installVirlan, startLibvirtd, virsh } from './host.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const networks = suite('libvirt networks');

async function isActive(): Promise<boolean> {
  return /k8s-br0 +active +yes/.test(await virsh('net-list', '--all'));
}

networks('a network can be stopped and started, and is started if nobody does', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  await until(isActive, 30);
  for (let times = 0; times < 5; times += 1) {
    await virsh('net-destroy', 'k8s-br0');
    await virsh('net-start', 'k8s-br0');
  }
  await virsh('net-destroy', 'k8s-br0');
  await until(isActive, 30);
});

networks('a network that is undefined is back at once, with its UUID', async () => {
  const uuid = await virsh('net-uuid', 'k8s-br0');
  // As Vagrant does.
  await virsh('net-destroy', 'k8s-br0');
  await virsh('net-undefine', 'k8s-br0');
  await until(async () => (await virsh('net-list', '--all')).includes('k8s-br0') && (await isActive()), 30);
  assert.equal(await virsh('net-uuid', 'k8s-br0'), uuid);
  await virsh('net-undefine', 'k8s-br0');
  await until(async () => /k8s-br0 +active +yes +yes/.test(await virsh('net-list', '--all')), 30);
  assert.equal(await virsh('net-uuid', 'k8s-br0'), uuid);
  await stopWatcher();
});

networks.run();
