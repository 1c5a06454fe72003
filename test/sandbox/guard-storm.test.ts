// Frames to all machines, of which one sends as many as it can: the others go on.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { broadcast, frame, send } from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import { configure, installVirlan, run, virlan } from './host.ts';
import { host } from './namespaces.ts';
import { until } from './until.ts';

const storm = suite('guard, storm');
const macs = { bob: '52:54:00:00:00:0b', eve: '52:54:00:00:00:0e', second: '52:54:00:00:00:1e' };
/** The limit of a tap in docs/guard.md. */
const [perSecond, atOnce] = [10_000, 20_000];

let bob: GuardedGuest;
let eve: GuardedGuest;

storm.before(async () => {
  await installVirlan();
  // The spanning tree is on by default, but the guard keeps it from finding the loop.
  await configure('[network.k8s-br0]\n');
  assert.equal((await virlan('up')).exitCode, 0);
  bob = await guardedGuest('bob', { mac: macs.bob });
  eve = await guardedGuest('eve', { mac: macs.eve });
});

/** Gives eve one more NIC, and connects both by a bridge. */
async function connectNics(): Promise<void> {
  const nic = { type: 'bridge' as const, source: 'k8s-br0', mac: macs.second };
  const [port, second] = ['veth-eve2', 'eth1'];
  await hook('stopped', eve.machine);
  await hook('prepare', { ...eve.machine, nics: [...eve.machine.nics, nic] });
  const peer = ['peer', 'name', second, 'address', macs.second, 'netns', eve.name];
  await run(host, 'ip', 'link', 'add', port, 'type', 'veth', ...peer);
  await run(host, 'ip', 'link', 'set', port, 'master', 'k8s-br0', 'up');
  await hook('start', { ...eve.machine, nics: [...eve.machine.nics, { ...nic, tap: port }] });
  await run(eve, 'ip', 'link', 'add', 'inner', 'type', 'bridge');
  for (const link of ['eth0', second]) await run(eve, 'ip', 'link', 'set', link, 'master', 'inner', 'up');
  await run(eve, 'ip', 'link', 'set', 'inner', 'up');
  const state = `/sys/class/net/${port}/brport/state`;
  await until(() => readFileSync(state, 'utf8').trim() === '3', 30);
}

/** Returns how many frames bob gets, and in what time. */
async function received(): Promise<{ frames: number; seconds: number }> {
  const count = async () => Number(await run(bob, 'cat', '/sys/class/net/eth0/statistics/rx_packets'));
  const [before, began] = [await count(), performance.now()];
  await setTimeout(3000);
  return { frames: (await count()) - before, seconds: (performance.now() - began) / 1000 };
}

storm('a machine that connects two NICs goes round and round with few of its frames', async () => {
  await connectNics();
  await send(eve, [frame(broadcast, macs.eve, 0x88b5, [0, 0])]);
  const { frames, seconds } = await received();
  const most = 2 * (atOnce + perSecond * seconds);
  assert(frames > 0 && frames <= most, `${frames} in ${seconds} s`);
  const denied = await run(host, 'nft', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'deny_broadcasts');
  assert.match(denied, /"veth-eve2?" counter packets/);
});

storm('another machine sends to all meanwhile', async () => {
  // The kernel counts: a program that reads frames misses some in a storm.
  const counted = `ether saddr ${macs.bob} ether type 0x88b5 counter`;
  await run(
    host,
    'nft',
    `table bridge seen { chain in { type filter hook input priority 0; ${counted}; }; }`,
  );
  const seen = async () =>
    Number(/packets (\d+)/.exec(await run(host, 'nft', 'list', 'table', 'bridge', 'seen'))?.[1]);
  const frames = Array.from({ length: 50 }, () => frame(broadcast, macs.bob, 0x88b5, [0, 0]));
  await until(async () => {
    await send(bob, frames);
    return (await seen()) >= 200;
  });
});

storm.run();
