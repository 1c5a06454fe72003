import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { setUpHandbookNetwork } from './handbook-network.ts';
import { runHook } from './hook-calls.ts';
import { configure, host, installVirlan, serve, virlan } from './host.ts';
import { logLines } from './log.ts';
import { stubProgram } from './program-stubs.ts';
import { resetHost } from './reset-host.ts';
import { changesSince, difference, processes, snapshot } from './snapshot.ts';
import { assertFailure, down, plannedSteps, up } from './virlan-commands.ts';

const establish = suite('establish');
establish.after.each(resetHost);

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const machineId = '00112233445566778899aabbccddeeff';
const pairs = (digits: string) => (digits.match(/../g) ?? []).join(':');
const formulaMac = (bridge: string) =>
  `52:54:00:${pairs(sha256(`virlan:bridge:${machineId}:${bridge}`).slice(0, 6))}`;

/** A network without STP, which would keep its port from forwarding for a while and be no use here. */
const network = (...lines: string[]) => ['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n');

const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const ip = (...args: string[]) => execa('ip', args);
const read = (path: string) => readFileSync(path, 'utf8');
const sysctl = (key: string) => read(`/proc/sys/${key.replaceAll('.', '/')}`).trim();

async function linkOf(bridge: string) {
  const { stdout } = await ip('-json', '-details', 'address', 'show', 'dev', bridge);
  const [link] = JSON.parse(stdout);
  return link;
}

/** What stays after `down`, so that the next `up` goes on with it. */
const kept = /^\+ file \/var\/lib\/dnsmasq\/[^/]+\/(hostsfile|leases) /;

establish('from nothing to what is wanted, and no trace of it after `down`', async () => {
  await installVirlan();
  writeFileSync('/etc/dnsmasq.conf', 'nonsense\n');
  const before = await snapshot();
  assert((await plannedSteps()).length > 0);
  assert.deepEqual(difference(before, await snapshot()), []);

  await up();
  const link = await linkOf('k8s-br0');
  assert.equal(link.address, formulaMac('k8s-br0'));
  assert.deepEqual([link.mtu, link.flags.includes('UP')], [1500, true]);
  const { stp_state, forward_delay } = link.linkinfo.info_data;
  assert.deepEqual([stp_state, forward_delay], [1, 200]);
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
  'what the host had before is there during and after: forwarding, rules, a file of that name',
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

establish('a network made by hand is taken over, and after `down` its bridge is as it was', async () => {
  await setUpHandbookNetwork();
  const before = await snapshot();
  const [byHand] = processes('dnsmasq');
  const recipeConf = read(conf);
  await up();
  const link = await linkOf('k8s-br0');
  assert.deepEqual([link.address, link.linkinfo.info_data.forward_delay], [formulaMac('k8s-br0'), 200]);
  assert.equal(processes('dnsmasq').length, 1);
  assert.notEqual(processes('dnsmasq')[0]?.pid, byHand?.pid);
  const lost = (await changesSince(before, /dnsmasq/)).filter(line => line.startsWith('-'));
  assert.deepEqual(
    lost.filter(line => !/^- (link|sysctl net\.ipv6\.conf\.k8s-br0\.) ?/.test(line)),
    [],
  );
  assert.deepEqual(await plannedSteps(), []);

  await down();
  assert.deepEqual(await changesSince(before, /dnsmasq/), []);
  assert.equal(read(conf), recipeConf);
  assert.equal(processes('dnsmasq').length, 1);
});

establish('of two networks one goes down, and the other and forwarding stay', async () => {
  const before = await snapshot();
  await configure(`${network()}[network.lab]\nsubnet = 10.20.0.0/16\nstp = no\n`);
  await up();
  assert.equal(processes('dnsmasq').length, 2);
  await down('k8s-br0');
  const { stdout: rules } = await execa('nft', ['list', 'ruleset']);
  assert.deepEqual([/k8s-br0/.test(rules), /virlan-lab/.test(rules)], [false, true]);
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

establish('another firewall takes the place of the one before', async () => {
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
    listings.push(`${chains} chains, ${jumps} jumps, ${/virlan/.test(tables) ? 'a' : 'no'} table`);
  }
  const nftables = '1 chains, 1 jumps, a table';
  assert.deepEqual(listings, [nftables, '4 chains, 4 jumps, no table', nftables]);
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
    steps: [/hostsfile 1 of its lines$/],
  },
];

establish('a changed key changes just what it speaks of', async () => {
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

establish('another subnet: the old address goes, one that the user added stays', async () => {
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

establish('a bridge may have a name of 15 bytes, or one with dots', async () => {
  for (const name of ['fifteen-bytes-x', 'br.0_x']) {
    for (const firewall of ['nftables', 'iptables']) {
      await configure(`[network.lab]\nbridge = ${name}\nstp = no\nfirewall = ${firewall}\n`);
      await up();
      assert.deepEqual(await plannedSteps(), []);
    }
    assert.equal((await linkOf(name)).address, formulaMac(name));
    assert.equal(read(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`).trim(), '1');
    await down();
  }
});

establish('a link of that name that is no bridge is left alone', async () => {
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

/** A link of the host's that settles at once: with its other end up, and without the address that IPv6 makes up. */
async function addWan(): Promise<void> {
  await ip('link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'peer');
  for (const link of ['wan', 'peer']) await ip('link', 'set', link, 'up', 'addrgenmode', 'none');
}

const conflicts: { title: string; link?: string; with: string }[] = [
  { title: 'a part of it', with: 'address add 192.168.100.130/25 dev wan' },
  { title: 'a larger one', with: 'address add 192.168.3.4/16 dev wan' },
  { title: 'a route', with: 'route add 192.168.100.64/26 dev wan' },
  { title: "a VPN's route, in a table of its own", with: 'route add 192.168.0.0/16 dev wan table 51820' },
  {
    title: 'a route to nowhere',
    with: 'route add blackhole 192.168.100.0/24',
    link: 'a route without a link',
  },
];

establish('a subnet that the host knows already is refused, by `plan` as by `up`', async () => {
  for (const { title, with: command, link = 'wan' } of conflicts) {
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

establish('neighbours and default routes, whole or in halves, are no conflict', async () => {
  await addWan();
  await ip('address', 'add', '192.168.101.1/24', 'dev', 'wan');
  for (const route of ['default', '0.0.0.0/1', '128.0.0.0/1']) await ip('route', 'add', route, 'dev', 'wan');
  assert((await plannedSteps()).length > 0);
});

establish("dnsmasq reads the user's own options, and anew when they change", async () => {
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
  // With this dnsmasq keeps the standard error that it was started with.
  writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/own.conf', 'log-facility=-\n');
  await up();
});

establish("a slip in the user's own options does not cost the dnsmasq that runs", async () => {
  const own = '/etc/virlan/dnsmasq.d/k8s-br0/own.conf';
  await configure(network());
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0', { recursive: true });
  writeFileSync(own, 'address=/own.example/198.51.100.1\n');
  await up();
  const before = await snapshot();
  writeFileSync(own, 'no-such-option\n');
  assertFailure(await virlan('up'), /keeps its old configuration: .*bad option.*own.conf$/);
  assert.deepEqual(await changesSince(before, /own.conf/), []);
  // A hook does what else there is to do.
  await ip('link', 'set', 'k8s-br0', 'down');
  await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.match(String(logLines().at(-1)?.msg), /keeps its old configuration/);
  assert.deepEqual(await changesSince(before, /own.conf|applied.json|default/), []);
  rmSync('/etc/virlan/dnsmasq.d', { recursive: true });
});

establish('IPv6 stays on where somebody gave the bridge an address of it', async () => {
  await ip('link', 'add', 'k8s-br0', 'type', 'bridge');
  await ip('address', 'add', 'fd00::1/64', 'dev', 'k8s-br0');
  await configure(network());
  await up();
  assert.equal(sysctl('net.ipv6.conf.k8s-br0.disable_ipv6'), '0');
  assert.match((await ip('-6', 'address', 'show', 'dev', 'k8s-br0')).stdout, /fd00::1\/64/);
});

const refuse = (when: string, what: string) =>
  `case $* in ${when}) ${what}; echo 'no such luck' >&2; exit 1;; esac; exec "$original" "$@"`;
const addsTheBridgeAndFails = `
case $* in -batch*) ;; *) exec "$original" "$@" ;; esac
batch=$(cat)
case $batch in
  'link add'*) echo "$batch" | head -n 1 | "$original" "$@"; echo 'no such luck' >&2; exit 1 ;;
esac
echo "$batch" | "$original" "$@"`;

const obstacles: { title: string; says: RegExp; put: () => unknown; config?: string }[] = [
  { title: 'nft', says: /nft -f -: no such luck/, put: () => stubProgram('nft', refuse('*-f*', ':')) },
  {
    title: 'iptables-restore',
    says: /iptables-restore .*: no such luck/,
    put: () => stubProgram('iptables-restore', refuse('*', ':')),
  },
  {
    title: 'iptables-restore, the only firewall',
    config: 'firewall = iptables',
    says: /iptables-restore .*: no such luck/,
    put: () => stubProgram('iptables-restore', refuse('*', ':')),
  },
  { title: 'ip', says: /ip -batch -: no such luck/, put: () => stubProgram('ip', refuse('-batch*', ':')) },
  {
    title: 'ip, when the bridge is there already',
    says: /ip -batch -: no such luck/,
    put: () => stubProgram('ip', addsTheBridgeAndFails),
  },
  { title: 'dnsmasq', says: /dnsmasq .*: no such luck/, put: () => stubProgram('dnsmasq', refuse('*', ':')) },
  {
    title: 'UDP port 67, taken',
    says: /dnsmasq .*in use/,
    put: () => serve(host, { proto: 'udp', port: 67 }),
  },
  {
    title: 'TCP port 53, taken',
    says: /dnsmasq .*in use/,
    put: () => serve(host, { proto: 'tcp', port: 53 }),
  },
  {
    title: '/var/lib/dnsmasq, a file',
    says: /var\/lib\/dnsmasq/,
    put: () => writeFileSync('/var/lib/dnsmasq', ''),
  },
  {
    title: '/etc/sysctl.d, read-only',
    says: /etc\/sysctl.d/,
    put: async () => {
      await execa('mount', ['-t', 'tmpfs', '-o', 'ro', 'none', '/etc/sysctl.d']);
      return { stop: () => execa('umount', ['/etc/sysctl.d']) };
    },
  },
];

for (const { title, says, put, config = '' } of obstacles) {
  establish(`what fails half-way leaves the host as it was: ${title}`, async () => {
    await configure(network(config));
    const obstacle = (await put()) as { stop?: () => Promise<unknown> } | undefined;
    const before = await snapshot();
    const outcome = await virlan('up');
    const changed = await changesSince(before, kept);
    await obstacle?.stop?.();
    assertFailure(outcome, says);
    assert.match(outcome.stderr, /; the host is as it was$/);
    assert.deepEqual(changed, []);
  });
}

establish('what fails half-way leaves a network that was up as it was, and up', async () => {
  const options = '/etc/virlan/dnsmasq.d/k8s-br0';
  await configure(network());
  await up();
  const before = await snapshot();
  mkdirSync(options, { recursive: true });
  // What dnsmasq finds out only when it starts.
  writeFileSync(`${options}/own.conf`, 'group=no-such-group\n');
  await configure(network('mtu = 1400', 'host-allow = tcp/5000', 'domain = lab.internal'));
  assertFailure(await virlan('up'), /dnsmasq .*no-such-group; the host is as it was$/);
  await configure(network());
  rmSync(options, { recursive: true });
  assert.deepEqual(await plannedSteps(), []);
  const anew = /dnsmasq|virlan.ini|applied.json|before.json/;
  assert.deepEqual(await changesSince(before, anew, / nft /), []);
});

for (const directory of ['/var/lib/virlan', '/run/virlan']) {
  establish(`nothing is begun without a place for the record: ${directory}, a file`, async () => {
    await configure(network());
    writeFileSync(directory, '');
    const before = await snapshot();
    assertFailure(await virlan('up'), new RegExp(directory));
    assert.deepEqual(await changesSince(before), []);
  });
}

for (const count of [2, 10]) {
  establish(`${count} at once: one does it, the others find nothing to do`, async () => {
    await configure(network());
    const outcomes = await Promise.all(Array.from({ length: count }, up));
    const idle = outcomes.filter(stdout => stdout.includes('nothing had to be changed'));
    assert.equal(idle.length, count - 1);
    assert.equal(processes('dnsmasq').length, 1);
    assert.deepEqual(await plannedSteps(), []);
  });
}

establish.run();
