// Machines reach the same on the host by each of its addresses, whatever else the host lets in.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { type GuardedGuest, guardedGuest } from './guarded-guest.ts';
import { checkout, configure, dhcp, host, installVirlan, internet, run, serve, virlan } from './host.ts';
import type { Namespace } from './namespaces.ts';
import { until } from './until.ts';

const addresses = suite('addresses of the host');
const gateway = '192.168.100.1';
const others = { 'the LAN': '203.0.113.1', 'another network': '192.168.200.1', Docker: '172.17.0.1' };
const byIpv4 = [gateway, ...Object.values(others)];
const loopback = ['127.0.0.1', '127.0.0.53'];
const ports = ['tcp/22', 'tcp/8080', 'udp/123'] as const;
const allowed: Record<string, readonly string[]> = { minimal: [], basic: ['tcp/22'], all: ports };

let web: GuardedGuest;
let linkLocal = '';

function setIpv4(name: string, value: '0' | '1'): void {
  writeFileSync(`/proc/sys/net/ipv4/${name}`, value);
}

async function up(firewall: string, hostAccess: string): Promise<void> {
  const network = (name: string, subnet: string) => [
    `[network.${name}]`,
    ...[`subnet = ${subnet}`, 'stp = no', `firewall = ${firewall}`, `host-access = ${hostAccess}`],
  ];
  await configure(
    [...network('k8s-br0', '192.168.100.0/24'), ...network('lab', '192.168.200.0/24'), ''].join('\n'),
  );
  assert.equal((await virlan('up')).exitCode, 0);
  // virlan keeps IPv6 off its bridges, and leaves it on where an administrator turns it on.
  for (const link of ['all', 'k8s-br0']) writeFileSync(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, '0');
}

/** Returns what the machine reaches on the host, as `tcp/22/192.168.100.1`. */
async function reached(): Promise<string[]> {
  const targets = ports.flatMap(port =>
    [...byIpv4, ...loopback, `${linkLocal}%eth0`].map(address => `${port}/${address}`),
  );
  const output = await run(web, 'python3', `${checkout}/test/sandbox/reach-agent.py`, ...targets);
  const results = output.split('\n');
  assert.equal(results.length, targets.length);
  return targets.filter((_, index) => results[index] === 'open');
}

/** Rules that accept everything before and after those of virlan, and settings with which more is routed. */
async function letEverythingIn(): Promise<void> {
  setIpv4('ip_forward', '0');
  for (const name of ['route_localnet', 'accept_local', 'forwarding']) setIpv4(`conf/k8s-br0/${name}`, '1');
  for (const program of ['iptables', 'ip6tables'])
    for (const table of ['filter', 'mangle'])
      await run(host, program, '-t', table, '-I', 'INPUT', '-j', 'ACCEPT');
  const chain = (priority: number) =>
    `add chain inet open input${priority + 400} { type filter hook input priority ${priority}; }
    add rule inet open input${priority + 400} accept`;
  await run(host, 'nft', ['add table inet open', ...[-400, 100].map(chain)].join('\n'));
}

async function letNothingMoreIn(): Promise<void> {
  await run(host, 'nft', 'delete table inet open');
  for (const program of ['iptables', 'ip6tables'])
    for (const table of ['filter', 'mangle'])
      await run(host, program, '-t', table, '-D', 'INPUT', '-j', 'ACCEPT');
  setIpv4('conf/k8s-br0/route_localnet', '0');
}

/** Waits until a link has its link-local address: nothing can be bound to one that is still looked for on the link. */
async function linkLocalOf(at: Namespace, link: string): Promise<string> {
  let address = '';
  await until(async () => {
    const shown = await run(
      at,
      'ip',
      '-6',
      '-o',
      'address',
      'show',
      'dev',
      link,
      'scope',
      'link',
      '-tentative',
    );
    address = shown.match(/fe80:[^/]*/)?.[0] ?? '';
    return address !== '';
  });
  return address;
}

addresses.before(async () => {
  await installVirlan();
  await up('nftables', 'basic');
  await internet();
  await run(host, 'ip', 'link', 'add', 'docker0', 'type', 'bridge');
  await run(host, 'ip', 'address', 'add', `${others.Docker}/16`, 'dev', 'docker0');
  await run(host, 'ip', 'link', 'set', 'docker0', 'up');
  web = await guardedGuest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
  // Its DHCP client has removed the addresses that it had, that of IPv6 included.
  for (const value of [1, 0]) await run(web, 'sysctl', '-qw', `net.ipv6.conf.eth0.disable_ipv6=${value}`);
  // A guest whose own loopback addresses are at the host's.
  await run(web, 'ip', 'address', 'flush', 'dev', 'lo');
  await run(web, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
  await run(web, 'ip', 'route', 'add', '127.0.0.0/8', 'via', gateway);
  linkLocal = await linkLocalOf(host, 'k8s-br0');
  await linkLocalOf(web, 'eth0');
  for (const port of [22, 8080]) await serve(host, { proto: 'tcp', port, address: '::' });
  for (const address of [...byIpv4, ...loopback, `${linkLocal}%k8s-br0`])
    await serve(host, { proto: 'udp', port: 123, address });
});

addresses('without virlan’s rules, the machine would reach all of them', async () => {
  await letEverythingIn();
  await run(host, 'nft', 'flush ruleset');
  const everything = ports.flatMap(port =>
    [...byIpv4, ...loopback, `${linkLocal}%eth0`].map(address => `${port}/${address}`),
  );
  assert.deepEqual(await reached(), everything);
});

for (const firewall of ['nftables', 'iptables'])
  for (const [hostAccess, open] of Object.entries(allowed))
    addresses(`${firewall}, host-access = ${hostAccess}: the same by each address`, async () => {
      const expected = open.flatMap(port => byIpv4.map(address => `${port}/${address}`));
      await up(firewall, hostAccess);
      assert.deepEqual(await reached(), expected);
      await letEverythingIn();
      assert.deepEqual(await reached(), expected, 'where the host itself lets everything in');
      await letNothingMoreIn();
    });

addresses.run();
