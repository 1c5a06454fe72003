// Isolated machines: what reaches them, and what they reach.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import {
  arp,
  broadcast,
  frame,
  icmpv6,
  ipv4,
  linkLocal,
  neighbour,
  send,
  tagged,
  udp,
  watchFrames,
} from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import {
  configure,
  dhcp,
  domainXml,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Namespace,
  probe,
  reachesByTcp,
  run,
  serve,
  virlan,
} from './host.ts';
import { until } from './until.ts';

const isolation = suite('isolation');
const gateway = '192.168.100.1';
const uplink = '203.0.113.1';
const port = 7000;
const macs = { one: '52:54:00:00:00:01', two: '52:54:00:00:00:02', alone: '52:54:00:00:00:03' };
const inGroup = `<v:machine xmlns:v='urn:virlan:machine:1' group='a "group"'/>`;
const unguarded = `<v:machine xmlns:v='urn:virlan:machine:1' guard='no'>
  <v:forward port='8443' to='${port}'/><v:forward protocol='udp' port='8443' to='${port}'/>
</v:machine>`;

const guests: Record<Name, GuardedGuest> & { outside: Namespace } = {} as never;
const ips = { one: '', two: '', alone: '' };

type Name = keyof typeof ips;

/** Returns whether a machine reaches another by TCP. */
function reaches(from: Name, to: Name): Promise<boolean> {
  return reachesByTcp(guests[from], { to: ips[to], port, seconds: 1 });
}

isolation('machines of a group reach each other, and none reaches another', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\nisolate = yes\n');
  assert.equal((await virlan('up')).exitCode, 0);
  guests.one = await guardedGuest('one', { mac: macs.one, metadata: inGroup });
  guests.two = await guardedGuest('two', { mac: macs.two, metadata: inGroup });
  guests.alone = await guardedGuest('alone', { mac: macs.alone, metadata: unguarded });
  for (const name of ['one', 'two', 'alone'] as const) {
    ips[name] = await dhcp(guests[name]);
    await serve(guests[name], { proto: 'tcp', port });
  }
  const plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, plan.stdout);
  assert.deepEqual(await Promise.all([reaches('one', 'two'), reaches('two', 'one')]), [true, true]);
  for (const [from, to] of [
    ['one', 'alone'],
    ['alone', 'one'],
  ] as const)
    assert.equal(await reaches(from, to), false, `${from} → ${to}`);
});

/** Does something without br_netfilter, and with it. */
async function eachWay(work: () => Promise<void>): Promise<void> {
  for (const value of ['0', '1']) {
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
    assert.equal((await virlan('up')).exitCode, 0);
    await work();
  }
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '0');
}

async function macOf(link: string): Promise<string> {
  const [{ address }] = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', link));
  return address;
}

function setNeighbour(guest: Namespace, ip: string, mac: string): Promise<string> {
  return run(guest, 'ip', 'neighbour', 'replace', ip, 'lladdr', mac, 'dev', 'eth0');
}

isolation('nor by way of the host, with a route or with a neighbour entry of its own making', async () => {
  const address = await macOf('k8s-br0');
  await eachWay(async () => {
    for (const [from, to] of [
      ['one', 'alone'],
      ['alone', 'one'],
    ] as const) {
      assert.equal(await reaches(from, to), false, `${from} → ${to}`);
      await run(guests[from], 'ip', 'route', 'add', `${ips[to]}/32`, 'via', gateway);
      assert.equal(await reaches(from, to), false, `${from} → ${to} by a route`);
      await run(guests[from], 'ip', 'route', 'del', `${ips[to]}/32`);
      await setNeighbour(guests[from], ips[to], address);
      assert.equal(await reaches(from, to), false, `${from} → ${to} by a neighbour entry`);
      await run(guests[from], 'ip', 'neighbour', 'del', ips[to], 'dev', 'eth0');
    }
  });
});

isolation("nor by frames to a MAC of the host, the bridge's or their taps' own, from both ends", async () => {
  const ends = [
    ['one', 'alone'],
    ['alone', 'one'],
  ] as const;
  await eachWay(async () => {
    for (const link of [() => 'k8s-br0', (from: Name) => guests[from].port]) {
      for (const [from, to] of ends) await setNeighbour(guests[from], ips[to], await macOf(link(from)));
      for (const [from, to] of ends) assert.equal(await reaches(from, to), false, `${from} → ${to}`);
      for (const [from, to] of ends)
        await run(guests[from], 'ip', 'neighbour', 'del', ips[to], 'dev', 'eth0');
    }
  });
});

isolation(
  'nor by frames to the host behind tags of VLAN 0, which it removes, also with guard = no',
  async () => {
    const gatewayMac = await macOf('k8s-br0');
    const sight = await watchFrames(guests.one, 'eth0');
    const packet = (to: string) =>
      frame(gatewayMac, macs.alone, 0x800, ipv4(ips.alone, to, 17, udp(port, port, [])));
    await eachWay(async () => {
      const tags = [[0], [0, 0], [0, 0, 0]];
      const numbers = await send(
        guests.alone,
        tags.map(each => tagged(packet(ips.one), ...each)),
      );
      const [last = 0] = await send(guests.two, [
        frame(macs.one, macs.two, 0x800, ipv4(ips.two, ips.one, 17, udp(port, port, []))),
      ]);
      await until(() => sight.seen.has(last));
      assert.deepEqual(
        numbers.filter(number => sight.seen.has(number)),
        [],
      );
    });
    sight.stop();
  },
);

isolation('nor by packets for the DNS of the gateway, in frames to the other machine', async () => {
  const [here, there] = [await watchFrames(guests.alone, 'eth0'), await watchFrames(guests.two, 'eth0')];
  // The guard marks such packets to the host: 6 is TCP, which has its ports where UDP has them.
  const question = (protocol: number) => ipv4(ips.one, gateway, protocol, udp(port, 53, []));
  await eachWay(async () => {
    const numbers = await send(guests.one, [
      ...[6, 17].map(protocol => frame(macs.alone, macs.one, 0x800, question(protocol))),
      frame(broadcast, macs.one, 0x88b5, [0, 0]),
    ]);
    await until(() => there.seen.has(numbers[2] ?? 0));
    assert.deepEqual(
      numbers.filter(number => here.seen.has(number)),
      [],
    );
  });
  for (const sight of [here, there]) sight.stop();
});

isolation('machines of a group reach each other directly, and not by way of the host', async () => {
  await run(guests.one, 'ip', 'route', 'add', `${ips.two}/32`, 'via', gateway);
  assert.equal(await reaches('one', 'two'), false);
  await run(guests.one, 'ip', 'route', 'del', `${ips.two}/32`);
  assert.equal(await reaches('one', 'two'), true);
});

isolation('NICs that libvirt isolates reach the host, and not even those of their group', async () => {
  // What libvirt does for <port isolated='yes'/>.
  const isolate = (value: 'on' | 'off') =>
    Promise.all(
      [guests.one, guests.two].map(({ port: tap }) =>
        run(host, 'bridge', 'link', 'set', 'dev', tap, 'isolated', value),
      ),
    );
  await isolate('on');
  assert.deepEqual(await Promise.all([reaches('one', 'two'), reaches('two', 'one')]), [false, false]);
  for (const name of ['one', 'two'] as const)
    assert.equal(await probe(guests[name], { proto: 'icmp', to: gateway }), 'open');
  assert.equal(await reaches('one', 'alone'), false);
  await isolate('off');
  assert.equal(await reaches('one', 'two'), true);
});

isolation('a machine does not even hear broadcasts and IPv6 of others', async () => {
  const [here, there] = [await watchFrames(guests.alone, 'eth0'), await watchFrames(guests.two, 'eth0')];
  const sender = { mac: macs.one, ip: ips.one };
  const numbers = await send(guests.one, [
    frame(broadcast, macs.one, 0x806, arp(1, sender, { mac: '00:00:00:00:00:00', ip: ips.alone })),
    frame(
      macs.alone,
      macs.one,
      0x86dd,
      icmpv6(linkLocal(macs.one), 'ff02::1', neighbour(135, 'fe80::7', macs.one)),
    ),
    frame(broadcast, macs.one, 0x88b5, [0, 0]),
  ]);
  await until(() => there.seen.has(numbers[2] ?? 0));
  assert.deepEqual(
    numbers.filter(number => here.seen.has(number)),
    [],
  );
});

isolation('machines reach the host and the outside', async () => {
  guests.outside = await internet();
  await serve(guests.outside, { proto: 'tcp', port });
  for (const name of ['one', 'two', 'alone'] as const) {
    assert.equal(await probe(guests[name], { proto: 'icmp', to: gateway }), 'open');
    assert.equal(await probe(guests[name], { proto: 'tcp', to: internetAddress, port }), 'open');
  }
});

isolation('forwards are reached from outside, by machines and by the machine itself', async () => {
  await serve(guests.alone, { proto: 'udp', port });
  // libvirt shows a machine that runs like this: its port sends frames back to it.
  const { machine } = guests.alone;
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  writeFileSync(
    '/run/libvirt/qemu/alone.xml',
    `<domstatus state='running'>${domainXml(machine)}</domstatus>`,
  );
  // A rule of somebody else's.
  await run(
    host,
    'nft',
    `add table ip mine
    add chain ip mine nat { type nat hook prerouting priority -100; }
    add rule ip mine nat tcp dport 8080 dnat to ${ips.alone}:${port}`,
  );
  const ways: [from: Namespace, to: string][] = [
    [guests.outside, uplink],
    [guests.one, uplink],
    [guests.one, gateway],
    [guests.alone, uplink],
    [guests.alone, gateway],
  ];
  await eachWay(async () => {
    for (const [from, to] of ways) {
      for (const [proto, forwarded] of [
        ['tcp', 8443],
        ['udp', 8443],
        ['tcp', 8080],
      ] as const) {
        const verdict = await probe(from, { proto, to, port: forwarded });
        assert.equal(verdict, 'open', `${from.name} to ${proto} ${to}:${forwarded}`);
      }
    }
    assert.equal(await probe(guests.one, { proto: 'tcp', to: gateway, port: 8444 }), 'tcp-reset');
    // Nothing else is open between the two.
    assert.deepEqual(await Promise.all([reaches('one', 'alone'), reaches('alone', 'one')]), [false, false]);
    assert.equal(await reaches('one', 'two'), true);
  });
});

isolation('a machine that leaves its group is apart from it, and its return is noticed', async () => {
  const { machine } = guests.two;
  await hook('stopped', machine);
  await hook('start', { ...machine, metadata: '' });
  assert.equal(await reaches('one', 'two'), false);
  await hook('stopped', { ...machine, metadata: '' });
  await hook('start', machine);
  assert.equal(await reaches('one', 'two'), true);
});

isolation.run();
