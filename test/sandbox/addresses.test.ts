// Addresses that others have: leases of strangers and of earlier machines, static addresses. Without libvirtd.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf } from './formula-values.ts';
import { prepare } from './hook-calls.ts';
import {
  checkout,
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  leases,
  type Nic,
  remove,
  run,
  virlan,
  within,
} from './host.ts';
import { busyness, until } from './until.ts';
import { get } from './watcher.ts';

const addresses = suite('addresses');
const config = '[network.k8s-br0]\nstp = no\ndhcp-range = 192.168.100.10-192.168.100.29\nlease-time = 12h\n';
const poolSize = 20;
const leasesPath = '/var/lib/dnsmasq/k8s-br0/leases';
const nicWith = (mac: string): Nic => ({ type: 'bridge', source: 'k8s-br0', mac });
const formulaOf = (name: string) => formulaAddressOf(name, 0, config);
const metadata = (ip: string) => `<v:machine xmlns:v='urn:virlan:machine:1' ip='${ip}'/>`;

function startFlood({ name }: Guest, perSecond: number): ChildProcess {
  const [command, args] = within({ name }, process.execPath, [
    `${checkout}/test/sandbox/dhcp-flood.mjs`,
    `${perSecond}`,
  ]);
  return spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] });
}

async function end(flood: ChildProcess): Promise<void> {
  const ended = once(flood, 'exit');
  flood.stdin?.end();
  await ended;
}

addresses('an address that somebody on the bridge has is given to no new machine', async () => {
  await installVirlan();
  await configure(config);
  await virlan('up');
  const fixed = await guest('fixed', { mac: '52:54:00:00:02:01' });
  await run(fixed, 'ip', 'address', 'add', `${formulaOf('web')}/24`, 'dev', 'eth0');
  const { stdout } = await virlan('ip', 'web', '--verbose');
  const [predicted = ''] = stdout.split('\n');
  assert.notEqual(predicted, formulaOf('web'));
  assert(stdout.includes(`${formulaOf('web')} is not free (somebody on the bridge answers for it)`), stdout);
  await prepare({ name: 'web', nics: [nicWith('52:54:00:00:02:02')] });
  const web = await guest('web', { mac: '52:54:00:00:02:02' });
  assert.equal(await dhcp(web), predicted);
  await remove(fixed);
  assert.equal((await virlan('ip', 'web')).stdout, predicted, 'what was given stays');
});

addresses('an address that the host itself has on the bridge belongs to no machine', async () => {
  const device = await guest('device', { mac: '52:54:00:00:02:0d' });
  await execa('ip', ['address', 'add', `${formulaOf('second')}/24`, 'dev', 'k8s-br0']);
  await prepare({ name: 'second', nics: [nicWith('52:54:00:00:02:0e')] });
  const second = await guest('second', { mac: '52:54:00:00:02:0e' });
  assert.notEqual(await dhcp(second), formulaOf('second'));
  await execa('ip', ['address', 'delete', `${formulaOf('second')}/24`, 'dev', 'k8s-br0']);
  for (const each of [device, second]) await remove(each);
});

addresses('an address promised to a machine is free when it boots, whoever leased it before', async () => {
  const address = '192.168.100.29';
  const before = { name: 'before', nics: [nicWith('52:54:00:00:02:03')], metadata: metadata(address) };
  await prepare(before);
  const old = await guest('before', { mac: '52:54:00:00:02:03' });
  assert.equal(await dhcp(old, { clientId: 'ff0102' }), address);
  await remove(old);
  await virlan('forget', 'before');
  await prepare({ name: 'after', nics: [nicWith('52:54:00:00:02:04')], metadata: metadata(address) });
  const after = await guest('after', { mac: '52:54:00:00:02:04' });
  assert.equal(await dhcp(after), address);
  await remove(after);
});

addresses('a lease in the way of a line written by hand or of a section is ended at once', async () => {
  const stranger = await guest('stranger', { mac: '52:54:00:00:02:05' });
  const address = await dhcp(stranger);
  const watcher = spawn('/usr/sbin/virlan', ['watch'], { stdio: ['ignore', 'ignore', 'inherit'] });
  await until(async () => (await get('/ping')) !== null, 30);
  const isLeased = () => leases().some(({ ip }) => ip === address);
  appendFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', `52:54:00:00:02:06,${address},printer\n`);
  await until(() => !isLeased(), 30);
  watcher.kill();
  await once(watcher, 'exit');
  const second = await dhcp(stranger);
  assert.notEqual(second, address);
  await configure(`${config}[host.scanner]\nnetwork = k8s-br0\nmac = 52:54:00:00:02:07\nip = ${second}\n`);
  await virlan('up');
  await until(() => leases().every(({ ip }) => ip !== second), 30);
  await remove(stranger);
  await configure(config);
  await virlan('up');
});

addresses("reservations in the administrator's own files for dnsmasq are nobody else's", async () => {
  const directory = '/etc/virlan/dnsmasq.d/k8s-br0';
  const own = '52:54:00:00:02:0a';
  mkdirSync(directory, { recursive: true });
  const lines = [`52:54:00:00:02:0b,${formulaOf('box')}`, `${own},192.168.100.28`];
  writeFileSync(`${directory}/hosts.conf`, lines.map(line => `dhcp-host=${line}\n`).join(''));
  await virlan('up');
  await prepare({ name: 'box', nics: [nicWith('52:54:00:00:02:0c')] });
  await prepare({ name: 'mine', nics: [nicWith(own)] });
  assert.notEqual((await virlan('ip', 'box')).stdout, formulaOf('box'));
  assert.equal((await virlan('ip', 'mine')).stdout, '192.168.100.28');
  for (const [name, mac] of [
    ['box', '52:54:00:00:02:0c'],
    ['mine', own],
  ] as const) {
    const machine = await guest(name, { mac });
    assert.equal(await dhcp(machine), (await virlan('ip', name)).stdout);
    await remove(machine);
  }
  rmSync(directory, { recursive: true });
  await virlan('up');
});

addresses('the lease of somebody else ends although dnsmasq does not receive the first release', async () => {
  const stranger = await guest('stranger', { mac: '52:54:00:00:02:0f' });
  const address = await dhcp(stranger);
  await remove(stranger);
  const lossy = `table ip lossy { chain out { type filter hook output priority 0;
    oif lo udp dport 67 numgen inc mod 2 == 0 counter drop; }; }`;
  await execa('nft', [lossy]);
  const machine = { name: 'owner', nics: [nicWith('52:54:00:00:02:10')], metadata: metadata(address) };
  await prepare(machine);
  await until(() => leases().every(({ ip }) => ip !== address), 5);
  assert.match((await execa('nft', ['list', 'table', 'ip', 'lossy'])).stdout, /counter packets [1-9]/);
  await execa('nft', ['delete', 'table', 'ip', 'lossy']);
});

/**
 * Reserves an address for a machine that a stranger has a lease of, while the leases file ends before that lease, as
 * dnsmasq leaves it when other processes run before it has written all: until 60 ms after the reservation. Returns the
 * longest pause between two writes of the file, in milliseconds. A stopped dnsmasq would be replaced, so it goes on
 * writing; a lease of another guest then makes it write again what this may have overwritten.
 */
async function reserveWhileWritten(machine: string, mac: string, strangersMac: string): Promise<number> {
  const stranger = await guest('stranger', { mac: strangersMac });
  const address = await dhcp(stranger);
  await remove(stranger);
  const script = `const { readFileSync, writeFileSync } = require('node:fs');
  let [text, cut] = [readFileSync('${leasesPath}', 'utf8'), ''];
  const isReserved = () => readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8').includes('${mac}');
  let [end, written, longestPause] = [Infinity, Infinity, 0];
  const timer = setInterval(() => {
    if (end === Infinity && isReserved()) end = Date.now() + 60;
    // dnsmasq appends, too, when it is told of the reservation, and when the lease has ended: to what is cut off, even.
    const found = readFileSync('${leasesPath}', 'utf8');
    if (/^(\\d+ [0-9a-f:]+ [0-9.]+ .*\\n)+$/.test(found)) text = found;
    const isOver = Date.now() > end || !text.includes('${address}');
    cut = text.slice(0, text.indexOf('${address}'));
    writeFileSync('${leasesPath}', isOver ? text : cut);
    longestPause = Math.max(longestPause, Date.now() - written);
    written = Date.now();
    if (!isOver) return;
    clearInterval(timer);
    console.log(longestPause);
  }, 5);`;
  const truncating = execa('nice', ['-n', '-15', process.execPath, '-e', script]);
  await until(() => leases().every(({ ip }) => ip !== address));
  await prepare({ name: machine, nics: [nicWith(mac)], metadata: metadata(address) });
  const longestPauseMs = Number((await truncating).stdout);
  const witness = await guest('witness', { mac: '52:54:00:00:02:12' });
  await dhcp(witness);
  await remove(witness);
  // virlan takes a file that nobody has written for 50 ms as complete.
  if (longestPauseMs < 40) await until(() => leases().every(({ ip }) => ip !== address), 5);
  return longestPauseMs;
}

addresses('a lease in the way is found also while dnsmasq writes its leases', async () => {
  const pausesMs: number[] = [];
  for (let number = 0; pausesMs.every(pauseMs => pauseMs >= 40); number += 1) {
    // A busy host may let the writer wait for longer than virlan waits for dnsmasq.
    assert(number < 10, `the file was not written in time: pauses of ${pausesMs.join(', ')} ms`);
    pausesMs.push(
      await reserveWhileWritten(`heir${number}`, `52:54:00:00:04:0${number}`, `52:54:00:00:05:0${number}`),
    );
  }
});

addresses('while a guest floods the network with DHCP requests, machines get their addresses', async () => {
  const eve = await guest('eve', { mac: '52:54:00:00:02:08' });
  // Without an address, a broadcast can be sent only with a route.
  await run(eve, 'ip', 'route', 'add', 'default', 'dev', 'eth0');
  const flood = startFlood(eve, 50);
  await until(() => leases().length >= poolSize - 3, 60);
  const from = performance.now();
  const known = await guest('known', { mac: '52:54:00:00:02:02' });
  assert.equal(await dhcp(known), (await virlan('ip', 'web')).stdout);
  assert(performance.now() - from < 5000 * busyness(), `answered after ${performance.now() - from} ms`);
  assert.equal((await virlan('ip', 'fresh')).stdout, formulaOf('fresh'));
  await prepare({ name: 'fresh', nics: [nicWith('52:54:00:00:02:09')] });
  const fresh = await guest('fresh', { mac: '52:54:00:00:02:09' });
  assert.equal(await dhcp(fresh), formulaOf('fresh'));
  await end(flood);
  assert(!existsSync('/run/virlan/socket'), 'the hooks did this without a watcher');
});

addresses.run();
