// The probe of a network: a short-lived guest that tests DHCP, DNS and the way outside.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  guest,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  leases,
  nameServer,
  run,
  startLibvirtd,
  virlan,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

interface Check {
  check: string;
  state: string;
  seen: string;
}

const probes = suite('probe');
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
let outside: Linked;

/**
 * Things that a probe may change: rewritten files, and the bridge's ageing time, which STP shortens when a port
 * leaves.
 */
const expectedChanges = [/hostsfile|\.told|leases/, / link .*"ifname":"k8s-br0".*"stp_state":1/];

/** Runs a probe and returns state and text of each stage. */
async function runProbe(): Promise<Record<string, string>> {
  const { stdout, stderr } = await virlan('doctor', '--json');
  assert.equal(stderr, '');
  const checks: Check[] = JSON.parse(stdout).checks;
  const own = checks.filter(({ check }) => check.startsWith('probe') || check === 'upstream-dns');
  return Object.fromEntries(own.map(({ check, state, seen }) => [check, `${state}: ${seen}`]));
}

async function network(...lines: string[]): Promise<void> {
  await configure(['[network.k8s-br0]', ...lines, ''].join('\n'));
  await up();
}

function isReserved(): boolean {
  return readFileSync(hostsfile, 'utf8').includes('virlan-probe');
}

/** Returns whether a probe exists: its namespace, its link or its reservation. */
function hasProbe(): boolean {
  return existsSync('/run/netns/virlan-probe') || existsSync('/sys/class/net/virlan-probe') || isReserved();
}

function isLeased(): boolean {
  return leases().some(({ hostname }) => hostname === 'virlan-probe');
}

async function startMachine(name: string, mac: string): Promise<void> {
  const nics = [{ type: 'bridge' as const, source: 'k8s-br0', mac }];
  assert.equal((await prepare({ name, uuid: randomUUID(), nics })).exitCode, 0);
}

function reservedAddress(mac: string): string | undefined {
  const line = readFileSync(hostsfile, 'utf8')
    .split('\n')
    .find(each => each.startsWith(mac));
  return line?.split(',')[2];
}

probes('passes all stages, waits for STP, reports the wait, and leaves nothing behind', async () => {
  await installVirlan();
  outside = await internet();
  await nameServer(outside, internetAddress);
  await network();
  await startMachine('web', '52:54:00:00:00:0a');
  // The bridge has a carrier only while a machine is on it.
  await guest('web', { mac: '52:54:00:00:00:0a' });
  // Writes the new machine into the files that libvirt reads.
  await up();
  const before = await snapshot();
  const stages = await runProbe();
  assert.match(stages['probe-port'] ?? '', /^ok: forwards after [345]\.\d s of STP$/);
  assert.deepEqual(
    { ...stages, 'probe-port': '' },
    {
      'probe-port': '',
      'probe-lease': 'ok: 192.168.100.254 leased as reserved',
      'probe-dns': 'ok: 192.168.100.1 knows the probe by its name',
      'probe-forward': 'ok: leaves by uplink',
      'probe-masquerade': 'ok: leaves with the address of the host',
      'probe-return': `ok: ${internetAddress} answers`,
      'upstream-dns': 'ok: names of the outside resolve',
    },
  );
  await until(() => !isLeased());
  assert.deepEqual(await changesSince(before, ...expectedChanges), []);
});

/** Starts the doctor and kills it as soon as the condition holds. */
async function kill(when: () => Promise<unknown>): Promise<void> {
  const child = spawn('/usr/sbin/virlan', ['doctor'], { detached: true, stdio: 'ignore' });
  const ended = once(child, 'close');
  await when();
  // On a fast host it may have ended by then.
  if (child.exitCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL');
  await ended;
}

probes('a killed probe is removed by the next probe and by up', async () => {
  const before = await snapshot();
  for (const removeProbe of [up, runProbe]) {
    await kill(() => until(() => existsSync('/sys/class/net/virlan-probe/brport') && isReserved()));
    assert(existsSync('/run/netns/virlan-probe') && isReserved());
    await removeProbe();
    assert(!hasProbe());
    await until(() => !isLeased());
    assert.deepEqual(await changesSince(before, ...expectedChanges), []);
  }
});

probes('the lock of a probe that was killed before it did anything is removed by up', async () => {
  const before = await snapshot();
  symlinkSync('1', '/run/virlan/probe.lock.holder');
  await up();
  assert.deepEqual(await changesSince(before, ...expectedChanges), []);
});

probes('a probe killed at any point leaves files intact, and nothing after up', async () => {
  await network('stp = no');
  const before = await snapshot();
  for (let delayMs = 50; delayMs <= 500; delayMs += 30)
    await kill(() => new Promise(resolve => setTimeout(resolve, delayMs)));
  await up();
  assert(!hasProbe());
  await until(() => !isLeased());
  assert.deepEqual(await plannedSteps(), []);
  assert.deepEqual(await changesSince(before, ...expectedChanges), []);
  assert.equal((await runProbe())['probe-lease'], 'ok: 192.168.100.254 leased as reserved');
});

probes('two probes run one after the other', async () => {
  for (const stages of await Promise.all([runProbe(), runProbe()]))
    assert.equal(stages['probe-lease'], 'ok: 192.168.100.254 leased as reserved');
});

probes('never takes an address of a [host.…] section, the hostsfile or the ledger', async () => {
  // The last three addresses of the pool are reserved in three ways.
  await network(
    'stp = no',
    'dhcp-range = 192.168.100.2-192.168.100.9',
    '[host.printer]',
    'network = k8s-br0',
    'mac = 52:54:00:00:00:10',
    'ip = 192.168.100.9',
  );
  await execa('sh', ['-c', `echo 52:54:00:00:00:11,192.168.100.8 >> ${hostsfile}`]);
  // The index is made anew from the machines' files.
  await execa('sh', [
    '-c',
    `cd /var/lib/virlan/ledger; rm -r index; sed -i 's/"ip": "[0-9.]*"/"ip": "192.168.100.7"/' machines/*`,
  ]);
  await up();
  assert.equal((await runProbe())['probe-lease'], 'ok: 192.168.100.6 leased as reserved');
});

probes('a machine that starts during a probe gets its own address', async () => {
  await network('stp = yes', 'dhcp-range = 192.168.100.2-192.168.100.9');
  const probing = runProbe();
  await until(isReserved);
  const macs = Array.from({ length: 4 }, (_, index) => `52:54:00:00:01:0${index}`);
  for (const mac of macs) await startMachine(`crowd${mac.at(-1)}`, mac);
  const reserved = macs.map(reservedAddress);
  assert.match((await probing)['probe-lease'] ?? '', /^ok: /);
  const probeAddress = /^ok: (\S+) leased/.exec((await probing)['probe-lease'] ?? '')?.[1];
  assert.equal(new Set([...reserved, probeAddress]).size, 5);
});

probes('the probe is skipped, without a failure, when no address of the pool is free', async () => {
  await network('stp = no', 'dhcp-range = 192.168.100.2-192.168.100.3');
  const stages = await runProbe();
  assert.match(stages['probe-lease'] ?? '', /^skipped: no address of dhcp-range is free/);
  await network('stp = no');
});

probes('a next hop that does not answer the host either is not a failure', async () => {
  await run(outside, 'nft', 'add table ip silent');
  await run(outside, 'nft', 'add chain ip silent in { type filter hook input priority 0; }');
  await run(outside, 'nft', 'add rule ip silent in udp dport != 53 drop');
  await run(outside, 'nft', 'add rule ip silent in meta l4proto icmp drop');
  assert.match(
    (await runProbe())['probe-return'] ?? '',
    /^ok: 203\.0\.113\.2 answers neither a machine nor this host; packets leave as they should$/,
  );
  await run(outside, 'nft', 'delete table ip silent');
});

probes('a next hop whose address nobody has is named', async () => {
  await run(outside, 'ip', 'link', 'set', 'dev', 'eth0', 'arp', 'off');
  await execa('ip', ['neigh', 'flush', 'dev', 'uplink']);
  assert.match(
    (await runProbe())['probe-return'] ?? '',
    /^warn: nobody answers ARP for 203\.0\.113\.2 on uplink: /,
  );
  await run(outside, 'ip', 'link', 'set', 'dev', 'eth0', 'arp', 'on');
});

probes('without ping the probe uses UDP', async () => {
  await execa('mv', ['/usr/bin/ping', '/usr/bin/ping.hidden']);
  assert.equal((await runProbe())['probe-return'], `ok: ${internetAddress} answers`);
  await execa('mv', ['/usr/bin/ping.hidden', '/usr/bin/ping']);
});

probes('without nft packets are not counted: an answer shows that they left', async () => {
  await network('stp = no', 'firewall = iptables');
  await execa('mv', ['/usr/sbin/nft', '/usr/sbin/nft.hidden']);
  const stages = await runProbe();
  await execa('mv', ['/usr/sbin/nft.hidden', '/usr/sbin/nft']);
  assert.equal(stages['probe-forward'], 'ok: leaves by uplink');
  assert.equal(stages['probe-return'], `ok: ${internetAddress} answers`);
});

probes(
  'a chain at the ingress of a link that drops is named, with a command that works when typed',
  async () => {
    await network('stp = no');
    const drop = (link: string, rule: string) =>
      execa('nft', ['-f', '-'], {
        input: `table netdev corp { chain first { type filter hook ingress device "${link}" priority 0; ${rule} drop; }; }`,
      });
    await drop('k8s-br0', 'udp dport 67');
    const explained = async () => JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
    const { seen, fix } = await explained();
    assert.match(seen, / is dropped by a rule of netdev corp first: udp dport 67 drop$/);
    await execa('sh', ['-c', fix.command]);
    assert.equal((await runProbe())['probe-return'], `ok: ${internetAddress} answers`);
    await execa('nft', ['delete', 'table', 'netdev', 'corp']);

    await drop('uplink', `ip saddr ${internetAddress} ip protocol icmp`);
    assert.match(
      (await runProbe())['probe-return'] ?? '',
      /^fail: .* is dropped by a rule of netdev corp first: ip saddr 203\.0\.113\.2 /,
    );
    const shown = await execa('sh', ['-c', (await explained()).fix.command]);
    assert.match(shown.stdout, /203\.0\.113\.2 .*drop # handle \d+/);
    await execa('nft', ['delete', 'table', 'netdev', 'corp']);
  },
);

probes('a DHCP answer that the egress of the bridge drops: that chain is named, not virlan', async () => {
  await network('stp = no');
  await execa('nft', ['-f', '-'], {
    input:
      'table netdev corp { chain last { type filter hook egress device "k8s-br0" priority 0; udp sport 67 drop; }; }',
  });
  const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
  assert.deepEqual(
    [explanation.check, explanation.code],
    ['probe-lease', 'packet-dropped'],
    explanation.seen,
  );
  assert.match(explanation.seen, / is dropped by a rule of netdev corp last: udp sport 67 drop$/);
  await execa('sh', ['-c', explanation.fix.command]);
  assert.equal((await runProbe())['probe-return'], `ok: ${internetAddress} answers`);
  await execa('nft', ['delete', 'table', 'netdev', 'corp']);
});

probes('a rule that queues packets for a program that does not run is named', async () => {
  await network('stp = no');
  for (const { chain, stage } of [
    { chain: ['FORWARD', '-i', 'k8s-br0'], stage: 'probe-forward' },
    { chain: ['INPUT', '-i', 'k8s-br0', '-p', 'udp', '--dport', '53'], stage: 'probe-dns' },
  ]) {
    await execa('iptables', ['-I', ...chain, '-j', 'NFQUEUE', '--queue-num', '7']);
    const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
    assert.deepEqual([explanation.check, explanation.code], [stage, 'packet-dropped'], explanation.seen);
    assert.match(explanation.seen, new RegExp(` is dropped by a rule of ip filter ${chain[0]}: `));
    await execa('sh', ['-c', explanation.fix.command]);
    assert.equal((await runProbe())['probe-return'], `ok: ${internetAddress} answers`);
    await execa('iptables', ['-F', chain[0] ?? '']);
    // With nobody there, the kernel passes such packets.
    await execa('iptables', ['-I', ...chain, '-j', 'NFQUEUE', '--queue-num', '7', '--queue-bypass']);
    assert.equal((await runProbe())['probe-return'], `ok: ${internetAddress} answers`);
    await execa('iptables', ['-F', chain[0] ?? '']);
  }
});

/** Policies of a VPN with a network that contains that of the machines, and the stage at which each takes a packet. */
const vpnPolicies = [
  ['src 192.168.0.0/16 dst 0.0.0.0/0 dir fwd', 'probe-forward'],
  ['src 203.0.113.0/24 dst 192.168.0.0/16 dir out', 'probe-return'],
  ['src 192.168.0.0/16 dst 192.168.100.0/24 dir in', 'probe-dns'],
  ['src 192.168.0.0/16 dst 192.168.0.0/16 dir out', 'probe-dns'],
] as const;

probes(
  'a policy of IPsec that takes packets is named, and the command excepts machines from it',
  async () => {
    const tunnel = 'tmpl src 203.0.113.1 dst 198.51.100.1 proto esp reqid 1 mode tunnel';
    for (const [policy, stage] of vpnPolicies) {
      await execa('ip', [
        'xfrm',
        'policy',
        'add',
        ...policy.split(' '),
        'priority',
        '383',
        ...tunnel.split(' '),
      ]);
      const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
      assert.deepEqual([explanation.check, explanation.code], [stage, 'taken-by-ipsec'], policy);
      await execa('sh', ['-c', explanation.fix.command]);
      const after = await runProbe();
      assert.deepEqual(
        Object.values(after).filter(text => !text.startsWith('ok: ')),
        [],
        policy,
      );
      await execa('ip', ['xfrm', 'policy', 'flush']);
    }
  },
);

probes('a rule that keeps packets from being tracked is named, in nftables and in iptables', async () => {
  const masqueraded = async () => {
    const stage = (await runProbe())['probe-masquerade'] ?? '';
    const { fix } = JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
    return { stage, shown: (await execa('sh', ['-c', fix.command])).stdout };
  };
  await execa('nft', ['-f', '-'], {
    input:
      'table ip corp { chain early { type filter hook prerouting priority raw; ip saddr 192.168.100.0/24 notrack; }; }',
  });
  const ofNft = await masqueraded();
  assert.match(
    ofNft.stage,
    /^fail: .* they are not tracked, by a rule of ip corp early: ip saddr 192\.168\.100\.0\/24 notrack$/,
  );
  assert.match(ofNft.shown, / notrack # handle \d+/);
  await execa('nft', ['delete', 'table', 'ip', 'corp']);

  const rule = ['PREROUTING', '-t', 'raw', '-s', '192.168.100.0/24', '-j', 'CT', '--notrack'];
  await execa('iptables', ['-A', ...rule]);
  const ofIptables = await masqueraded();
  assert.match(ofIptables.stage, /^fail: .* they are not tracked, by a rule of ip raw PREROUTING: /);
  assert.match(ofIptables.shown, /-A PREROUTING -s 192\.168\.100\.0\/24 -j CT --notrack/);
  await execa('iptables', ['-D', ...rule]);
});

for (const [program, add, remove, by] of [
  [
    'iptables',
    'iptables -t nat -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 203.0.113.77',
    'iptables -t nat -F PREROUTING',
    /by a rule of ip nat PREROUTING: .*(?:dnat to|DNAT)/,
  ],
  [
    'iptables-legacy',
    'iptables-legacy -t nat -A PREROUTING -p udp -m multiport --dports 5353,53 -j DNAT --to-destination 203.0.113.77',
    'iptables-legacy -t nat -F PREROUTING',
    /by a rule of iptables-legacy nat PREROUTING: .*DNAT/,
  ],
  [
    'nft',
    "nft 'table inet corp { chain pre { type nat hook prerouting priority dstnat; ip saddr 192.168.100.0/24 udp dport 53 dnat ip to 203.0.113.2; }; }'",
    'nft delete table inet corp',
    /by a rule of inet corp pre: .*dnat ip to 203\.0\.113\.2/,
  ],
] as const)
  probes(
    `a rule of ${program} that sends DNS queries of machines elsewhere is named, and the DNS of the gateway excepted`,
    async () => {
      await execa('sh', ['-euc', add]);
      const stages = await runProbe();
      assert.match(
        stages['probe-dns'] ?? '',
        /^fail: DNS queries of machines to 192\.168\.100\.1 are sent elsewhere/,
      );
      assert.match(stages['probe-dns'] ?? '', by);
      const { code, fix } = JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
      assert.equal(code, 'dns-redirected');
      await execa('sh', ['-euc', fix.command]);
      assert.match((await runProbe())['probe-dns'] ?? '', /^ok: /);
      await execa('sh', ['-euc', remove]);
    },
  );

for (const [what, add, remove] of [
  [
    'a rule of the family arp',
    "nft 'table arp corp { chain in { type filter hook input priority 0; policy drop; }; }'",
    'nft delete table arp corp',
  ],
  [
    'a rule of the family bridge',
    "nft 'table bridge corp { chain in { type filter hook input priority 0; ether type arp drop; }; }'",
    'nft delete table bridge corp',
  ],
] as const)
  probes(`machines and a gateway that do not find each other by ARP because of ${what}`, async () => {
    await execa('sh', ['-euc', `${add}; ip neigh flush dev k8s-br0`]);
    const { code, seen, fix } = JSON.parse((await virlan('doctor', '--json')).stdout).explanation ?? {};
    const { stdout } = await execa('sh', ['-c', fix?.command ?? '']);
    await execa('sh', ['-euc', remove]);
    assert.equal(code, 'arp-silent', seen);
    assert.match(stdout, /table (arp|bridge) corp/);
  });

for (const rule of [
  'iifname "uplink" notrack',
  'iifname "uplink" ct zone set 5',
  'iifname "k8s-br0" ct zone set 5',
])
  probes(`a rule that keeps answers from being tracked with what they answer is named: ${rule}`, async () => {
    const chain = 'type filter hook prerouting priority raw';
    await execa('nft', ['-f', '-'], { input: `table ip corp { chain early { ${chain}; ${rule}; }; }` });
    const stage = (await runProbe())['probe-return'] ?? '';
    const { code, fix } = JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
    await execa('nft', ['delete', 'table', 'ip', 'corp']);
    assert(
      stage.startsWith('fail: ') && stage.endsWith(` because of a rule of ip corp early: ${rule}`),
      stage,
    );
    assert.equal(code, 'answer-not-tracked');
    assert.equal(fix.command, 'nft -a list chain ip corp early');
  });

probes('the watcher probes a network that it has established, and status shows the result', async () => {
  await network('stp = no');
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
  await startLibvirtd();
  await startWatcher();
  const { probe, problems } = await statusWhen(network => network.probe !== null, 20);
  const seen = `a packet to ${internetAddress} is dropped by the policy of ip filter FORWARD`;
  assert.deepEqual([probe?.passed, probe?.seen], [false, seen]);
  assert(problems.some(line => line.includes(seen) && line.includes('virlan doctor')));
  assert(logLinesOf('probed').some(({ msg }) => msg === `probe: ${seen}`));
  await stopWatcher();
  assert(!hasProbe());
});

probes("on a host without an uplink the watcher's log says that the outside was not tested", async () => {
  await execa('iptables', ['-P', 'FORWARD', 'ACCEPT']);
  await execa('ip', ['route', 'delete', 'default']);
  await startWatcher();
  const passed = () => logLinesOf('probed').filter(({ level }) => level === 30);
  await until(() => passed().length > 0, 20);
  assert.equal(
    passed()[0]?.msg,
    'probe: a machine gets its lease and names; the outside was not tested: ' +
      'what machines send has no way to the outside',
  );
  await stopWatcher();
  await execa('ip', ['route', 'add', 'default', 'via', internetAddress]);
});

probes('down removes the namespace of a killed probe, as before an uninstallation', async () => {
  await kill(() => until(() => existsSync('/sys/class/net/virlan-probe/brport') && isReserved()));
  assert(existsSync('/run/netns/virlan-probe'));
  assert.equal((await virlan('down')).exitCode, 0);
  assert(!existsSync('/run/netns/virlan-probe'));
  assert(!existsSync('/sys/class/net/virlan-probe'));
  await up();
  assert(!hasProbe());
});

probes.run();
