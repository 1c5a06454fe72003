// Forwards that change while connections go through others; two starts that want one port; what a change leaves.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { endGuest, type RunningMachine, showRunning, startGuest } from './forwarding.ts';
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
  within,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { up } from './virlan-commands.ts';

const changes = suite('changes of forwards');
const uplink = '203.0.113.1';
const gateway = '192.168.100.1';

changes.before(installVirlan);

async function establish(firewall: string, ...lines: string[]): Promise<Linked> {
  await configure(['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines, ''].join('\n'));
  await up();
  return internet();
}

/** Starts a program that ends with the private host at the latest. */
function start(namespace: Namespace, ...[command, ...args]: [string, ...string[]]) {
  return spawn(...within(namespace, command, args), { stdio: ['ignore', 'pipe', 'inherit'] });
}

const kept = ['port="8443" to="443"', 'protocol="udp" port="5001"'];
const dropped = 'protocol="udp" port="5002"';

for (const firewall of ['nftables', 'iptables']) {
  changes(`${firewall}: a download and flows of UDP go on while other forwards come and go`, async () => {
    const outside = await establish(firewall);
    const web = await startGuest('web', { digit: 'a', forwards: [...kept, dropped] });
    await dhcp(web);
    const servers = await Promise.all([5001, 5002].map(port => serve(web, { proto: 'udp', port })));
    const source = start(web, 'socat', '-u', 'OPEN:/dev/zero', 'TCP-LISTEN:443');
    await awaitListener(web, 443);
    const download = start(outside, 'socat', '-u', `TCP:${uplink}:8443`, '-');
    await once(download.stdout, 'data');
    const flow = (port: number) => ({ proto: 'udp', to: uplink, port, from: 40_000 }) as const;
    for (const port of [5001, 5002]) await seenAs(outside, flow(port));
    const before = await flowsTo(5001);
    assert.equal(before.length, 1);
    // Flows to other hosts are none of a forward's, also with its port.
    const elsewhere = await serve(outside, { proto: 'udp', port: 5003 });
    await seenAs(web, { proto: 'udp', to: internetAddress, port: 5003 });
    const toOthers = await flowsTo(5003);
    assert.equal(toOthers.length, 1);

    for (const forwards of [
      [...kept, 'port="9000-9003" to="90-93"'],
      [...kept, 'port="9000"'],
      [...kept, 'protocol="udp" port="5003"'],
      kept,
    ]) {
      showRunning(web, forwards);
      await up();
      await once(download.stdout, 'data');
    }
    assert.deepEqual(await flowsTo(5003), toOthers);
    await elsewhere.stop();
    assert.deepEqual(await flowsTo(5001), before);
    assert.equal((await seenAs(outside, flow(5001))).address, '203.0.113.2');
    assert.deepEqual(await flowsTo(5002), []);
    assert.equal(await probe(outside, flow(5002)), 'icmp-port-unreachable');
    assert.deepEqual([download.exitCode, source.exitCode], [null, null]);
    for (const child of [download, source]) child.kill('SIGKILL');
    await Promise.all(servers.map(server => server.stop()));
  });

  changes(
    `${firewall}: addresses and clients that mean all are not a reason to repair the rules again`,
    async () => {
      const outside = await establish(firewall);
      const forwards = ['port="8443" from="0.0.0.0/0"', 'port="8444" address="0.0.0.0"'];
      const web = await startGuest('web', { digit: 'a', forwards });
      await dhcp(web);
      await up();
      const plan = await virlan('plan');
      assert.equal(plan.exitCode, 0, plan.stdout);
      for (const port of [8443, 8444]) {
        const server = await serve(web, { proto: 'tcp', port });
        assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port }), 'open');
        await server.stop();
      }
    },
  );

  changes(
    `${firewall}: of two machines that start at once, one gets the port, and the other later`,
    async () => {
      const outside = await establish(firewall);
      const machines = await Promise.all(
        (['a', 'b', 'c', 'd'] as const).map(digit =>
          startGuest(`vm${digit}`, { digit, forwards: ['port="8443"'] }),
        ),
      );
      await Promise.all(machines.map(each => dhcp(each)));
      const servers = await Promise.all(machines.map(each => serve(each, { proto: 'tcp', port: 8443 })));
      const waiting = async () =>
        [
          ...(await virlan('status')).stdout.matchAll(
            /machine (vm\w): forward tcp\/8443 waits: machine (vm\w)/g,
          ),
        ].map(([, waits, has]) => [waits, has]);
      const refused = await waiting();
      const [owner] = new Set(refused.map(([, has]) => has));
      assert.deepEqual(
        [...refused.map(([waits]) => waits), owner].sort(),
        machines.map(({ name }) => name),
        'each of the others waits for the same one',
      );
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 8443 }), 'open');
      const [first] = machines.filter(({ name }) => name === owner);
      assert(first !== undefined);
      await endGuest(first);
      assert.equal((await waiting()).length, 2);
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 8443 }), 'open');
      await Promise.all(servers.map(server => server.stop()));
      for (const machine of machines.filter(each => each !== first)) await endGuest(machine);
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 8443 }), 'tcp-reset');
    },
  );

  changes(
    `${firewall}: no machine reaches what the host binds to 127.0.0.1, with localhost = yes`,
    async () => {
      await establish(firewall, 'localhost = yes', 'host-access = all');
      const web = await startGuest('web', { digit: 'a', forwards: ['port="8443"', 'port="9100"'] });
      const db = await startGuest('db', { digit: 'b' });
      await Promise.all([dhcp(web), dhcp(db)]);
      const servers = await Promise.all([
        serve(web, { proto: 'tcp', port: 8443 }),
        ...[9200, 9300].map(port => serve(host, { proto: 'tcp', port, address: '127.0.0.1' })),
      ]);
      assert.equal(await probe(host, { proto: 'tcp', to: '127.0.0.1', port: 8443 }), 'open');
      assert.equal(await probe(host, { proto: 'tcp', to: '127.0.0.1', port: 9200 }), 'open');
      await routeLoopbackToHost(db);
      for (const port of [8443, 9200, 9300])
        assert.equal(
          await probe(db, { proto: 'tcp', to: '127.0.0.1', port, seconds: 0.5 }),
          'timeout',
          `${port}`,
        );
      // Nor by an address that leads to the host.
      assert.equal(await probe(db, { proto: 'tcp', to: gateway, port: 9200 }), 'tcp-reset');
      await Promise.all(servers.map(server => server.stop()));
    },
  );
}

changes(
  'a port reflects frames while its machine has forwards and br_netfilter is on, and not longer',
  async () => {
    await establish('nftables');
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '1');
    const web = await startGuest('web', { digit: 'a', forwards: ['port="8443"'] });
    await up();
    assert.equal(await isHairpin(web), true);
    showRunning(web, []);
    await up();
    assert.equal(await isHairpin(web), false);
    showRunning(web, ['port="8443"']);
    await up();
    assert.equal(await isHairpin(web), true);
    writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '0');
    await up();
    assert.equal(await isHairpin(web), false);
  },
);

async function awaitListener(namespace: Namespace, port: number): Promise<void> {
  const script = `until ss -Hltn 'sport = :${port}' | grep -q .; do sleep 0.05; done`;
  await run(namespace, 'timeout', '10', 'sh', '-c', script);
}

/** Returns the flows of UDP that clients have sent to a port of the host, without their counters. */
async function flowsTo(port: number): Promise<string[]> {
  const { stdout } = await execa('conntrack', ['-L', '-p', 'udp', '--orig-port-dst', `${port}`, '-o', 'id']);
  return stdout.split('\n').flatMap(line => /src=.* id=\d+/.exec(line.replace(/\[\w+\] /g, ''))?.[0] ?? []);
}

/** Lets a machine send to 127.0.0.1 by way of the gateway. */
async function routeLoopbackToHost(machine: Namespace): Promise<void> {
  await run(machine, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
  await run(machine, 'ip', 'route', 'add', '127.0.0.1/32', 'via', gateway, 'table', '99');
  await run(machine, 'ip', 'rule', 'add', 'to', '127.0.0.1', 'lookup', '99', 'pref', '1');
  await run(machine, 'ip', 'rule', 'add', 'lookup', 'local', 'pref', '2');
  await run(machine, 'ip', 'rule', 'delete', 'pref', '0');
}

async function isHairpin({ port }: RunningMachine): Promise<boolean> {
  const { stdout } = await execa('bridge', ['-json', '-details', 'link', 'show', 'dev', port]);
  return JSON.parse(stdout)[0].hairpin;
}

changes.after.each(async () => {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '0');
  for (const name of ['web', 'db', 'vma', 'vmb', 'vmc', 'vmd', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

changes.run();
