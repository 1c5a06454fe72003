// The filter of a tunnel alone, with a link in the place of the tunnel: which frames cross.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { Ipv4 } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import { renderFilter } from '../../src/cluster/filter.ts';
import {
  type Bytes,
  broadcast,
  fragment6,
  frame,
  icmpv6,
  ipv4,
  ipv6,
  send,
  slot,
  udp,
  watchFrames,
} from './frames.ts';
import { guest } from './namespaces.ts';
import { until } from './until.ts';

const filter = suite('filter of a tunnel');
const gateway = '192.168.100.1';
const mac = '52:54:00:00:00:01';

function firstFragment(next: number): Bytes {
  const options = [next, 2, 1, slot.length + 2, ...slot, 0, 0];
  return fragment6(ipv6('fe80::1', 'ff02::1', 60, [...options, 0, 0, 0, 0, 0, 0, 0, 0]), 0, 24);
}
const packet4 = (packet: Bytes) => frame(broadcast, mac, 0x800, packet);
const packet6 = (packet: Bytes) => frame('33:33:00:00:00:01', mac, 0x86dd, packet);

const kept: Record<string, Bytes> = {
  'a router advertisement': packet6(
    icmpv6('fe80::1', 'ff02::1', [134, 0, 0, 0, 64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0]),
  ),
  'a router advertisement of IPv4': packet4(
    ipv4('192.168.100.10', '224.0.0.1', 1, [9, 0, 0, 0, 1, 2, 0, 30, ...slot]),
  ),
  'a packet from the address of the gateway': packet4(ipv4(gateway, '192.168.100.255', 17, udp(7, 7, []))),
  'a first fragment that ends before the type of a router advertisement': packet6(firstFragment(58)),
  'a first fragment that ends before the port of an answer of DHCPv6': packet6(firstFragment(17)),
};
const long = ipv6('fe80::1', 'ff02::1', 17, [...udp(7, 7, [0, 0, 0, 0, 0, 0]), ...slot]);
const crossing: Record<string, Bytes> = {
  UDP: packet4(ipv4('192.168.100.10', '192.168.100.255', 17, udp(7, 7, []))),
  'the first fragment': packet6(fragment6(long, 0, 32)),
  'the last fragment': packet6(fragment6(long, 32)),
};

filter('what each host has for itself does not cross', async () => {
  await execa('ip', ['link', 'add', 'br0', 'type', 'bridge']);
  await execa('ip', ['link', 'set', 'br0', 'up']);
  const machine = await guest('machine', { mac, bridge: 'br0' });
  const peer = await guest('peer', { mac: '52:54:00:00:00:02', bridge: 'br0' });
  await execa('nft', ['-f', '-'], {
    input: renderFilter({
      bridge: 'br0',
      link: peer.port,
      mac: '52:54:00:00:00:02' as Mac,
      vni: 100,
      hosts: { kind: 'addresses', addresses: [] },
      gateway: { mac: '52:54:00:00:00:fe' as Mac, ip: 0xc0a86401 as Ipv4 },
    }),
  });
  const sight = await watchFrames(peer, 'eth0');
  const all = { ...kept, ...crossing };
  const numbers = await send(machine, [...Object.values(all), frame(broadcast, mac, 0x88b5, [0, 0])]);
  await until(() => sight.seen.has(numbers.at(-1) ?? 0));
  assert.deepEqual(
    Object.keys(all).filter((_, i) => sight.seen.has(numbers[i] ?? 0)),
    Object.keys(crossing),
  );
  sight.stop();
});

filter.run();
