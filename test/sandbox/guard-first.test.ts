// The first guarded machine of a network where only some machines are guarded, without the watcher.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { guardedGuest, hook } from './guarded-guest.ts';
import { configure, host, installVirlan, run, virlan } from './host.ts';

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

first.run();
