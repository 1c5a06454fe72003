// Addresses that the host gets after they were reserved for machines.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { endGuest, startGuest } from './forwarding.ts';
import { configure, dhcp, guest, host, installVirlan, remove, run, virlan } from './host.ts';
import { up } from './virlan-commands.ts';

const shared = suite('shared addresses');

interface Check {
  readonly check: string;
  readonly state: string;
  readonly code: string;
  readonly fix: { readonly command: string } | null;
}

async function reservationsCheck(): Promise<Check> {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout) as { checks: Check[] };
  return checks.find(({ check }) => check === 'reservations') ?? assert.fail('doctor has no such check');
}

shared("a machine's address that the host has, too, is named, with the command that ends it", async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await up();
  const web = await startGuest('web', { digit: '1', forwards: [] });
  const db = await guest('db', { mac: '52:54:00:00:00:09' });
  const address = await dhcp(web);
  await dhcp(db);
  const isAnswered = async () => {
    await run(db, 'ip', 'neigh', 'flush', 'all');
    return run(db, 'ping', '-c1', '-W2', address).then(
      () => true,
      () => false,
    );
  };
  assert(await isAnswered());
  await run(web, 'ip', 'link', 'set', 'eth0', 'down');
  assert.equal(await isAnswered(), false);
  assert.doesNotMatch((await virlan('status')).stdout, /is an address of this host/);
  assert.equal((await reservationsCheck()).code, 'as-configured');
  await run(host, 'sh', '-c', `ip address add ${address}/32 dev lo`);
  // The host answers for the machine, also by another link.
  assert(await isAnswered());
  assert.match(
    (await virlan('status')).stdout.replace(/\s+/g, ' '),
    new RegExp(`${address}, which is reserved for web, is an address of this host, on lo`),
  );
  const { state, code, fix } = await reservationsCheck();
  assert.deepEqual([state, code], ['fail', 'address-shared']);
  await run(host, 'sh', '-c', fix?.command ?? assert.fail('no command'));
  assert.equal(await isAnswered(), false);
  assert.equal((await reservationsCheck()).code, 'as-configured');
  // Where the host has to keep it, the machine gets another one.
  await run(host, 'ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
  await endGuest(web);
  await remove(web);
  assert.equal((await virlan('forget', 'web')).exitCode, 0);
  assert.notEqual(await dhcp(await startGuest('web', { digit: '1', forwards: [] })), address);
  assert.equal((await reservationsCheck()).code, 'as-configured');
});

shared.run();
