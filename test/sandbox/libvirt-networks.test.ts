// virlan's networks in libvirt while a watcher runs and others stop, start and undefine them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  macsOf,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { idle, startWatcher, startWatcherProcess, stopWatcher } from './watcher.ts';

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
  // One process runs both commands: on a busy host another one would come after the watcher.
  for (let times = 0; times < 5; times += 1) await virsh('net-destroy k8s-br0; net-start k8s-br0');
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

/** A network of libvirt's own that has the name of one of virlan. */
const namesake = `<network><name>k8s-br0</name><forward mode='nat'/><bridge name='virbr7'/>
  <ip address='192.168.177.1' netmask='255.255.255.0'/></network>`;

networks(
  'a network that is active leads where it did until it is stopped, whatever its definition',
  async () => {
    const uuid = (await virsh('net-uuid', 'k8s-br0')).trim();
    await writeFile('/tmp/namesake.xml', namesake.replace('<forward', `<uuid>${uuid}</uuid><forward`));
    await virsh('net-define', '/tmp/namesake.xml');
    const mac = '52:54:00:aa:bb:03';
    // The hook of machines alone: libvirt's hook of networks would reserve the address, too.
    await prepare({ name: 'edited', nics: [{ type: 'network', source: 'k8s-br0', mac }] });
    assert.match(
      readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'),
      new RegExp(`^${mac},.*edited`, 'm'),
    );
    await virlan('forget', 'edited');
  },
);

const conflict =
  /network k8s-br0 that does not lead to k8s-br0 \(forward mode nat, bridge virbr7\).*virsh net-destroy k8s-br0/;

for (const command of ['net-define', 'net-create'])
  networks(
    `a network of that name that leads elsewhere is named, and is not virlan's: ${command}`,
    async () => {
      await virlan('down');
      if ((await virsh('net-list', '--all')).includes('k8s-br0')) {
        await virsh('net-destroy', 'k8s-br0');
        await virsh('net-undefine', 'k8s-br0');
      }
      await writeFile('/tmp/namesake.xml', namesake);
      await virsh(command, '/tmp/namesake.xml');
      if (command === 'net-define') await virsh('net-start', 'k8s-br0');
      const mac = '52:54:00:aa:bb:01';
      await define(domainXml({ name: 'lab', nics: [{ type: 'network', source: 'k8s-br0', mac }] }));
      assert.match((await virlan('plan')).stderr, conflict);
      const up = await virlan('up');
      assert.equal(up.exitCode, 0, up.stderr);
      assert.match(up.stderr, conflict);
      const machines = async () => JSON.parse((await virlan('status', '--json')).stdout).networks[0].machines;
      assert.match((await virlan('status')).stdout, conflict);
      assert.deepEqual(await machines(), []);
      // Without a watcher the hook decides alone, and only from the network's name.
      await startMachine('lab');
      await destroyMachine('lab');
      await startWatcher();
      await define(
        domainXml({ name: 'new', nics: [{ type: 'network', source: 'k8s-br0', mac: '52:54:00:aa:bb:02' }] }),
      );
      await startMachine('lab');
      await idle('new');
      assert.match((await virlan('status')).stdout, conflict);
      assert.deepEqual(await machines(), []);
      assert.deepEqual(await macsOf('lab'), [mac]);
      assert.deepEqual(await macsOf('new'), ['52:54:00:aa:bb:02']);
      assert.doesNotMatch(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /lab|new/);
      await destroyMachine('lab');
      await stopWatcher();
      await virlan('down');
      assert.match(await virsh('net-dumpxml', 'k8s-br0'), /virbr7/);
      for (const name of ['lab', 'new']) await undefine(name);
      await virsh('net-destroy', 'k8s-br0');
      if (command === 'net-define') await virsh('net-undefine', 'k8s-br0');
    },
  );

const twoNetworks = '[network.k8s-br0]\nstp = no\n[network.lab]\nstp = no\nsubnet = 192.168.101.0/24\n';

async function bridgeIn(name: string): Promise<string | undefined> {
  return /<bridge name='(.*)'\/>/.exec(await virsh('net-dumpxml', name))?.[1];
}

async function names(): Promise<string> {
  return (await virsh('net-list', '--all', '--name')).trim().split('\n').sort().join(' ');
}

async function succeed(...args: string[]): Promise<string> {
  const { exitCode, stderr } = await virlan(...args);
  assert.equal(exitCode, 0, stderr);
  return stderr;
}

networks('a network follows another bridge and the removal of its section: virlan up', async () => {
  await configure(twoNetworks);
  await succeed('up');
  assert.equal(await names(), 'k8s-br0 lab');
  const uuid = await virsh('net-uuid', 'lab');
  // Another file does not remove the networks of the installed one, nor the installed one those of the other.
  await writeFile('/tmp/other.ini', '[network.rack]\nsubnet = 192.168.102.0/24\nstp = no\n');
  await succeed('up', '--config', '/tmp/other.ini');
  await succeed('up');
  assert.equal(await names(), 'k8s-br0 lab rack');

  await succeed('down', 'lab');
  await configure(`${twoNetworks}bridge = lab9\n`);
  await succeed('up');
  assert.equal(await bridgeIn('lab'), 'lab9');
  assert.equal(await virsh('net-uuid', 'lab'), uuid);
  assert.match(await virsh('net-list'), /lab +active +yes +yes/);

  await define(domainXml({ name: 'user', nics: [{ type: 'network', source: 'lab' }] }));
  await startMachine('user');
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.match(
    await succeed('up'),
    /network lab is not in virlan.ini and stays while machines run on it: "user"/,
  );
  assert.match(readFileSync('/var/log/virlan.log', 'utf8'), /"code":"libvirt-network-in-use"/);
  assert.equal(await names(), 'k8s-br0 lab rack');
  await destroyMachine('user');
  await succeed('up');
  assert.equal(await names(), 'k8s-br0 rack');
  await undefine('user');
  // The bridges of both networks are still there.
  await succeed('down');
  assert.equal(await names(), 'k8s-br0');
});

/** Returns how often the log says that a network stays because it is in use. */
function timesLeftAlone(): number {
  return readFileSync('/var/log/virlan.log', 'utf8').split('"code":"libvirt-network-in-use"').length - 1;
}

networks('a network follows another bridge and the removal of its section: the watcher', async () => {
  await configure(twoNetworks);
  await succeed('up');
  startWatcherProcess();
  await configure(`${twoNetworks}bridge = lab9\n`);
  await until(async () => (await bridgeIn('lab')) === 'lab9', 60);
  await configure('[network.k8s-br0]\nstp = no\n');
  await until(async () => (await names()) === 'k8s-br0', 60);
  await stopWatcher();
  // The machine was started while nobody watched: the watcher says so, and goes on when it has stopped.
  await configure(twoNetworks);
  await succeed('up');
  await define(domainXml({ name: 'user', nics: [{ type: 'network', source: 'lab' }] }));
  await startMachine('user');
  await configure('[network.k8s-br0]\nstp = no\n');
  const before = timesLeftAlone();
  startWatcherProcess();
  await until(() => timesLeftAlone() > before, 60);
  assert.equal(await names(), 'k8s-br0 lab');
  await destroyMachine('user');
  await until(async () => (await names()) === 'k8s-br0', 60);
  await undefine('user');
  await stopWatcher();
});

networks.run();
