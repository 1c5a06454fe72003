// Three hosts that share their ledgers by etcd. With `isolate = yes`, machines of a group reach each other from host to
// host, and no machine reaches another one. Without it, NICs that libvirt isolates do not reach each other.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type ClusterHost, makeUnderlay, traces } from '../sandbox/cluster-hosts.ts';
import { broadcast, frame, send, watchFrames } from '../sandbox/frames.ts';
import { dhcp, type Guest, installVirlan, reachesByTcp, serve } from '../sandbox/host.ts';
import { killMember, sharedIni, startEtcd, startMember } from './etcd.ts';
import { at, hosts, isConnected, network, startHosts, until } from './shared-hosts.ts';

const isolation = suite('isolation on several hosts');

const port = 7000;
const macs = {
  shop: '52:54:00:00:0e:01',
  shop2: '52:54:00:00:0e:02',
  alone: '52:54:00:00:0e:03',
  bank: '52:54:00:00:0e:04',
  late: '52:54:00:00:0e:05',
  apart: '52:54:00:00:0e:06',
  apart2: '52:54:00:00:0e:07',
  apart3: '52:54:00:00:0e:08',
};

/** The MAC of a machine within a machine, which belongs to nobody. */
const nestedMac = '52:54:00:00:0e:99';

type Name = keyof typeof macs;

const guests = new Map<Name, { readonly guest: Guest; readonly ip: string }>();

/** Links and rules of a host before virlan. */
let before = '';

function get(name: Name) {
  const found = guests.get(name);
  assert(found, name);
  return found;
}

/** Starts a machine that serves a port, with a group, or with a NIC that libvirt isolates. */
async function start(
  host: ClusterHost,
  name: Name,
  { group, isolated = false }: { readonly group?: string; readonly isolated?: boolean } = {},
): Promise<void> {
  const metadata = group === undefined ? '' : `<v:machine xmlns:v='urn:virlan:machine:1' group='${group}'/>`;
  const guest = await host.machine(name, macs[name], metadata, { isolated });
  guests.set(name, { guest, ip: await dhcp(guest) });
  await serve(guest, { proto: 'tcp', port });
}

/** Returns whether a machine reaches another by TCP. */
function reaches(from: Name, to: Name): Promise<boolean> {
  return reachesByTcp(get(from).guest, { to: get(to).ip, port, seconds: 2 });
}

/** Awaits that two machines reach each other. */
async function reachEachOther(one: Name, other: Name): Promise<void> {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const)
    await until(() => reaches(from, to)).catch(() => assert.fail(`${from} does not reach ${to}`));
}

/** Checks that only the machines of these pairs reach each other. */
async function onlyReach(...pairs: readonly (readonly [Name, Name])[]): Promise<void> {
  for (const [one, other] of pairs) await reachEachOther(one, other);
  const isPair = (from: Name, to: Name) => pairs.some(pair => pair.includes(from) && pair.includes(to));
  for (const from of guests.keys())
    for (const to of guests.keys())
      if (from !== to && !isPair(from, to)) assert.equal(await reaches(from, to), false, `${from} → ${to}`);
}

isolation('machines of a group reach each other on any hosts, and none reaches another', async () => {
  await installVirlan();
  await makeUnderlay();
  await startEtcd();
  const isolated = (index: number) => sharedIni(index).replace('[cluster]', 'isolate = yes\n[cluster]');
  await startHosts(async host => {
    before = await traces(host);
  }, isolated);
  await start(at(0), 'shop', { group: 'a "shop"'.replaceAll('"', '&quot;') });
  await start(at(1), 'shop2', { group: 'a "shop"'.replaceAll('"', '&quot;') });
  await start(at(1), 'alone');
  await start(at(2), 'bank', { group: 'bank' });
  await onlyReach(['shop', 'shop2']);
  for (const host of hosts)
    await until(async () => (await host.virlan('plan')).exitCode === 0).catch(async () =>
      assert.fail((await host.virlan('plan')).stdout),
    );
});

isolation('nor by frames to all or to its MAC; the latter are counted where they come from', async () => {
  const here = await watchFrames(get('alone').guest, 'eth0');
  const there = await watchFrames(get('shop2').guest, 'eth0');
  const [toAll = 0, toOne = 0, toPeer = 0] = await send(get('shop').guest, [
    frame(broadcast, macs.shop, 0x88b5, [0, 0]),
    frame(macs.alone, macs.shop, 0x88b5, [0, 0]),
    frame(macs.shop2, macs.shop, 0x88b5, [0, 0]),
  ]);
  // The last frame has arrived, so that earlier ones would have arrived, too.
  await until(async () => there.seen.has(toPeer));
  assert.deepEqual(
    [there, here].map(({ seen }) => [seen.has(toAll), seen.has(toOne)]),
    [
      [true, false],
      [false, false],
    ],
  );
  const counted = await at(0).run('nft', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'deny_isolated');
  assert.match(counted, /"veth-shop" .*counter packets [1-9]/);
});

isolation('a machine that starts later is reached by its group, and by no other machine', async () => {
  await start(at(2), 'late', { group: 'bank' });
  await onlyReach(['shop', 'shop2'], ['bank', 'late']);
});

isolation('a machine that moves keeps its group, and so does one without etcd', async () => {
  await at(2).takeOver(get('shop2').guest, at(1));
  await at(0).takeOver(get('late').guest, at(2));
  // The machines that have moved send first, because the other hosts learn from that where they are.
  await onlyReach(['shop2', 'shop'], ['late', 'bank']);
  await killMember(0);
  await killMember(1);
  for (const host of hosts) await until(async () => !(await isConnected(host)));
  await onlyReach(['shop', 'shop2'], ['bank', 'late']);
  startMember(0);
  startMember(1);
  for (const host of hosts) await until(() => isConnected(host));
});

/** The machines with a NIC that libvirt isolates. */
const apart: readonly Name[] = ['apart', 'apart2', 'apart3'];

/** Checks that machines reach each other but for those that libvirt isolates, which reach all others. */
async function onlyApartAreKeptApart(): Promise<void> {
  const names = [...guests.keys()];
  for (const from of names)
    for (const to of names)
      if (from < to && !(apart.includes(from) && apart.includes(to))) await reachEachOther(from, to);
  for (const from of apart)
    for (const to of apart) if (from !== to) assert.equal(await reaches(from, to), false, `${from} → ${to}`);
}

isolation(
  'without isolate = yes, NICs that libvirt isolates reach all but each other on any hosts',
  async () => {
    for (const [index, host] of hosts.entries()) {
      await host.configure(sharedIni(index));
      await until(async () => !(await network(host)).isolate);
    }
    await start(at(0), 'apart', { isolated: true });
    await start(at(1), 'apart2', { isolated: true });
    await start(at(1), 'apart3', { isolated: true });
    await onlyApartAreKeptApart();
    for (const host of hosts)
      await until(async () => (await host.virlan('plan')).exitCode === 0).catch(async () =>
        assert.fail((await host.virlan('plan')).stdout),
      );
  },
);

isolation('nor do frames to all or to the MAC, or of a machine within one', async () => {
  const there = await watchFrames(get('apart2').guest, 'eth0');
  const open = await watchFrames(get('shop2').guest, 'eth0');
  const [toAll = 0, toOne = 0, nested = 0, nestedToAll = 0, toOpen = 0] = await send(get('apart').guest, [
    frame(broadcast, macs.apart, 0x88b5, [0, 0]),
    frame(macs.apart2, macs.apart, 0x88b5, [0, 0]),
    frame(macs.apart2, nestedMac, 0x88b5, [0, 0]),
    frame(broadcast, nestedMac, 0x88b5, [0, 0]),
    frame(macs.shop2, macs.apart, 0x88b5, [0, 0]),
  ]);
  const [last = 0] = await send(get('shop').guest, [frame(broadcast, macs.shop, 0x88b5, [0, 0])]);
  await until(async () => open.seen.has(toOpen) && open.seen.has(last) && there.seen.has(last));
  assert(open.seen.has(toAll));
  for (const sent of [toAll, toOne, nested, nestedToAll]) assert.equal(there.seen.has(sent), false);
  const counted = await at(0).run('nft', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'deny_isolated');
  assert.match(counted, /"veth-apart" .*counter packets [1-9]/);
});

isolation('a machine that libvirt isolates remains so when it moves, and without etcd', async () => {
  await at(2).takeOver(get('apart2').guest, at(1));
  await reachEachOther('apart2', 'shop');
  await killMember(0);
  await killMember(1);
  for (const host of hosts) await until(async () => !(await isConnected(host)));
  await onlyApartAreKeptApart();
  startMember(0);
  startMember(1);
  for (const host of hosts) await until(() => isConnected(host));
});

isolation('down leaves nothing', async () => {
  for (const host of hosts) {
    await host.endWatch();
    const { exitCode, stderr } = await host.virlan('down');
    assert.equal(exitCode, 0, stderr);
    assert.equal(await traces(host), before);
    await host.stop();
  }
});

isolation.run();
