// The first guarded machine of a network where only some machines are guarded, without the watcher.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { arp, broadcast, frame, send, watchFrames } from './frames.ts';
import { guardedGuest, hook } from './guarded-guest.ts';
import { configure, domainXml, host, installVirlan, remove, run, virlan } from './host.ts';
import type { Machine } from './machine.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { until } from './until.ts';

const first = suite('first guarded machine');

function guardTables(): Promise<string> {
  return run(host, 'nft', 'list', 'tables', 'bridge');
}

first('it is guarded before it runs, also against frames to bridges, and no other machine is', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\nguard = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  const maskOf = (port: string) =>
    Number(readFileSync(`/sys/class/net/${port}/brport/group_fwd_mask`, 'utf8'));
  const other = await guardedGuest('other', { mac: '52:54:00:00:00:10' });
  assert.equal(maskOf(other.port), 0);
  assert.equal(await guardTables(), '');
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' guard='others'/>`;
  const only = await guardedGuest('only', { mac: '52:54:00:00:00:11', metadata });
  const own = await run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'own_macs');
  assert.match(own, /"veth-only" \. 0x525400000011/);
  assert.doesNotMatch(own, /veth-other/);
  assert.equal(maskOf(only.port), 0xfffd);
  assert.equal(maskOf(other.port), 0);
  await hook('stopped', only.machine);
});

first('a tap is guarded whatever its name is, or status names it', async () => {
  const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' guard='others'/>`;
  const odd = await guardedGuest('a+b#1@c', { mac: '52:54:00:00:00:12', metadata });
  assert.equal(odd.port, 'veth-a+b#1@c');
  const own = () => run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'own_macs');
  assert.match(await own(), /"veth-a\+b#1@c" \. 0x525400000012/);
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  const running = (machine: Machine) =>
    writeFileSync(
      `/run/libvirt/qemu/${machine.name}.xml`,
      `<domstatus state='running'>${domainXml(machine)}</domstatus>`,
    );
  running(odd.machine);
  const nic = { type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:13', tap: 'vnet,1' };
  running({ name: 'unnamed', uuid: '00000000-0000-4000-8000-000000000013', nics: [nic], metadata });
  assert.equal((await virlan('up')).exitCode, 0);
  const { stdout } = await virlan('status');
  assert.match(stdout, /unnamed: its tap "vnet,1" is not guarded/);
  assert.doesNotMatch(stdout, /a\+b#1@c" is not guarded/);
  assert.match(await own(), /"veth-a\+b#1@c" \. 0x525400000012/);
  const plan = await virlan('plan');
  assert.equal(plan.exitCode, 0, plan.stdout);
  assert.equal(readFileSync(`/sys/class/net/${odd.port}/brport/group_fwd_mask`, 'utf8').trim(), '0xfffd');
});

first('a start adds elements, and looks at the rules once', async () => {
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  stubProgram('nft', 'echo "$*" >> /tmp/nft-calls; exec "$original" "$@"');
  const { machine, ...eve } = await guardedGuest('eve', { mac: '52:54:00:00:00:14' });
  restorePrograms();
  const calls = readFileSync('/tmp/nft-calls', 'utf8').trim().split('\n');
  assert.deepEqual(calls, ['-f -', '--terse --stateless --numeric list table bridge virlan-k8s-br0']);
  await hook('stopped', machine);
  await remove(eve);
});

for (const flush of ['flush table', 'flush chain', 'delete table'])
  first(`rules that another program removed are there before the next machine runs: ${flush}`, async () => {
    await configure('[network.k8s-br0]\nstp = no\n');
    assert.equal((await virlan('up')).exitCode, 0);
    const chain = flush === 'flush chain' ? 'others' : '';
    await run(host, 'nft', ...`${flush} bridge virlan-k8s-br0 ${chain}`.trim().split(' '));
    const sight = await watchFrames(host, 'k8s-br0');
    const name = flush.replace(' ', '-');
    const mac = '52:54:00:00:00:14';
    const eve = await guardedGuest(name.slice(0, 10), { mac });
    const [gateway, nobody] = ['192.168.100.1', '00:00:00:00:00:00'];
    const claim = (ip: string) => frame(broadcast, mac, 0x806, arp(2, { mac, ip }, { mac: nobody, ip }));
    const [stolen = 0, free = 0] = await send(eve, [claim(gateway), claim('192.168.100.77')]);
    await until(() => sight.seen.has(free));
    assert.equal(sight.seen.has(stolen), false);
    sight.stop();
    await hook('stopped', eve.machine);
    await remove(eve);
  });

first.run();
