import assert from 'node:assert/strict';
import { execa } from 'execa';
import { formulaMac } from '../../src/identity/formula.ts';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
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

function formulaMacOf(machine: string) {
  return formulaMac({ network: 'k8s-br0', machine, nic: 0 }, () => false);
}

/** Starts a machine and waits until its DHCP client has an address. */
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

  say("The watcher runs beside libvirtd: libvirt's default network goes, and virlan's comes.");
  await startWatcher();
  await until(async () => /k8s-br0 +active +yes/.test(await virsh('net-list', '--all')));
  await showVirsh('net-list', '--all');

  say('Two machines, one by the bridge and one by the libvirt network. Nothing but "virsh start".');
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await define(domainXml({ name: 'db', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  const [web, db] = await Promise.all([boot('web'), boot('db')]);
  assert.deepEqual([web.ip, db.ip], [formulaAddressOf('web'), formulaAddressOf('db')]);
  assert.deepEqual([web.mac, db.mac], [formulaMacOf('web'), formulaMacOf('db')]);
  console.log(`  web has ${web.ip} and ${web.mac}, db has ${db.ip} and ${db.mac}:`);
  console.log('  all four by the formula, the addresses from a real DHCP exchange.');
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
  console.log(`  web has ${again.ip} again, from a new exchange.`);
  await showVirlan('status');

  say('"virlan down" puts the host back as it was.');
  await destroyMachine('web');
  await destroyMachine('db');
  await stopWatcher();
  await showVirlan('down');
  say('Done.');
}

// libvirtd is a child of this process and would keep it waiting.
main().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
