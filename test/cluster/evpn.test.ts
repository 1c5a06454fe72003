// Three hosts of a cluster that learn by FRR where machines are: reach, movement, faults of FRR, the administrator's own
// BGP beside virlan's, and a route reflector.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Status } from '../../src/report/status.ts';
import { addresses, ClusterHost, ini, makeUnderlay } from '../sandbox/cluster-hosts.ts';
import { assertDegraded, degradeLink } from '../sandbox/degraded-link.ts';
import {
  enableBgpd,
  frrConfig,
  installFrr,
  prepareFrr,
  runningConfig,
  startFrr,
  writeFrrConfig,
} from '../sandbox/frr.ts';
import { capture, dhcp, installVirlan, probe, run } from '../sandbox/host.ts';
import { startPinging } from '../sandbox/pinger.ts';
import { until } from '../sandbox/until.ts';
import type { Check } from '../sandbox/virlan-commands.ts';
import { clusterMetricsAbsent } from './dashboard.ts';
import { answers, learnt, type Placed, reachEachOther, tunnelEntries } from './evpn-machines.ts';

const evpn = suite('evpn');

const gateway = { mac: '52:54:00:81:ff:5e', ip: '192.168.100.1' };
const nobody = '00:00:00:00:00:00';
const link = 'k8s-br0-vx';

const hosts: ClusterHost[] = [];
const machines: Placed[] = [];
/** The configuration that runs in bgpd of each host before virlan. */
const empty: string[] = [];

function hostAt(index: number): ClusterHost {
  return hosts[index] ?? assert.fail();
}

function machineAt(index: number) {
  return machines[index] ?? assert.fail();
}

/** Returns virlan.ini of a host that learns by BGP. */
function withBgp(index: number, as = 65_000): string {
  return `${ini(index)}as = ${as}\n`;
}

async function up(host: ClusterHost): Promise<void> {
  const { exitCode, stderr } = await host.virlan('up');
  assert.equal(exitCode, 0, stderr);
}

async function down(host: ClusterHost): Promise<void> {
  const { exitCode, stderr } = await host.virlan('down');
  assert.equal(exitCode, 0, stderr);
}

/** Sends a ping from the machine of one host to that of another. */
function reaches(from: number, to: number): Promise<boolean> {
  return answers(machineAt(from), machineAt(to));
}

/** Awaits that the machines of all hosts reach each other. */
function allReachAll(timeoutSeconds = 30): Promise<void> {
  return reachEachOther(machines, timeoutSeconds);
}

/** Returns the hosts to which frames go whose receiver is not known. */
async function floodList(host: ClusterHost): Promise<(string | undefined)[]> {
  return (await tunnelEntries(host))
    .filter(({ mac }) => mac === nobody)
    .map(({ dst }) => dst)
    .sort();
}

evpn('without bgpd, up says what to type, and leaves the host as it was', async () => {
  await installVirlan();
  await installFrr();
  await makeUnderlay();
  for (const [index, address] of addresses.entries()) {
    const host = await ClusterHost.start(`host${index + 1}`, address);
    hosts.push(host);
    await prepareFrr(host);
    await host.configure(withBgp(index));
  }
  const host = hostAt(0);
  await startFrr(host);
  const { exitCode, stderr } = await host.virlan('up');
  assert.equal(exitCode, 1);
  assert.match(
    stderr,
    /bgpd of FRR does not run, so no host learns where machines are: sed -i 's\/\^bgpd=no\/bgpd=yes\/' \/etc\/frr\/daemons && systemctl restart frr; the host is as it was/,
  );
  const links = JSON.parse(await host.run('ip', '-json', 'link', 'show')) as { ifname: string }[];
  assert.deepEqual(links.map(({ ifname }) => ifname).sort(), ['lan', 'lo']);
});

evpn('the plan shows the lines of bgpd, and up adds them', async () => {
  for (const host of hosts) {
    await enableBgpd(host);
    await startFrr(host, host === hostAt(0) ? 'restart' : 'start');
    empty.push(await runningConfig(host));
  }
  assert.doesNotMatch(empty[0] ?? '', /router bgp/);
  const { stdout } = await hostAt(0).virlan('plan');
  assert.match(stdout, /~ bgpd of FRR +AS 65000, 11 changes/);
  assert.match(stdout, /\+ neighbor 10\.0\.0\.2 peer-group virlan/);
  for (const host of hosts) {
    await up(host);
    const plan = await host.virlan('plan');
    assert.equal(plan.exitCode, 0, plan.stdout);
  }
});

evpn('machines of all hosts reach each other, by what FRR tells the kernel', async () => {
  for (const [index, host] of hosts.entries()) {
    const machine = await host.machine(`m${index + 1}`, `52:54:00:00:00:0${index + 1}`);
    machines.push({ machine, ip: await dhcp(machine) });
  }
  await allReachAll();
  for (const [index, host] of hosts.entries()) {
    const others = addresses.filter(each => each !== host.address);
    assert.deepEqual(await floodList(host), others);
    for (const [other, { machine }] of machines.entries())
      assert.deepEqual(await learnt(host, machine.mac), other === index ? [] : [addresses[other]]);
  }
});

evpn('the gateway, the same on all hosts, is told to none', async () => {
  for (const host of hosts) {
    assert.equal(
      await probe(machineAt(hosts.indexOf(host)).machine, { proto: 'icmp', to: gateway.ip }),
      'open',
    );
    const routes = await host.run('vtysh', '-d', 'bgpd', '-c', 'show bgp l2vpn evpn route type 2');
    for (const { machine } of machines) assert.match(routes, new RegExp(machine.mac));
    assert.doesNotMatch(routes, new RegExp(gateway.mac));
    assert.doesNotMatch(routes, /192\.168\.100\.1\]/);
    assert.deepEqual(await learnt(host, gateway.mac), []);
  }
});

evpn('a question for a machine whose address FRR knows does not cross the tunnels', async () => {
  const [asker, bystander, { ip }] = [machineAt(0), machineAt(1), machineAt(2)];
  const routes = () => hostAt(0).run('vtysh', '-d', 'bgpd', '-c', 'show bgp l2vpn evpn route type 2');
  await until(async () => (await routes()).includes(`[32]:[${ip}]`), 20);
  const questions = await capture(bystander.machine, 'eth0', 'arp');
  await run(asker.machine, 'ip', 'neighbour', 'flush', 'dev', 'eth0');
  assert.equal(await reaches(0, 2), true);
  // Nobody has this address: the question for it goes everywhere.
  const unknown = '192.168.100.250';
  await probe(asker.machine, { proto: 'icmp', to: unknown });
  await questions.seen(new RegExp(`who-has ${unknown}`));
  const seen = (await questions.stop()).join('\n');
  assert.doesNotMatch(seen, new RegExp(`who-has ${ip} `), seen);
});

evpn('a machine that moves is reached within seconds', async () => {
  const { machine, ip } = machineAt(2);
  const pinger = await startPinging(machineAt(0).machine, ip);
  await hostAt(1).takeOver(machine, hostAt(2));
  await until(async () => (await learnt(hostAt(0), machine.mac))[0] === addresses[1], 10);
  assert.equal(await reaches(0, 2), true);
  assert.equal(await reaches(1, 2), true);
  const { lost } = await pinger.stop();
  await hostAt(2).takeOver(machine, hostAt(1));
  await until(async () => (await learnt(hostAt(0), machine.mac))[0] === addresses[2], 10);
  // 20 pings a second.
  assert(lost < 100, `${lost} pings lost`);
});

/** Returns the findings of the first host's doctor about BGP that are not successes. */
async function failures(): Promise<Check[]> {
  const { checks } = JSON.parse((await hostAt(0).virlan('doctor', '--json')).stdout) as { checks: Check[] };
  return checks.filter(({ check, state }) => check === 'bgp' && state !== 'ok');
}

async function tunnelOf(host: ClusterHost) {
  const { networks }: Status = JSON.parse((await host.virlan('status', '--json')).stdout);
  return networks[0]?.tunnel ?? assert.fail();
}

/** Awaits that all sessions of the first host are established. */
async function allEstablished(): Promise<void> {
  const sessions = async () => (await tunnelOf(hostAt(0))).bgp?.neighbours.map(({ session }) => session);
  await until(async () => (await sessions())?.every(each => each === 'established') === true, 30);
}

evpn('status, its text, doctor and metrics show the sessions', async () => {
  await allEstablished();
  const { bgp, peers } = await tunnelOf(hostAt(0));
  assert.equal(bgp?.as, 65_000);
  // The host itself, and its machine with and without its address.
  for (const { routes } of bgp?.neighbours ?? []) assert(routes >= 2, `${routes} routes`);
  assert.deepEqual(
    peers.map(({ listed }) => listed),
    [true, true],
  );
  const { stdout } = await hostAt(0).virlan('status');
  assert.match(stdout, /^ {2}BGP AS 65000$/m);
  assert.match(stdout, /^ {4}10\.0\.0\.2 +established +\d{4}-\S+Z +\d+$/m);
  assert.deepEqual(await failures(), []);
  await hostAt(0).watch();
  const metrics = (await hostAt(0).virlan('metrics')).stdout;
  assert.match(metrics, /^virlan_bgp_session_up\{network="k8s-br0",peer="10\.0\.0\.2"\} 1$/m);
  assert.match(metrics, /^virlan_bgp_routes\{network="k8s-br0",peer="10\.0\.0\.3"\} [2-9]$/m);
  // These hosts share no ledger.
  assert.deepEqual(await clusterMetricsAbsent(hostAt(0)), ['virlan_etcd_up', 'virlan_machines_elsewhere']);
});

const configureOnce = "vtysh -c 'configure terminal' -c 'router bgp 65000'";

/** Shell scripts that damage the configuration of bgpd. */
const damages: [title: string, script: string][] = [
  ['bgpd is killed', 'kill -9 $(cat /run/frr/bgpd.pid)'],
  ['FRR is restarted', '/usr/lib/frr/frrinit.sh restart > /run/frrinit.log 2>&1'],
  // As a reload does it, by which FRR forgets what is not in its file.
  ['all is removed', "vtysh -c 'configure terminal' -c 'no router bgp 65000'"],
  ['a neighbour is removed', `${configureOnce} -c 'no neighbor 10.0.0.2 peer-group virlan'`],
  ['no VNI is told', `${configureOnce} -c 'address-family l2vpn evpn' -c 'no advertise-all-vni'`],
];

for (const [title, script] of damages)
  evpn(`the watcher adds its lines again: ${title}`, async () => {
    const host = hostAt(0);
    const before = await runningConfig(host);
    await host.run('sh', '-c', script);
    await until(async () => (await runningConfig(host).catch(() => '')) === before, 60).catch(async () => {
      const log = await host.run('tail', '-n', '9', '/var/log/virlan.log');
      assert.fail(`${await runningConfig(host)}\n${log}`);
    });
    assert.equal((await host.virlan('plan')).exitCode, 0);
    await until(() => reaches(0, 1), 30);
    await until(() => reaches(2, 0), 30);
  });

evpn(
  'over a slow and lossy link hosts learn where machines are, and a machine that moves is found',
  async () => {
    const { machine, ip } = machineAt(2);
    const restore = await degradeLink(hostAt(2), { delayMs: 100, lossPercent: 15, seed: 1 });
    try {
      await assertDegraded(hostAt(2), addresses[0], 100);
      await allReachAll(60);
      await hostAt(1).takeOver(machine, hostAt(2));
      await until(async () => (await learnt(hostAt(2), machine.mac))[0] === addresses[1], 60);
      await until(() => reaches(0, 2), 60);
      await hostAt(2).takeOver(machine, hostAt(1));
      await until(async () => (await learnt(hostAt(0), machine.mac))[0] === addresses[2], 60);
      await until(() => reaches(1, 2), 60);
    } finally {
      await restore();
    }
    await allReachAll();
    assert.equal(await dhcp(machine), ip);
  },
);

evpn('the port of the tunnel learns nothing, whoever lets it', async () => {
  const host = hostAt(0);
  await host.run('bridge', 'link', 'set', 'dev', link, 'learning', 'on', 'neigh_suppress', 'off');
  await until(async () => (await host.virlan('plan')).exitCode === 0, 30);
  const [port] = JSON.parse(await host.run('ip', '-json', '-details', 'link', 'show', 'dev', link));
  const { learning, neigh_suppress } = port.linkinfo.info_slave_data;
  assert.deepEqual([learning, neigh_suppress, port.linkinfo.info_data.learning], [false, true, false]);
  await host.endWatch();
});

/** Does damage by a shell script on a host, until the doctor of the first host says why, and takes it away. */
async function damaged(index: number, script: string, end: string, code: string): Promise<void> {
  await hostAt(index).run('sh', '-c', script);
  try {
    await until(async () => (await failures())[0]?.code === code, 40).catch(async () =>
      assert.fail(JSON.stringify(await failures(), null, 1)),
    );
    const [{ seen } = assert.fail()] = await failures();
    assert.match(seen, /10\.0\.0\.3/);
  } finally {
    await hostAt(index).run('sh', '-c', end);
  }
  await allEstablished();
  assert.deepEqual(await failures(), []);
}

const dropBgp =
  "nft 'table inet corp { chain in { type filter hook input priority 0; tcp dport 179 drop; tcp sport 179 drop; }; }'";

/** Reasons why there is no session with the third host. */
const reasons: [title: string, index: number, script: string, end: string, code: string][] = [
  ['the host is down', 2, 'ip link set lan down', 'ip link set lan up', 'bgp-silent'],
  [
    'no route',
    0,
    'ip route add unreachable 10.0.0.3',
    'ip route delete unreachable 10.0.0.3',
    'bgp-without-route',
  ],
  [
    'no bgpd there',
    2,
    '/usr/lib/frr/frrinit.sh stop > /run/frrinit.log 2>&1',
    '/usr/lib/frr/frrinit.sh start > /run/frrinit.log 2>&1; timeout 20 sh -c "until virlan up; do sleep 1; done"',
    'bgp-refused',
  ],
  ['a firewall there drops it', 2, dropBgp, 'nft delete table inet corp', 'bgp-blocked'],
];

for (const [title, index, script, end, code] of reasons)
  evpn(`the doctor says why there is no session: ${title}`, () => damaged(index, script, end, code));

evpn('the doctor says how to start bgpd', async () => {
  const host = hostAt(0);
  await host.run('sh', '-c', '/usr/lib/frr/frrinit.sh stop > /run/frrinit.log 2>&1');
  const [failure] = await failures();
  assert.equal(failure?.code, 'bgp-not-configured');
  assert.match(failure?.fix?.command ?? '', /^sed -i .* \/etc\/frr\/daemons && systemctl restart frr$/);
  await startFrr(host);
  await up(host);
  await allEstablished();
});

/** The administrator's BGP, as FRR shows it. */
const own = `router bgp 65000
 bgp router-id 192.0.2.3
 neighbor 10.0.0.99 remote-as 64999
 neighbor 10.0.0.99 description tor
 !
 address-family ipv4 unicast
  network 192.0.2.0/24
 exit-address-family
exit
`;

/** Gives FRR of a host, on which virlan is down, another configuration of the administrator's. */
async function restartWith(host: ClusterHost, text: string): Promise<void> {
  await down(host);
  await writeFrrConfig(host, text);
  await startFrr(host, 'restart');
  await until(async () => (await runningConfig(host)).includes(text));
}

evpn("the administrator's own BGP is the same before and after, byte by byte", async () => {
  const host = hostAt(2);
  await restartWith(host, own);
  const before = await runningConfig(host);
  assert(before.includes(own), before);
  await up(host);
  assert.equal((await host.virlan('plan')).exitCode, 0);
  await host.run('ip', 'link', 'set', machineAt(2).machine.port, 'master', 'k8s-br0');
  await until(() => reaches(0, 2), 30);
  const beside = await runningConfig(host);
  for (const line of own.split('\n')) assert(beside.includes(line), line);
  await down(host);
  assert.equal(await runningConfig(host), before);
  assert.equal(await host.run('cat', frrConfig), own.trimEnd());
});

evpn('a host with another AS is refused there, and named by the doctor of others', async () => {
  const host = hostAt(2);
  await restartWith(host, own.replace('65000', '65001'));
  const before = await runningConfig(host);
  const { exitCode, stderr } = await host.virlan('up');
  assert.equal(exitCode, 1);
  assert.match(stderr, /FRR has router bgp 65001, and \[cluster\] has as = 65000: a host has one AS/);
  assert.equal(await runningConfig(host), before);
  await host.configure(withBgp(2, 65_001));
  await up(host);
  await until(async () => (await failures())[0]?.code === 'bgp-other-as', 40);
  const [failure] = await failures();
  assert.match(failure?.seen ?? '', /no session with 10\.0\.0\.3: one of both has another AS .* as = 65000/);
  await restartWith(host, '');
  await host.configure(withBgp(2));
  await up(host);
  await host.run('ip', 'link', 'set', machineAt(2).machine.port, 'master', 'k8s-br0');
  await allReachAll();
});

evpn('hosts change from BGP to learning and back', async () => {
  for (const [index, host] of hosts.entries()) {
    await host.configure(ini(index));
    await up(host);
    assert.equal(await runningConfig(host), empty[index]);
  }
  await allReachAll();
  for (const [index, host] of hosts.entries()) {
    await host.configure(withBgp(index));
    await up(host);
  }
  await allReachAll();
});

const reflecting = `router bgp 65000
 neighbor hosts peer-group
 neighbor hosts remote-as 65000
 bgp listen range 10.0.0.0/24 peer-group hosts
 bgp listen limit 1000
 !
 address-family l2vpn evpn
  neighbor hosts activate
  neighbor hosts route-reflector-client
 exit-address-family
exit
`;

evpn('hosts learn from a route reflector', async () => {
  const address = '10.0.0.250';
  const reflector = await ClusterHost.start('reflector', address);
  await prepareFrr(reflector);
  await writeFrrConfig(reflector, reflecting);
  await enableBgpd(reflector);
  await startFrr(reflector);
  for (const [index, host] of hosts.entries()) {
    const text = withBgp(index).replace(/^peers = .*$/m, `peers = ${address}`);
    await host.configure(`${text}hosts = 10.0.0.0/24\n`);
    await up(host);
    assert.doesNotMatch(await runningConfig(host), /neighbor 10\.0\.0\.[123] /);
  }
  await allReachAll();
  const { peers, bgp } = await tunnelOf(hostAt(0));
  assert.deepEqual(
    peers.map(each => each.address),
    ['10.0.0.2', '10.0.0.3'],
  );
  assert.deepEqual(
    bgp?.neighbours.map(each => [each.address, each.session]),
    [[address, 'established']],
  );
  assert.deepEqual(await failures(), []);
  const { stdout } = await hostAt(0).virlan('doctor', '--json');
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  assert.deepEqual(
    checks.filter(({ check }) => check === 'peers').map(({ code }) => code),
    ['peer-answers', 'peer-answers'],
  );
  await reflector.stop();
});

evpn('BGP stays for as long as one network needs it', async () => {
  const host = hostAt(0);
  const lines = ['vni = 200', 'subnet = 192.168.200.0/24', 'dhcp-range = 192.168.200.10-192.168.200.89'];
  const [first = '', cluster = ''] = withBgp(0).split(/(?=\[cluster\])/);
  await host.configure([first, '[network.second]', ...lines, cluster].join('\n'));
  await up(host);
  const before = await runningConfig(host);
  assert.match(before, /neighbor 10\.0\.0\.2 peer-group virlan/);
  const ended = await host.virlan('down', 'k8s-br0');
  assert.equal(ended.exitCode, 0, ended.stderr);
  assert.equal(await runningConfig(host), before);
  await down(host);
  assert.equal(await runningConfig(host), empty[0]);
});

evpn('down leaves nothing in bgpd, the kernel and on disk', async () => {
  for (const [index, host] of hosts.entries()) {
    const before = await host.run('cat', frrConfig);
    await down(host);
    assert.equal(await runningConfig(host), empty[index]);
    assert.equal(await host.run('cat', frrConfig), before);
    assert.equal(await host.run('sh', '-c', 'ls /run/virlan | grep bgp || true'), '');
    await host.stop();
  }
});

evpn.run();
