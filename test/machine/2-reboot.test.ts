import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { type Lease, leaseOf, leases, renewed } from '../sandbox/leases.ts';
import { virsh } from '../sandbox/libvirtd.ts';
import { define, destroyMachine, macsOf, startMachine, undefine } from '../sandbox/machine.ts';
import { processes } from '../sandbox/snapshot.ts';
import { until } from '../sandbox/until.ts';
import { virlan } from '../sandbox/virlan.ts';
import {
  bridgeLinks,
  denials,
  differences,
  formulaMacOf,
  linksEverSeen,
  newMachine,
  output,
  patience,
  property,
  recall,
} from './booted.ts';

const reboot = suite('second boot: all of it is back');

/** The machine asks anew, a lease that it has from before does not count. */
async function bootsTo(machine: string, before: readonly Lease[]): Promise<void> {
  const [mac = ''] = await macsOf(machine);
  const last = before.find(lease => lease.mac === mac);
  const lease = last ? await renewed(last, patience) : await leaseOf(mac, patience);
  assert.equal(lease.ip, formulaAddressOf(machine));
}

async function watcherIsConnected(): Promise<boolean> {
  const { stdout } = await virlan('status', '--json');
  return stdout !== '' && JSON.parse(stdout).watcher.libvirt === 'connected';
}

async function destroyAll(): Promise<void> {
  const running = (await virsh('list', '--name')).split('\n').filter(name => name !== '');
  for (const machine of running) await destroyMachine(machine);
}

function qemus() {
  return processes('qemu-system-x86_64').map(({ pid }) => pid);
}

reboot('the network was there before libvirtd, and virbr0 never', async () => {
  const seen = linksEverSeen();
  assert(seen.has('k8s-br0'), 'what looks at links has not seen the bridge');
  assert(!seen.has('virbr0'), readFileSync('/run/link-watch', 'utf8'));
  const [watcher, libvirtd] = await Promise.all([
    property('virlan.service', 'ActiveEnterTimestampMonotonic'),
    property('libvirtd.service', 'ExecMainStartTimestampMonotonic'),
  ]);
  assert(Number(watcher) < Number(libvirtd), `virlan ${watcher}, libvirtd ${libvirtd}`);
  assert.deepEqual(await bridgeLinks().then(links => links.slice(0, 2)), recall().bridge);
  assert.equal((await virlan('plan')).exitCode, 0);
});

reboot('the machine that starts by itself has its address, and so has the other one', async () => {
  assert.match(await virsh('list', '--name'), /^new$/m);
  const [mac = ''] = await macsOf('new');
  assert.equal((await leaseOf(mac, patience)).ip, formulaAddressOf('new'));
  const before = leases();
  await startMachine('old');
  await bootsTo('old', before);
});

reboot('no unit failed, and none waits in a circle', async () => {
  assert.equal(await output('systemctl', '--failed', '--no-legend', '--plain'), '');
  assert.doesNotMatch(await output('journalctl', '--boot', '--no-pager', '--output=cat'), /ordering cycle/i);
});

reboot('SIGKILL of libvirtd disturbs neither network nor machines', async () => {
  const machines = qemus();
  const links = await bridgeLinks();
  const pid = await property('libvirtd.service', 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', 'libvirtd.service');
  await until(async () => ![pid, '0'].includes(await property('libvirtd.service', 'MainPID')), patience);
  await until(watcherIsConnected, patience);
  assert.deepEqual([qemus(), await bridgeLinks()], [machines, links]);
  assert.equal((await virlan('plan')).exitCode, 0);
  assert.match(await virsh('list', '--name'), /^new$/m);
});

reboot('systemctl restart libvirtd disturbs neither network nor machines', async () => {
  const machines = qemus();
  const links = await bridgeLinks();
  await output('systemctl', 'restart', 'libvirtd.service');
  await until(watcherIsConnected, patience);
  assert.deepEqual([qemus(), await bridgeLinks()], [machines, links]);
  assert.equal((await virlan('plan')).exitCode, 0);
  assert.match(await virsh('list', '--name'), /^new$/m);
});

reboot('SIGKILL of the watcher disturbs neither network nor machines, and it is back', async () => {
  const machines = qemus();
  const links = await bridgeLinks();
  const pid = await property('virlan.service', 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', 'virlan.service');
  const before = leases();
  await destroyMachine('new');
  await startMachine('new');
  await bootsTo('new', before);
  await until(watcherIsConnected, patience);
  assert.notEqual(await property('virlan.service', 'MainPID'), pid);
  assert.equal(qemus().filter(one => machines.includes(one)).length, machines.length - 1);
  assert.deepEqual((await bridgeLinks()).slice(0, 2), links.slice(0, 2));
});

reboot('a dnsmasq that dies is back', async () => {
  const unit = 'virlan-dnsmasq@k8s-br0.service';
  const pid = await property(unit, 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', unit);
  await until(async () => ![pid, '0'].includes(await property(unit, 'MainPID')), patience);
  await until(async () => (await virlan('plan')).exitCode === 0, patience);
});

reboot(
  'a libvirtd that ends when idle stays while the watcher asks it, and takes nothing along without',
  async () => {
    await destroyAll();
    const defaults = '/etc/default/libvirtd';
    const text = readFileSync(defaults, 'utf8');
    writeFileSync(defaults, `${text}LIBVIRTD_ARGS="--timeout 5"\n`);
    try {
      await output('systemctl', 'restart', 'libvirtd.service');
      await until(watcherIsConnected, patience);
      const pid = await property('libvirtd.service', 'MainPID');
      // That it does not end is an event that does not come: three times as long as it would take.
      await setTimeout(15_000);
      assert.equal(await property('libvirtd.service', 'MainPID'), pid);

      await output('systemctl', 'stop', 'virlan.service');
      // libvirtd 11 does not end while a network is active, be it a mere name for a bridge.
      for (const network of ['k8s-br0', 'default']) await virsh('net-destroy', network);
      await until(async () => (await property('libvirtd.service', 'ActiveState')) === 'inactive', patience);
      assert.equal((await virlan('plan')).exitCode, 0);
      const before = leases();
      await startMachine('new');
      await bootsTo('new', before);
      assert(!linksEverSeen().has('virbr0'), readFileSync('/run/link-watch', 'utf8'));
    } finally {
      writeFileSync(defaults, text);
      await output('systemctl', 'start', 'virlan.service');
      await output('systemctl', 'restart', 'libvirtd.service');
    }
  },
);

reboot('define and start give the formula MAC at once after all that', async () => {
  await until(watcherIsConnected, patience);
  await define(newMachine('late'));
  await startMachine('late');
  assert.deepEqual(await macsOf('late'), [formulaMacOf('late')]);
  await destroyMachine('late');
  await undefine('late');
});

reboot('AppArmor refused nothing', async () => {
  assert.deepEqual(await denials(), []);
});

reboot('uninstall.sh leaves the machine as it was before the installation', async () => {
  await destroyAll();
  await undefine('new');
  console.log(await output('sh', 'install/uninstall.sh'));
  assert.deepEqual(await differences(), []);
});

reboot('so a second uninstall.sh has nothing to do', async () => {
  await output('sh', 'install/uninstall.sh');
});

reboot.run();
