// DHCP on a guarded network: messages in another's name, floods, and clients that nobody knows.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import {
  arp,
  type Bytes,
  broadcast,
  dhcpMessage,
  frame,
  ipv4,
  type Sight,
  send,
  slot,
  udp,
  validUdp,
  watchFrames,
} from './frames.ts';
import { type GuardedGuest, guardedGuest } from './guarded-guest.ts';
import {
  checkout,
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  installVirlan,
  leases,
  remove,
  run,
  virlan,
} from './host.ts';
import { until } from './until.ts';

const dhcpOfGuests = suite('guard, DHCP');
const gatewayIp = '192.168.100.1';
const macs = { eve: '52:54:00:00:00:0e', bob: '52:54:00:00:00:0b' };
const nobody = '00:00:00:00:00:00';
const nestedMac = '52:54:00:00:aa:01';
const marker = frame(broadcast, macs.eve, 0x88b5, [0, 0]);

let eve: GuardedGuest;
let bob: GuardedGuest;
let ips = { eve: '', bob: '' };
let gatewayMac = '';
let sight: Sight;

async function up(...lines: readonly string[]): Promise<void> {
  await configure(['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
}

/** Returns a DHCP message of eve's in a frame to the host. */
function message(type: number, client: string, ip: string, fragment = 0): Bytes {
  const payload = udp(68, 67, dhcpMessage(type, client, ip, gatewayIp));
  return frame(gatewayMac, macs.eve, 0x800, ipv4(ips.eve, gatewayIp, 17, payload, fragment));
}

/** Returns the numbers of the frames of eve's that the host sees. */
async function seenOf(frames: readonly Bytes[]): Promise<number> {
  const numbers = await send(eve, [...frames, marker]);
  const last = numbers.pop() ?? 0;
  await until(() => sight.seen.has(last));
  return numbers.filter(number => sight.seen.has(number)).length;
}

dhcpOfGuests('no message in the name of another reaches dnsmasq: its lease stays', async () => {
  await installVirlan();
  await up();
  bob = await guardedGuest('bob', { mac: macs.bob });
  eve = await guardedGuest('eve', { mac: macs.eve });
  ips = { eve: await dhcp(eve), bob: await dhcp(bob) };
  gatewayMac = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', 'k8s-br0'))[0].address;
  sight = await watchFrames(host, 'k8s-br0');
  const [discover, request, decline, release] = [1, 3, 4, 7];
  const inBobsName = [discover, request, decline, release].map(type => message(type, macs.bob, ips.bob));
  // The first fragment would have the port, and the second one the name.
  assert.equal(await seenOf([...inBobsName, message(release, macs.bob, ips.bob, 0x2000)]), 0);
  assert.deepEqual(leases().find(({ mac }) => mac === macs.bob)?.ip, ips.bob);
  assert.equal(await seenOf([message(release, macs.eve, ips.eve)]), 1);
  await until(() => !leases().some(({ mac }) => mac === macs.eve));
  assert.equal(await dhcp(eve), ips.eve);
});

/** Returns a message of a client, of a length that is common, in hexadecimal digits. */
function padded(type: number, client: string, ip: string, length = 300): string {
  const bytes = dhcpMessage(type, client, ip, gatewayIp);
  return Buffer.from([...bytes, ...Array<number>(length - bytes.length).fill(0)]).toString('hex');
}

/** Sends bytes as one datagram, which the host's kernel takes apart into datagrams of this length (UDP_SEGMENT). */
async function sendTogether(from: Guest, length: number, hex: string): Promise<void> {
  const script = `import socket
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_UDP, 103, ${length})
wire.bind(('', 68))
wire.sendto(bytes.fromhex('${hex}'), ('${gatewayIp}', 67))`;
  await run(from, 'python3', '-c', script);
}

dhcpOfGuests('no message arrives behind another in one datagram, and a long one does', async () => {
  const bobsLease = () => leases().find(({ mac }) => mac === macs.bob);
  const [inform, release] = [8, 7];
  const hidden = (own: string) => padded(inform, own, '0.0.0.0') + padded(release, macs.bob, ips.bob);
  await sendTogether(eve, 300, hidden(macs.eve));
  // The longest that is not cut off, and the shortest that dnsmasq reads.
  const two = padded(inform, macs.eve, '0.0.0.0', 255) + padded(release, macs.bob, ips.bob, 255);
  await sendTogether(eve, 255, two);
  // dnsmasq answers one message after another.
  await sendTogether(eve, 1000, padded(release, macs.eve, ips.eve, 548));
  await until(() => !leases().some(({ mac }) => mac === macs.eve));
  assert.equal(bobsLease()?.ip, ips.bob);
  assert.equal(await dhcp(eve), ips.eve);
  // With a checksum, as programs make it that send frames.
  const long = [...Buffer.from(padded(release, macs.eve, ips.eve, 548), 'hex')];
  await send(eve, [frame(gatewayMac, macs.eve, 0x800, validUdp(ips.eve, gatewayIp, 68, 67, long))]);
  await until(() => !leases().some(({ mac }) => mac === macs.eve));
  const stranger = await guest('stranger', { mac: '52:54:00:00:00:1d' });
  await dhcp(stranger);
  await sendTogether(stranger, 300, hidden('52:54:00:00:00:1d'));
  await until(() => bobsLease() === undefined);
  await remove(stranger);
  assert.deepEqual([await dhcp(bob), await dhcp(eve)], [ips.bob, ips.eve]);
});

dhcpOfGuests('a flood from one port is dropped, and another machine gets its answer meanwhile', async () => {
  const count = 400;
  const messages = Array.from({ length: count }, () => message(1, macs.eve, '0.0.0.0'));
  const began = performance.now();
  const [passed, address] = await Promise.all([seenOf(messages), dhcp(bob)]);
  const seconds = (performance.now() - began) / 1000;
  assert.equal(address, ips.bob);
  const allowed = 40 + 10 * seconds;
  assert(passed > 0 && passed <= allowed && allowed < count, `${passed} of ${count} in ${seconds} s`);
});

dhcpOfGuests('a name that dnsmasq would tell from the MAC in it is dropped', async () => {
  const withLength = (length: number) => {
    const bytes = message(1, macs.eve, '0.0.0.0');
    // The field hlen, behind the headers of Ethernet, IPv4 and UDP.
    return bytes.map((byte, index) => (index === 14 + 20 + 8 + 2 ? length : byte));
  };
  assert.equal(await seenOf([0, 5, 7, 16].map(withLength)), 0);
  await until(async () => (await seenOf([withLength(6)])) === 1);
});

/** Asks in ever new names from a guest, as often as it may. Returns the addresses that it got. */
async function flood(from: GuardedGuest, name: string): Promise<string[]> {
  const script = `${checkout}/test/sandbox/dhcp-flood.mjs`;
  const addresses = await run(from, process.execPath, script, '4', '50', name);
  return addresses.split('\n').filter(line => line !== '');
}

dhcpOfGuests('two guests that take all the addresses they get leave most of them to others', async () => {
  await up('dhcp-range = 192.168.100.100-192.168.100.199');
  const mallory = await guardedGuest('mallory', { mac: '52:54:00:00:00:0c' });
  await dhcp(mallory);
  const own = leases().length;
  const taken = await Promise.all([flood(eve, '02:e1'), flood(mallory, '02:e2')]);
  for (const { length } of taken) assert(length > 0 && length <= 16, `${length}`);
  // dnsmasq writes the file after its answer, and in place.
  const hasAll = () => leases().length === own + taken.flat().length;
  await until(hasAll);
  const nested = leases().find(({ mac }) => mac.startsWith('02:e2'))?.mac ?? '';
  await Promise.all([flood(eve, macs.eve), flood(mallory, nested)]);
  await until(hasAll);
  const newcomer = await guest('newcomer', { mac: '52:54:00:00:00:1a' });
  await dhcp(newcomer);
  await until(() => leases().some(({ mac }) => mac === '52:54:00:00:00:1a'));
  const fresh = await guardedGuest('fresh', { mac: '52:54:00:00:00:1b' });
  assert.equal(await dhcp(fresh), (await virlan('ip', 'fresh')).stdout);
});

dhcpOfGuests('where guests have leased all addresses, a probe gets one that nobody answers for', async () => {
  const pool = Array.from({ length: 10 }, (_, index) => `192.168.100.${230 + index}`);
  await up(`dhcp-range = ${pool[0]}-${pool.at(-1)}`);
  const zoe = await guardedGuest('zoe', { mac: '52:54:00:00:00:1c' });
  await dhcp(zoe);
  await flood(zoe, '02:e3');
  const hostsfile = () => readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8');
  const isHeld = (address: string) =>
    leases().some(({ ip }) => ip === address) || hostsfile().includes(`,${address},`);
  await until(() => pool.every(isHeld));
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
  const lease = checks.find(({ check }: { check: string }) => check === 'probe-lease');
  assert.deepEqual([lease?.state, lease?.code], ['ok', 'probe-leased'], JSON.stringify(lease));
  await up();
});

dhcpOfGuests('floods of MACs and of addresses fill neither the bridge’s table nor the host’s', async () => {
  const count = 300;
  const flooded = Array.from({ length: count }, (_, index) => {
    const [high, low] = [index >> 8, index & 0xff];
    const mac = `02:66:00:00:${[high, low].map(byte => byte.toString(16).padStart(2, '0')).join(':')}`;
    const asking = arp(1, { mac: macs.eve, ip: `10.66.${high}.${low}` }, { mac: nobody, ip: gatewayIp });
    return [frame(gatewayMac, mac, 0x88b5, slot), frame(gatewayMac, macs.eve, 0x806, [...asking, ...slot])];
  });
  const began = performance.now();
  await seenOf(flooded.flat());
  const seconds = (performance.now() - began) / 1000;
  const allowed = (atOnce: number) => atOnce + Math.ceil((atOnce / 300) * seconds);
  const fdb = JSON.parse(await run(host, 'bridge', '-json', 'fdb', 'show', 'br', 'k8s-br0'));
  const neighbours = JSON.parse(await run(host, 'ip', '-json', 'neigh', 'show', 'dev', 'k8s-br0'));
  const learned = fdb.filter(({ mac }: { mac: string }) => mac.startsWith('02:66')).length;
  const kept = neighbours.filter(({ dst }: { dst: string }) => dst.startsWith('10.66.')).length;
  assert(learned > 0 && learned <= allowed(256), `${learned} in ${seconds} s`);
  assert(kept > 0 && kept <= allowed(128), `${kept} in ${seconds} s`);
  // Who was there before passes.
  assert.equal(await seenOf(flooded.slice(0, 10).flat()), 20);
  assert.equal(await dhcp(bob), ips.bob);
});

dhcpOfGuests('strangers = no: who has a reservation gets an address, and who has none does not', async () => {
  const stranger = await guest('stranger', { mac: nestedMac });
  await dhcp(stranger);
  await up('strangers = no');
  assert.equal(await dhcp(bob), ips.bob);
  await assert.rejects(dhcp(stranger));
});

dhcpOfGuests.run();
