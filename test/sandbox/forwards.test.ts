// Port forwards with real connections: from every place, in both backends, with and without br_netfilter.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { endGuest, type RunningMachine, startGuest } from './forwarding.ts';
import {
  configure,
  dhcp,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  type Namespace,
  probe,
  run,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';

const forwards = suite('forwards');
const uplink = '203.0.113.1';
const gateway = '192.168.100.1';

forwards.before(installVirlan);

interface Scenario {
  readonly web: RunningMachine;
  readonly db: RunningMachine;
  readonly lab: RunningMachine;
  readonly outside: Linked;
}

async function establish(firewall: string, ...lines: readonly string[]): Promise<void> {
  const sections = [
    ['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines],
    ['[network.lab]', 'stp = no', `firewall = ${firewall}`, 'subnet = 192.168.200.0/24'],
  ];
  await configure(sections.flat().join('\n'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 0, stderr);
}

function setBridgeNetfilter(value: '0' | '1'): void {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
}

const webForwards = ['port="8443" to="443"', 'protocol="udp" port="8443" to="443"'];

async function addMachines(): Promise<Scenario> {
  const outside = await internet();
  const [web, db, lab] = [
    await startGuest('web', { digit: 'a', forwards: webForwards }),
    await startGuest('db', { digit: 'b' }),
    await startGuest('lab', { digit: 'c', bridge: 'lab' }),
  ];
  await Promise.all([dhcp(web), dhcp(db), dhcp(lab)]);
  return { web, db, lab, outside };
}

for (const firewall of ['nftables', 'iptables']) {
  forwards(
    `${firewall}: a forward is reached from everywhere, and keeps the address of outsiders`,
    async () => {
      await establish(firewall, 'localhost = yes');
      const { web, db, lab, outside } = await addMachines();
      const servers = await Promise.all(
        (['tcp', 'udp'] as const).map(proto => serve(web, { proto, port: 443 })),
      );
      const places: [from: Namespace, to: string, seen: RegExp][] = [
        [outside, uplink, /^203\.0\.113\.2$/],
        [host, uplink, /^203\.0\.113\.1$/],
        [host, gateway, /^192\.168\.100\.1$/],
        [host, '127.0.0.1', /^192\.168\.100\.1$/],
        [db, uplink, /^192\.168\.100\./],
        [db, gateway, /^192\.168\.100\./],
        [lab, uplink, /^192\.168\.100\.1$/],
        [web, uplink, /^192\.168\.100\.1$/],
        [web, gateway, /^192\.168\.100\.1$/],
      ];
      for (const value of ['0', '1'] as const) {
        setBridgeNetfilter(value);
        assert.equal((await virlan('up')).exitCode, 0);
        await Promise.all(
          places.map(async ([from, to, seen]) => {
            for (const proto of ['tcp', 'udp'] as const) {
              const peer = await seenAs(from, { proto, to, port: 8443 });
              assert.match(peer.address, seen, `${from.name} to ${to}, ${proto}, bridge-nf ${value}`);
            }
          }),
        );
        assert.equal((await virlan('plan')).exitCode, 0);
      }
      // Not the machine's own port, nor others.
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 443 }), 'tcp-reset');
      await Promise.all(servers.map(server => server.stop()));
    },
  );
}

/** Probes a port that the host binds to 127.0.0.1, from a machine that routes this address to the host. */
async function reachesLoopback(machine: Namespace, port: number): Promise<string> {
  for (const link of ['all', 'k8s-br0']) writeFileSync(`/proc/sys/net/ipv4/conf/${link}/route_localnet`, '1');
  await run(machine, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
  await run(machine, 'ip', 'route', 'add', '127.0.0.1/32', 'via', gateway, 'table', '99');
  await run(machine, 'ip', 'rule', 'add', 'to', '127.0.0.1', 'lookup', '99', 'pref', '1');
  await run(machine, 'ip', 'rule', 'add', 'lookup', 'local', 'pref', '2');
  await run(machine, 'ip', 'rule', 'delete', 'pref', '0');
  const verdict = await probe(machine, { proto: 'tcp', to: '127.0.0.1', port });
  writeFileSync('/proc/sys/net/ipv4/conf/all/route_localnet', '0');
  return verdict;
}

for (const firewall of ['nftables', 'iptables']) {
  forwards(
    `${firewall}: ranges, addresses and clients are kept to; a busy port and a taken one wait`,
    async () => {
      await establish(firewall, 'host-access = all');
      const outside = await internet();
      const busy = await serve(host, { proto: 'tcp', port: 9000 });
      const wanted = [
        'port="5000-5003" protocol="udp"',
        'port="5000-5001" to="6000-6001"',
        'port="7001" address="203.0.113.1"',
        'port="7002" from="203.0.113.0/24"',
        'port="7003" from="10.0.0.0/8"',
        'port="9000"',
        'port="70000"',
      ];
      const web = await startGuest('web', { digit: 'a', forwards: wanted });
      const db = await startGuest('db', { digit: 'b', forwards: ['port="7001"'] });
      await Promise.all([dhcp(web), dhcp(db)]);
      const servers = await Promise.all([
        ...[5000, 5003].map(port => serve(web, { proto: 'udp', port })),
        ...[6001, 7001, 7002, 7003].map(port => serve(web, { proto: 'tcp', port })),
        serve(db, { proto: 'tcp', port: 7001 }),
        serve(host, { proto: 'tcp', port: 9100, address: '127.0.0.1' }),
      ]);
      const cases: [from: Namespace, proto: 'tcp' | 'udp', to: string, port: number, verdict: string][] = [
        [outside, 'udp', uplink, 5000, 'open'],
        [outside, 'udp', uplink, 5003, 'open'],
        [outside, 'udp', uplink, 5004, 'icmp-port-unreachable'],
        [outside, 'tcp', uplink, 5001, 'open'],
        [outside, 'tcp', uplink, 7001, 'open'],
        [host, 'tcp', gateway, 7001, 'tcp-reset'],
        [outside, 'tcp', uplink, 7002, 'open'],
        [host, 'tcp', gateway, 7002, 'tcp-reset'],
        [outside, 'tcp', uplink, 7003, 'tcp-reset'],
        // localhost = no.
        [host, 'tcp', '127.0.0.1', 7002, 'tcp-reset'],
      ];
      for (const [from, proto, to, port, verdict] of cases)
        assert.equal(await probe(from, { proto, to, port }), verdict, `${proto} ${to}:${port}`);
      const { stdout } = await virlan('status');
      assert.match(
        stdout,
        /machine web: forward tcp\/9000 is not active: python3 \(process \d+\) listens on 0\.0\.0\.0:9000/,
      );
      assert.match(stdout, /machine web: a forward in its metadata has port="70000": write a port/);
      assert.match(stdout, /machine db: forward tcp\/7001 waits: machine web has that port until it stops/);
      // A flow of UDP does not go on to the machine that had the port.
      const flow = { proto: 'udp', to: uplink, port: 5000, from: 40_000 } as const;
      assert.equal((await seenAs(outside, flow)).address, internetAddress);
      await endGuest(web);
      assert.equal(await probe(outside, flow), 'icmp-port-unreachable');
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 5001 }), 'tcp-reset');
      assert.equal(
        (await seenAs(outside, { proto: 'tcp', to: uplink, port: 7001 })).address,
        internetAddress,
      );
      assert.doesNotMatch((await virlan('status')).stdout, / waits: /);
      assert.doesNotMatch((await virlan('plan')).stdout, /forwards to/);
      assert.equal(await reachesLoopback(db, 9100), 'timeout');
      await endGuest(db);
      assert.equal(existsSync('/run/virlan/forwards'), false);
      await Promise.all([...servers, busy].map(server => server.stop()));
    },
  );
}

forwards.after.each(async () => {
  setBridgeNetfilter('0');
  for (const name of ['web', 'db', 'lab', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

forwards.run();
