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

/** Two machines and the internet, on a host with virlan and other firewalls. */
export interface Scenario {
  readonly web: Guest;
  readonly db: Guest;
  readonly outside: Linked;
}

const gateway = '192.168.100.1';

/** Writes a configuration that lets machines reach one port more of the host. STP would keep guests waiting. */
export function configureBackend(backend: 'nftables' | 'iptables'): Promise<void> {
  const lines = ['[network.k8s-br0]', 'stp = no', `firewall = ${backend}`, 'host-allow = tcp/5000', ''];
  return configure(lines.join('\n'));
}

/** The ports of the host that machines ask for: one that they may reach, and one that they may not. */
export async function serveHostPorts(): Promise<void> {
  await Promise.all([5000, 8080].map(port => serve(host, { proto: 'tcp', port })));
}

/** Puts machines on the network, which is up, and the internet behind the host. */
export async function addMachines(): Promise<Scenario> {
  const outside = await internet();
  const [web, db] = [await newGuest('web', 'a'), await newGuest('db', 'b')];
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

/** All that a machine is there for, and what nobody may do. */
export async function assertConnectivity({ web, db, outside }: Scenario): Promise<void> {
  // With Docker or Kubernetes there, frames between machines meet the rules for what is forwarded.
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

/** Whether a TCP port lets one in; by whom it is kept shut, and how, does not matter. */
async function reaches(from: Guest | Linked, to: string, port: number): Promise<boolean> {
  try {
    return (await probe(from, { proto: 'tcp', to, port, seconds: 0.4 })) === 'open';
  } catch (error) {
    // firewalld's own way to say no.
    if ((error as Error).message.endsWith('EHOSTUNREACH')) return false;
    throw error;
  }
}

/** What a machine meets on its way to the internet; ufw would let pings pass in any case. */
export function probeInternet({ web }: Scenario): Promise<Verdict> {
  return probe(web, { proto: 'tcp', to: internetAddress, port: 80, seconds: 0.4 });
}

/**
 * All that speaks of the bridge in other programs' places and in the kernel. A firewalld that runs keeps the chains of a
 * zone that it has no more until it reloads, with nothing that leads to them.
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

/** What `virlan status` says of the network. */
export async function networkStatus(): Promise<{ otherFirewalls: OtherFirewalls[]; problems: string[] }> {
  return JSON.parse((await virlan('status', '--json')).stdout).networks[0];
}

/** Takes all of it away again. */
export async function resetScenario(): Promise<void> {
  await removeFirewallState();
  for (const name of ['web', 'db', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
}
