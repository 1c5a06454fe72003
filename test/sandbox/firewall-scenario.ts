// The scenario of the firewall tests: two machines and the internet, on a host with several firewalls.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { removeFirewallState } from './firewalls.ts';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  internet,
  internetAddress,
  type Linked,
  probe,
  run,
  seenAs,
  serve,
  type Verdict,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';

export interface Scenario {
  readonly web: Guest;
  readonly db: Guest;
  readonly outside: Linked;
}

const gateway = '192.168.100.1';

/**
 * Writes a configuration that lets machines reach one more port of the host. STP is off because it would
 * delay guests.
 */
export function configureBackend(backend: 'nftables' | 'iptables'): Promise<void> {
  const lines = ['[network.k8s-br0]', 'stp = no', `firewall = ${backend}`, 'host-allow = tcp/5000', ''];
  return configure(lines.join('\n'));
}

/** Serves two ports of the host: machines may reach 5000, but not 8080. */
export async function serveHostPorts(): Promise<void> {
  await Promise.all([5000, 8080].map(port => serve(host, { proto: 'tcp', port })));
}

/** Connects two machines to the network, which must be up, and the host to the internet. */
export async function addMachines(): Promise<Scenario> {
  const outside = await internet();
  const [web, db] = [await newGuest('web', 'a'), await newGuest('db', 'b')];
  // Without the hook's start: the guard gets to know what belongs to the machines.
  assert.equal((await virlan('up')).exitCode, 0);
  const resolver = [
    '--no-resolv',
    '--no-hosts',
    '--port=53',
    '--user=root',
    '--pid-file',
    '--conf-file=/dev/null',
  ];
  await Promise.all([
    serve(outside, { proto: 'tcp', port: 80 }),
    serve(db, { proto: 'tcp', port: 7000 }),
    run(outside, 'dnsmasq', ...resolver, '--address=/upstream.example/198.51.100.80'),
  ]);
  return { web, db, outside };
}

async function newGuest(name: string, digit: string): Promise<Guest> {
  const mac = `52:54:00:00:00:0${digit}`;
  await prepare({ name, nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
  return guest(name, { mac });
}

/** Returns whether this host has address, rules and dnsmasq of the network k8s-br0, in nftables. */
export async function hasNetwork(): Promise<boolean> {
  const [link, rules] = await Promise.all([
    execa('ip', ['address', 'show', 'dev', 'k8s-br0'], { reject: false }),
    execa('nft', ['list', 'table', 'ip', 'virlan-k8s-br0'], { reject: false }),
  ]);
  return (
    link.stdout.includes('192.168.100.1/24') &&
    rules.stdout.includes('masquerade') &&
    existsSync('/run/dnsmasq/k8s-br0.pid')
  );
}

/**
 * Asserts that machines have DHCP, DNS, each other and the internet, and that forbidden ports are
 * unreachable.
 */
export async function assertConnectivity({ web, db, outside }: Scenario): Promise<void> {
  // Docker and Kubernetes set this, and then frames between machines pass the rules of the forward hook.
  assert.equal(readFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8'), '1\n');
  const [address, neighbour] = await Promise.all([dhcp(web), dhcp(db)]);
  const [reserved, resolved, seen, ...verdicts] = await Promise.all([
    virlan('ip', 'web'),
    run(web, 'busybox', 'nslookup', '-type=a', 'upstream.example', gateway),
    seenAs(web, { proto: 'tcp', to: internetAddress, port: 80 }),
    probe(db, { proto: 'icmp', to: internetAddress }),
    probe(db, { proto: 'icmp', to: gateway }),
    probe(web, { proto: 'tcp', to: neighbour, port: 7000 }),
    probe(web, { proto: 'tcp', to: gateway, port: 5000 }),
  ]);
  assert.equal(address, reserved.stdout);
  assert.match(resolved, /^Address: 198\.51\.100\.80$/m);
  assert.equal(seen.address, '203.0.113.1');
  assert.deepEqual(verdicts, ['open', 'open', 'open', 'open']);
  assert.equal(await reaches(web, gateway, 8080), false);
  assert.equal(await reaches(outside, neighbour, 7000), false);
}

/** Returns whether a TCP connection succeeds. How it is refused does not matter. */
async function reaches(from: Guest | Linked, to: string, port: number): Promise<boolean> {
  try {
    return (await probe(from, { proto: 'tcp', to, port, seconds: 0.4 })) === 'open';
  } catch (error) {
    // firewalld rejects with icmp-admin-prohibited, which TCP reports as EHOSTUNREACH.
    if ((error as Error).message.endsWith('EHOSTUNREACH')) return false;
    throw error;
  }
}

/** Probes the internet from a machine, by TCP: ufw lets pings pass in any case. */
export function probeInternet({ web }: Scenario): Promise<Verdict> {
  return probe(web, { proto: 'tcp', to: internetAddress, port: 80, seconds: 0.4 });
}

/**
 * Returns the lines of the kernel's rules and of other firewalls' files that name the bridge or virlan. A
 * running firewalld keeps the chains of a removed zone until it reloads, but no rule jumps to them: they are
 * left out.
 */
export async function leftoverRules(): Promise<string[]> {
  const zones = '/etc/firewalld/zones';
  const files = [
    '/etc/ufw/user.rules',
    '/etc/ufw/user6.rules',
    ...readdirSync(zones).map(name => `${zones}/${name}`),
  ];
  const listings = await Promise.all([
    execa('iptables-save'),
    execa('ip6tables-save'),
    execa('nft', ['list', 'ruleset']),
  ]);
  const texts = [
    ...listings.map(({ stdout }) => stdout),
    ...files.filter(existsSync).map(path => readFileSync(path, 'utf8')),
  ];
  return texts
    .flatMap(text => text.split('\n'))
    .filter(line => /[ "-]k8s-br0|VIRLAN/.test(line) && !/(chain|jump) \w+_virlan-k8s-br0/.test(line));
}

interface OtherFirewalls {
  readonly name: string;
  readonly rules: readonly string[];
}

/** Returns the network's part of `virlan status --json`. */
export async function networkStatus(): Promise<{
  otherFirewalls: OtherFirewalls[];
  problems: string[];
  probe: { passed: boolean | null } | null;
}> {
  return JSON.parse((await virlan('status', '--json')).stdout).networks[0];
}

/** Removes the machines, the internet, the firewalls and virlan's network. */
export async function resetScenario(): Promise<void> {
  await removeFirewallState();
  for (const name of ['web', 'db', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
}
