// The first guarded machine of a network where only some machines are guarded, without the watcher.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { guardedGuest, hook } from './guarded-guest.ts';
import { configure, domainXml, host, installVirlan, run, virlan } from './host.ts';
import type { Machine } from './machine.ts';

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

first.run();
