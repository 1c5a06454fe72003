// 1-upgrade.test.ts: the first boot: installs the package that is for this Debian by apt, and upgrades it while a
// machine runs.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../../sandbox/formula-values.ts';
import { leaseOf } from '../../sandbox/leases.ts';
import { virsh } from '../../sandbox/libvirtd.ts';
import { define, destroyMachine, macsOf, startMachine, undefine } from '../../sandbox/machine.ts';
import { until } from '../../sandbox/until.ts';
import { virlan } from '../../sandbox/virlan.ts';
import {
  checkUsualHost,
  confinementOf,
  denials,
  newMachine,
  output,
  prepareUsualHost,
  property,
  timeoutSeconds,
} from '../booted.ts';
import { isStandalone, packageName } from './package.ts';
import { assertService, assertUpgraded, isEstablished } from './running.ts';

const upgrade = suite('first boot: the package is installed and upgraded');

/** Installs a .deb that build.sh has made, from a directory that apt's own user may read. Returns what apt prints. */
async function install(version: 'before' | 'now'): Promise<string> {
  const deb = `/tmp/${version}.deb`;
  copyFileSync(`build/machine/${process.argv[2]}/${version}.deb`, deb);
  const { all } = await execa('apt-get', ['--yes', '--quiet', '--no-install-recommends', 'install', deb], {
    all: true,
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  });
  return all;
}

upgrade('the host is a usual one; on Debian 12 it has no Node.js', async () => {
  await checkUsualHost();
  if (isStandalone) renameSync('/usr/bin/node', '/root/node');
  await prepareUsualHost();
});

upgrade('apt install of one package is the whole installation', async () => {
  console.log(await install('before'));
  assert.match(await output('dpkg-query', '--show', packageName), /\t0\.0\.1-1$/);
  await isEstablished();
  await assertService();
  await until(async () => /default +active +yes/.test(await virsh('net-list', '--all')), timeoutSeconds);
  assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='k8s-br0'\/>/);
});

upgrade('the watcher runs by the Node.js that is for this package', async () => {
  const executable = await output('readlink', `/proc/${await property('virlan.service', 'MainPID')}/exe`);
  assert.equal(executable, isStandalone ? '/usr/lib/virlan-runtime/node' : '/usr/bin/node');
  assert.equal(existsSync('/usr/bin/node'), !isStandalone);
});

upgrade('a new machine and one of the default network get their addresses', async () => {
  await define(newMachine('new'));
  await until(async () => (await macsOf('new'))[0] === formulaMacOf('new'), timeoutSeconds);
  await startMachine('new');
  await startMachine('old');
  const [oldMac = ''] = await macsOf('old');
  assert.equal((await leaseOf(formulaMacOf('new'), timeoutSeconds)).ip, formulaAddressOf('new'));
  assert.equal((await leaseOf(oldMac, timeoutSeconds)).ip, formulaAddressOf('old'));
  await destroyMachine('old');
});

upgrade('the upgrade changes neither machines nor network, and restarts the watcher', async () => {
  await assertUpgraded(async () => console.log(await install('now')));
  assert.doesNotMatch(await output('dpkg-query', '--show', packageName), /\t0\.0\.1-1$/);
});

upgrade('libvirtd, confined by AppArmor, runs the hooks by that Node.js without the watcher', async () => {
  await output('systemctl', 'stop', 'virlan.service');
  assert.equal((await virlan('down')).exitCode, 0);
  await output('systemctl', 'restart', 'libvirtd.service');
  await virsh('list');
  assert(existsSync('/sys/class/net/k8s-br0'), 'the daemon hook establishes the network');
  assert.equal(confinementOf('libvirtd'), 'libvirtd (enforce)');
  await define(newMachine('unseen'));
  const [mac = ''] = await macsOf('unseen');
  await startMachine('unseen');
  assert.match(
    readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'),
    new RegExp(`^${mac},.*unseen`, 'm'),
  );
  await destroyMachine('unseen');
  await undefine('unseen');
  await output('systemctl', 'start', 'virlan.service');
  await isEstablished();
});

upgrade('the timer writes the metrics for node_exporter', async () => {
  const directory = '/var/lib/prometheus/node-exporter';
  mkdirSync(directory, { recursive: true });
  await output('systemctl', 'enable', '--now', 'virlan-metrics.timer');
  const file = `${directory}/virlan.prom`;
  await until(() => existsSync(file), timeoutSeconds);
  assert.match(readFileSync(file, 'utf8'), /^virlan_network_up\{network="k8s-br0"\} 1$/m);
  // The timer elapses again.
  const { mtimeMs } = statSync(file);
  await until(() => statSync(file).mtimeMs > mtimeMs, timeoutSeconds);
  await output('rm', '-r', '/var/lib/prometheus');
});

upgrade('AppArmor has denied nothing, and no unit has failed', async () => {
  assert.deepEqual(await denials(), []);
  assert.equal(await output('systemctl', '--failed', '--no-legend', '--plain'), '');
});

upgrade('a machine is set to autostart for the second boot', async () => {
  await virsh('autostart', 'new');
});

upgrade.run();
