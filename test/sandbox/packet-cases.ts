// The packet tests of both firewall backends: packets, their targets, and the expected verdicts.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
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
  probe,
  run,
  seenAs,
  serve,
  type Verdict,
  virlan,
} from './host.ts';

type Place = 'web' | 'db' | 'internet' | 'host';
type Target = Place | 'gateway' | 'uplink' | 'lo';
/** Sender and target, protocol and port, and the expected verdict. */
type Case = readonly [route: `${Place} → ${Target}`, what: 'icmp' | `${'tcp' | 'udp'}/${number}`, Verdict];

/** Cases that hold for every configuration of the host's access. */
const always: Case[] = [
  ['web → db', 'tcp/7000', 'open'],
  ['web → db', 'udp/7001', 'open'],
  ['web → db', 'icmp', 'open'],
  ['db → internet', 'tcp/80', 'open'],
  ['db → internet', 'udp/123', 'open'],
  ['db → internet', 'icmp', 'open'],
  ['internet → web', 'tcp/7000', 'icmp-port-unreachable'],
  ['internet → web', 'udp/7001', 'icmp-port-unreachable'],
  ['internet → web', 'icmp', 'icmp-port-unreachable'],
  ['web → gateway', 'tcp/53', 'open'],
  ['web → gateway', 'udp/53', 'open'],
  ['web → gateway', 'icmp', 'open'],
  ['db → uplink', 'icmp', 'open'],
];

const services = ['tcp/22', 'tcp/53', 'udp/53', 'icmp'] as const;

const sshOnly: Case[] = [
  ['web → gateway', 'tcp/22', 'open'],
  ['web → gateway', 'tcp/8080', 'tcp-reset'],
  ['db → uplink', 'tcp/8080', 'tcp-reset'],
  ['web → gateway', 'udp/123', 'icmp-port-unreachable'],
];

/** host-firewall = bridge: virlan filters only packets from the bridge. */
const hostUnfiltered: Case[] = [
  ['internet → uplink', 'icmp', 'open'],
  ['internet → uplink', 'tcp/22', 'open'],
  ['internet → uplink', 'tcp/8080', 'open'],
  ['internet → uplink', 'udp/123', 'open'],
];

const configurations: { title: string; lines: string[]; cases: Case[] }[] = [
  {
    title: 'host-access = minimal: no SSH',
    lines: ['host-access = minimal'],
    cases: [...sshOnly.slice(1), ['web → gateway', 'tcp/22', 'tcp-reset'], ...hostUnfiltered],
  },
  {
    title: 'host-access = all: every port of the host',
    lines: ['host-access = all'],
    cases: [
      ['web → gateway', 'tcp/22', 'open'],
      ['web → gateway', 'tcp/8080', 'open'],
      ['db → gateway', 'udp/123', 'open'],
      ...hostUnfiltered,
    ],
  },
  {
    title: 'host-allow: ports and ranges of the given protocol',
    // More ports than one rule of iptables' multiport can contain.
    lines: [`host-allow = tcp/5000-5001, udp/123, ${range(9000, 9020).map(port => `tcp/${port}`)}`],
    cases: [
      ...sshOnly.slice(0, 3),
      ['web → gateway', 'tcp/5000', 'open'],
      ['web → gateway', 'tcp/5001', 'open'],
      ['web → gateway', 'udp/5000', 'icmp-port-unreachable'],
      ['db → gateway', 'udp/123', 'open'],
      ['db → gateway', 'tcp/9020', 'open'],
      ...hostUnfiltered,
    ],
  },
  {
    title: 'host-firewall = strict: ping and SSH from outside, everything on lo, and replies',
    lines: ['host-firewall = strict', 'host-access = minimal'],
    cases: [
      ...sshOnly.slice(1),
      ['web → gateway', 'tcp/22', 'tcp-reset'],
      ['internet → uplink', 'icmp', 'open'],
      ['internet → uplink', 'tcp/22', 'open'],
      ['internet → uplink', 'tcp/8080', 'tcp-reset'],
      ['internet → uplink', 'udp/123', 'icmp-port-unreachable'],
      ['host → lo', 'tcp/8080', 'open'],
      ['host → lo', 'udp/123', 'open'],
      ['host → internet', 'tcp/80', 'open'],
      ['host → internet', 'udp/123', 'open'],
    ],
  },
];

/** Sends a TCP packet from a guest's address and prints the number of replies within a second. */
const craftTcp = `
import socket, struct, sys, time
source, target, port, flags = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def packed(checksum):
    return struct.pack('!HHLLBBHHH', 4000 + flags, port, 1, 1, 5 << 4, flags, 1024, checksum, 0)
pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack('!HH', 6, 20)
total = sum(struct.unpack('!16H', pseudo + packed(0)))
total = (total & 0xffff) + (total >> 16)
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
wire.sendto(packed(0xffff & ~(total + (total >> 16))), (target, 0))
wire.settimeout(0.1)
answers, end = 0, time.monotonic() + 1
while time.monotonic() < end:
    try:
        answers += wire.recv(100)[20:24] == struct.pack('!HH', port, 4000 + flags)
    except TimeoutError:
        pass
print(answers)
`;
const [fin, syn] = [1, 2];

/** Adds a guest in place of a machine, with the reservation that a machine gets at its start. */
async function reservedGuest(name: string, digit: string): Promise<Guest> {
  const mac = `52:54:00:00:00:0${digit}`;
  const nics = [{ type: 'bridge' as const, source: 'k8s-br0', mac }];
  assert.equal((await prepare({ name, nics })).exitCode, 0);
  return guest(name, { mac });
}

/** Runs the packet tests with one backend. */
export function testPackets(firewall: 'nftables' | 'iptables'): void {
  const packets = suite(`packets, ${firewall}`);
  const gateway = '192.168.100.1';
  const uplink = '203.0.113.1';
  let web: Guest;
  let db: Guest;
  let outside: Linked;
  let addresses: Record<Target, string>;

  /**
   * Establishes the network with additional lines in its section. STP is off because it would delay guests.
   */
  async function up(...lines: string[]): Promise<void> {
    await configure(['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines, ''].join('\n'));
    const { exitCode, stderr } = await virlan('up');
    assert.equal(`${stderr}${exitCode}`, '0');
  }

  async function assertVerdicts(cases: readonly Case[]): Promise<void> {
    const places = { web, db, internet: outside, host };
    const verdicts = await Promise.all(
      cases.map(async ([route, what]) => {
        const [from, target] = route.split(' → ') as [Place, Target];
        const [proto, port] = what.split('/') as ['icmp' | 'tcp' | 'udp', string];
        const to = addresses[target];
        return probe(places[from], proto === 'icmp' ? { proto, to } : { proto, to, port: Number(port) });
      }),
    );
    assert.deepEqual(
      verdicts.map((verdict, index) => [...(cases[index]?.slice(0, 2) ?? []), verdict]),
      cases,
    );
  }

  packets('machines get addresses in DHCP replies with a correct checksum', async () => {
    await installVirlan();
    await up();
    outside = await internet();
    web = await reservedGuest('web', 'a');
    db = await reservedGuest('db', 'b');

    const wire = await capture(db, 'eth0', 'udp and dst port 68');
    const [webAddress, dbAddress] = await Promise.all([dhcp(web), dhcp(db)]);
    await wire.seen(/udp sum ok.*BOOTP\/DHCP, Reply/);
    assert.doesNotMatch((await wire.stop()).join('\n'), /bad udp cksum/);
    const reserved = await Promise.all([virlan('ip', 'web'), virlan('ip', 'db')]);
    assert.deepEqual(
      [webAddress, dbAddress],
      reserved.map(({ stdout }) => stdout),
    );
    addresses = {
      web: webAddress,
      db: dbAddress,
      gateway,
      uplink,
      internet: internetAddress,
      host: gateway,
      lo: '127.0.0.1',
    };
  });

  packets('the defaults: host-access = basic and host-firewall = bridge', async () => {
    await Promise.all([
      ...[web, db].map(machine => serve(machine, { proto: 'tcp', port: 7000 })),
      ...[web, db].map(machine => serve(machine, { proto: 'udp', port: 7001 })),
      serve(outside, { proto: 'tcp', port: 80 }),
      serve(outside, { proto: 'udp', port: 123 }),
      ...[22, 5000, 5001, 8080, 9020].map(port => serve(host, { proto: 'tcp', port })),
      ...[gateway, uplink, '127.0.0.1'].map(address => serve(host, { proto: 'udp', port: 123, address })),
    ]);
    await assertVerdicts([...always, ...sshOnly, ...hostUnfiltered]);
  });

  packets(
    "errors from outside reach machines, and the network's name server is not reachable from outside",
    () =>
      assertVerdicts([
        ['web → internet', 'tcp/81', 'tcp-reset'],
        ['db → internet', 'udp/81', 'icmp-port-unreachable'],
        ['internet → uplink', 'tcp/53', 'tcp-reset'],
        ['internet → gateway', 'udp/53', 'timeout'],
      ]),
  );

  const hasBridgeNetfilter = existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables');
  if (hasBridgeNetfilter) {
    packets('machines reach each other when the bridge passes their frames to iptables', async () => {
      const setting = '/proc/sys/net/bridge/bridge-nf-call-iptables';
      writeFileSync(setting, '1');
      await assertVerdicts(always);
      writeFileSync(setting, '0');
    });
  }

  packets(
    'connections of machines are masqueraded to the address of the uplink and a high port',
    async () => {
      for (const [proto, port] of [
        ['tcp', 80],
        ['udp', 123],
      ] as const) {
        const seen = await seenAs(web, { proto, to: internetAddress, port, from: 100 });
        assert.equal(seen.address, uplink);
        assert(seen.port >= 1024, `${proto} from port ${seen.port}`);
      }
      const wire = await capture(outside, 'eth0', 'icmp');
      await run(web, 'ping', '-n', '-c', '1', internetAddress);
      await wire.seen(/203\.0\.113\.1 > 203\.0\.113\.2: ICMP echo request/);
      await wire.stop();
    },
  );

  packets('packets to 224.0.0.0/24 and to broadcast addresses keep their source', async () => {
    // Routers do not forward these, so they are sent from the host's own address on the bridge.
    const wire = await capture(outside, 'eth0', 'icmp');
    for (const [to, source] of [
      ['224.0.0.251', gateway],
      ['255.255.255.255', gateway],
      ['224.0.1.1', uplink],
    ] as const) {
      const from = ['-b', '-I', gateway, '-I', 'uplink'];
      await execa('ping', ['-n', '-c', '1', '-W', '0.1', ...from, to], { reject: false });
      await wire.seen(
        new RegExp(`${source.replaceAll('.', '\\.')} > ${to.replaceAll('.', '\\.')}: ICMP echo`),
      );
    }
    await wire.stop();
  });

  packets('an invalid packet is dropped, not rejected', async () => {
    const answers = (flags: number) =>
      run(web, 'python3', '-c', craftTcp, addresses.web, gateway, '8080', `${flags}`);
    assert.deepEqual(await Promise.all([answers(syn), answers(syn | fin)]), ['1', '0']);
  });

  packets("an invalid packet does not leave with the machine's own address", async () => {
    const wire = await capture(outside, 'eth0', 'tcp dst port 82');
    for (const flags of [syn | fin, syn])
      await run(web, 'python3', '-c', craftTcp, addresses.web, internetAddress, '82', `${flags}`);
    await wire.seen(/203\.0\.113\.1\.\d+ > 203\.0\.113\.2\.82: Flags \[S\]/);
    assert.equal((await wire.stop()).filter(line => line.includes(' > 203.0.113.2')).length, 1);
  });

  packets(
    'a packet with a source outside of the subnet is dropped, not rejected, and does not leave the host',
    async () => {
      const wire = await capture(outside, 'eth0', 'tcp dst port 80 or udp dst port 123');
      const spoofed = '198.51.100.7';
      await run(db, 'ip', 'address', 'add', `${spoofed}/32`, 'dev', 'eth0');
      await run(db, 'ip', 'route', 'add', internetAddress, 'via', gateway, 'src', spoofed);
      // The route for a rejection.
      await run(host, 'ip', 'route', 'add', spoofed, 'dev', 'k8s-br0');
      await assertVerdicts([
        ['db → internet', 'tcp/80', 'timeout'],
        ['db → internet', 'udp/123', 'timeout'],
        ['db → uplink', 'tcp/8080', 'tcp-reset'],
      ]);
      await run(db, 'ip', 'route', 'replace', uplink, 'via', gateway, 'src', spoofed);
      await assertVerdicts([
        ['db → uplink', 'tcp/8080', 'timeout'],
        ['db → uplink', 'udp/123', 'timeout'],
      ]);
      await run(db, 'ip', 'route', 'delete', uplink);
      await run(db, 'ip', 'route', 'delete', internetAddress);
      // Services that machines reach would answer to the third party.
      await assertVerdicts(services.map(what => ['db → gateway', what, 'open']));
      await run(db, 'ip', 'route', 'add', gateway, 'dev', 'eth0', 'src', spoofed);
      await assertVerdicts(services.map(what => ['db → gateway', what, 'timeout']));
      await run(db, 'ip', 'route', 'delete', gateway);
      await run(db, 'ip', 'address', 'delete', `${spoofed}/32`, 'dev', 'eth0');
      await run(host, 'ip', 'route', 'delete', spoofed);
      await assertVerdicts([['db → internet', 'udp/123', 'open']]);
      await wire.seen(/203\.0\.113\.1\.\d+ > 203\.0\.113\.2\.123/);
      assert.equal((await wire.stop()).filter(line => line.includes(' > 203.0.113.2')).length, 1);
    },
  );

  packets("machines resolve each other's names and external names", async () => {
    const resolver = [
      '--no-resolv',
      '--no-hosts',
      '--port=53',
      '--user=root',
      '--pid-file',
      '--conf-file=/dev/null',
    ];
    await run(outside, 'dnsmasq', ...resolver, '--address=/upstream.example/198.51.100.80');
    const lookup = (name: string) => run(db, 'busybox', 'nslookup', '-type=a', name, gateway);
    assert((await lookup('web.k8s-br0.internal')).split('\n').includes(`Address: ${addresses.web}`));
    assert.match(await lookup('upstream.example'), /^Address: 198\.51\.100\.80$/m);
    await assert.rejects(lookup('nobody.k8s-br0.internal'), /NXDOMAIN/);
  });

  for (const { title, lines, cases } of configurations) {
    packets(title, async () => {
      await up(...lines);
      await assertVerdicts([...always, ...cases]);
    });
  }

  packets('a port of host-allow is reached where it is excepted from connection tracking', async () => {
    await up('host-allow = udp/123');
    const untracked = ['PREROUTING', '-p', 'udp', '--dport', '123', '-j', 'CT', '--notrack'];
    await execa('iptables', ['-t', 'raw', '-A', ...untracked]);
    await assertVerdicts([
      ['web → gateway', 'udp/123', 'open'],
      ['db → gateway', 'udp/123', 'open'],
    ]);
    await execa('iptables', ['-t', 'raw', '-D', ...untracked]);
  });

  packets('what virlan refuses to forward is refused where a rule of others accepts it first', async () => {
    await up();
    for (const table of ['filter', 'mangle'])
      await execa('iptables', ['-t', table, '-I', 'FORWARD', '-j', 'ACCEPT']);
    const refused = firewall === 'nftables' ? 'icmp-port-unreachable' : 'timeout';
    await assertVerdicts([
      ['internet → web', 'tcp/7000', refused],
      ['internet → web', 'udp/7001', refused],
      ['internet → web', 'icmp', refused],
      ['web → db', 'tcp/7000', 'open'],
      ['db → internet', 'tcp/80', 'open'],
    ]);
    for (const table of ['filter', 'mangle'])
      await execa('iptables', ['-t', table, '-D', 'FORWARD', '-j', 'ACCEPT']);
  });

  packets.run();
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
