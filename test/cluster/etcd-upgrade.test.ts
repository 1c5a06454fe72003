// Three hosts that share their ledgers by etcd, whose members are upgraded from 3.4 to 3.5 one by one.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type ClusterHost, makeUnderlay, traces } from '../sandbox/cluster-hosts.ts';
import { installVirlan } from '../sandbox/host.ts';
import type { Check } from '../sandbox/virlan-commands.ts';
import { killMember, partOf, startEtcd, startMember, versionsOfMembers } from './etcd.ts';
import { at, elsewhere, hosts, isConnected, network, resolvesOn, startHosts, until } from './shared-hosts.ts';

const upgrades = suite('upgrade of etcd');

/** Links and rules of a host before virlan. */
let before = '';

/** The addresses of all machines, by name. */
const given = new Map<string, string>();

/** Starts a machine on a host by its hooks, and returns its address. */
async function startMachine(host: ClusterHost, name: string): Promise<string> {
  await host.machine(name, `52:54:00:00:0d:0${given.size}`);
  const { stdout: ip } = await host.virlan('ip', name);
  assert(![...given.values()].includes(ip), `${ip} is given twice`);
  given.set(name, ip);
  return ip;
}

/** Checks that all hosts have all machines, with the addresses that they got. */
async function allKnowAll(): Promise<void> {
  for (const host of hosts) await until(() => isConnected(host), 60);
  for (const [name, ip] of given) await resolvesOn(hosts, name, ip);
}

upgrades('members are upgraded one by one, and hosts go on', async () => {
  await installVirlan();
  await makeUnderlay();
  await startEtcd();
  await startHosts(async host => {
    before = await traces(host);
  });
  for (const version of await versionsOfMembers()) assert.match(version, /^3\.4\./);
  for (const [index, host] of hosts.entries()) {
    await killMember(index);
    await startMachine(host, `without${index}`);
    startMember(index, '3.5');
    await versionsOfMembers();
    await startMachine(host, `with${index}`);
    await allKnowAll();
  }
  for (const version of await versionsOfMembers()) assert.match(version, /^3\.5\./);
});

upgrades('3.5 loses its quorum and has it again', async () => {
  await killMember(0);
  await killMember(1);
  for (const host of hosts) await until(async () => !(await isConnected(host)));
  await startMachine(at(2), 'alone');
  startMember(0, '3.5');
  startMember(1, '3.5');
  await allKnowAll();
});

upgrades('a watcher that is killed reads everything from 3.5', async () => {
  await at(1).endWatch('KILL');
  await startMachine(at(0), 'meanwhile');
  await at(1).watch();
  await allKnowAll();
});

upgrades('the doctor finds 3.5 healthy', async () => {
  // It fails for other checks, too.
  const output = await at(0).run('sh', '-c', 'virlan doctor --json || true');
  const { checks } = JSON.parse(output) as { checks: Check[] };
  const found = checks.filter(({ check }) => check === 'etcd');
  // A busy host may make a member slow.
  const seen = found.filter(({ code }) => code !== 'etcd-slow').map(({ state }) => state);
  assert(found.length > 0 && seen.every(state => state === 'ok'), JSON.stringify(found));
});

upgrades('a host that leaves takes its part along, and down leaves nothing', async () => {
  await at(2).configure('[network.k8s-br0]\n');
  await until(async () => (await partOf(at(2))).length === 0);
  await until(async () => (await elsewhere(at(0), 'alone')) === null);
  await until(async () => (await network(at(0))).tunnel?.peers.length === 1);
  await at(2).endWatch();
  const { exitCode, stderr } = await at(2).virlan('down');
  assert.equal(exitCode, 0, stderr);
  assert.equal(await traces(at(2)), before);
  for (const host of hosts) await host.stop();
});

upgrades.run();
