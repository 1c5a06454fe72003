// Tests of the test helpers: libvirtd, machines and leases, without virlan.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  define,
  destroyMachine,
  domainXml,
  killLibvirtd,
  leaseOf,
  macsOf,
  restartLibvirtd,
  startLibvirtd,
  startMachine,
  stopLibvirtd,
  undefine,
  virsh,
} from './host.ts';
import { setUpPlainNetwork } from './plain-network.ts';

const machines = suite('machines');

machines('libvirt has its packaged default network', async () => {
  await startLibvirtd();
  assert.match(await virsh('net-list'), /default +active +yes/);
  assert.equal((await virsh('list', '--all', '--name')).trim(), '');
});

machines('libvirtd starts again after a stop and after a crash', async () => {
  await stopLibvirtd();
  await assert.rejects(virsh('version'), /Failed to connect/);
  await startLibvirtd();
  await killLibvirtd();
  await startLibvirtd();
});

machines(
  'a machine with a hostile name boots, gets a lease, and keeps running while libvirtd restarts',
  async () => {
    const name = `it's <a> "vm" & $(more)`;
    await setUpPlainNetwork();
    const nics = [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0a' }];
    await define(domainXml({ name, nics, metadata: '<x:y xmlns:x="urn:x"/>' }));
    assert.deepEqual(await macsOf(name), ['52:54:00:00:00:0a']);
    await startMachine(name);
    const lease = await leaseOf('52:54:00:00:00:0A');
    assert.match(lease.ip, /^192\.168\.100\./);
    assert(lease.expires > new Date());
    await restartLibvirtd();
    assert.equal((await virsh('domstate', '--domain', name)).trim(), 'running');
    await destroyMachine(name);
    await undefine(name);
  },
);

machines('the error for a missing lease lists the others', async () => {
  await assert.rejects(leaseOf('52:54:00:00:00:0b', 0.1), /no lease for 52.*52:54:00:00:00:0a 192\.168\.100/);
});

machines.run();
