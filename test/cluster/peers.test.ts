// Three hosts of a cluster: what status, doctor and metrics of the first say about the others, and about its own
// end, while real damage is done; and that the commands that they name do what they say.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Status } from '../../src/report/status.ts';
import { addresses, ClusterHost, ini, makeUnderlay } from '../sandbox/cluster-hosts.ts';
import { installFirewalls } from '../sandbox/firewalls.ts';
import { dhcp, type Guest, installVirlan, probe, run } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import type { Check } from '../sandbox/virlan-commands.ts';

const peers = suite('cluster peers');

const hosts: ClusterHost[] = [];

function hostAt(index: number): ClusterHost {
  const host = hosts[index];
  assert(host);
  return host;
}

const machines: { machine: Guest; ip: string }[] = [];

/** Sends a ping from the first host's machine to that of another host. */
function reaches(index: number): Promise<string> {
  const [from, to] = [machines[0], machines[index]];
  assert(from && to);
  return probe(from.machine, { proto: 'icmp', to: to.ip });
}

/** Returns the findings of the first host's doctor about the cluster. */
async function findings(): Promise<Check[]> {
  const { stdout } = await hostAt(0).virlan('doctor', '--json');
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  return checks.filter(({ check }) => check === 'tunnel' || check === 'peers');
}

/** Returns the codes of the findings that are not successes. */
async function failures(): Promise<string[]> {
  return (await findings()).filter(({ state }) => state !== 'ok').map(({ code }) => code);
}

/** Returns the only finding that is not a success. */
async function onlyFailure(): Promise<Check> {
  const found = (await findings()).filter(({ state }) => state !== 'ok');
  assert.equal(found.length, 1, JSON.stringify(found, null, 1));
  return found[0] as Check;
}

/** Returns the network of the first host's status. */
async function network() {
  const { networks }: Status = JSON.parse((await hostAt(0).virlan('status', '--json')).stdout);
  assert(networks[0]);
  return networks[0];
}

/** Returns the first host's problems. Kernels without dummy devices are none of the cluster's. */
async function problems(): Promise<[code: string, command: string | undefined][]> {
  const { faults } = await network();
  return faults.filter(({ code }) => code !== 'no-dummy').map(({ code, fix }) => [code, fix?.command]);
}

/** Returns the answers of the peers, as the first host's watcher has them. */
async function answers(): Promise<(string | null)[]> {
  return ((await network()).tunnel?.peers ?? []).map(({ answer }) => answer);
}

/** Types a command into a shell of the first host. Returns its output. */
function type(command: string): Promise<string> {
  return hostAt(0).run('sh', '-c', `${command} 2>&1 || true`);
}

/** Does damage to a host by a shell script, has it judged, and takes it away: then all is well again. */
async function damaged(
  index: number,
  script: string,
  end: string,
  check: () => Promise<void>,
): Promise<void> {
  await hostAt(index).run('sh', '-c', script);
  try {
    await check();
  } finally {
    await hostAt(index).run('sh', '-c', end);
  }
  assert.deepEqual(await failures(), []);
}

peers('a cluster that is well', async () => {
  await installVirlan();
  await installFirewalls();
  await makeUnderlay();
  for (const [index, address] of addresses.entries()) {
    const host = await ClusterHost.start(`host${index + 1}`, address);
    hosts.push(host);
    await host.configure(ini(index));
    const { exitCode, stderr } = await host.virlan('up');
    assert.equal(exitCode, 0, stderr);
  }
  for (const [index, host] of hosts.entries()) {
    const machine = await host.machine(`m${index + 1}`, `52:54:00:00:00:0${index + 1}`);
    machines.push({ machine, ip: await dhcp(machine) });
  }
  const found = await findings();
  assert.deepEqual(
    found.map(({ check, state, code }) => [check, state, code]),
    [
      ['tunnel', 'ok', 'tunnel-in-force'],
      ['peers', 'ok', 'peer-answers'],
      ['peers', 'ok', 'peer-answers'],
    ],
  );
  const { tunnel } = await network();
  assert(tunnel);
  const { peers: listed, ...own } = tunnel;
  assert.deepEqual(own, { vni: 100, link: 'k8s-br0-vx', mtu: 1450, address: '10.0.0.1', bgp: null });
  assert.deepEqual(
    listed.map(({ address, listed: isListed, answer }) => [address, isListed, answer]),
    [
      ['10.0.0.2', true, null],
      ['10.0.0.3', true, null],
    ],
  );
  assert.deepEqual([await reaches(1), await reaches(2)], ['open', 'open']);
  const macs = (await network()).tunnel?.peers.map(each => each.macs) ?? [];
  assert(
    macs.every(count => count > 0),
    `${macs}`,
  );
});

peers('the watcher asks: status, its text, metrics', async () => {
  await hostAt(0).watch();
  await until(async () => (await answers()).every(answer => answer === 'answers'));
  const { stdout } = await hostAt(0).virlan('status');
  assert.match(stdout, /^ {2}tunnel k8s-br0-vx {2}VNI 100 {2}MTU 1450 {2}from 10\.0\.0\.1$/m);
  assert.match(stdout, /^ {4}10\.0\.0\.2 +answers +\d{4}-\S+Z +yes +\d+$/m);
  const metrics = (await hostAt(0).virlan('metrics')).stdout;
  assert.match(metrics, /^virlan_peer_up\{network="k8s-br0",peer="10\.0\.0\.2"\} 1$/m);
  assert.match(metrics, /^virlan_peer_listed\{network="k8s-br0",peer="10\.0\.0\.3"\} 1$/m);
});

peers('a peer that is down', async () => {
  await damaged(2, 'ip link set lan down', 'ip link set lan up', async () => {
    const { code, fix } = await onlyFailure();
    assert.equal(code, 'peer-silent');
    assert.equal(await reaches(2), 'timeout');
    assert.match(await type(fix?.command ?? ''), /3 packets transmitted, 0 received/);
    await until(async () => (await answers())[1] === 'silent', 60);
    assert.deepEqual(await problems(), [['peer', fix?.command]]);
    const metrics = (await hostAt(0).virlan('metrics')).stdout;
    assert.match(metrics, /^virlan_peer_up\{network="k8s-br0",peer="10\.0\.0\.3"\} 0$/m);
    assert.match(metrics, /^virlan_network_problems\{network="k8s-br0",code="peer"\} 1$/m);
  });
  await until(async () => (await answers())[1] === 'answers', 60);
  const log = await hostAt(0).run('cat', '/var/log/virlan.log');
  assert.match(log, /"code":"peer-changed".*"peer":"10\.0\.0\.3","answer":"silent"/);
  await hostAt(0).endWatch();
});

peers('no route to a peer', () =>
  damaged(0, 'ip route add unreachable 10.0.0.3', 'ip route delete unreachable 10.0.0.3', async () => {
    const { code, fix } = await onlyFailure();
    assert.equal(code, 'peer-without-route');
    assert.match(await type(fix?.command ?? ''), /unreachable 10\.0\.0\.3/);
  }),
);

/** Sends a ping of full size to the machine of the third host. */
function pingsLarge(): Promise<boolean> {
  const [from, to] = [machines[0], machines[2]];
  assert(from && to);
  const args = ['-n', '-c', '1', '-W', '1', '-s', '1422', to.ip];
  return run(from.machine, 'ping', ...args).then(
    () => true,
    () => false,
  );
}

peers('the link of a peer takes smaller packets only', async () => {
  await damaged(2, 'ip link set lan mtu 1400', 'ip link set lan mtu 1500', async () => {
    const { code, seen, fix } = await onlyFailure();
    assert.equal(code, 'peer-needs-smaller-packets');
    assert.match(seen, /^10\.0\.0\.3 answers, but not to packets of 1500 bytes/);
    assert.match(await type(fix?.command ?? ''), /1 packets transmitted, 0 received/);
    assert.deepEqual([await reaches(2), await pingsLarge()], ['open', false]);
  });
  assert.equal(await pingsLarge(), true);
});

peers(
  'where the kernel knows the packets that a way takes, the MTU that fits is named, and mends',
  async () => {
    const way = '10.0.0.3/32 dev lan';
    await damaged(0, `ip route add ${way} mtu 1400`, `ip route delete ${way}`, async () => {
      const { code, seen, fix } = await onlyFailure();
      assert.equal(code, 'peer-needs-smaller-packets');
      const [, key = ''] = /set (mtu = \d+) in \[network\.k8s-br0\]/.exec(seen) ?? [];
      assert.equal(key, 'mtu = 1350');
      assert.match(await type(fix?.command ?? ''), /mtu=1400/);
      await hostAt(0).configure(ini(0, key));
      await hostAt(0).virlan('up');
      assert.deepEqual(await failures(), []);
      await hostAt(0).configure(ini(0));
      await hostAt(0).virlan('up');
    });
  },
);

const startFirewalld = `
mkdir -p /run/dbus
dbus-daemon --system --fork
firewalld
timeout 30 sh -c 'until firewall-cmd --state; do sleep 0.1; done'
virlan up
`;

/** Rules that drop packets of tunnels, as commands, and as the finding names them. */
const drops: [title: string, script: string, seen: RegExp, end: string][] = [
  [
    'a rule of nft',
    "nft 'table inet corp { chain in { type filter hook input priority 0; udp dport 4789 drop; }; }'",
    /packets from 10\.0\.0\.2, 10\.0\.0\.3 to UDP port 4789 .* by a rule of chain in of table inet corp: udp dport 4789 drop/,
    'nft delete table inet corp',
  ],
  [
    'a policy of nft',
    "nft 'table inet corp { chain in { type filter hook input priority 0; policy drop; icmp type echo-request accept; icmp type echo-reply accept; meta l4proto icmp accept; iifname k8s-br0 accept; }; }'",
    /by the policy of chain in of table inet corp/,
    'nft delete table inet corp',
  ],
  [
    'a rule of nft against packets to one host',
    "nft 'table ip corp { chain out { type filter hook output priority 0; ip daddr 10.0.0.3 udp dport 4789 drop; }; }'",
    /packets to 10\.0\.0\.3 to UDP port 4789 .* chain out of table ip corp/,
    'nft delete table ip corp',
  ],
  [
    'a rule of iptables',
    'iptables -A INPUT -p udp --dport 4789 -j DROP',
    /by a rule of chain INPUT of table ip filter: -p udp -m udp --dport 4789 -j DROP/,
    'iptables -F INPUT',
  ],
  [
    'ufw',
    'ufw --force enable && virlan up',
    /packets from 10\.0\.0\.2, 10\.0\.0\.3 to UDP port 4789 .* by the policy of chain INPUT of table ip filter/,
    'ufw --force reset && virlan up',
  ],
  [
    'firewalld',
    startFirewalld,
    /packets from 10\.0\.0\.2, 10\.0\.0\.3 to UDP port 4789 .* of table inet firewalld/,
    'kill $(cat /run/firewalld.pid) && timeout 30 sh -c "while nft list table inet firewalld; do sleep 0.1; done" && virlan up',
  ],
];

for (const [title, script, seen, end] of drops)
  peers(`UDP port 4789 is dropped on this host by ${title}: the command lets machines through`, () =>
    damaged(0, script, end, async () => {
      const found = await onlyFailure();
      assert.equal(found.code, 'tunnel-dropped');
      assert.match(found.seen, seen);
      const ofTunnel = (await problems()).filter(([code]) => code !== 'unknown-chain');
      assert.deepEqual(ofTunnel, [['tunnel-dropped', found.fix?.command]]);
      assert.equal(found.fix?.mends, true);
      assert.equal(await reaches(2), 'timeout');
      await hostAt(0).run('sh', '-c', found.fix?.command ?? '');
      assert.deepEqual(await failures(), []);
      assert.equal(await reaches(2), 'open');
    }),
  );

/** By way in which a peer refuses the tunnel: how that begins and ends. */
const refusals: [title: string, script: string, end: string][] = [
  ['its tunnel is down', 'virlan down', 'virlan up'],
  [
    'its firewall rejects the packets',
    "nft 'table inet corp { chain in { type filter hook input priority 0; udp dport 4789 reject with icmpx admin-prohibited; }; }'",
    'nft delete table inet corp',
  ],
];

for (const [title, script, end] of refusals)
  peers(`a peer refuses the tunnel: ${title}`, () =>
    damaged(2, script, end, async () => assert.equal((await onlyFailure()).code, 'peer-refuses')),
  );

peers('an entry of a peer is missing in the kernel', async () => {
  const entry = '00:00:00:00:00:00 dev k8s-br0-vx dst 10.0.0.3';
  await damaged(0, `bridge fdb delete ${entry}`, 'true', async () => {
    const listed = (await network()).tunnel?.peers.map(each => each.listed);
    assert.deepEqual(listed, [true, false]);
    assert.deepEqual(await problems(), [['drift', 'virlan up']]);
    const { check, code, seen, fix } = await onlyFailure();
    assert.deepEqual([check, code, fix?.command], ['tunnel', 'plan-step', 'virlan up']);
    assert.match(seen, /^k8s-br0-vx does not lead to 10\.0\.0\.3/);
    await type(fix?.command ?? '');
  });
});

peers('this host does not have the address of [cluster]', async () => {
  const address = '10.0.0.1/24 dev lan';
  await damaged(0, `ip address delete ${address}`, `ip address add ${address}`, async () => {
    const found = await findings();
    assert.deepEqual(
      found.map(({ check, state, code }) => [check, state, code]),
      [
        ['tunnel', 'fail', 'underlay-missing'],
        ['peers', 'skipped', 'underlay-missing'],
      ],
    );
    assert.match(await type(found[0]?.fix?.command ?? ''), /^lan/m);
  });
});

/** Puts links to all programs in the place of the directory of ping, in the mount namespace of one host. */
const withoutPing = `
directory=$(dirname "$(readlink -f "$(command -v ping)")")
mkdir /run/real /run/links
mount --bind "$directory" /run/real
ln -s /run/real/* /run/links/
rm /run/links/ping
mount --bind /run/links "$directory"
echo "$directory" > /run/directory
`;

peers('without ping the size of packets is not known, and a peer that is down is still found', () =>
  damaged(0, withoutPing, 'umount "$(cat /run/directory)"', async () => {
    assert.deepEqual(await failures(), ['peer-size-unknown', 'peer-size-unknown']);
    await hostAt(2).run('ip', 'link', 'set', 'lan', 'down');
    assert.deepEqual(await failures(), ['peer-size-unknown', 'peer-silent']);
    await hostAt(2).run('ip', 'link', 'set', 'lan', 'up');
  }),
);

peers('the hosts end', async () => {
  for (const each of hosts) await each.stop();
});

peers.run();
