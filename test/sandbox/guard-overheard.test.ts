// Frames that the bridge would send to all ports, because it does not know where their receiver is: no other machine
// hears them.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import { broadcast, frame, type Sight, send, watchFrames } from './frames.ts';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import { configure, type Guest, guest, host, installVirlan, type Namespace, run, virlan } from './host.ts';
import { until } from './until.ts';

const overheard = suite('guard, overheard');
const bridge = 'k8s-br0';
const macs = {
  eve: '52:54:00:00:00:0e',
  bob: '52:54:00:00:00:0b',
  free: '52:54:00:00:00:0f',
  device: '52:54:00:00:00:1d',
  off: '52:54:00:00:00:10',
  printer: '52:54:00:00:00:11',
  nested: '52:54:00:00:aa:01',
};

let bob: GuardedGuest;
let device: Guest;
const sights: Record<string, Sight> = {};

overheard.before(async () => {
  await installVirlan();
  await configure(
    `[network.${bridge}]\nstp = no\n[host.printer]\nnetwork = ${bridge}\nmac = ${macs.printer}\nip = 192.168.100.10\n`,
  );
  assert.equal((await virlan('up')).exitCode, 0);
  const unguarded = `<v:machine xmlns:v='urn:virlan:machine:1' guard='no'/>`;
  bob = await guardedGuest('bob', { mac: macs.bob });
  const eve = await guardedGuest('eve', { mac: macs.eve });
  const free = await guardedGuest('free', { mac: macs.free, metadata: unguarded });
  device = await guest('device', { mac: macs.device });
  await hook('prepare', { name: 'off', nics: [{ type: 'bridge', source: bridge, mac: macs.off }] });
  assert.equal((await virlan('up')).exitCode, 0);
  for (const each of [bob, eve, free, device]) sights[each.name] = await watchFrames(each, 'eth0');
  await knowNobody();
});

/** Lets the bridge know of no MAC where it is: each frame goes to all ports. A guest may send something at any time. */
async function knowNobody(): Promise<void> {
  for (const port of readdirSync(`/sys/class/net/${bridge}/brif`))
    await run(host, 'bridge', 'link', 'set', 'dev', port, 'learning', 'off');
  await run(host, 'ip', 'link', 'set', bridge, 'type', 'bridge', 'fdb_flush');
}

/** Returns who hears a frame of the device's, or one that the host sends, to a MAC that the bridge does not know. */
async function hearers(from: Namespace, to: string): Promise<string[]> {
  const mac = from === host ? hostsMac : macs.device;
  const link = from === host ? bridge : 'eth0';
  const frames = [to, broadcast].map(receiver => frame(receiver, mac, 0x88b5, [0, 0]));
  const [heard = 0, last = 0] = await send(from, frames, link);
  const others = Object.entries(sights).filter(([name]) => name !== from.name);
  await until(() => others.every(([, { seen }]) => seen.has(last)));
  return others.flatMap(([name, { seen }]) => (seen.has(heard) ? [name] : []));
}

let hostsMac = '';

overheard('what is for a machine is heard by it alone, from the host and from others', async () => {
  const [{ address }] = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', bridge));
  hostsMac = address;
  for (const from of [host, device]) {
    const others = from === host ? ['device'] : [];
    const found = {
      bob: await hearers(from, macs.bob),
      off: await hearers(from, macs.off),
      printer: await hearers(from, macs.printer),
      nested: await hearers(from, macs.nested),
    };
    assert.deepEqual(found, {
      bob: ['bob', 'free', ...others],
      off: ['free', ...others],
      printer: ['free', ...others],
      nested: ['bob', 'eve', 'free', ...others],
    });
  }
});

overheard.run();
