// virt-install, virt-clone and libnss-libvirt with virlan's network and watcher.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../sandbox/formula-values.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  leaseOf,
  macsOf,
  renewed,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { idle, startWatcher, stopWatcher } from '../sandbox/watcher.ts';

const clients = suite('clients');

/** libvirt's log of a machine's QEMU, with the reason of each end. */
const qemuLog = '/var/log/libvirt/qemu/pxe.log';

const onBootNetwork = ['--import', '--boot', 'network'];

/** Runs virt-install for a machine whose DHCP client is iPXE. Throws with its output if it fails. */
function virtInstall(name: string, ...args: string[]) {
  return execa(
    'virt-install',
    [
      ...['--connect', 'qemu:///system', '--virt-type', 'qemu', '--name', name, '--memory', '64'],
      ...['--disk', 'none', '--graphics', 'none', '--osinfo', 'detect=off,require=off', '--noautoconsole'],
      ...args,
    ],
    // It writes a log below its home directory.
    { timeout: 60_000, env: { HOME: '/tmp' } },
  );
}

/** Returns the addresses to which one of libnss-libvirt's two modules resolves a name. */
async function resolve(module: 'libvirt' | 'libvirt_guest', name: string): Promise<string[]> {
  const { exitCode, stdout } = await execa('getent', ['-s', module, 'hosts', name], { reject: false });
  assert([0, 2].includes(exitCode ?? -1), `getent ${name}: ${exitCode}`);
  return stdout.split('\n').flatMap(line => line.split(/\s+/)[0] || []);
}

clients("default and k8s-br0 are virlan's network", async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\ndefault-network = replace\n');
  await startLibvirtd();
  await startWatcher();
  await until(async () => /default +active.*\n k8s-br0 +active/.test(await virsh('net-list')));
});

clients(
  'a machine that virt-install boots before it is defined keeps its MAC and the address of its name',
  async () => {
    const forms: [string, string[]][] = [
      ['by-network', ['--network', 'network=k8s-br0']],
      ['by-bridge', ['--network', 'bridge=k8s-br0']],
      ['by-default', []],
    ];
    await Promise.all(
      forms.map(async ([name, network]) => {
        await virtInstall(name, ...onBootNetwork, ...network);
        const [mac = ''] = await macsOf(name);
        assert.notEqual(mac, formulaMacOf(name));
        const first = await leaseOf(mac);
        assert.deepEqual([first.ip, first.hostname], [formulaAddressOf(name), name]);
        await destroyMachine(name);
        await idle(name);
        await startMachine(name);
        assert.equal((await renewed(first)).ip, first.ip);
        assert.deepEqual(await macsOf(name), [mac]);
      }),
    );
  },
);

clients(
  'virt-install restarts an installed machine with the MAC and address of the installation',
  async () => {
    const installation = virtInstall('pxe', '--pxe', '--network', 'network=k8s-br0', '--wait');
    await until(async () => (await virsh('list', '--name', '--persistent')).includes('pxe'), 30);
    const [mac = ''] = await macsOf('pxe');
    const first = await leaseOf(mac);
    await idle('pxe');
    // Like a reboot by the installer: the machine ends, and virt-install starts the machine defined
    // meanwhile. libvirt ends QEMU when it reports its end, at times before QEMU has answered this command.
    await virsh('reset', 'pxe').catch((error: Error) => assert.match(error.message, /read from monitor/));
    await until(() => /shutting down, reason=shutdown$/m.test(readFileSync(qemuLog, 'utf8')));
    assert.doesNotMatch(readFileSync(qemuLog, 'utf8'), /reason=(crashed|failed)/);
    assert.match((await installation).stdout, /Restarting guest/);
    const second = await renewed(first);
    assert.deepEqual([second.ip, await macsOf('pxe')], [formulaAddressOf('pxe'), [mac]]);
    await destroyMachine('pxe');
  },
);

clients('a machine that virt-install only defines boots with its formula MAC', async () => {
  await virtInstall('defined', ...onBootNetwork, '--network', 'network=k8s-br0', '--noreboot');
  await idle('defined');
  assert.deepEqual(await macsOf('defined'), [formulaMacOf('defined')]);
  await startMachine('defined');
  assert.equal((await leaseOf(formulaMacOf('defined'))).ip, formulaAddressOf('defined'));
  await destroyMachine('defined');
});

clients('a clone by virt-clone has the MAC and address of its own name', async () => {
  const before = await macsOf('defined');
  await execa('virt-clone', ['--original', 'defined', '--name', 'copy', '--auto-clone'], {
    env: { HOME: '/tmp' },
  });
  await idle('copy');
  assert.deepEqual(await macsOf('copy'), [formulaMacOf('copy')]);
  await startMachine('copy');
  const { ip, hostname } = await leaseOf(formulaMacOf('copy'));
  assert.deepEqual([ip, hostname], [formulaAddressOf('copy'), 'copy']);
  assert.deepEqual(await macsOf('defined'), before);
  await destroyMachine('copy');
});

clients('a machine with two NICs gets an address on each', async () => {
  const nics = ['network=k8s-br0,model=virtio,boot.order=1', 'bridge=k8s-br0,model=virtio,boot.order=2'];
  await virtInstall('two', '--import', ...nics.flatMap(nic => ['--network', nic]));
  const macs = await macsOf('two');
  const leases = await Promise.all(macs.map(mac => leaseOf(mac, 60)));
  assert.deepEqual(
    leases.map(({ ip }) => ip),
    [formulaAddressOf('two', 0), formulaAddressOf('two', 1)],
  );
  await until(async () => (await resolve('libvirt_guest', 'two')).length === 2, 2);
  await destroyMachine('two');
});

clients('a machine is restored from its managed save with its MAC and address', async () => {
  const before = await macsOf('by-network');
  await virsh('managedsave', 'by-network');
  await idle('by-network');
  await startMachine('by-network');
  assert.match(await virsh('domstate', '--reason', 'by-network'), /running \(restored\)/);
  assert.deepEqual(await macsOf('by-network'), before);
  assert.match((await virlan('ip', 'by-network')).stdout, new RegExp(`^${formulaAddressOf('by-network')}$`));
  await destroyMachine('by-network');
});

clients('a machine saved before virlan knew it is restored too and keeps its MAC', async () => {
  const mac = '52:54:00:cc:00:01';
  await stopWatcher();
  renameSync('/etc/libvirt/hooks/qemu', '/etc/libvirt/hooks/qemu.disabled');
  await define(domainXml({ name: 'asleep', nics: [{ type: 'network', source: 'k8s-br0', mac }] }));
  await startMachine('asleep');
  await virsh('managedsave', 'asleep');
  renameSync('/etc/libvirt/hooks/qemu.disabled', '/etc/libvirt/hooks/qemu');
  await startWatcher();
  await idle('asleep');
  assert.deepEqual(await macsOf('asleep'), [mac]);
  await startMachine('asleep');
  assert.match(await virsh('domstate', '--reason', 'asleep'), /running \(restored\)/);
  await destroyMachine('asleep');
  await idle('asleep');
  assert.deepEqual(await macsOf('asleep'), [mac]);
});

clients('libnss-libvirt resolves a machine by its host name and its name, also after a rename', async () => {
  const nsswitch = readFileSync('/etc/nsswitch.conf', 'utf8');
  writeFileSync(
    '/etc/nsswitch.conf',
    nsswitch.replace(/^hosts:.*$/m, 'hosts: files libvirt libvirt_guest dns'),
  );
  const ip = formulaAddressOf('Node_A');
  await define(domainXml({ name: 'Node_A', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  await idle('Node_A');
  await startMachine('Node_A');
  await leaseOf(formulaMacOf('Node_A'));
  await until(async () => (await resolve('libvirt', 'node-a')).includes(ip), 2);
  assert.deepEqual(await resolve('libvirt', 'Node_A'), []);
  assert.deepEqual(await resolve('libvirt_guest', 'Node_A'), [ip]);
  assert.match((await execa('getent', ['ahostsv4', 'Node_A'])).stdout, new RegExp(`^${ip} `));

  await destroyMachine('Node_A');
  await virsh('domrename', 'Node_A', 'Node_B');
  await until(async () => (await resolve('libvirt_guest', 'Node_B')).includes(ip), 2);
  assert.deepEqual(await resolve('libvirt_guest', 'Node_A'), []);
  await startMachine('Node_B');
  await until(async () => (await resolve('libvirt', 'node-b')).includes(ip), 20);
  assert.deepEqual(await macsOf('Node_B'), [formulaMacOf('Node_A')]);

  await destroyMachine('Node_B');
  await undefine('Node_B');
  await until(async () => (await resolve('libvirt_guest', 'Node_B')).length === 0, 2);
});

clients("down removes the files that virlan writes for libvirt's tools", async () => {
  await stopWatcher();
  await virlan('down');
  for (const kind of ['status', 'macs']) assert(!existsSync(`/var/lib/libvirt/dnsmasq/k8s-br0.${kind}`));
});

clients.run();
