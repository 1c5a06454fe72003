// Ports that send frames back to where they come from, so that a machine reaches its own forwards with br_netfilter:
// a bridge in the machine would learn the MACs behind it at its way out, and nothing would reach them any more.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { type RunningMachine, startGuest } from './forwarding.ts';
import { arp, type Bytes, broadcast, frame, send, watchFrames } from './frames.ts';
import { configure, dhcp, host, installVirlan, probe, run, seenAs, serve } from './host.ts';
import { resetHost } from './reset-host.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';

const reflection = suite('reflected frames');
const gateway = '192.168.100.1';
const nested = '52:54:00:aa:00:01';
const other = '52:54:00:aa:00:02';

reflection.before(installVirlan);

async function establish(...lines: readonly string[]): Promise<Record<'web' | 'db', RunningMachine>> {
  await configure(['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n'));
  await up();
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '1');
  const web = await startGuest('web', { digit: 'a', forwards: ['port="8443" to="443"'] });
  const db = await startGuest('db', { digit: 'b' });
  await Promise.all([dhcp(web), dhcp(db)]);
  await up();
  return { web, db };
}

/** Returns frames of a MAC behind a machine that a bridge sends to all ports, and one to another MAC there. */
function framesFrom(mac: string): Record<string, Bytes> {
  const nobody = { mac: '00:00:00:00:00:00', ip: gateway };
  return {
    broadcast: frame(broadcast, mac, 0x806, arp(1, { mac, ip: '192.168.100.77' }, nobody)),
    multicast: frame('01:00:5e:00:00:fb', mac, 0x88b5, [0, 0]),
    unknown: frame('52:54:00:aa:00:99', mac, 0x88b5, [0, 0]),
    neighbour: frame(other, mac, 0x88b5, [0, 0]),
  };
}

/** Sends frames from behind a machine, and returns which of them come back to it. */
async function comeBack(web: RunningMachine, db: RunningMachine): Promise<string[]> {
  const [here, there] = [await watchFrames(web, 'eth0'), await watchFrames(db, 'eth0')];
  // The bridge learns where this one is.
  await send(web, [frame(broadcast, other, 0x88b5, [0, 0])]);
  const frames = framesFrom(nested);
  const numbers = await send(web, Object.values(frames));
  await until(() => numbers.slice(0, 3).every(number => there.seen.has(number)));
  // What others send still reaches it.
  const [last = 0] = await send(db, [frame(broadcast, db.mac, 0x88b5, [0, 0])]);
  await until(() => here.seen.has(last));
  for (const sight of [here, there]) sight.stop();
  return Object.keys(frames).filter((_, index) => here.seen.has(numbers[index] ?? 0));
}

for (const lines of [[], ['guard = strict'], ['guard = no'], ['isolate = yes']])
  reflection(
    `a machine with forwards hears no frame of its own: ${lines.join() || 'guard = others'}`,
    async () => {
      const { web, db } = await establish(...lines);
      assert.deepEqual(await plannedSteps(), []);
      if (!lines.includes('guard = strict') && !lines.includes('isolate = yes'))
        assert.deepEqual(await comeBack(web, db), []);
      const server = await serve(web, { proto: 'tcp', port: 443 });
      for (const from of [web, db])
        assert.match(
          (await seenAs(from, { proto: 'tcp', to: gateway, port: 8443 })).address,
          /^192\.168\.100\./,
        );
      await server.stop();
    },
  );

reflection('a container behind a bridge in a machine with forwards keeps its connections', async () => {
  const { web, db } = await establish();
  const inside = (...args: string[]) => run(web, 'ip', ...args);
  await inside('link', 'add', 'nested', 'type', 'bridge');
  await inside('link', 'set', 'nested', 'up');
  await inside('link', 'set', 'eth0', 'master', 'nested');
  await run(host, 'ip', 'netns', 'add', 'pod');
  await run(
    host,
    'ip',
    'link',
    'add',
    'pod0',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'address',
    nested,
    'netns',
    'pod',
  );
  await run(host, 'ip', 'link', 'set', 'pod0', 'netns', 'web');
  await inside('link', 'set', 'pod0', 'master', 'nested', 'up');
  const pod = { name: 'pod', mac: nested, port: 'pod0' };
  await run(pod, 'ip', 'link', 'set', 'eth0', 'up');
  await run(pod, 'ip', 'address', 'add', '192.168.100.77/24', 'dev', 'eth0');
  for (let round = 0; round < 5; round++) {
    await send(pod, [frame(broadcast, nested, 0x88b5, [0, 0])]);
    // Such a frame came back, and the answer to this went to the other side.
    assert.equal(await probe(pod, { proto: 'icmp', to: gateway, seconds: 1 }), 'open', `round ${round}`);
    await run(pod, 'ip', 'neighbour', 'flush', 'all');
  }
  await run(db, 'true');
});

reflection('a port that the administrator lets reflect reflects', async () => {
  const { web, db } = await establish();
  await run(host, 'bridge', 'link', 'set', 'dev', db.port, 'hairpin', 'on');
  await up();
  assert.deepEqual(await comeBack(db, web), Object.keys(framesFrom(nested)));
});

reflection.after.each(async () => {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '0');
  for (const name of ['web', 'db', 'pod']) await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

reflection.run();
