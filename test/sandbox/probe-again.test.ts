// The watcher probes again after anybody's change of rules, routes or settings, and not on an idle host.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { NetworkStatus } from '../../src/report/status.ts';
import { configure, installVirlan, internet, internetAddress, nameServer, startLibvirtd } from './host.ts';
import { until } from './until.ts';
import { answerOf, startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const again = suite('probe again');

/** Changes until which a result may be out of date: the pauses between probes are at most this, in seconds. */
const limitSeconds = 60;

const nft = (input: string) => execa('nft', ['-f', '-'], { input });

function probeProblems({ problems }: NetworkStatus): string[] {
  return problems.filter(problem => problem.startsWith('probe at'));
}

async function probesSent(): Promise<number> {
  const sent = /^virlan_probes_total\{network="k8s-br0"\} (\d+)$/m.exec(await answerOf('/metrics'))?.[1];
  return Number(sent);
}

again.before(async () => {
  await installVirlan();
  await nameServer(await internet(), internetAddress);
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
});

again.before.each(async () => {
  // Each test begins with the shortest pauses.
  await startWatcher();
  await until(async () => (await probesSent()) === 1, 20);
  const first = await statusWhen(({ probe }) => probe !== null, 20);
  assert.deepEqual(probeProblems(first), []);
});
again.after.each(() => stopWatcher());

interface Change {
  readonly kind: string;
  readonly block: () => Promise<unknown>;
  readonly free: () => Promise<unknown>;
  readonly named: RegExp;
}

const changes: Change[] = [
  {
    kind: "a rule in a table of another program's own, in a hook that virlan does not extend",
    block: () =>
      nft(`table inet corp { chain post { type filter hook postrouting priority 50; policy accept;
        oifname "uplink" ip saddr 192.168.100.0/24 drop; oifname "uplink" ct original ip saddr 192.168.100.0/24 drop; }; }`),
    free: () => execa('nft', ['delete', 'table', 'inet', 'corp']),
    named: /dropped by a rule of inet corp post: .*drop/,
  },
  {
    kind: 'a rule in table mangle of iptables',
    block: () => execa('iptables', ['-t', 'mangle', '-A', 'FORWARD', '-i', 'k8s-br0', '-j', 'DROP']),
    free: () => execa('iptables', ['-t', 'mangle', '-D', 'FORWARD', '-i', 'k8s-br0', '-j', 'DROP']),
    named: /dropped by a rule of ip mangle FORWARD/,
  },
  {
    kind: 'a rule of routing',
    block: () =>
      execa('ip', ['rule', 'add', 'iif', 'uplink', 'to', '192.168.100.0/24', 'blackhole', 'pref', '90']),
    free: () => execa('ip', ['rule', 'delete', 'pref', '90']),
    named: /answers, and the answer is lost on this host/,
  },
  {
    kind: 'a setting of a link',
    block: () => execa('sysctl', ['-qw', 'net.ipv4.conf.uplink.forwarding=0']),
    free: () => execa('sysctl', ['-qw', 'net.ipv4.conf.uplink.forwarding=1']),
    named: /answers, and the answer is lost on this host/,
  },
];

for (const { kind, block, free, named } of changes) {
  again(`${kind} is in the status while it blocks machines, and no longer`, async () => {
    await block();
    await statusWhen(network => probeProblems(network).some(problem => named.test(problem)), limitSeconds);
    await free();
    await statusWhen(network => probeProblems(network).length === 0, limitSeconds);
  });
}

again(
  'an element of a set that a rule of another program looks up is in the status while it blocks',
  async () => {
    const sent = await probesSent();
    await nft(`table inet corp { set blocked { type ipv4_addr; flags interval; };
    chain post { type filter hook forward priority 50; policy accept; ip saddr @blocked drop; }; }`);
    await until(async () => (await probesSent()) > sent, limitSeconds);
    const element = ['element', 'inet', 'corp', 'blocked', '{ 192.168.100.0/24 }'];
    await execa('nft', ['add', ...element]);
    await statusWhen(
      network => probeProblems(network).some(problem => /@blocked/.test(problem)),
      limitSeconds,
    );
    await execa('nft', ['delete', ...element]);
    await statusWhen(network => probeProblems(network).length === 0, limitSeconds);
    await execa('nft', ['delete', 'table', 'inet', 'corp']);
  },
);

again(
  'the host is probed after a link goes down: the kernel removes its routes without a message',
  async () => {
    const { stdout } = await execa('ip', ['route', 'show', 'default']);
    const sent = await probesSent();
    await execa('ip', ['link', 'set', 'uplink', 'down']);
    await until(async () => (await probesSent()) > sent, limitSeconds);
    await execa('ip', ['link', 'set', 'uplink', 'up']);
    await execa('ip', [
      'route',
      'add',
      ...stdout
        .trim()
        .split(/\s+/)
        .filter(word => word !== 'linkdown'),
    ]);
    await statusWhen(network => probeProblems(network).length === 0, limitSeconds);
  },
);

again('an idle host is not probed: neither a probe nor a repair leads to another probe', async () => {
  // A repair is followed by one probe, which changes rules and links of its own.
  const before = await probesSent();
  await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
  await until(async () => (await probesSent()) > before, limitSeconds);
  const sent = await probesSent();
  // Longer than the longest pause after a change; that nothing happens cannot be awaited.
  await pause(25_000);
  assert.equal(await probesSent(), sent);
});

again.run();
