// Three hosts that find each other by etcd, and learn by FRR where machines are: neighbours of BGP come and go with the
// members, and a loss of etcd costs no connection.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type ClusterHost, makeUnderlay, traces } from '../sandbox/cluster-hosts.ts';
import { enableBgpd, installFrr, prepareFrr, runningConfig, startFrr } from '../sandbox/frr.ts';
import { dhcp, type Guest, installVirlan } from '../sandbox/host.ts';
import { startPinging } from '../sandbox/pinger.ts';
import { killMember, sharedIni, startEtcd, startMember } from './etcd.ts';
import { learnt, type Placed, reachEachOther } from './evpn-machines.ts';
import { at, hosts, isConnected, network, problems, resolvesOn, startHosts, until } from './shared-hosts.ts';

const evpn = suite('EVPN between members of etcd');

/** Records what each host has before virlan: `down` restores that. */
const before: { readonly traces: string; readonly bgpd: string }[] = [];

const machines: Placed[] = [];

function withBgp(index: number): string {
  return `${sharedIni(index)}as = 65000\n`;
}

/** Returns the neighbours of a host with an established session. */
async function established(host: ClusterHost): Promise<string[]> {
  const neighbours = (await network(host)).tunnel?.bgp?.neighbours ?? [];
  return neighbours.filter(({ session }) => session === 'established').map(({ address }) => address);
}

/** Awaits that some hosts have sessions with each other and nobody else. */
async function haveSessions(members: readonly ClusterHost[]): Promise<void> {
  for (const host of members) {
    const others = members.filter(each => each !== host).map(({ address }) => address);
    await until(async () => (await established(host)).join() === others.join()).catch(async () =>
      assert.fail(`${host.name} has sessions with ${await established(host)}`),
    );
  }
}

/** Awaits that the first host sends frames for a machine to a host. */
function isBehind({ mac }: Guest, { address }: ClusterHost): Promise<void> {
  return until(async () => (await learnt(at(0), mac)).join() === address).catch(async () =>
    assert.fail(`${mac} is behind ${await learnt(at(0), mac)}`),
  );
}

evpn('hosts that join are neighbours in BGP', async () => {
  await installVirlan();
  await installFrr();
  await makeUnderlay();
  await startEtcd();
  await startHosts(async host => {
    await prepareFrr(host);
    await enableBgpd(host);
    await startFrr(host);
    before.push({ traces: await traces(host), bgpd: await runningConfig(host) });
  }, withBgp);
  await haveSessions(hosts);
});

evpn('machines of all hosts reach each other by address and name', async () => {
  for (const [index, host] of hosts.entries()) {
    const machine = await host.machine(`m${index}`, `52:54:00:00:0d:0${index}`);
    machines.push({ machine, ip: await dhcp(machine) });
  }
  await reachEachOther(machines, 60);
  for (const [index, { ip }] of machines.entries()) await resolvesOn(hosts, `m${index}`, ip);
  for (const host of hosts)
    await until(async () => (await problems(host)).length === 0).catch(async () =>
      assert.fail(`${host.name}: ${await problems(host)}`),
    );
});

evpn('without etcd, a machine that moves is found', async () => {
  await killMember(0);
  await killMember(1);
  for (const host of hosts) await until(async () => !(await isConnected(host)));
  const [pinging, , moving] = machines;
  assert(pinging !== undefined && moving !== undefined);
  const { machine } = moving;
  const pinger = await startPinging(pinging.machine, moving.ip);
  await at(1).takeOver(machine, at(2));
  await isBehind(machine, at(1));
  await pinger.answer(5);
  await at(2).takeOver(machine, at(1));
  await isBehind(machine, at(2));
  await pinger.answer(5);
  await pinger.stop();
  await reachEachOther(machines, 60);
  await haveSessions(hosts);
  startMember(0);
  startMember(1);
  for (const host of hosts) await until(() => isConnected(host));
});

evpn('a host that leaves is no longer a neighbour, and is one when it is back', async () => {
  await at(2).configure('[network.k8s-br0]\n');
  await haveSessions(hosts.slice(0, 2));
  await until(async () => !(await runningConfig(at(0))).includes('10.0.0.3'));
  await until(async () => (await runningConfig(at(2))) === before[2]?.bgpd);
  await at(2).configure(withBgp(2));
  await haveSessions(hosts);
  await reachEachOther(machines, 60);
});

for (const daemon of ['bgpd', 'zebra'])
  evpn(`${daemon} that is killed and started again is configured again by the watcher`, async () => {
    const pid = () => at(0).run('cat', `/var/run/frr/${daemon}.pid`);
    const killed = await pid();
    const began = performance.now();
    await at(0).run('kill', '-9', killed);
    // watchfrr, of FRR, starts it again.
    await until(async () => (await pid()) !== killed);
    await until(async () => {
      const running = await runningConfig(at(0)).catch(() => '');
      return hosts.slice(1).every(({ address }) => running.includes(`neighbor ${address} `));
    });
    console.log(`  configured again after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await haveSessions(hosts);
    await reachEachOther(machines, 60);
  });

evpn('down leaves nothing', async () => {
  for (const [index, host] of hosts.entries()) {
    await host.endWatch();
    const { exitCode, stderr } = await host.virlan('down');
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual({ traces: await traces(host), bgpd: await runningConfig(host) }, before[index]);
    await host.stop();
  }
});

evpn.run();
