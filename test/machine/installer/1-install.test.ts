// 1-install.test.ts: the first boot: installs virlan on a usual libvirt host, and tests it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../../sandbox/formula-values.ts';
import { leaseOf } from '../../sandbox/leases.ts';
import { virsh } from '../../sandbox/libvirtd.ts';
import { define, destroyMachine, macsOf, startMachine, undefine } from '../../sandbox/machine.ts';
import { until } from '../../sandbox/until.ts';
import { virlan } from '../../sandbox/virlan.ts';
import { succeeded } from '../../sandbox/virlan-commands.ts';
import {
  bridgeLinks,
  checkUsualHost,
  confinementOf,
  denials,
  newMachine,
  output,
  prepareUsualHost,
  property,
  saveState,
  timeoutSeconds,
} from '../booted.ts';

const install = suite('first boot: install');

install('the host is a usual one: default network active, a machine on it, AppArmor enforcing', async () => {
  await checkUsualHost();
  await prepareUsualHost();
});

install('install.sh establishes the network', async () => {
  const printed = await output('sh', 'install/install.sh');
  console.log(printed);
  // The watcher may still write the reservation of the old machine.
  await until(async () => (await virlan('plan')).exitCode === 0, timeoutSeconds);
  assert.equal(await property('virlan.service', 'ActiveState'), 'active');
  assert.equal(await property('virlan.service', 'UnitFileState'), 'enabled');
});

install('the bridge has its dummy NIC', async () => {
  const links = await bridgeLinks();
  assert.deepEqual(
    links.map(({ ifname, kind, master }) => ({ ifname, kind, master })),
    [
      { ifname: 'k8s-br0', kind: 'bridge', master: undefined },
      { ifname: 'k8s-br0-nic', kind: 'dummy', master: 'k8s-br0' },
    ],
  );
  assert.doesNotMatch(succeeded(await virlan('status')), /dummy/);
  saveState({ bridge: links });
});

install('the network default is a pass-through, and virbr0 does not exist', async () => {
  await until(async () => /default +active +yes/.test(await virsh('net-list', '--all')), timeoutSeconds);
  assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='k8s-br0'\/>/);
  await assert.rejects(output('ip', 'link', 'show', 'virbr0'));
});

install('dnsmasq runs in its own unit as an unprivileged user', async () => {
  const pid = await property('virlan-dnsmasq@k8s-br0.service', 'MainPID');
  assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^\/usr\/sbin\/dnsmasq\0/);
  assert.equal((await output('ps', '-o', 'user=', '-p', pid)).trim(), 'dnsmasq');
});

install('the machine on default and a new one start and get their addresses', async () => {
  await define(newMachine('new'));
  await startMachine('new');
  assert.deepEqual(await macsOf('new'), [formulaMacOf('new')]);
  await startMachine('old');
  const [oldMac = ''] = await macsOf('old');
  assert.equal((await leaseOf(formulaMacOf('new'), timeoutSeconds)).ip, formulaAddressOf('new'));
  assert.equal((await leaseOf(oldMac, timeoutSeconds)).ip, formulaAddressOf('old'));
  await until(
    async () => (await virsh('domifaddr', 'old')).includes(formulaAddressOf('old')),
    timeoutSeconds,
  );
});

install('a renamed machine keeps MAC and address, and an attached NIC gets an address', async () => {
  await define(newMachine('first-name'));
  await until(async () => (await macsOf('first-name'))[0] === formulaMacOf('first-name'), timeoutSeconds);
  const address = succeeded(await virlan('ip', 'first-name'));
  await virsh('domrename', 'first-name', 'second-name');
  await until(async () => (await virlan('ip', 'second-name')).stdout === address, timeoutSeconds);
  assert.deepEqual(await macsOf('second-name'), [formulaMacOf('first-name')]);
  await undefine('second-name');

  const mac = '52:54:00:cc:00:01';
  await virsh('attach-interface', 'new', 'bridge', 'k8s-br0', '--mac', mac, '--model', 'virtio', '--live');
  const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
  await until(() => readFileSync(hostsfile, 'utf8').includes(`${mac},`), timeoutSeconds);
});

install("libvirt's own limits of bandwidth work, and stay when virlan puts a NIC back", async () => {
  const limits = "<bandwidth><inbound average='1000'/><outbound average='500'/></bandwidth>";
  await define(newMachine('slow').replace('</interface>', `${limits}</interface>`));
  await virsh('start', '--paused', 'slow');
  const [tap = ''] = /vnet\d+/.exec(await virsh('domiflist', 'slow')) ?? [];
  const shaped = async () => [
    /rate (\w+)/.exec(await output('tc', 'class', 'show', 'dev', tap))?.[1],
    /police .*rate (\w+)/.exec(await output('tc', 'filter', 'show', 'dev', tap, 'ingress'))?.[1],
  ];
  assert.deepEqual(await shaped(), ['8Mbit', '4Mbit']);
  await output('ip', 'link', 'set', tap, 'nomaster');
  await until(async () => / master k8s-br0 /.test(await output('ip', 'link', 'show', tap)), timeoutSeconds);
  assert.deepEqual(await shaped(), ['8Mbit', '4Mbit']);
  await virsh('domiftune', 'slow', tap, '--inbound', '2000', '--live');
  assert.deepEqual(await shaped(), ['16Mbit', '4Mbit']);
  await until(async () => (await virlan('plan')).exitCode === 0, timeoutSeconds);
  await destroyMachine('slow');
  await undefine('slow');
});

install('AppArmor has denied nothing', async () => {
  assert.equal(confinementOf('libvirtd'), 'libvirtd (enforce)');
  console.log(`dnsmasq runs as: ${confinementOf('dnsmasq')}`);
  assert.deepEqual(await denials(), []);
});

install('no unit has failed, and systemd rates the security of virlan’s units', async () => {
  for (const unit of ['virlan.service', 'virlan-dnsmasq@k8s-br0.service']) {
    const lines = await output('systemd-analyze', 'security', '--no-pager', unit);
    console.log(`${unit}: ${lines.trim().split('\n').at(-1)}`);
  }
  assert.equal(await output('systemctl', '--failed', '--no-legend', '--plain'), '');
});

install('a machine is set to autostart for the second boot', async () => {
  await virsh('autostart', 'new');
});

install.run();
