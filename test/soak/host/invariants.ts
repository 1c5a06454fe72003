// invariants.ts: the conditions that hold after each action of the soak.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { execa } from 'execa';
import { formatIp } from '../../../src/address/ip.ts';
import { parseHostsfile } from '../../../src/dnsmasq/hostsfile.ts';
import { readLedger } from '../../../src/identity/ledger-files.ts';
import { withLock } from '../../../src/system/lock.ts';
import { paths } from '../../../src/system/paths.ts';
import { internetAddress, leases, probe, virlan, virsh } from '../../sandbox/host.ts';
import { processes } from '../../sandbox/snapshot.ts';
import { until } from '../../sandbox/until.ts';
import { get, watcherPid } from '../../sandbox/watcher.ts';
import { bridge, type World } from './world.ts';

/** The time limit of repairs. They take a second; the host is busy with other work. */
const repairTimeoutSeconds = 20;

/** The limit of an idle watcher: files, sockets, the pipes of its children. */
const maxDescriptors = 60;

/** Checks all invariants. Throws an AssertionError for the first that does not hold. */
export async function checkInvariants(world: World): Promise<void> {
  await until(async () => (await virlan('plan')).exitCode === 0, repairTimeoutSeconds);
  await until(
    async () => JSON.parse((await get('/status')) ?? '{}').watcher?.libvirt === 'connected',
    repairTimeoutSeconds,
  );
  await checkMachines(world);
  checkLeases(world);
  await checkReach(world);
  // While this lock is held, no probe runs.
  await withLock(paths.probeLock, repairTimeoutSeconds, () => checkLeftovers(world));
}

function readReservations() {
  const ledger = readLedger();
  const hostsfile = parseHostsfile(readFileSync(`/var/lib/dnsmasq/${bridge}/hostsfile`, 'utf8'));
  assert(hostsfile.ok, 'the hostsfile is valid');
  return { entries: ledger.entries(), lines: hostsfile.value.ours };
}

/** Checks the ledger, and for each running machine its lines in the hostsfile and its taps in the bridge. */
async function checkMachines({ machines }: World): Promise<void> {
  const current = () => readReservations().entries.filter(entry => entry.retired === null);
  const recorded = () => [...new Set(current().map(entry => entry.name))].sort().join();
  const expected = [...machines.keys()].sort().join();
  await until(() => recorded() === expected, repairTimeoutSeconds).catch(() =>
    assert.equal(recorded(), expected),
  );

  const addresses = current().flatMap(({ ip }) => (ip === null ? [] : [formatIp(ip)]));
  assert.equal(new Set(addresses).size, addresses.length, `duplicate address: ${addresses}`);

  for (const [name, { running, nics }] of machines) {
    assert.equal((await virsh('domstate', name)).trim() === 'shut off', !running, `state of ${name}`);
    if (!running) continue;
    const xml = await virsh('dumpxml', '--domain', name);
    const [macs, taps] = [/<mac address='([^']+)'/g, /<target dev='(vnet\d+)'/g].map(pattern =>
      [...xml.matchAll(pattern)].map(match => match[1] ?? ''),
    );
    assert.deepEqual([macs?.length, taps?.length], [nics, nics], `NICs of ${name}`);
    const { lines } = readReservations();
    for (const mac of macs ?? []) {
      const entry = current().find(each => each.macs.includes(mac as never));
      assert(entry?.ip, `${name} has an address for ${mac}`);
      const line = lines.find(each => each.includes(mac));
      assert(line?.includes(`,${formatIp(entry.ip)},`), `line of ${name}: ${line}`);
    }
    for (const tap of taps ?? []) {
      assert.equal(basename(readlinkSync(`/sys/class/net/${tap}/master`)), bridge, `${tap} of ${name}`);
    }
  }
}

/** Checks that leases are unique and match reservations, and that running machines keep them. */
function checkLeases({ machines }: World): void {
  const current = leases();
  for (const [name, { leased }] of machines) {
    if (leased !== null)
      assert(
        current.some(({ ip }) => ip === leased),
        `${name} has lost ${leased}`,
      );
  }
  assert.equal(new Set(current.map(({ ip }) => ip)).size, current.length, 'duplicate lease');
  for (const { ip, macs } of readReservations().entries) {
    const lease = current.find(({ mac }) => macs[0] === mac);
    if (ip !== null && lease !== undefined) assert.equal(lease.ip, formatIp(ip), `lease of ${macs[0]}`);
  }
}

async function checkReach({ web, address }: World): Promise<void> {
  assert.equal(await probe(web, { proto: 'icmp', to: '192.168.100.1' }), 'open');
  assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
  assert.equal(await probe({}, { proto: 'icmp', to: address }), 'open');
  assert.equal(await probe(web, { proto: 'udp', to: '192.168.100.1', port: 53 }), 'open');
}

/** Checks that nothing of removed machines is left, and nothing exists twice. */
async function checkLeftovers({ machines, web }: World): Promise<void> {
  const nics = [...machines.values()].reduce((sum, { running, nics }) => sum + (running ? nics : 0), 0);
  const taps = () => readdirSync('/sys/class/net').filter(link => link.startsWith('vnet'));
  await until(() => taps().length === nics, repairTimeoutSeconds).catch(() =>
    assert.equal(taps().length, nics, 'taps'),
  );
  const { stdout: tables } = await execa('nft', ['list', 'tables']);
  // One for each family of addresses, and the guard.
  assert.equal(tables.split('\n').filter(table => table.includes('virlan')).length, 3, tables);
  const { stdout: mangle } = await execa('iptables-save', ['-t', 'mangle']);
  assert.equal(mangle.split('\n').filter(rule => /^-A POSTROUTING -j VIRLAN-/.test(rule)).length, 1, mangle);
  // A probe of the watcher has a namespace of its own.
  const namespaces = () => readdirSync('/run/netns').sort().join();
  const expected = ['internet', web.name].sort().join();
  await until(() => namespaces() === expected, repairTimeoutSeconds).catch(() =>
    assert.equal(namespaces(), expected),
  );

  const running = (command: string) =>
    processes(command.split(' ')[0] ?? '').filter(process => process.command.startsWith(command)).length;
  const single = ['nft monitor', 'ip -o monitor', 'dnsmasq'];
  const counts = () => single.map(command => `${command}: ${running(command)}`).join();
  const expectedCounts = single.map(command => `${command}: 1`).join();
  await until(() => counts() === expectedCounts, repairTimeoutSeconds).catch(() =>
    assert.equal(counts(), expectedCounts),
  );
  const descriptors = () => readdirSync(`/proc/${watcherPid()}/fd`).length;
  await until(() => descriptors() <= maxDescriptors, repairTimeoutSeconds).catch(() =>
    assert(descriptors() <= maxDescriptors, `${descriptors()} descriptors`),
  );
}
