// DHCP on a guarded network: messages in another's name, floods, and clients that nobody knows.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  type Bytes,
  broadcast,
  dhcpMessage,
  frame,
  ipv4,
  type Sight,
  send,
  udp,
  watchFrames,
} from './frames.ts';
import { type GuardedGuest, guardedGuest } from './guarded-guest.ts';
import { configure, dhcp, guest, host, installVirlan, leases, run, virlan } from './host.ts';
import { until } from './until.ts';

const dhcpOfGuests = suite('guard, DHCP');
const gatewayIp = '192.168.100.1';
const macs = { eve: '52:54:00:00:00:0e', bob: '52:54:00:00:00:0b' };
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

dhcpOfGuests('a flood from one port is dropped, and another machine gets its answer meanwhile', async () => {
  const count = 400;
  const names = Array.from({ length: count }, (_, index) => {
    const [high, low] = [index >> 8, index & 255].map(byte => byte.toString(16).padStart(2, '0'));
    return message(1, `02:00:00:00:${high}:${low}`, '0.0.0.0');
  });
  const began = performance.now();
  const [passed, address] = await Promise.all([seenOf(names), dhcp(bob)]);
  const seconds = (performance.now() - began) / 1000;
  assert.equal(address, ips.bob);
  const allowed = 40 + 10 * seconds;
  assert(passed > 0 && passed <= allowed && allowed < count, `${passed} of ${count} in ${seconds} s`);
});

dhcpOfGuests('strangers = no: who has a reservation gets an address, and who has none does not', async () => {
  const stranger = await guest('stranger', { mac: nestedMac });
  await dhcp(stranger);
  await up('strangers = no');
  assert.equal(await dhcp(bob), ips.bob);
  await assert.rejects(dhcp(stranger));
});

dhcpOfGuests.run();
