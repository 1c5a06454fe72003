// libvirt's network `default` while others use its bridge, or when it is an administrator's own.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const inUse = suite('default in use');

/** Returns the bridge that a link is plugged into. Throws for none. */
function masterOf(link: string): string | undefined {
  return readlinkSync(`/sys/class/net/${link}/master`).split('/').at(-1);
}

async function networks(): Promise<string> {
  return (await virsh('net-list', '--all', '--name')).trim().split('\n').sort().join(' ');
}

/** Runs `virlan up`, and returns its warnings. */
async function up(): Promise<string> {
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 0, stderr);
  return stderr;
}

async function succeed(...command: string[]): Promise<void> {
  const { exitCode, stderr } = await virlan(...command);
  assert.equal(exitCode, 0, stderr);
}

inUse.before(async () => {
  await startLibvirtd();
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
});

inUse(
  'default stays while there are devices on top of its bridge: of the host, of a container or a machine',
  async () => {
    const macvlan = (name: string) =>
      execa('ip', ['link', 'add', name, 'link', 'virbr0', 'up', 'type', 'macvlan', 'mode', 'bridge']);
    await macvlan('lab2');
    assert.match(await up(), /plugged into its bridge: "lab2": /);
    await execa('ip', ['netns', 'add', 'container']);
    await macvlan('lab3');
    const mac = readFileSync('/sys/class/net/lab3/address', 'utf8').trim();
    await execa('ip', ['link', 'set', 'lab3', 'netns', 'container']);
    await execa('ip', ['-n', 'container', 'link', 'set', 'lab3', 'up']);
    await execa('ip', ['link', 'delete', 'lab2']);
    assert.match(await up(), new RegExp(`plugged into its bridge: "${mac}": `));
    const xml = domainXml({ name: 'on-top', nics: [{ type: 'network', source: 'none' }] })
      .replace("<interface type='network'>", "<interface type='direct'>")
      .replace("<source network='none'/>", "<source dev='virbr0' mode='bridge'/>");
    await define(xml);
    await startMachine('on-top');
    await execa('ip', ['netns', 'delete', 'container']);
    assert.match(await up(), /default stays while machines run on it: "on-top": /);
    assert.match(await virsh('net-list'), /default +active/);
    await destroyMachine('on-top');
    await undefine('on-top');
  },
);

inUse('default stays while machines that name its bridge, or NICs of other programs, are on it', async () => {
  await define(domainXml({ name: 'by-bridge', nics: [{ type: 'bridge', source: 'virbr0' }] }));
  await define(domainXml({ name: 'off', nics: [{ type: 'bridge', source: 'virbr0' }] }));
  await startMachine('by-bridge');
  await execa('ip', ['link', 'add', 'lab0', 'type', 'veth', 'peer', 'name', 'lab1']);
  await execa('ip', ['tuntap', 'add', 'gns3tap0', 'mode', 'tap']);
  for (const link of ['lab0', 'gns3tap0']) await execa('ip', ['link', 'set', link, 'master', 'virbr0']);
  assert.match(
    await up(),
    /default stays while machines run on it: "by-bridge", and NICs are plugged into its bridge: "gns3tap0", "lab0": /,
  );
  await startWatcher();
  await until(async () => (await networks()) === 'default k8s-br0');
  await destroyMachine('by-bridge');
  // The watcher has seen the machine stop by then.
  await until(async () => /while NICs are plugged in/.test((await virlan('status')).stdout));
  assert.deepEqual(['lab0', 'gns3tap0'].map(masterOf), ['virbr0', 'virbr0']);
  await execa('ip', ['link', 'delete', 'lab0']);
  assert.match(await up(), /bridge: "gns3tap0": /);
  assert.equal(masterOf('gns3tap0'), 'virbr0');
});

inUse('once nothing is on it, default is removed; status names the setting that gives it back', async () => {
  await execa('ip', ['link', 'delete', 'gns3tap0']);
  const { stdout, stderr } = await virlan('up');
  assert.equal(stderr, '');
  assert.match(stdout, /undefine default/);
  for (const output of [stdout, (await virlan('status')).stdout]) {
    assert.match(output, /libvirt has no network default, which virt-install .*"default-network = replace"/);
    assert.match(output, /machines on libvirt's bridge virbr0 do not start until .*: "by-bridge", "off"/);
  }
  assert.equal(await networks(), 'k8s-br0');
});

inUse("default that passes through to the host's LAN stays, with a watcher too", async () => {
  await execa('ip', ['link', 'add', 'br0', 'type', 'bridge']);
  const lan = "<network><name>default</name><forward mode='bridge'/><bridge name='br0'/></network>";
  writeFileSync('/tmp/lan.xml', lan);
  await virsh('net-define', '/tmp/lan.xml');
  await virsh('net-start', 'default');
  await virsh('net-autostart', 'default');
  await until(async () =>
    /default is not as libvirt defines it \(forward mode "bridge"\)/.test((await virlan('status')).stdout),
  );
  await stopWatcher();
  assert.match(await up(), /default is not as libvirt defines it/);
  await execa('/etc/libvirt/hooks/daemon', ['-', 'start', '-', 'start']);
  assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='br0'\/>/);
  assert.match(await virsh('net-info', 'default'), /Active: +yes[\s\S]*Autostart: +yes/);
});

inUse(
  'a bridge that libvirt made is not taken over while its network is active, and default can start again',
  async () => {
    const shipped = `<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/>
    <ip address='192.168.122.1' netmask='255.255.255.0'/></network>`;
    await succeed('down');
    await execa('ip', ['link', 'delete', 'br0']);
    for (const change of ['destroy', 'undefine']) await virsh(`net-${change}`, 'default');
    writeFileSync('/tmp/shipped.xml', shipped);
    await virsh('net-define', '/tmp/shipped.xml');
    await virsh('net-start', 'default');
    await configure('[network.k8s-br0]\nbridge = virbr0\nstp = no\n');
    const mac = readFileSync('/sys/class/net/virbr0/address', 'utf8');
    const reason =
      /virbr0 is the bridge of libvirt's network "default": stop that network, or choose another bridge/;
    for (const command of ['plan', 'up']) {
      const { exitCode, stderr } = await virlan(command);
      assert.equal(exitCode, 1);
      assert.match(stderr, reason);
    }
    assert.match((await virlan('status')).stdout, reason);
    assert.equal(readFileSync('/sys/class/net/virbr0/address', 'utf8'), mac);
    // The watcher removes default, on which nothing is, and makes the bridge then.
    await startWatcher();
    await until(async () => JSON.parse((await virlan('status', '--json')).stdout).networks[0].up, 30);
    await stopWatcher();
    await succeed('down', '--restore-default');
    assert.match(await virsh('net-list'), /default +active/);
  },
);

inUse(
  'what "virlan down --restore-default" restored stays while a watcher runs, until "virlan up"',
  async () => {
    await configure('[network.k8s-br0]\nstp = no\n');
    const record = '/var/lib/virlan/default-network.json';
    await startWatcher();
    await until(async () => (await networks()) === 'k8s-br0', 30);
    const saved = readFileSync(record, 'utf8');
    for (let times = 0; times < 3; times += 1) {
      await succeed('down', '--restore-default');
      // Longer than the rest of a network that was stopped.
      await setTimeout(3000);
      assert.equal(await networks(), 'default');
      assert.match(await virsh('net-info', 'default'), /Active: +yes[\s\S]*Autostart: +yes/);
      assert(!existsSync(record));
      await succeed('up');
      assert.equal(await networks(), 'k8s-br0');
      const { active, autostart } = JSON.parse(readFileSync(record, 'utf8'));
      assert.deepEqual({ active, autostart }, { active: true, autostart: true }, saved);
    }
    await stopWatcher();
  },
);

inUse.run();
