// 2-reboot.test.ts: the second boot: tests that the network is back, failures of daemons, and the
// uninstallation.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../../sandbox/formula-values.ts';
import { type Lease, leaseOf, leases, renewed } from '../../sandbox/leases.ts';
import { virsh } from '../../sandbox/libvirtd.ts';
import { define, destroyMachine, macsOf, startMachine, undefine } from '../../sandbox/machine.ts';
import { processes } from '../../sandbox/snapshot.ts';
import { until } from '../../sandbox/until.ts';
import { virlan } from '../../sandbox/virlan.ts';
import {
  bridgeLinks,
  denials,
  differences,
  linksEverSeen,
  newMachine,
  output,
  property,
  readState,
  timeoutSeconds,
} from '../booted.ts';

const reboot = suite('second boot: the network is back');

/**
 * Checks that a started machine gets its formula address from a new DHCP exchange, not from an earlier lease.
 */
async function assertBootsWithLease(machine: string, before: readonly Lease[]): Promise<void> {
  const [mac = ''] = await macsOf(machine);
  const last = before.find(lease => lease.mac === mac);
  const lease = last ? await renewed(last, timeoutSeconds) : await leaseOf(mac, timeoutSeconds);
  assert.equal(lease.ip, formulaAddressOf(machine));
}

async function isWatcherConnected(): Promise<boolean> {
  const { stdout } = await virlan('status', '--json');
  return stdout !== '' && JSON.parse(stdout).watcher.libvirt === 'connected';
}

async function assertNothingToDo(): Promise<void> {
  let plan = await virlan('plan');
  // Programs have time limits, which an emulated host exceeds while it boots. That says nothing about drift.
  const end = performance.now() + timeoutSeconds * 1000;
  while (plan.exitCode === 1 && performance.now() < end) plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, `virlan plan: ${plan.stderr}${plan.stdout}`);
}

async function destroyAll(): Promise<void> {
  const running = (await virsh('list', '--name')).split('\n').filter(name => name !== '');
  for (const machine of running) await destroyMachine(machine);
}

function qemuPids() {
  return processes('qemu-system-x86_64').map(({ pid }) => pid);
}

reboot('the network was up before libvirtd started, and virbr0 did not exist', async () => {
  const seen = linksEverSeen();
  assert(seen.has('k8s-br0'), 'link-watch.service has not recorded the bridge');
  assert(!seen.has('virbr0'), readFileSync('/run/link-watch', 'utf8'));
  const [watcher, libvirtd] = await Promise.all([
    property('virlan.service', 'ActiveEnterTimestampMonotonic'),
    property('libvirtd.service', 'ExecMainStartTimestampMonotonic'),
  ]);
  assert(Number(watcher) < Number(libvirtd), `virlan ${watcher}, libvirtd ${libvirtd}`);
  assert.deepEqual(await bridgeLinks().then(links => links.slice(0, 2)), readState().bridge);
  await assertNothingToDo();
});

reboot('the autostarted machine has its address, and the other one gets it', async () => {
  assert.match(await virsh('list', '--name'), /^new$/m);
  const [mac = ''] = await macsOf('new');
  assert.equal((await leaseOf(mac, timeoutSeconds)).ip, formulaAddressOf('new'));
  const before = leases();
  await startMachine('old');
  await assertBootsWithLease('old', before);
});

reboot('no unit has failed, and there is no ordering cycle', async () => {
  assert.equal(await output('systemctl', '--failed', '--no-legend', '--plain'), '');
  assert.doesNotMatch(await output('journalctl', '--boot', '--no-pager', '--output=cat'), /ordering cycle/i);
});

reboot('SIGKILL of libvirtd changes neither network nor machines', async () => {
  const machines = qemuPids();
  const links = await bridgeLinks();
  const pid = await property('libvirtd.service', 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', 'libvirtd.service');
  await until(
    async () => ![pid, '0'].includes(await property('libvirtd.service', 'MainPID')),
    timeoutSeconds,
  );
  await until(isWatcherConnected, timeoutSeconds);
  assert.deepEqual([qemuPids(), await bridgeLinks()], [machines, links]);
  await assertNothingToDo();
  assert.match(await virsh('list', '--name'), /^new$/m);
});

reboot('a restart of libvirtd changes neither network nor machines', async () => {
  const machines = qemuPids();
  const links = await bridgeLinks();
  await output('systemctl', 'restart', 'libvirtd.service');
  await until(isWatcherConnected, timeoutSeconds);
  assert.deepEqual([qemuPids(), await bridgeLinks()], [machines, links]);
  await assertNothingToDo();
  assert.match(await virsh('list', '--name'), /^new$/m);
});

reboot('SIGKILL of the watcher changes neither network nor machines, and systemd restarts it', async () => {
  const machines = qemuPids();
  const links = await bridgeLinks();
  const pid = await property('virlan.service', 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', 'virlan.service');
  const before = leases();
  await destroyMachine('new');
  await startMachine('new');
  await assertBootsWithLease('new', before);
  await until(isWatcherConnected, timeoutSeconds);
  assert.notEqual(await property('virlan.service', 'MainPID'), pid);
  assert.equal(qemuPids().filter(one => machines.includes(one)).length, machines.length - 1);
  assert.deepEqual((await bridgeLinks()).slice(0, 2), links.slice(0, 2));
});

reboot('a killed dnsmasq is restarted', async () => {
  const unit = 'virlan-dnsmasq@k8s-br0.service';
  const pid = await property(unit, 'MainPID');
  await output('systemctl', 'kill', '--signal=KILL', unit);
  await until(async () => ![pid, '0'].includes(await property(unit, 'MainPID')), timeoutSeconds);
  await until(async () => (await virlan('plan')).exitCode === 0, timeoutSeconds);
});

reboot(
  'a libvirtd with --timeout runs while the watcher is connected, and the network stays up when it ends',
  async () => {
    await destroyAll();
    const defaults = '/etc/default/libvirtd';
    const text = readFileSync(defaults, 'utf8');
    writeFileSync(defaults, `${text}LIBVIRTD_ARGS="--timeout 5"\n`);
    try {
      await output('systemctl', 'restart', 'libvirtd.service');
      await until(isWatcherConnected, timeoutSeconds);
      const pid = await property('libvirtd.service', 'MainPID');
      // Three times the timeout, because no event tells that libvirtd does not end.
      await setTimeout(15_000);
      assert.equal(await property('libvirtd.service', 'MainPID'), pid);

      await output('systemctl', 'stop', 'virlan.service');
      // libvirtd 11 does not end while a network is active, even a pass-through.
      for (const network of ['k8s-br0', 'default']) await virsh('net-destroy', network);
      await until(
        async () => (await property('libvirtd.service', 'ActiveState')) === 'inactive',
        timeoutSeconds,
      );
      await assertNothingToDo();
      const before = leases();
      await startMachine('new');
      await assertBootsWithLease('new', before);
      assert(!linksEverSeen().has('virbr0'), readFileSync('/run/link-watch', 'utf8'));
    } finally {
      writeFileSync(defaults, text);
      await output('systemctl', 'start', 'virlan.service');
      await output('systemctl', 'restart', 'libvirtd.service');
    }
  },
);

reboot('afterwards a new machine starts with its formula MAC', async () => {
  await until(isWatcherConnected, timeoutSeconds);
  await define(newMachine('late'));
  // A start right behind the definition can be faster than the watcher.
  await until(async () => (await macsOf('late')).includes(formulaMacOf('late')), timeoutSeconds);
  await startMachine('late');
  assert.deepEqual(await macsOf('late'), [formulaMacOf('late')]);
  await destroyMachine('late');
  await undefine('late');
});

reboot('AppArmor has denied nothing', async () => {
  assert.deepEqual(await denials(), []);
});

reboot('uninstall.sh restores the state before the installation', async () => {
  await destroyAll();
  await undefine('new');
  console.log(await output('sh', 'install/uninstall.sh'));
  assert.deepEqual(await differences(), []);
});

reboot('a second uninstall.sh succeeds', async () => {
  await output('sh', 'install/uninstall.sh');
});

reboot.run();
