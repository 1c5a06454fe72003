// demo.ts: shows the features of virlan on a private host, and checks each result.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { formulaAddressOf, formulaMacOf } from '../sandbox/formula-values.ts';
import {
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  type Lease,
  leaseOf,
  macsOf,
  renewed,
  restartLibvirtd,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { startWatcher, stopWatcher } from '../sandbox/watcher.ts';

const began = performance.now();

function say(text: string): void {
  console.log(`\n\x1b[1m[${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s] ${text}\x1b[0m`);
}

function show(command: string, output: string): void {
  console.log(`  $ ${command}`);
  console.log(output.trimEnd().replace(/^/gm, '  '));
}

async function showVirlan(...args: string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await virlan(...args);
  show(`virlan ${args.join(' ')}`, `${stdout}\n${stderr}`.trimEnd());
  assert.equal(exitCode, 0);
}

async function showVirsh(...args: string[]): Promise<void> {
  show(`virsh ${args.join(' ')}`, await virsh(...args));
}

/** Starts a machine. Returns its lease when its DHCP client has one. */
async function boot(machine: string): Promise<Lease> {
  await startMachine(machine);
  const [mac = ''] = await macsOf(machine);
  return leaseOf(mac);
}

async function main(): Promise<void> {
  say('A private host: own network, own /etc, /usr and /var. virlan is installed on it.');
  await installVirlan();

  say('libvirtd starts, and its hook establishes the network first.');
  await startLibvirtd();
  show(
    'ip -brief address show k8s-br0',
    (await execa('ip', ['-brief', 'address', 'show', 'k8s-br0'])).stdout,
  );
  await showVirsh('net-list', '--all');

  say("The watcher runs beside libvirtd: libvirt's default network is removed, and that of virlan is added.");
  await startWatcher();
  await until(async () => /k8s-br0 +active +yes/.test(await virsh('net-list', '--all')));
  await showVirsh('net-list', '--all');

  say('Two machines start with "virsh start": one on the bridge and one on the libvirt network.');
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await define(domainXml({ name: 'db', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  const [web, db] = await Promise.all([boot('web'), boot('db')]);
  assert.deepEqual([web.ip, db.ip], [formulaAddressOf('web'), formulaAddressOf('db')]);
  assert.deepEqual([web.mac, db.mac], [formulaMacOf('web'), formulaMacOf('db')]);
  console.log(`  web has ${web.ip} and ${web.mac}, db has ${db.ip} and ${db.mac}:`);
  console.log('  all by the formula; the addresses come from a real DHCP exchange.');
  await until(
    async () =>
      (await virsh('net-dhcp-leases', 'k8s-br0')).includes(db.ip) &&
      (await virsh('net-dhcp-leases', 'k8s-br0')).includes(web.ip),
  );
  await showVirlan('status');
  await showVirsh('net-dhcp-leases', 'k8s-br0');
  await showVirsh('domifaddr', 'db');

  say('libvirtd restarts; web is destroyed and started again.');
  await restartLibvirtd();
  await destroyMachine('web');
  await startMachine('web');
  const again = await renewed(web);
  assert.equal(again.ip, web.ip);
  console.log(`  web has ${again.ip} again, from a new DHCP exchange.`);
  await showVirlan('status');

  say('"virlan down" restores the original state of the host.');
  await destroyMachine('web');
  await destroyMachine('db');
  await stopWatcher();
  await showVirlan('down');
  say('Done.');
}

// Without exit() this process would wait for its child libvirtd.
main().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
