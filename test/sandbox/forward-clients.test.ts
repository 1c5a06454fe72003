// Clients of forwards that pretend to come from outside: `from` says who may use a forward, and a machine can send
// with any address where the host's reverse path filter is off.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { type RunningMachine, startGuest } from './forwarding.ts';
import { frame, ipv4, send, udp, watchFrames } from './frames.ts';
import {
  configure,
  dhcp,
  host,
  installVirlan,
  internet,
  type Namespace,
  run,
  seenAs,
  serve,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';

const clients = suite('clients of forwards');
const uplink = '203.0.113.1';
const gateway = '192.168.100.1';
const allowed = '198.51.100.7';
const nested = '10.244.1.9';

clients.before(installVirlan);

async function macOf(link: string): Promise<string> {
  const [{ address }] = JSON.parse(await run(host, 'ip', '-json', 'link', 'show', link));
  return address;
}

for (const firewall of ['nftables', 'iptables']) {
  clients(`${firewall}: no machine uses a forward with the address of an allowed client`, async () => {
    await configure(`[network.k8s-br0]\nstp = no\nfirewall = ${firewall}\n`);
    for (const link of ['all', 'default', 'k8s-br0'])
      await execa('sysctl', ['-qw', `net.ipv4.conf.${link}.rp_filter=0`], { reject: false });
    await up();
    const outside = await internet();
    await run(outside, 'ip', 'address', 'add', `${allowed}/32`, 'dev', 'lo');
    const forwards = [
      'protocol="udp" port="8443" to="443" from="198.51.100.0/24"',
      'protocol="udp" port="8444" to="443"',
    ];
    const web = await startGuest('web', { digit: 'a', forwards });
    const eve = await startGuest('eve', { digit: 'b' });
    await Promise.all([dhcp(web), dhcp(eve)]);
    await serve(web, { proto: 'udp', port: 443 });
    for (const value of ['0', '1']) {
      writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
      await up();
      await judge(outside, web, eve);
    }
    await reachFromBehind(eve);
  });
}

/** Sends from outside with the address of an allowed client, and from a machine with the same, before and after. */
async function judge(outside: Namespace, web: RunningMachine, eve: RunningMachine): Promise<void> {
  const [bridge, link] = [await macOf('k8s-br0'), await macOf('uplink')];
  const [{ address: sender }] = JSON.parse(await run(outside, 'ip', '-json', 'link', 'show', 'eth0'));
  const sight = await watchFrames(web, 'eth0');
  const packet = (from: number, to: string, port: number) => ipv4(allowed, to, 17, udp(from, port, []));
  const real = () => send(outside, [frame(link, sender, 0x800, packet(4000, uplink, 8443))]);
  const [first = 0] = await real();
  await until(() => sight.seen.has(first));
  const pretended = await send(
    eve,
    [uplink, gateway].flatMap(to =>
      [8443, 8444].flatMap(port =>
        // That of the connection from outside, and one of its own.
        [4000, 4001].map(from => frame(bridge, eve.mac, 0x800, packet(from, to, port))),
      ),
    ),
  );
  const [last = 0] = await real();
  await until(() => sight.seen.has(last));
  assert.deepEqual(
    pretended.filter(number => sight.seen.has(number)),
    [],
  );
  sight.stop();
}

/** A network behind a machine, to which a route of the host leads, uses forwards with its own addresses. */
async function reachFromBehind(router: RunningMachine): Promise<void> {
  const [{ addr_info: addresses }] = JSON.parse(await run(router, 'ip', '-json', 'address', 'show', 'eth0'));
  const via = addresses.find(({ family }: { family: string }) => family === 'inet').local;
  await run(router, 'ip', 'address', 'add', `${nested}/32`, 'dev', 'lo');
  await run(router, 'ip', 'route', 'change', 'default', 'via', gateway, 'src', nested);
  await run(host, 'ip', 'route', 'add', `${nested}/32`, 'via', via);
  await up();
  assert.equal((await seenAs(router, { proto: 'udp', to: uplink, port: 8444 })).address, nested);
  assert.deepEqual(await plannedSteps(), []);
}

clients.after.each(async () => {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', '0');
  for (const name of ['web', 'eve', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

clients.run();
