// `virlan up` and `virlan down`: what they create, keep and restore, and what happens when a step fails.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { runHook } from './hook-calls.ts';
import { checkout, configure, host, installVirlan, serve, virlan } from './host.ts';
import { logLines } from './log.ts';
import { stubProgram } from './program-stubs.ts';
import { resetHost } from './reset-host.ts';
import { changesSince, difference, processes, snapshot } from './snapshot.ts';
import { assertFailure, down, plannedSteps, up } from './virlan-commands.ts';

const establish = suite('establish');
establish.after.each(resetHost);

const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const machineId = '00112233445566778899aabbccddeeff';

/** Returns the bridge's MAC, computed independently of virlan's sources. */
function bridgeMac(bridge: string): string {
  const digest = createHash('sha256').update(`virlan:bridge:${machineId}:${bridge}`).digest('hex');
  return `52:54:00:${(digest.slice(0, 6).match(/../g) ?? []).join(':')}`;
}

/** Returns a configuration without STP, which would only delay its ports. */
function network(...lines: string[]): string {
  return ['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n');
}

function ip(...args: string[]) {
  return execa('ip', args);
}

function read(path: string): string {
  return readFileSync(path, 'utf8');
}

function sysctl(key: string): string {
  return read(`/proc/sys/${key.replaceAll('.', '/')}`).trim();
}

async function linkOf(bridge: string) {
  const { stdout } = await ip('-json', '-details', 'address', 'show', 'dev', bridge);
  const [link] = JSON.parse(stdout);
  return link;
}

/** Files that `down` keeps for the next `up`. */
const kept = /^\+ file \/var\/lib\/dnsmasq\/[^/]+\/(hostsfile|names|leases) /;

establish('up establishes the network, and down leaves no trace of it', async () => {
  await installVirlan();
  writeFileSync('/etc/dnsmasq.conf', 'nonsense\n');
  const before = await snapshot();
  assert((await plannedSteps()).length > 0);
  assert.deepEqual(difference(before, await snapshot()), []);

  await up();
  const link = await linkOf('k8s-br0');
  assert.equal(link.address, bridgeMac('k8s-br0'));
  assert.deepEqual([link.mtu, link.flags.includes('UP')], [1500, true]);
  const { stp_state, forward_delay, mcast_hash_max } = link.linkinfo.info_data;
  assert.deepEqual([stp_state, forward_delay, mcast_hash_max], [1, 200, 65_536]);
  const addresses = link.addr_info.map(({ local, prefixlen, broadcast }: Record<string, unknown>) => [
    local,
    prefixlen,
    broadcast,
  ]);
  assert.deepEqual(addresses, [['192.168.100.1', 24, '192.168.100.255']]);

  assert.equal(sysctl('net.ipv4.ip_forward'), '1');
  assert.equal(sysctl('net.ipv6.conf.k8s-br0.disable_ipv6'), '1');
  const file = read('/etc/sysctl.d/60-virlan.conf').split('\n');
  assert(file.includes('net.ipv4.ip_forward = 1') && file.includes('net.ipv4.conf.all.forwarding = 1'));

  const [dnsmasq] = processes('dnsmasq');
  assert.equal(processes('dnsmasq').length, 1);
  assert.equal(read('/run/dnsmasq/k8s-br0.pid').trim(), `${dnsmasq?.pid}`);
  const uid = /^Uid:\t(\d+)\t(\d+)/m.exec(read(`/proc/${dnsmasq?.pid}/status`))?.slice(1);
  const user = (await execa('id', ['-u', 'dnsmasq'])).stdout;
  assert.deepEqual(uid, [user, user]);
  assert.doesNotMatch(`${dnsmasq?.command}${read(conf)}`, /dhcp-script/);

  assert.deepEqual(await plannedSteps(), []);
  const established = await snapshot();
  assert.match(await up(), /nothing had to be changed/);
  assert.deepEqual(difference(established, await snapshot()), []);

  await down();
  assert.deepEqual(await changesSince(before, kept), []);
  assert.match(await down(), /was down already/);
  assert.deepEqual(await changesSince(before, kept), []);
});

establish(
  "the host's own forwarding, rules and sysctl file are kept while the network is up and after down",
  async () => {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    writeFileSync('/etc/sysctl.d/60-virlan.conf', '# mine\n');
    const chain = 'chain c { type filter hook forward priority 0; iifname "x" drop; }';
    await execa('nft', ['-f', '-'], { input: `table inet mine {\n${chain}\n}\n` });
    await execa('iptables', ['-A', 'FORWARD', '-s', '192.168.100.9', '-j', 'DROP']);
    await execa('iptables', [
      '-t',
      'mangle',
      '-A',
      'POSTROUTING',
      '-o',
      'k8s-br0',
      '-j',
      'TTL',
      '--ttl-set',
      '9',
    ]);
    const before = await snapshot();

    for (const firewall of ['nftables', 'iptables']) {
      await configure(network(`firewall = ${firewall}`));
      await up();
      const changed = await changesSince(before, kept, /sysctl.d\/60-virlan.conf|virlan.ini/);
      assert.deepEqual(
        changed.filter(line => line.startsWith('-')),
        [],
      );
      await down();
      assert.deepEqual(await changesSince(before, kept, /sysctl.d\/60-virlan.conf|virlan.ini/), []);
      assert.equal(read('/etc/sysctl.d/60-virlan.conf'), '# mine\n');
    }
  },
);

establish('up takes over a network made by hand, and down restores it', async () => {
  await execa('sh', [`${checkout}/test/sandbox/handbook-network.sh`, 'up']);
  const before = await snapshot();
  const [handMade] = processes('dnsmasq');
  const confBefore = read(conf);
  await up();
  const link = await linkOf('k8s-br0');
  assert.deepEqual([link.address, link.linkinfo.info_data.forward_delay], [bridgeMac('k8s-br0'), 200]);
  assert.equal(processes('dnsmasq').length, 1);
  assert.notEqual(processes('dnsmasq')[0]?.pid, handMade?.pid);
  const lost = (await changesSince(before, /dnsmasq/)).filter(line => line.startsWith('-'));
  assert.deepEqual(
    lost.filter(line => !/^- (link|sysctl net\.ipv6\.conf\.k8s-br0\.) ?/.test(line)),
    [],
  );
  assert.deepEqual(await plannedSteps(), []);

  await down();
  assert.deepEqual(await changesSince(before, /dnsmasq/), []);
  assert.equal(read(conf), confBefore);
  assert.equal(processes('dnsmasq').length, 1);
});

establish('taking one of two networks down keeps the other, and forwarding', async () => {
  const before = await snapshot();
  await configure(`${network()}[network.lab]\nsubnet = 10.20.0.0/16\nstp = no\n`);
  await up();
  assert.equal(processes('dnsmasq').length, 2);
  await down('k8s-br0');
  const { stdout: rules } = await execa('nft', ['list', 'ruleset']);
  assert.deepEqual([/virlan-k8s-br0/.test(rules), /virlan-lab/.test(rules)], [false, true]);
  assert.equal((await linkOf('lab')).addr_info[0].local, '10.20.0.1');
  assert.match(
    processes('dnsmasq')
      .map(({ command }) => command)
      .join(),
    /^dnsmasq \S*\/lab\/dnsmasq.conf /,
  );
  assert.equal(sysctl('net.ipv4.ip_forward'), '1');
  assert.equal((await virlan('plan', 'lab')).exitCode, 0);
  await down('lab');
  assert.deepEqual(await changesSince(before, kept, /virlan.ini/), []);
});

establish('a changed firewall backend replaces the previous one', async () => {
  const firewalls = ['nftables', 'iptables', 'nftables'];
  const listings: string[] = [];
  for (const firewall of firewalls) {
    await configure(network(`firewall = ${firewall}`));
    await up();
    assert.deepEqual(await plannedSteps(), []);
    const save = (await execa('iptables-save')).stdout.split('\n');
    const tables = (await execa('nft', ['list', 'tables'])).stdout;
    const chains = save.filter(line => line.startsWith(':VIRLAN')).length;
    const jumps = save.filter(line => /-A [A-Z]+ .*-j VIRLAN/.test(line)).length;
    listings.push(`${chains} chains, ${jumps} jumps, ${/table ip virlan/.test(tables) ? 'a' : 'no'} table`);
  }
  const nftables = '1 chains, 1 jumps, a table';
  assert.deepEqual(listings, [nftables, '10 chains, 9 jumps, no table', nftables]);
});

const restart = [/^- dnsmasq process \d+$/, /^~ \/var\/lib\/dnsmasq\/k8s-br0\/dnsmasq.conf$/, /^\+ dnsmasq /];
const changes: { line: string; steps: RegExp[] }[] = [
  { line: 'host-allow = tcp/5000', steps: [/^\+ firewall \(nftables\) /] },
  { line: 'host-access = minimal', steps: [/^\+ firewall \(nftables\) /] },
  { line: 'mtu = 1400', steps: [/^~ mtu of k8s-br0 1500 → 1400$/, ...restart] },
  { line: 'dhcp-range = 192.168.100.50-192.168.100.99', steps: restart },
  { line: 'domain = lab.internal', steps: restart },
  {
    line: '[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10',
    steps: [/^~ guard .* 3 more, 0 less$/, /hostsfile 1 of its lines$/, /names 1 of its lines$/],
  },
];

establish('a changed key changes only what depends on it', async () => {
  for (const { line, steps } of changes) {
    await configure(network());
    await up();
    await configure(network(line));
    const plan = await plannedSteps();
    assert.equal(plan.length, steps.length, `${line}:\n${plan.join('\n')}`);
    for (const [index, step] of steps.entries()) assert.match(plan[index] ?? '', step);
    await up();
    assert.deepEqual(await plannedSteps(), []);
  }
  assert.match(read(conf), /^domain=k8s-br0.internal$/m);
  assert.match(
    read('/var/lib/dnsmasq/k8s-br0/hostsfile'),
    /^52:54:00:00:00:10,.*192\.168\.100\.10,printer\b/m,
  );
});

establish('another subnet: the old address is removed, an address that the user added stays', async () => {
  await configure(network());
  await up();
  await ip('address', 'add', '198.51.100.9/24', 'dev', 'k8s-br0');
  assert.deepEqual(await plannedSteps(), []);
  await configure(network('subnet = 192.168.77.0/24'));
  await up();
  const addresses = (await linkOf('k8s-br0')).addr_info.map(({ local }: { local: string }) => local);
  assert.deepEqual(addresses.sort(), ['192.168.77.1', '198.51.100.9']);
  assert.doesNotMatch((await execa('nft', ['list', 'ruleset'])).stdout, /192\.168\.100/);
  assert.deepEqual(await plannedSteps(), []);
});

establish('a bridge name may have 15 bytes, or dots', async () => {
  for (const name of ['fifteen-bytes-x', 'br.0_x']) {
    for (const firewall of ['nftables', 'iptables']) {
      await configure(`[network.lab]\nbridge = ${name}\nstp = no\nfirewall = ${firewall}\n`);
      await up();
      assert.deepEqual(await plannedSteps(), []);
    }
    assert.equal((await linkOf(name)).address, bridgeMac(name));
    assert.equal(read(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`).trim(), '1');
    await down();
  }
});

establish('a link of that name that is not a bridge is not changed', async () => {
  await ip('link', 'add', 'k8s-br0', 'type', 'veth', 'peer', 'name', 'other');
  const before = await snapshot();
  for (const verb of ['plan', 'up']) {
    assertFailure(
      await virlan(verb),
      /k8s-br0 is a link of type veth, not a bridge: .*bridge = in virlan.ini/,
    );
    assert.deepEqual(await changesSince(before), []);
  }
});

/**
 * Adds a link whose state does not change later: with its peer up, and without an IPv6 link-local address.
 */
async function addWan(): Promise<void> {
  await ip('link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'peer');
  for (const link of ['wan', 'peer']) await ip('link', 'set', link, 'up', 'addrgenmode', 'none');
}

const conflicts: { title: string; link?: string; command: string }[] = [
  { title: 'a part of the subnet', command: 'address add 192.168.100.130/25 dev wan' },
  { title: 'a larger subnet', command: 'address add 192.168.3.4/16 dev wan' },
  { title: 'a route', command: 'route add 192.168.100.64/26 dev wan' },
  {
    title: 'a blackhole route',
    command: 'route add blackhole 192.168.100.0/24',
    link: 'a route without a link',
  },
];

establish('plan and up refuse a subnet that the host already uses', async () => {
  for (const { title, command, link = 'wan' } of conflicts) {
    await addWan();
    await ip(...command.split(' '));
    const before = await snapshot();
    for (const verb of ['plan', 'up']) {
      assertFailure(
        await virlan(verb),
        new RegExp(`192.168.100.0/24 overlaps 192.168.\\S+ of .*${link}: choose another`),
      );
      assert.deepEqual(await changesSince(before), [], `${title}, ${verb}`);
    }
    await ip('link', 'delete', 'wan');
    await ip('route', 'flush', 'type', 'blackhole');
  }
});

establish('adjacent and wider subnets and default routes, also in halves, are not conflicts', async () => {
  await addWan();
  await ip('route', 'add', '192.168.0.0/16', 'dev', 'wan');
  await ip('route', 'add', '192.168.100.0/24', 'dev', 'wan', 'table', '51820');
  await ip('address', 'add', '192.168.101.1/24', 'dev', 'wan');
  for (const route of ['default', '0.0.0.0/1', '128.0.0.0/1']) await ip('route', 'add', route, 'dev', 'wan');
  assert((await plannedSteps()).length > 0);
});

establish("dnsmasq reads the user's own options, and is restarted when they change", async () => {
  await configure(network());
  await up();
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0', { recursive: true });
  for (const address of ['198.51.100.1', '198.51.100.2']) {
    writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/own.conf', `address=/own.example/${address}\n`);
    const plan = await plannedSteps();
    for (const [index, step] of restart.entries()) assert.match(plan[index] ?? '', step);
    await up();
    assert.deepEqual(await plannedSteps(), []);
    const { stdout } = await execa('busybox', ['nslookup', '-type=a', 'own.example', '192.168.100.1']);
    assert(stdout.split('\n').includes(`Address: ${address}`), stdout);
  }
  // With this option dnsmasq keeps its inherited standard error open.
  writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/own.conf', 'log-facility=-\n');
  await up();
});

establish("an invalid option of the user's own does not stop the running dnsmasq", async () => {
  const own = '/etc/virlan/dnsmasq.d/k8s-br0/own.conf';
  await configure(network());
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0', { recursive: true });
  writeFileSync(own, 'address=/own.example/198.51.100.1\n');
  await up();
  const before = await snapshot();
  writeFileSync(own, 'no-such-option\n');
  assertFailure(await virlan('up'), /keeps its old configuration: .*bad option.*own.conf$/);
  assert.deepEqual(await changesSince(before, /own.conf/), []);
  // A hook applies the other steps.
  await ip('link', 'set', 'k8s-br0', 'down');
  await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.match(String(logLines().at(-1)?.msg), /keeps its old configuration/);
  assert.deepEqual(await changesSince(before, /own.conf|applied.json|default/), []);
  rmSync('/etc/virlan/dnsmasq.d', { recursive: true });
});

establish('IPv6 stays enabled on a bridge that has an IPv6 address', async () => {
  await ip('link', 'add', 'k8s-br0', 'type', 'bridge');
  await ip('address', 'add', 'fd00::1/64', 'dev', 'k8s-br0');
  await configure(network());
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 0);
  assert.match(stderr, /^virlan: warning: k8s-br0 has an IPv6 address that is not virlan's: /);
  assert.equal(sysctl('net.ipv6.conf.k8s-br0.disable_ipv6'), '0');
  assert.match((await ip('-6', 'address', 'show', 'dev', 'k8s-br0')).stdout, /fd00::1\/64/);
});

/** Returns the script of a stub that fails if its arguments match, and otherwise runs the program. */
function failOn(pattern: string): string {
  return `case $* in ${pattern}) echo 'no such luck' >&2; exit 1;; esac; exec "$original" "$@"`;
}

const addBridgeThenFail = `
case $* in -batch*) ;; *) exec "$original" "$@" ;; esac
batch=$(cat)
case $batch in
  'link add'*) echo "$batch" | head -n 1 | "$original" "$@"; echo 'no such luck' >&2; exit 1 ;;
esac
echo "$batch" | "$original" "$@"`;

const faults: { title: string; message: RegExp; cause: () => unknown; config?: string }[] = [
  {
    title: 'nft, the only firewall',
    config: 'firewall = nftables',
    message: /nft -f -: no such luck/,
    cause: () => stubProgram('nft', failOn('*-f*')),
  },
  {
    title: 'iptables-restore, the only firewall',
    config: 'firewall = iptables',
    message: /iptables-restore .*: no such luck/,
    cause: () => stubProgram('iptables-restore', failOn('*')),
  },
  { title: 'ip', message: /ip -batch -: no such luck/, cause: () => stubProgram('ip', failOn('-batch*')) },
  {
    title: 'ip, after it has added the bridge',
    message: /ip -batch -: no such luck/,
    cause: () => stubProgram('ip', addBridgeThenFail),
  },
  { title: 'dnsmasq', message: /dnsmasq .*: no such luck/, cause: () => stubProgram('dnsmasq', failOn('*')) },
  {
    title: 'UDP port 67, taken',
    message: /dnsmasq .*in use/,
    cause: () => serve(host, { proto: 'udp', port: 67 }),
  },
  {
    title: 'TCP port 53, taken',
    message: /dnsmasq .*in use/,
    cause: () => serve(host, { proto: 'tcp', port: 53 }),
  },
  {
    title: '/var/lib/dnsmasq, a file',
    message: /var\/lib\/dnsmasq/,
    cause: () => writeFileSync('/var/lib/dnsmasq', ''),
  },
];

for (const { title, message, cause, config = '' } of faults) {
  establish(`a failed up leaves the host unchanged: ${title}`, async () => {
    await configure(network(config));
    const fault = (await cause()) as { stop?: () => Promise<unknown> } | undefined;
    const before = await snapshot();
    const outcome = await virlan('up');
    const changed = await changesSince(before);
    const isDirectoryLeft = existsSync('/var/lib/dnsmasq/k8s-br0');
    await fault?.stop?.();
    assertFailure(outcome, message);
    assert(!isDirectoryLeft);
    assert.match(outcome.stderr, /; the host is as it was$/);
    assert.deepEqual(changed, []);
  });
}

establish('a failed change leaves a network that was up unchanged and up', async () => {
  const options = '/etc/virlan/dnsmasq.d/k8s-br0';
  await configure(network());
  await up();
  const before = await snapshot();
  mkdirSync(options, { recursive: true });
  // dnsmasq detects this mistake only when it starts.
  writeFileSync(`${options}/own.conf`, 'group=no-such-group\n');
  await configure(network('mtu = 1400', 'host-allow = tcp/5000', 'domain = lab.internal'));
  assertFailure(await virlan('up'), /dnsmasq .*no-such-group; the host is as it was$/);
  await configure(network());
  rmSync(options, { recursive: true });
  assert.deepEqual(await plannedSteps(), []);
  const expected = /dnsmasq|virlan.ini|applied.json|before.json/;
  assert.deepEqual(await changesSince(before, expected, / nft /), []);
});

for (const directory of ['/var/lib/virlan', '/run/virlan']) {
  establish(`nothing is changed if the record cannot be written: ${directory} is a file`, async () => {
    await configure(network());
    writeFileSync(directory, '');
    const before = await snapshot();
    assertFailure(await virlan('up'), new RegExp(directory));
    assert.deepEqual(await changesSince(before), []);
  });
}

for (const count of [2, 10]) {
  establish(`${count} times up at once: one establishes the network, the others change nothing`, async () => {
    await configure(network());
    const outcomes = await Promise.all(Array.from({ length: count }, up));
    const idle = outcomes.filter(stdout => stdout.includes('nothing had to be changed'));
    assert.equal(idle.length, count - 1);
    assert.equal(processes('dnsmasq').length, 1);
    assert.deepEqual(await plannedSteps(), []);
  });
}

establish.run();
