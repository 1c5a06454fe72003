// Tests of the test helpers: guests, probes, servers and captures, without virlan.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  capture,
  dhcp,
  type Guest,
  guest,
  host,
  internet,
  internetAddress,
  type Linked,
  leaseOf,
  probe,
  remove,
  seenAs,
  serve,
} from './host.ts';
import { setUpPlainNetwork } from './plain-network.ts';

const packets = suite('packets');
const gateway = '192.168.100.1';
let a: Guest;
let b: Guest;
let outside: Linked;

function nft(rules: string) {
  return execa('nft', ['-f', '-'], { input: rules });
}

packets('guests lease addresses from dnsmasq', async () => {
  await setUpPlainNetwork();
  a = await guest('a', { mac: '52:54:00:00:00:0a' });
  b = await guest('b', { mac: '52:54:00:00:00:0b' });
  const address = await dhcp(a, { hostname: 'alpha' });
  const lease = await leaseOf(a.mac, 5);
  assert.deepEqual([lease.ip, lease.hostname], [address, 'alpha']);
  assert.notEqual(await dhcp(b), address);
});

packets('guest() on a bridge with STP resolves when its port forwards', async () => {
  await execa('ip', ['link', 'add', 'stp0', 'type', 'bridge', 'stp_state', '1', 'forward_delay', '200']);
  await execa('ip', ['address', 'add', '192.168.101.1/24', 'dev', 'stp0']);
  await execa('ip', ['link', 'set', 'stp0', 'up']);
  const slow = await guest('slow', { mac: '52:54:00:00:00:0c', bridge: 'stp0' });
  await execa('ip', ['-n', 'slow', 'address', 'add', '192.168.101.2/24', 'dev', 'eth0']);
  assert.equal(await probe(slow, { proto: 'icmp', to: '192.168.101.1', seconds: 1 }), 'open');
  await remove(slow);
});

packets('probes distinguish open, reset, unreachable and timeout', async () => {
  await serve(host, { proto: 'tcp', port: 22 });
  await serve(host, { proto: 'udp', port: 123, address: gateway });
  await nft(`table inet harness {
  chain input {
    type filter hook input priority 0;
    iifname k8s-br0 tcp dport 81 reject with tcp reset
    iifname k8s-br0 tcp dport 82 reject with icmp port-unreachable
    iifname k8s-br0 tcp dport 83 drop
    iifname k8s-br0 udp dport 82 reject with icmp port-unreachable
    iifname k8s-br0 udp dport 83 drop
  }
}`);
  const verdicts = await Promise.all([
    probe(a, { proto: 'tcp', to: gateway, port: 22 }),
    probe(a, { proto: 'udp', to: gateway, port: 123 }),
    probe(a, { proto: 'icmp', to: gateway }),
    probe(a, { proto: 'tcp', to: gateway, port: 81 }),
    probe(a, { proto: 'tcp', to: gateway, port: 83, seconds: 1 }),
    probe(a, { proto: 'udp', to: gateway, port: 83, seconds: 1 }),
    probe(a, { proto: 'tcp', to: gateway, port: 82 }),
    probe(a, { proto: 'udp', to: gateway, port: 82 }),
  ]);
  assert.deepEqual(verdicts, [
    'open',
    'open',
    'open',
    'tcp-reset',
    'timeout',
    'timeout',
    'icmp-port-unreachable',
    'icmp-port-unreachable',
  ]);
});

packets('the DNS port of dnsmasq is open', async () => {
  for (const proto of ['tcp', 'udp'] as const) {
    assert.equal(await probe(a, { proto, to: gateway, port: 53 }), 'open');
  }
});

packets('a ping distinguishes reject from drop, also for many pings at once', async () => {
  await nft('add rule inet harness input ip protocol icmp reject with icmp port-unreachable');
  const echo = { proto: 'icmp', to: gateway, seconds: 1 } as const;
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => probe(b, echo)));
  assert.deepEqual(new Set(verdicts), new Set(['icmp-port-unreachable']));
  await nft('flush chain inet harness input; add rule inet harness input ip protocol icmp drop');
  assert.equal(await probe(b, echo), 'timeout');
  await nft('delete table inet harness');
});

packets(
  'guests and the internet reach each other through the host, and servers see the client address',
  async () => {
    outside = await internet();
    const server = await serve(outside, { proto: 'tcp', port: 80 });
    await serve(outside, { proto: 'udp', port: 53 });
    const to = internetAddress;
    const alpha = (await leaseOf(a.mac)).ip;
    assert.deepEqual(await seenAs(a, { proto: 'tcp', to, port: 80, from: 600 }), {
      address: alpha,
      port: 600,
    });
    assert.equal(await probe(outside, { proto: 'icmp', to: alpha }), 'open');

    await nft(`table ip harness {
  chain post {
    type nat hook postrouting priority srcnat;
    ip saddr 192.168.100.0/24 oifname uplink meta l4proto { tcp, udp } masquerade to :1024-65535
  }
}`);
    for (const [proto, port] of [
      ['tcp', 80],
      ['udp', 53],
    ] as const) {
      const peer = await seenAs(a, { proto, to, port, from: 601 });
      assert.equal(peer.address, '203.0.113.1');
      assert(peer.port >= 1024);
    }
    await server.stop();
    assert.equal(await probe(a, { proto: 'tcp', to, port: 80 }), 'tcp-reset');
  },
);

packets('a capture shows the DHCP checksum missing, and filled in by an iptables rule', async () => {
  const wire = await capture(b, 'eth0', 'udp and dst port 68');
  await dhcp(b);
  await wire.seen(/bad udp cksum/);
  const rule = '-o k8s-br0 -p udp --dport 68 -j CHECKSUM --checksum-fill';
  await execa('iptables', ['-t', 'mangle', '-A', 'POSTROUTING', ...rule.split(' ')]);
  await dhcp(b);
  await wire.seen(/udp sum ok/);
  assert((await wire.stop()).some(line => line.includes('BOOTP/DHCP, Reply')));
});

packets('remove() removes namespaces with their links', async () => {
  for (const namespace of [a, b, outside]) await remove(namespace);
  assert.equal((await execa('ip', ['netns', 'list'])).stdout, '');
  assert.doesNotMatch((await execa('ip', ['link'])).stdout, /veth|uplink/);
});

packets.run();
