// Port forwards beside ufw, firewalld and Docker, with real connections from every place, in both backends.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { installFirewalls, otherFirewalls, removeFirewallState } from './firewalls.ts';
import { type RunningMachine, startGuest } from './forwarding.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Namespace,
  probe,
  run,
  seenAs,
  serve,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { checkout } from './virlan.ts';
import { plannedSteps, up } from './virlan-commands.ts';

const suiteOfForwards = suite('forwards beside firewalls');
const uplink = '203.0.113.1';
const gateway = '192.168.100.1';
const webForwards = ['port="8443" to="443"', 'protocol="udp" port="8443" to="443"'];

interface Scenario {
  readonly places: readonly (readonly [from: Namespace, to: string])[];
  readonly outside: Namespace;
  readonly address: string;
}

suiteOfForwards.before(async () => {
  await installVirlan();
  await installFirewalls();
});

/** Starts a machine with forwards, two others, and the internet; and a container where Docker has its bridge. */
async function addPlaces(hasDocker: boolean): Promise<Scenario> {
  const outside = await internet();
  const web = await startGuest('web', { digit: 'a', forwards: webForwards });
  const db = await startGuest('db', { digit: 'b' });
  const lab = await startGuest('lab', { digit: 'c', bridge: 'lab' });
  const [address] = await Promise.all([dhcp(web), dhcp(db), dhcp(lab)]);
  const container = hasDocker ? [await addContainer()] : [];
  await Promise.all([
    ...(['tcp', 'udp'] as const).map(proto => serve(web, { proto, port: 443 })),
    serve(web, { proto: 'tcp', port: 7000 }),
  ]);
  const machines: RunningMachine[] = [web, db, lab];
  return {
    address,
    outside,
    places: [
      [outside, uplink],
      [host, uplink],
      [host, gateway],
      [host, '127.0.0.1'],
      ...[...machines, ...container].map(from => [from, uplink] as const),
      ...machines.map(from => [from, gateway] as const),
    ],
  };
}

/** Adds a namespace to Docker's own bridge, in place of a container: Docker's rules judge its packets. */
async function addContainer(): Promise<Guest> {
  const container = await guest('container', { mac: '02:42:ac:11:00:09', bridge: 'docker0' });
  await run(container, 'ip', 'address', 'add', '172.17.0.9/16', 'dev', 'eth0');
  await run(container, 'ip', 'route', 'add', 'default', 'via', '172.17.0.1');
  return container;
}

async function assertReached({ places, outside, address }: Scenario): Promise<void> {
  await Promise.all(
    places.map(async ([from, to]) => {
      for (const proto of ['tcp', 'udp'] as const) {
        const peer = await seenAs(from, { proto, to, port: 8443, seconds: 4 }).catch(error =>
          assert.fail(`from ${from.name ?? 'the host'}: ${error.message}`),
        );
        if (from === outside) assert.equal(peer.address, internetAddress, proto);
      }
    }),
  );
  // The forward opens nothing but itself.
  assert.notEqual(await verdict(outside, address, 443), 'open');
  assert.notEqual(await verdict(outside, address, 7000), 'open');
}

/** Returns the verdict on a connection; firewalld's is an ICMP message that probe() does not know. */
function verdict(from: Namespace, to: string, port: number): Promise<string> {
  return probe(from, { proto: 'tcp', to, port, seconds: 0.6 }).catch((error: Error) => error.message);
}

function configureNetworks(firewall: string): Promise<void> {
  const both = ['stp = no', `firewall = ${firewall}`, 'localhost = yes'];
  const sections = [['[network.k8s-br0]'], both, ['[network.lab]', 'subnet = 192.168.200.0/24'], both];
  return configure(sections.flat().join('\n'));
}

for (const firewall of ['nftables', 'iptables'])
  for (const [name, other] of Object.entries(otherFirewalls))
    suiteOfForwards(`${firewall} beside ${name}: a forward is reached from everywhere`, async () => {
      // If Docker itself switches forwarding on, it sets the policy of FORWARD to DROP.
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
      await other.start();
      await configureNetworks(firewall);
      await up();
      const scenario = await addPlaces(name === 'docker');
      await up();
      await assertReached(scenario);
      await other.reload();
      await other.restart();
      await up();
      await assertReached(scenario);
      assert.deepEqual(await plannedSteps(), []);
    });

suiteOfForwards(
  'firewalld with mode = routed: forwards pass, and by the policy of docs/modes.md the rest',
  async () => {
    await otherFirewalls.firewalld.start();
    await configure('[network.k8s-br0]\nstp = no\nmode = routed\n');
    await up();
    const outside = await internet();
    const web = await startGuest('web', { digit: 'a', forwards: webForwards });
    const address = await dhcp(web);
    await Promise.all([443, 7000].map(port => serve(web, { proto: 'tcp', port })));
    await serve(outside, { proto: 'tcp', port: 80 });
    await up();
    const fromOutside = { proto: 'tcp', to: uplink, port: 8443 } as const;
    assert.equal((await seenAs(outside, fromOutside)).address, internetAddress);
    assert.equal((await seenAs(web, { proto: 'tcp', to: internetAddress, port: 80 })).address, address);
    assert.notEqual(await verdict(outside, address, 7000), 'open');
    const text = readFileSync(`${checkout}/docs/modes.md`, 'utf8');
    const commands = text.split('\n').filter(line => line.startsWith('      firewall-cmd '));
    assert.equal(commands.length, 6);
    for (const command of commands) await execa('sh', ['-c', command]);
    await up();
    assert.equal(await verdict(outside, address, 7000), 'open');
    assert.equal((await seenAs(outside, fromOutside)).address, internetAddress);
    await execa('firewall-cmd', ['--permanent', '--delete-policy', 'to-machines']);
  },
);

suiteOfForwards.after.each(async () => {
  await removeFirewallState();
  for (const name of ['web', 'db', 'lab', 'container', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

suiteOfForwards.run();
