// Packets on less common paths, with both backends: by way of a third network, translated by the
// administrator, and by IPv6.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  type Namespace,
  nameServer,
  probe,
  remove,
  run,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { until } from './until.ts';
import { down } from './virlan-commands.ts';

const paths = suite('packet paths');
const uplink = '203.0.113.1';
const outside6 = 'fd00:2::2';
const host6 = 'fd00:1::1';

paths.before(installVirlan);

interface Scenario {
  readonly web: Guest;
  readonly db: Guest;
  readonly outside: Linked;
  readonly webAddress: string;
  readonly dbAddress: string;
}

async function establish(firewall: string, ...lines: string[]): Promise<void> {
  await configure(['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines, ''].join('\n'));
  // It warns of IPv6 addresses that others gave the bridge.
  assert.equal((await virlan('up')).exitCode, 0);
}

async function addMachines(): Promise<Scenario> {
  const outside = await internet();
  const [web, db] = [await reservedGuest('web', 'a'), await reservedGuest('db', 'b')];
  const [webAddress, dbAddress] = await Promise.all([dhcp(web), dhcp(db)]);
  return { web, db, outside, webAddress, dbAddress };
}

async function reservedGuest(name: string, digit: string): Promise<Guest> {
  const mac = `52:54:00:00:00:0${digit}`;
  await prepare({ name, nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
  return guest(name, { mac });
}

function setBridgeNetfilter(value: '0' | '1'): void {
  for (const program of ['iptables', 'ip6tables'])
    writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${program}`, value);
}

/**
 * Throws unless TCP connections succeed, or do not. How one is refused does not matter; one that should succeed may wait
 * for neighbour discovery that fails first.
 */
async function assertReaches(
  from: Namespace,
  [to, port]: readonly [to: string, port: number],
  expected: boolean,
  when = '',
): Promise<void> {
  const reaches = async () => {
    try {
      return (await probe(from, { proto: 'tcp', to, port, seconds: 0.6 })) === 'open';
    } catch (error) {
      if (/E(HOST|NET)UNREACH$/.test((error as Error).message)) return false;
      throw error;
    }
  };
  if (expected) await until(reaches, 10);
  else assert(!(await reaches()), `${from.name} reaches ${to}, port ${port}${when}`);
}

/** Gives hosts of the bridge and of the outside IPv6 addresses, as an administrator does by hand. */
async function addIpv6({ web, db, outside }: Scenario): Promise<void> {
  for (const link of ['all', 'k8s-br0']) writeFileSync(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, '0');
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
  const address = (where: Namespace, ip: string, link: string) =>
    run(where, 'ip', '-6', 'address', 'add', `${ip}/64`, 'dev', link, 'nodad');
  await address(host, host6, 'k8s-br0');
  await address(host, 'fd00:2::1', outside.port);
  await address(web, 'fd00:1::2', 'eth0');
  await address(db, 'fd00:1::3', 'eth0');
  await address(outside, outside6, 'eth0');
  for (const machine of [web, db]) await run(machine, 'ip', '-6', 'route', 'add', 'default', 'via', host6);
  await run(outside, 'ip', '-6', 'route', 'add', 'default', 'via', 'fd00:2::1');
}

for (const firewall of ['nftables', 'iptables']) {
  paths(
    `${firewall}: host-firewall = strict of one network leaves the machines of others to their own rules`,
    async () => {
      const lab = (...lines: string[]) => [
        '[network.lab]',
        'stp = no',
        'subnet = 192.168.200.0/24',
        ...lines,
      ];
      const servers = await Promise.all([5500, 8080].map(port => serve(host, { proto: 'tcp', port })));
      const sections = [
        ['host-firewall = strict', ...lab('host-allow = tcp/5500', `firewall = ${firewall}`)],
        [
          'host-allow = tcp/5500',
          ...lab('host-firewall = strict', 'host-allow = tcp/5500', `firewall = ${firewall}`),
        ],
        ['host-firewall = strict', ...lab('mode = open')],
      ];
      for (const [number, lines] of sections.entries()) {
        await establish(firewall, ...lines);
        const machines = [
          { gateway: '192.168.100.1', machine: await guest(`a${number}`, { mac: '52:54:00:00:00:0a' }) },
          {
            gateway: '192.168.200.1',
            machine: await guest(`b${number}`, { mac: '52:54:00:00:00:0b', bridge: 'lab' }),
          },
        ];
        const verdicts: string[][] = [];
        for (const { gateway, machine } of machines) {
          await dhcp(machine);
          const ports = (['udp/53', 'tcp/5500', 'tcp/8080'] as const).map(async what => {
            const [proto, port] = what.split('/') as ['udp' | 'tcp', string];
            return probe(machine, { proto, to: gateway, port: Number(port) });
          });
          verdicts.push(await Promise.all(ports));
          await remove(machine);
        }
        const [withAllowed, without] = [
          ['open', 'open', 'tcp-reset'],
          ['open', 'tcp-reset', 'tcp-reset'],
        ];
        assert.deepEqual(verdicts, [
          number === 1 ? withAllowed : without,
          number === 2 ? without : withAllowed,
        ]);
        await down();
      }
      await Promise.all(servers.map(server => server.stop()));
    },
  );

  paths(`${firewall}: nothing that leaves by the bridge itself is masqueraded`, async () => {
    await establish(firewall);
    const { web, db, webAddress, dbAddress } = await addMachines();
    await run(db, 'ip', 'address', 'add', '10.244.1.5/32', 'dev', 'lo');
    const server = await serve(db, { proto: 'udp', port: 7001, address: '10.244.1.5' });
    const seenBy = async () => (await seenAs(web, { proto: 'udp', to: '10.244.1.5', port: 7001 })).address;
    const route = ['route', 'add', '10.244.1.0/24', 'via', dbAddress];

    await execa('ip', route);
    for (const value of ['0', '1'] as const) {
      setBridgeNetfilter(value);
      assert.equal(await seenBy(), webAddress, `by a route of the host, bridge-nf ${value}`);
    }
    await execa('ip', ['route', 'delete', '10.244.1.0/24']);
    await run(web, 'ip', ...route);
    for (const value of ['0', '1'] as const) {
      setBridgeNetfilter(value);
      assert.equal(await seenBy(), webAddress, `by a route of the machine, bridge-nf ${value}`);
    }
    await server.stop();
  });

  paths(`${firewall}: what the administrator translates to a machine arrives, and nothing else`, async () => {
    await establish(firewall);
    const { web, outside, webAddress } = await addMachines();
    for (const proto of ['tcp', 'udp']) {
      const match = ['-d', uplink, '-p', proto, '--dport', '8443'];
      const target = ['-j', 'DNAT', '--to-destination', `${webAddress}:7000`];
      await execa('iptables', ['-t', 'nat', '-A', 'PREROUTING', ...match, ...target]);
    }
    const servers = await Promise.all([
      serve(web, { proto: 'tcp', port: 7000 }),
      serve(web, { proto: 'udp', port: 7000 }),
    ]);
    for (const proto of ['tcp', 'udp'] as const) {
      const peer = await seenAs(outside, { proto, to: uplink, port: 8443 });
      assert.equal(peer.address, internetAddress, proto);
      const verdict = await probe(outside, { proto, to: webAddress, port: 7000 });
      assert.equal(verdict, 'icmp-port-unreachable', proto);
    }
    // A name server of the host's own, which machines are not to ask.
    servers.push(await nameServer(host, uplink));
    assert.equal(await probe(host, { proto: 'udp', to: uplink, port: 53 }), 'open');
    assert.equal(await probe(web, { proto: 'udp', to: uplink, port: 53 }), 'icmp-port-unreachable');
    await Promise.all(servers.map(server => server.stop()));
  });

  paths(`${firewall}: nothing passes or reaches the host by IPv6, whatever the sysctls say`, async () => {
    await establish(firewall, 'host-access = all');
    const scenario = await addMachines();
    const { web, db, outside } = scenario;
    await addIpv6(scenario);
    const servers = await Promise.all(
      [host, db, outside].map(place => serve(place, { proto: 'tcp', port: 6443, address: '::' })),
    );
    const linkLocal = (await run(host, 'ip', '-6', '-o', 'address', 'show', 'dev', 'k8s-br0')).match(
      /fe80:[^/]*/,
    )?.[0];
    const cases: [from: Namespace, to: string, expected: boolean][] = [
      [web, `${linkLocal}%eth0`, false],
      [web, host6, false],
      [web, 'fd00:2::1', false],
      [web, outside6, false],
      [outside, 'fd00:1::3', false],
      [outside, 'fd00:2::1', true],
      [web, 'fd00:1::3', true],
    ];
    for (const value of ['0', '1'] as const) {
      setBridgeNetfilter(value);
      for (const [from, to, expected] of cases)
        await assertReaches(from, [to, 6443], expected, `, bridge-nf ${value}`);
    }

    await execa('nft', ['flush', 'ruleset']);
    await assertReaches(web, [`${linkLocal}%eth0`, 6443], true);

    await establish(firewall, 'host-firewall = strict');
    const ssh = await serve(host, { proto: 'tcp', port: 22, address: '::' });
    await assertReaches(outside, ['fd00:2::1', 6443], false);
    await assertReaches(outside, ['fd00:2::1', 22], true);
    assert.equal(await probe(outside, { proto: 'icmp', to: 'fd00:2::1' }), 'open');
    await assertReaches(host, [outside6, 6443], true);
    await assertReaches(host, ['::1', 6443], true);
    await assertReaches(web, [host6, 22], false);
    assert.equal((await virlan('plan')).exitCode, 0);
    assert.match((await virlan('status')).stdout, /k8s-br0 has an IPv6 address that is not virlan's/);
    await Promise.all([...servers, ssh].map(server => server.stop()));
    await down();
    const { stdout } = await execa('nft', ['list', 'ruleset']);
    assert.doesNotMatch(stdout, /virlan-k8s-br0|VIRLAN/);
  });
}

paths.after.each(async () => {
  setBridgeNetfilter('0');
  writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '0');
  for (const name of ['web', 'db', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

paths.run();
