// Three hosts with real libvirtd and machines, which share their ledgers by a real etcd of three members: who has which
// address and name, while hosts and etcd fail.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type ClusterHost, makeUnderlay, traces } from '../sandbox/cluster-hosts.ts';
import { assertDegraded, degradeLink } from '../sandbox/degraded-link.ts';
import { installVirlan, run } from '../sandbox/host.ts';
import { clusterMetricsAbsent } from './dashboard.ts';
import {
  cutOff,
  joinAgain,
  keysBelow,
  killMember,
  memberAddresses,
  partOf,
  sharedIni,
  startEtcd,
  startMember,
} from './etcd.ts';
import {
  at,
  define,
  elsewhere,
  hosts,
  isConnected,
  machine,
  network,
  problems,
  reserved,
  resolve,
  resolvesOn,
  startHosts,
  startLibvirtd,
  until,
  virsh,
  writeXml,
  xmlOf,
} from './shared-hosts.ts';

const ledgers = suite('shared ledger');

/** Links and rules of a host before virlan. */
let before = '';

/** The machines that run, with their addresses: neither may change. */
const running = new Map<string, { host: ClusterHost; ip: string | null; mac: string }>();

async function start(host: ClusterHost, name: string): Promise<void> {
  await virsh(host, 'start', name);
  await until(async () => (await machine(host, name))?.state === 'running');
  const { ip, mac } = await reserved(host, name);
  running.set(name, { host, ip, mac });
}

/** Checks that no running machine has changed, and no two have one address. */
async function check(): Promise<void> {
  const seen = new Set<string>();
  for (const [name, { host, ip, mac }] of running) {
    const found = await machine(host, name);
    assert.deepEqual([found?.ip, found?.mac], [ip, mac], name);
    if (ip === null) continue;
    assert(!seen.has(ip), `${ip} is given twice`);
    seen.add(ip);
  }
}

/** Gives etcd its quorum. The first host, which is alone, has addresses by that, and sends its probe. */
async function giveQuorum(): Promise<void> {
  const probe = async () => (await network(at(0))).probe;
  await until(async () => (await probe())?.seen?.includes('claimed no addresses from etcd') === true);
  startMember(0);
  startMember(1);
  await until(async () => (await probe())?.passed === true);
}

ledgers('three hosts join, the first one before etcd has a quorum, and become peers by that', async () => {
  await installVirlan();
  await makeUnderlay();
  await startEtcd();
  await killMember(0);
  await killMember(1);
  await startHosts(async host => {
    before = await traces(host);
    if (host === hosts[1]) await giveQuorum();
  });
  for (const host of hosts) await startLibvirtd(host);
  for (const host of hosts) assert(((await network(host)).shared?.freeAddresses ?? 0) >= 16);
  const { stdout } = await at(0).virlan('status');
  assert.match(
    stdout,
    /^ {2}etcd connected to https:\/\/10\.0\.0\.1[123]:2379 since \S+ {2}\d+ addresses in reserve$/m,
  );
  assert.match(stdout, /^ {4}10\.0\.0\.2 +alive +0$/m);
});

ledgers('a machine of one host is found by name on all', async () => {
  const { ip, mac } = await define(at(0), 'first');
  assert(ip);
  await resolvesOn(hosts, 'first', ip);
  const known = await elsewhere(at(1), 'first');
  assert.deepEqual([known?.ip, known?.mac, known?.host], [ip, mac, '10.0.0.1']);

  assert.equal((await at(2).virlan('ip', 'first')).stdout, ip);
  assert.equal((await at(2).virlan('mac', 'first')).stdout, mac);
});

/** Rounds of two hosts that define one name. Which of them begins follows from the number of the round. */
const rounds = 6;

ledgers('two hosts that define one name at the same moment: one has it, the other one says so', async () => {
  for (let round = 0; round < rounds; round++) {
    const name = `twin${round}`;
    const rivals = [at(round % 3), at((round + 1) % 3)] as const;
    await Promise.all(rivals.map(host => define(host, name)));
    const lost = async () => {
      const found = await Promise.all(rivals.map(host => machine(host, name)));
      return found.filter(each => each?.problem?.startsWith('its name is that of another machine') === true);
    };
    await until(async () => (await lost()).length === 1);
    const both = await Promise.all(rivals.map(host => machine(host, name)));
    const [winner] = both.filter(each => each?.problem === null);
    assert(winner?.ip, JSON.stringify(both));
    assert.notEqual(both[0]?.ip, both[1]?.ip);
    await resolvesOn(hosts, name, winner.ip);
    // The one that lost is not running: it has another MAC by now.
    await until(async () => {
      const [one, other] = await Promise.all(rivals.map(host => machine(host, name)));
      return one?.mac !== other?.mac;
    });
  }
  for (const host of hosts)
    assert.doesNotMatch(await host.run('cat', '/var/log/virlan.log'), /"code":"failed"/);
});

ledgers('a machine that is moved while it is off keeps MAC, address and name', async () => {
  const xml = xmlOf('moved');
  const there = await define(at(0), 'moved', xml);
  await start(at(0), 'moved');
  await virsh(at(0), 'destroy', 'moved');
  running.delete('moved');
  const definition = await virsh(at(0), 'dumpxml', '--inactive', 'moved');
  await until(async () => (await elsewhere(at(1), 'moved')) !== null);
  await virsh(at(1), 'define', await writeXml(at(1), 'moved', definition));
  await virsh(at(0), 'undefine', 'moved');
  await start(at(1), 'moved');
  const here = await machine(at(1), 'moved');
  assert.deepEqual([here?.ip, here?.mac, here?.hostname], [there.ip, there.mac, 'moved']);
  await until(async () => (await elsewhere(at(0), 'moved'))?.host === '10.0.0.2');
  assert.equal(await machine(at(0), 'moved'), null);
  await resolvesOn(hosts, 'moved', there.ip);
  assert.match(
    await at(1).run('cat', '/var/lib/dnsmasq/k8s-br0/hostsfile'),
    new RegExp(`${there.mac},id:\\*,${there.ip},moved`),
  );
  assert.doesNotMatch(await at(0).run('cat', '/var/lib/dnsmasq/k8s-br0/hostsfile'), /,moved/);
});

ledgers('the group and the isolation that a machine runs with are known to the other hosts', async () => {
  await start(at(0), 'first');
  const { uuid } = (await machine(at(0), 'first')) ?? {};
  const entries = async () =>
    (await keysBelow(`/virlan/100/machine/${uuid}`)).get(`/virlan/100/machine/${uuid}`);
  const element = "<machine group='shop'/>";
  const metadata = ['--uri', 'urn:virlan:machine:1', '--key', 'virlan', '--set', element];
  await virsh(at(0), 'metadata', 'first', '--live', ...metadata);
  await until(async () => (await entries())?.includes('"group":"shop"') === true);
  const live = await virsh(at(0), 'dumpxml', 'first');
  const [nic = ''] = /<interface[\s\S]*<\/interface>/.exec(live) ?? [];
  const isolated = nic.replace('</interface>', "<port isolated='yes'/></interface>");
  const isKeptApart = async () =>
    (await at(1).run('nft', 'list', 'set', 'bridge', 'virlan-k8s-br0', 'remote_isolated')).includes(
      `0x${running.get('first')?.mac.replaceAll(':', '')}`,
    );
  assert.equal(await isKeptApart(), false);
  await virsh(at(0), 'update-device', 'first', await writeXml(at(0), 'nic', isolated), '--live');
  await until(isKeptApart);
  await virsh(at(0), 'update-device', 'first', await writeXml(at(0), 'nic', nic), '--live');
  await until(async () => !(await isKeptApart()));
  await virsh(at(0), 'destroy', 'first');
  running.delete('first');
});

ledgers(
  'etcd without a quorum: machines start with addresses of the blocks of their hosts; then all merges',
  async () => {
    await killMember(0);
    await killMember(1);
    for (const host of hosts) await until(async () => !(await isConnected(host)));
    assert.deepEqual(await problems(at(0)), ['etcd']);
    const given: (string | null)[] = [];
    for (let number = 0; number < 3; number++)
      for (const [index, host] of hosts.entries()) {
        const { ip } = await define(host, `cut${index}-${number}`);
        given.push(ip);
      }
    assert(given.every(ip => ip !== null));
    assert.equal(new Set(given).size, given.length);
    for (const [index, host] of hosts.entries()) await start(host, `cut${index}-0`);
    // The name of a machine on two hosts, which do not know of each other, and which run.
    for (const host of [at(0), at(1)]) await define(host, 'split');
    await start(at(0), 'split');
    const one = running.get('split');
    await start(at(1), 'split');
    const two = running.get('split');
    running.delete('split');
    startMember(0);
    startMember(1);
    for (const host of hosts) await until(() => isConnected(host), 60);
    await resolvesOn(hosts, 'cut2-2', given.at(-1) ?? null);
    await check();
    const splits = async () => Promise.all([machine(at(0), 'split'), machine(at(1), 'split')]);
    await until(async () => (await splits()).filter(each => each?.problem !== null).length === 1);
    assert.deepEqual(
      (await splits()).map(each => each?.ip),
      [one?.ip, two?.ip],
      'both keep their addresses while they run',
    );
    const [winner] = (await splits()).filter(each => each?.problem === null);
    await resolvesOn(hosts, 'split', winner?.ip ?? null);
    assert.deepEqual(await problems(at(0)), []);
  },
);

ledgers(
  'a host that is cut off goes on, and its machine that is started elsewhere keeps its address there',
  async () => {
    const xml = xmlOf('carried');
    const there = await define(at(2), 'carried', xml);
    await until(async () => (await elsewhere(at(0), 'carried')) !== null);
    await cutOff(at(2));
    await until(async () => !(await isConnected(at(2))));
    const alone = await define(at(2), 'alone');
    assert(alone.ip);
    await start(at(2), 'alone');
    await define(at(0), 'together');
    await start(at(0), 'together');
    await virsh(at(0), 'define', await writeXml(at(0), 'carried', xml));
    await start(at(0), 'carried');
    assert.equal((await machine(at(0), 'carried'))?.ip, there.ip);
    await joinAgain(at(2));
    await until(() => isConnected(at(2)));
    await resolvesOn(hosts, 'alone', alone.ip);
    await until(async () => (await elsewhere(at(2), 'carried'))?.host === '10.0.0.1');
    await check();
  },
);

ledgers(
  'over a slow and lossy link a host gives addresses, tells its names and learns those of others',
  async () => {
    const restore = await degradeLink(at(2), { delayMs: 150, lossPercent: 15, seed: 1 });
    try {
      await assertDegraded(at(2), memberAddresses[0], 150);
      const given = new Map<string, string | null>();
      for (let number = 0; number < 2; number++)
        for (const [index, host] of hosts.entries()) {
          const name = `slow${index}-${number}`;
          given.set(name, (await define(host, name)).ip);
        }
      await start(at(2), 'slow2-0');
      for (const [name, ip] of given) {
        assert(ip);
        for (const host of hosts) await until(async () => (await resolve(host, name)) === ip, 120);
      }
      await check();
    } finally {
      await restore();
    }
    for (const host of hosts) await until(() => isConnected(host));
    await until(async () => (await problems(at(2))).length === 0);
    await check();
  },
);

ledgers('machines that run on one host are pinged from another', async () => {
  // iPXE does not answer pings: a namespace takes the place of a machine.
  const [from, to] = [
    await at(0).machine('g1', '52:54:00:00:0a:01'),
    await at(1).machine('g2', '52:54:00:00:0a:02'),
  ];
  const ip = (await elsewhere(at(0), 'g2'))?.ip ?? '';
  await run(from, 'ip', 'address', 'add', '192.168.100.2/24', 'dev', 'eth0');
  await run(to, 'ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0');
  await until(async () => /1 received/.test(await run(from, 'sh', '-c', `ping -c 1 -W 1 ${ip} || true`)));
  // The tunnels of these hosts have static peers.
  assert.deepEqual(await clusterMetricsAbsent(at(0)), ['virlan_bgp_session_up', 'virlan_bgp_routes']);
});

ledgers(
  'a wrong password, a wrong certificate and a missing file are named, and machines start',
  async () => {
    const cases: [key: RegExp, value: string, reason: RegExp][] = [
      [
        /^password-file.*$/m,
        'password-file = /etc/virlan/other-ca.pem',
        /look at username and password-file/,
      ],
      [/^ca.*$/m, 'ca = /etc/virlan/other-ca.pem', /look at ca, cert and key/],
      [/^ca.*$/m, 'ca = /etc/virlan/none.pem', /look at the files .*\/etc\/virlan\/none\.pem cannot be read/],
    ];
    for (const [index, [key, value, reason]] of cases.entries()) {
      await at(2).configure(sharedIni(2).replace(key, value));
      await until(async () => (await network(at(2))).problems.some(text => reason.test(text))).catch(
        async () => {
          throw new Error(`${value}: ${JSON.stringify((await network(at(2))).problems)}`);
        },
      );
      const { ip } = await define(at(2), `wrong${index}`);
      assert(ip);
    }
    await at(2).configure(sharedIni(2));
    await until(() => isConnected(at(2)));
    await until(async () => (await problems(at(2))).length === 0);
  },
);

ledgers('a watcher that is killed finds everything again', async () => {
  await at(1).endWatch();
  const { ip } = await define(at(0), 'meanwhile');
  await at(1).watch();
  await resolvesOn(hosts, 'meanwhile', ip);
  await check();
});

ledgers('a host that leaves takes its part along, and keeps its machines', async () => {
  const kept = await machine(at(2), 'alone');
  await at(2).configure('[network.k8s-br0]\n');
  await until(async () => (await partOf(at(2))).length === 0).catch(async () => {
    throw new Error(
      `left behind: ${JSON.stringify(await partOf(at(2)))} ${await at(2).run('tail', '-n', '5', '/var/log/virlan.log')}`,
    );
  });
  await until(async () => (await elsewhere(at(0), 'alone')) === null);
  await until(async () => (await network(at(0))).tunnel?.peers.length === 1);
  const now = await machine(at(2), 'alone');
  assert.deepEqual([now?.ip, now?.mac], [kept?.ip, kept?.mac]);
  assert.equal(await resolve(at(2), 'first'), 'ENOTFOUND');
  assert.equal(await at(2).run('sh', '-c', 'ls /var/lib/virlan/cluster'), '');
  // And it joins again, with its machines.
  await at(2).configure(sharedIni(2));
  await resolvesOn(hosts, 'alone', kept?.ip ?? null);
  await check();
});

ledgers('a host that died: its machines are started elsewhere, and keep all that they have', async () => {
  const xml = xmlOf('orphan');
  const there = await define(at(2), 'orphan', xml);
  const definition = await virsh(at(2), 'dumpxml', '--inactive', 'orphan');
  await start(at(2), 'orphan');
  await until(async () => (await elsewhere(at(0), 'orphan')) !== null);
  await at(2).stop();
  running.delete('orphan');
  for (const name of [...running.keys()]) if (running.get(name)?.host === hosts[2]) running.delete(name);
  await virsh(at(0), 'define', await writeXml(at(0), 'orphan', definition));
  await start(at(0), 'orphan');
  const here = await machine(at(0), 'orphan');
  assert.deepEqual([here?.ip, here?.mac, here?.hostname], [there.ip, there.mac, 'orphan']);
  await resolvesOn([at(0), at(1)], 'orphan', there.ip);
  await until(
    async () =>
      (await network(at(0))).shared?.hosts.find(each => each.address === '10.0.0.3')?.alive === false,
    60,
  );
  await check();
});

ledgers('down leaves nothing', async () => {
  for (const name of (await virsh(at(1), 'list', '--name')).split('\n').filter(text => text !== ''))
    await virsh(at(1), 'destroy', name);
  await at(1).endWatch();
  const down = await at(1).virlan('down');
  assert.equal(down.exitCode, 0, down.stderr);
  assert.equal(await traces(at(1)), before);
  for (const host of [at(0), at(1)]) await host.stop();
});

ledgers.run();
