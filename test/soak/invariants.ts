import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { execa } from 'execa';
import { formatIp } from '../../src/address/ip.ts';
import { parseHostsfile } from '../../src/dnsmasq/hostsfile.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import { withLock } from '../../src/system/lock.ts';
import { paths } from '../../src/system/paths.ts';
import { internetAddress, leases, probe, virlan, virsh } from '../sandbox/host.ts';
import { processes } from '../sandbox/snapshot.ts';
import { until } from '../sandbox/until.ts';
import { get, watcherPid } from '../sandbox/watcher.ts';
import { bridge, type World } from './world.ts';

/** How long the watcher has to put things right, in seconds. A second is what it takes; the host does much else. */
const patience = 20;

/** Descriptors that an idle watcher has: files, sockets, the pipes of its children. */
const mostDescriptors = 60;

/** What has to hold after whatever happened. Throws what does not. */
export async function checkInvariants(world: World): Promise<void> {
  await until(async () => (await virlan('plan')).exitCode === 0, patience);
  await until(
    async () => JSON.parse((await get('/status')) ?? '{}').watcher?.libvirt === 'connected',
    patience,
  );
  await checkMachines(world);
  checkLeases(world);
  await checkReach(world);
  // Whoever holds this lock knows that no probe is out.
  await withLock(paths.probeLock, patience, () => checkLeftovers(world));
}

function readBooks() {
  const path = '/var/lib/virlan/ledger.jsonl';
  // The first machine brings it.
  const ledger = Ledger.parse(existsSync(path) ? readFileSync(path) : Buffer.alloc(0));
  const hostsfile = parseHostsfile(readFileSync(`/var/lib/dnsmasq/${bridge}/hostsfile`, 'utf8'));
  assert(hostsfile.ok, 'the hostsfile is whole');
  return { entries: ledger.entries(), lines: hostsfile.value.ours };
}

/** Each machine has its entry and no other has; one that runs has its line for each NIC, and its taps in the bridge. */
async function checkMachines({ machines }: World): Promise<void> {
  const current = () => readBooks().entries.filter(entry => entry.retired === null);
  const known = () => [...new Set(current().map(entry => entry.name))].sort().join();
  const wanted = [...machines.keys()].sort().join();
  await until(() => known() === wanted, patience).catch(() => assert.equal(known(), wanted));

  const addresses = current().flatMap(({ ip }) => (ip === null ? [] : [formatIp(ip)]));
  assert.equal(new Set(addresses).size, addresses.length, `an address twice: ${addresses}`);

  for (const [name, { running, nics }] of machines) {
    assert.equal((await virsh('domstate', name)).trim() === 'shut off', !running, `state of ${name}`);
    if (!running) continue;
    const xml = await virsh('dumpxml', '--domain', name);
    const [macs, taps] = [/<mac address='([^']+)'/g, /<target dev='(vnet\d+)'/g].map(pattern =>
      [...xml.matchAll(pattern)].map(match => match[1] ?? ''),
    );
    assert.deepEqual([macs?.length, taps?.length], [nics, nics], `NICs of ${name}`);
    const { lines } = readBooks();
    for (const mac of macs ?? []) {
      const entry = current().find(each => each.macs.includes(mac as never));
      assert(entry?.ip, `${name} has an address for ${mac}`);
      const line = lines.find(each => each.includes(mac));
      assert(line?.includes(`,${formatIp(entry.ip)},`), `the line of ${name}: ${line}`);
    }
    for (const tap of taps ?? []) {
      assert.equal(basename(readlinkSync(`/sys/class/net/${tap}/master`)), bridge, `${tap} of ${name}`);
    }
  }
}

/** No address is leased twice, who has a reservation has no other address, and no machine that runs loses its lease. */
function checkLeases({ machines }: World): void {
  const given = leases();
  for (const [name, { leased }] of machines) {
    if (leased !== null)
      assert(
        given.some(({ ip }) => ip === leased),
        `${name} has lost ${leased}`,
      );
  }
  assert.equal(new Set(given.map(({ ip }) => ip)).size, given.length, 'a lease twice');
  for (const { ip, macs } of readBooks().entries) {
    const lease = given.find(({ mac }) => macs[0] === mac);
    if (ip !== null && lease !== undefined) assert.equal(lease.ip, formatIp(ip), `the lease of ${macs[0]}`);
  }
}

async function checkReach({ web, address }: World): Promise<void> {
  assert.equal(await probe(web, { proto: 'icmp', to: '192.168.100.1' }), 'open');
  assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
  assert.equal(await probe({}, { proto: 'icmp', to: address }), 'open');
  assert.equal(await probe(web, { proto: 'udp', to: '192.168.100.1', port: 53 }), 'open');
}

/** Nothing is left of what is gone, and nothing is there twice. */
async function checkLeftovers({ machines, web }: World): Promise<void> {
  const nics = [...machines.values()].reduce((sum, { running, nics }) => sum + (running ? nics : 0), 0);
  const taps = () => readdirSync('/sys/class/net').filter(link => link.startsWith('vnet'));
  await until(() => taps().length === nics, patience).catch(() => assert.equal(taps().length, nics, 'taps'));
  const { stdout: tables } = await execa('nft', ['list', 'tables']);
  assert.equal(tables.split('\n').filter(table => table.includes('virlan')).length, 1, tables);
  const { stdout: mangle } = await execa('iptables-save', ['-t', 'mangle']);
  assert.equal(mangle.split('\n').filter(rule => /^-A POSTROUTING .*virlan/.test(rule)).length, 1, mangle);
  // The watcher's probe has one of its own for a moment.
  const namespaces = () => readdirSync('/run/netns').sort().join();
  const ours = ['internet', web.name].sort().join();
  await until(() => namespaces() === ours, patience).catch(() => assert.equal(namespaces(), ours));

  const running = (command: string) =>
    processes(command.split(' ')[0] ?? '').filter(process => process.command.startsWith(command)).length;
  const once = ['nft monitor', 'ip -o monitor', 'dnsmasq'];
  const counts = () => once.map(command => `${command}: ${running(command)}`).join();
  const right = once.map(command => `${command}: 1`).join();
  await until(() => counts() === right, patience).catch(() => assert.equal(counts(), right));
  const descriptors = () => readdirSync(`/proc/${watcherPid()}/fd`).length;
  await until(() => descriptors() <= mostDescriptors, patience).catch(() =>
    assert(descriptors() <= mostDescriptors, `${descriptors()} descriptors`),
  );
}
