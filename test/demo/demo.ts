import assert from 'node:assert/strict';
import { execa } from 'execa';
import { formatIpv4 } from '../../src/address/ipv4.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { formulaAddress } from '../../src/identity/formula.ts';
import { poolOf } from '../../src/identity/reserve.ts';
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

/** The address that the formula alone gives a machine on a fresh host. */
function formulaOf(machine: string): string {
  const parsed = parseConfig('');
  assert(parsed.ok);
  const [network] = parsed.config.networks;
  assert(network);
  const address = formulaAddress({ network: network.name, machine, nic: 0 }, poolOf(network), () => false);
  assert(address !== null);
  return formatIpv4(address);
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
  show('ip -brief address show k8s-br0', (await execa('ip', ['-brief', 'address', 'show', 'k8s-br0'])).stdout);
  await showVirsh('net-list', '--all');

  say("libvirt's default network goes, and virlan's is known to libvirt.");
  await showVirlan('up');
  await showVirsh('net-list', '--all');

  say('Two machines, one by the bridge and one by the libvirt network. Nothing but "virsh start".');
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await define(domainXml({ name: 'db', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  const [web, db] = await Promise.all([boot('web'), boot('db')]);
  assert.deepEqual([web.ip, db.ip], [formulaOf('web'), formulaOf('db')]);
  console.log(`  web has ${web.ip}, db has ${db.ip}: both by the formula, from a real DHCP exchange.`);
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
