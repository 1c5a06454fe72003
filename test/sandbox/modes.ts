// The tests of the modes with one backend: two networks, the outside, and a network behind the host.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  capture,
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
  probe,
  run,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

type Mode = 'nat' | 'routed' | 'isolated' | 'open';

const uplinkAddress = '203.0.113.1';
const gateway = '10.1.0.1';
const [webAddress, dbAddress, farAddress] = ['10.1.0.10', '10.1.0.11', '10.2.0.10'];
/** A network of Docker's, as far as machines can tell. */
const containerAddress = '172.17.0.2';

interface Scenario {
  readonly web: Guest;
  readonly db: Guest;
  readonly far: Guest;
  readonly outside: Linked;
  readonly container: Namespace;
}

/** Adds a guest with a fixed address and a default route, which DHCP names in some modes only. */
async function machine(name: string, bridge: string, address: string): Promise<Guest> {
  const digit = address.split('.').at(-1) ?? '';
  const added = await guest(name, { mac: `52:54:00:00:0${bridge === 'lab' ? 1 : 2}:${digit}`, bridge });
  await run(added, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
  await run(added, 'ip', 'route', 'add', 'default', 'via', address.replace(/\d+$/, '1'));
  return added;
}

async function behindHost(name: string, port: string, network: string): Promise<Namespace> {
  await execa('ip', ['netns', 'add', name]);
  await execa('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name]);
  await execa('ip', ['address', 'add', `${network}.1/24`, 'dev', port]);
  await execa('ip', ['link', 'set', port, 'up']);
  await run({ name }, 'ip', 'address', 'add', `${network}.2/24`, 'dev', 'eth0');
  for (const link of ['lo', 'eth0']) await run({ name }, 'ip', 'link', 'set', link, 'up');
  await run({ name }, 'ip', 'route', 'add', 'default', 'via', `${network}.1`);
  return { name };
}

async function addScenario(): Promise<Scenario> {
  const outside = await internet();
  const [web, db] = [await machine('web', 'lab', webAddress), await machine('db', 'lab', dbAddress)];
  const far = await machine('far', 'other', farAddress);
  const container = await behindHost('container', 'docker0', '172.17.0');
  await Promise.all([
    serve(outside, { proto: 'udp', port: 123 }),
    serve(db, { proto: 'tcp', port: 7000 }),
    serve(host, { proto: 'tcp', port: 22 }),
  ]);
  return { web, db, far, outside, container };
}

/** Waits for a program that listens, which says so nowhere else. */
async function listensOn({ name }: Linked, port: number): Promise<void> {
  const listed = () => execa('ip', ['netns', 'exec', name, 'ss', '-Hltn', `sport = :${port}`]);
  await until(async () => (await listed()).stdout !== '');
}

/** Tests the modes with one backend. */
export function testModes(firewall: 'nftables' | 'iptables'): void {
  const modes = suite(`modes, ${firewall}`);
  let scenario: Scenario;

  async function establish(...lines: string[]): Promise<void> {
    await configure(
      [
        ...['[network.lab]', 'subnet = 10.1.0.0/24', 'stp = no', ...lines],
        ...[`firewall = ${firewall}`, '[network.other]', 'subnet = 10.2.0.0/24', 'stp = no'],
        ...[`firewall = ${firewall}`, ''],
      ].join('\n'),
    );
    await up();
  }

  /** Returns the way of pings between all places: `a` for an answer, `r` for a rejection, `-` for silence. */
  async function ways(): Promise<string> {
    const { web, far, outside, container } = scenario;
    const pings: readonly [from: Namespace, to: string][] = [
      [web, internetAddress],
      [outside, webAddress],
      [web, gateway],
      [host, webAddress],
      [web, dbAddress],
      [web, farAddress],
      [far, webAddress],
      [web, containerAddress],
      [container, webAddress],
    ];
    const verdicts = await Promise.all(
      pings.map(([from, to]) => probe({ ...from }, { proto: 'icmp', to, seconds: 0.5 })),
    );
    // In the order out, in; to and from the host; other machine; to and from the other network, and containers.
    const letters = verdicts.map(verdict => ({ open: 'a', timeout: '-' })[verdict as 'open'] ?? 'r').join('');
    return [letters.slice(0, 2), letters.slice(2, 4), letters[4], letters.slice(5, 7), letters.slice(7)].join(
      ' ',
    );
  }

  /** Returns the source address of a connection that began before the last change of mode, if any. */
  async function seenFrom(): Promise<string> {
    const target = { proto: 'udp', to: internetAddress, port: 123, from: 4500, seconds: 0.8 } as const;
    return (await seenAs(scenario.web, target).catch(() => ({ address: 'nobody' }))).address;
  }

  const promised: Readonly<Record<Mode, { ways: string; seenFrom: string }>> = {
    nat: { ways: 'ar aa a rr ar', seenFrom: uplinkAddress },
    routed: { ways: 'aa aa a rr aa', seenFrom: webAddress },
    isolated: { ways: '-r aa a -r -r', seenFrom: 'nobody' },
    open: { ways: 'aa aa a rr aa', seenFrom: webAddress },
  };

  modes.before(async () => {
    await installVirlan();
    await establish();
    scenario = await addScenario();
  });

  modes('every mode changes to every other one while machines run, and old connections follow', async () => {
    // Each pair of modes once.
    const order = 'nat routed nat isolated nat open routed isolated routed open isolated open nat'.split(' ');
    for (const mode of order as Mode[]) {
      await establish(`mode = ${mode}`);
      assert.deepEqual({ ways: await ways(), seenFrom: await seenFrom() }, promised[mode], mode);
    }
  });

  modes(
    'every mode: TCP to machines and the host; open has no rules; nothing is left to change',
    async () => {
      for (const mode of ['routed', 'isolated', 'open'] as const) {
        await establish(`mode = ${mode}`);
        assert.equal(await probe(scenario.web, { proto: 'tcp', to: dbAddress, port: 7000 }), 'open');
        assert.equal(await probe(scenario.web, { proto: 'tcp', to: gateway, port: 22 }), 'open');
        assert.deepEqual(await plannedSteps(), []);
      }
      const { stdout } = await execa('nft', ['list', 'ruleset']);
      assert.doesNotMatch(stdout, /virlan-lab|VIRLAN-\w+-lab/);
      assert.match(stdout, /virlan-other|VIRLAN-FWD-other/);
    },
  );

  modes('a narrower uplink: TCP is told, where errors about too large packets get lost', async () => {
    const { web, outside } = scenario;
    await execa('ip', ['link', 'set', outside.port, 'mtu', '1400']);
    const lost = ['-p', 'icmp', '--icmp-type', 'fragmentation-needed', '-j', 'DROP'];
    await run(web, 'iptables', '-A', 'INPUT', ...lost);
    for (const mode of ['nat', 'routed']) {
      await establish(`mode = ${mode}`);
      const wire = await capture(outside, 'eth0', 'tcp port 9000');
      const limited = (command: string) => ['timeout', '5', 'sh', '-c', command] as const;
      const send = async () => {
        await listensOn(outside, 9000);
        return run(web, ...limited(`head -c 300000 /dev/zero | busybox nc ${internetAddress} 9000`));
      };
      const [received] = await Promise.all([
        run(outside, ...limited('busybox nc -l -p 9000 | wc -c')),
        send(),
      ]);
      assert.equal(received, '300000', mode);
      await wire.seen(/mss 1360\b/);
      await wire.stop();
    }
    await execa('ip', ['link', 'set', outside.port, 'mtu', '1500']);
    await run(web, 'iptables', '-D', 'INPUT', ...lost);
  });

  modes('isolated: DHCP names no router, DNS knows machines only', async () => {
    await establish('mode = isolated');
    const { db } = scenario;
    await run(db, 'ip', 'route', 'delete', 'default');
    const address = await dhcp(db);
    assert.equal(await run(db, 'ip', 'route', 'show', 'default'), '');
    const lookup = (name: string) =>
      execa('ip', ['netns', 'exec', 'db', 'busybox', 'nslookup', '-type=a', name, gateway], {
        reject: false,
      });
    assert.match((await lookup('upstream.example')).stdout, /REFUSED/);
    await establish();
    await run(db, 'ip', 'address', 'flush', 'dev', 'eth0');
    assert.equal(await dhcp(db), address);
    assert.match(await run(db, 'ip', 'route', 'show', 'default'), /^default via 10\.1\.0\.1 /);
    await run(db, 'ip', 'address', 'add', `${dbAddress}/24`, 'dev', 'eth0');
  });

  modes(
    'reaches: machines of both networks reach each other untranslated, whichever names the other',
    async () => {
      const server = await serve(scenario.far, { proto: 'tcp', port: 7000 });
      const seen = () => seenAs(scenario.web, { proto: 'tcp', to: farAddress, port: 7000 });
      for (const mode of ['nat', 'routed']) {
        await establish(`mode = ${mode}`, 'reaches = other');
        assert.equal((await seen()).address, webAddress);
        assert.equal(await probe(scenario.far, { proto: 'icmp', to: webAddress }), 'open');
      }
      await server.stop();
    },
  );

  modes('outside = uplink: only what is behind the default routes, which are followed', async () => {
    await establish('outside = uplink');
    assert.equal(await ways(), 'ar aa a rr rr');
    const status = JSON.parse((await virlan('status', '--json')).stdout).networks[0];
    assert.deepEqual(status.alsoReached, []);
    // A default route by another link as well, as a second LAN card has it.
    await execa('ip', ['route', 'add', 'default', 'via', containerAddress, 'metric', '9']);
    assert.equal((await plannedSteps()).length, 1);
    await up();
    assert.equal(await ways(), 'ar aa a rr ar');
    await execa('ip', ['route', 'delete', 'default', 'metric', '9']);
    await up();
    assert.equal(await ways(), 'ar aa a rr rr');
  });

  modes('outside = all: status names what machines reach besides the uplink', async () => {
    await establish();
    const { stdout } = await virlan('status');
    assert.match(stdout, /\n {2}machines also reach docker0\n/);
  });

  modes('uplink: only by this link, in nat and in routed', async () => {
    await establish('uplink = docker0');
    assert.equal(await ways(), 'rr aa a rr ar');
    await establish('uplink = docker0', 'mode = routed');
    assert.equal(await ways(), 'rr aa a rr aa');
    await establish('uplink = uplink', 'mode = routed');
    assert.equal(await ways(), 'aa aa a rr rr');
    assert.match(
      (await virlan('status')).stdout,
      /the router of the LAN needs a route: 10\.1\.0\.0\/24 via 203\.0\.113\.1/,
    );
  });

  modes('isolated alone: forwarding is not switched on, and is restored when nat was there', async () => {
    const forwarding = () => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim();
    const alone = (mode: Mode) =>
      configure(
        [
          '[network.lab]',
          'subnet = 10.1.0.0/24',
          `mode = ${mode}`,
          'stp = no',
          `firewall = ${firewall}`,
          '',
        ].join('\n'),
      );
    await establish();
    await down();
    await alone('isolated');
    await up();
    assert.equal(forwarding(), '0');
    await alone('nat');
    await up();
    assert.equal(forwarding(), '1');
    await alone('isolated');
    await up();
    assert.equal(forwarding(), '0');
    assert.equal(existsSync('/etc/sysctl.d/60-virlan.conf'), false);
    assert.deepEqual(await plannedSteps(), []);
    // Whoever else switches it on now keeps it.
    await execa('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
    await up();
    assert.equal(forwarding(), '1');
    assert.equal(readFileSync('/proc/sys/net/ipv4/conf/lab/forwarding', 'utf8').trim(), '0');
    await execa('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=0']);
    await down();
  });

  modes.after(async () => {
    for (const name of ['web', 'db', 'far', 'internet', 'container'])
      await execa('ip', ['netns', 'delete', name], { reject: false });
    await resetHost();
  });

  modes.run();
}
