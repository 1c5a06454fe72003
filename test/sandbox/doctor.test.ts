import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  domainXml,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  type Nic,
  nameServer,
  type Server,
  serve,
  virlan,
} from './host.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { up } from './virlan-commands.ts';

interface Report {
  well: boolean;
  explanation: Omit<Check, 'state'> | null;
  mended?: { about: string; check: string }[];
  checks: Check[];
}

interface Check {
  about: string;
  check: string;
  state: string;
  /** A stable word for what was seen. */
  code: string;
  seen: string;
  fix: Fix | null;
}

interface Fix {
  command: string;
  mends: boolean;
  ours: boolean;
}

/** One way to break a good host, and what the doctor has to say to it. */
interface Broken {
  title: string;
  /** As a shell would; or a function that gives what undoes it. */
  by: string | (() => Promise<() => Promise<void>>);
  check: string;
  seen: RegExp;
  /** Whether `--fix` mends it; else the command that it says mends it, or null where there is none. */
  mends: 'virlan' | RegExp | null;
  /** Undoes it where nothing the doctor says does. */
  undo?: string;
  machine?: string;
  /** A warning leaves the host well. */
  warns?: true;
}

const bridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
const ledger = '/var/lib/virlan/ledger.jsonl';
const killDnsmasq =
  'kill -9 $(cat /run/dnsmasq/k8s-br0.pid); while pgrep -F /run/dnsmasq/k8s-br0.pid; do :; done';

const onHost: Broken[] = [
  {
    title: 'a configuration with a slip',
    by: 'echo "sbunet = 10.0.0.0/24" >> /etc/virlan/virlan.ini',
    check: 'config',
    seen: /virlan\.ini:3: .*sbunet/,
    mends: null,
    undo: 'sed -i /sbunet/d /etc/virlan/virlan.ini',
  },
  {
    title: 'a kernel without nftables',
    by: `mv /usr/sbin/nft /usr/sbin/nft.real
      printf '#!/bin/sh\\necho "nft: Operation not supported" >&2\\nexit 1\\n' > /usr/sbin/nft
      chmod 755 /usr/sbin/nft`,
    check: 'kernel',
    seen: /nft does not work on this host: .*Operation not supported/,
    mends: null,
    undo: 'mv /usr/sbin/nft.real /usr/sbin/nft; virlan up',
  },
  {
    title: 'forwarding off',
    by: 'sysctl -q net.ipv4.ip_forward=0',
    check: 'forwarding',
    seen: /^net\.ipv4\.ip_forward is 0: no packet gets from machines to the outside$/,
    mends: 'virlan',
  },
  {
    title: 'forwarding off on the bridge alone',
    by: 'sysctl -q net.ipv4.conf.k8s-br0.forwarding=0',
    check: 'forwarding',
    seen: /^net\.ipv4\.conf\.k8s-br0\.forwarding is 0/,
    mends: /^sysctl -w net\.ipv4\.conf\.k8s-br0\.forwarding=1$/,
  },
  {
    title: 'forwarding off after the next boot',
    by: 'rm /etc/sysctl.d/60-virlan.conf',
    check: 'forwarding',
    seen: /60-virlan\.conf is not as it should be: forwarding is off after the next boot/,
    mends: 'virlan',
  },
  {
    title: "libvirt's hook not executable",
    by: 'chmod 644 /etc/libvirt/hooks/qemu',
    check: 'hooks',
    seen: /hook qemu is not executable/,
    mends: /^chmod 755 \/etc\/libvirt\/hooks\/qemu$/,
  },
  {
    title: "libvirt's hook gone",
    by: 'mv /etc/libvirt/hooks/daemon /tmp/daemon',
    check: 'hooks',
    seen: /hook daemon is missing/,
    mends: /setup configure$/,
    undo: 'mv /tmp/daemon /etc/libvirt/hooks/daemon',
  },
  {
    title: 'a dnsmasq with known holes, of which its package does not speak',
    by: 'mv /usr/share/doc/dnsmasq-base /tmp/doc',
    check: 'dnsmasq-version',
    seen: /dnsmasq 2\..* is older than the fixes for CVE-2026-2291, CVE-2026-4890 and 4 more/,
    mends: null,
    undo: 'mv /tmp/doc /usr/share/doc/dnsmasq-base',
    warns: true,
  },
  {
    title: 'no way out of the host',
    by: 'ip route delete default',
    check: 'uplink',
    seen: /this host itself has no way to the outside: Network is unreachable/,
    mends: null,
    undo: `ip route add default via ${internetAddress}`,
    warns: true,
  },
];

const onNetwork: Broken[] = [
  {
    title: 'a VPN with a part of the subnet',
    by: 'ip route add 192.168.100.128/25 dev uplink table 42',
    check: 'subnet',
    seen: /^subnet 192\.168\.100\.0\/24 overlaps 192\.168\.100\.128\/25 of a route on uplink/,
    mends: null,
    undo: 'ip route delete 192.168.100.128/25 dev uplink table 42',
  },
  {
    title: 'a damaged ledger',
    by: `echo damaged >> ${ledger}`,
    check: 'ledger',
    seen: /ledger\.jsonl: line \d is not an entry/,
    mends: null,
    undo: `sed -i /damaged/d ${ledger}`,
  },
  {
    title: 'two machines with one MAC',
    by: 'sed -e "s/<name>web/<name>twin/; s/000a<.uuid/000e<\\/uuid/" /etc/libvirt/qemu/web.xml > /etc/libvirt/qemu/twin.xml',
    check: 'macs',
    seen: /^"web" and "twin" have one MAC, 52:54:00:00:00:0a: give one of them another$/,
    mends: null,
    undo: 'rm /etc/libvirt/qemu/twin.xml',
  },
  {
    title: "somebody else on DHCP's port",
    by: () => squatter(67),
    check: 'dhcp-port',
    seen: /^node \(process \d+\) has port 67 of 0\.0\.0\.0: dnsmasq cannot serve DHCP on k8s-br0$/,
    mends: null,
    undo: 'virlan up',
  },
  {
    title: "somebody else on DNS's port",
    by: () => squatter(53),
    check: 'dns-port',
    seen: /^node \(process \d+\) has port 53 of 0\.0\.0\.0: dnsmasq cannot serve DNS on k8s-br0$/,
    mends: null,
    undo: 'virlan up',
  },
  {
    title: 'the rules flushed',
    by: 'nft flush ruleset',
    check: 'rules',
    seen: /^virlan's rules \(nftables\) are missing \(and 1 more\): packets of machines are not let through/,
    mends: 'virlan',
  },
  {
    title: 'the rule that masquerades deleted',
    by: 'nft flush chain ip virlan-k8s-br0 postrouting',
    check: 'rules',
    seen: /^virlan's rules \(nftables\) were changed: missing: .*192\.168\.100\.0\/24/,
    mends: 'virlan',
  },
  {
    title: 'the bridge deleted',
    by: 'ip link delete k8s-br0',
    check: 'bridge',
    seen: /^there is no bridge k8s-br0 .*: machines have no network$/,
    mends: 'virlan',
  },
  {
    title: 'the bridge down',
    by: 'ip link set k8s-br0 down',
    check: 'bridge',
    seen: /^k8s-br0 is down/,
    mends: 'virlan',
  },
  {
    title: "the bridge's address gone",
    by: 'ip address flush dev k8s-br0',
    check: 'bridge',
    seen: /^k8s-br0 lacks its 192\.168\.100\.1\/24/,
    mends: 'virlan',
  },
  {
    title: 'the route to the machines gone',
    by: 'ip route delete 192.168.100.0/24 dev k8s-br0',
    check: 'bridge',
    seen: /^no route to 192\.168\.100\.0\/24 leads to k8s-br0/,
    mends: 'virlan',
  },
  {
    title: 'STP that nobody asked for',
    by: 'ip link set k8s-br0 type bridge forward_delay 3000',
    check: 'stp',
    seen: /^forward delay of k8s-br0 is 3000, not 200: a machine that starts waits for its port$/,
    mends: 'virlan',
  },
  {
    title: 'dnsmasq killed',
    by: killDnsmasq,
    check: 'dnsmasq',
    seen: /^no dnsmasq runs on k8s-br0: machines get no address and no names$/,
    mends: 'virlan',
  },
  {
    title: 'dnsmasq with another configuration',
    by: `sed -i s/dhcp-range.*/dhcp-range=192.168.100.2,192.168.100.3/ ${conf}`,
    check: 'dnsmasq',
    seen: /^dnsmasq does not run with the configuration that virlan\.ini calls for/,
    mends: 'virlan',
  },
  {
    title: 'the hostsfile emptied',
    by: `: > ${hostsfile}`,
    check: 'reservations',
    seen: /^the hostsfile lacks 52:54:00:00:00:0a,.*,web: machines do not get their own addresses$/,
    mends: 'virlan',
  },
  {
    title: "a machine's port out of the bridge",
    by: 'ip link set veth-web nomaster',
    check: 'taps',
    seen: /^veth-web is not in k8s-br0/,
    mends: 'virlan',
  },
  {
    title: 'name servers that do not answer',
    by: async () => {
      await names.stop();
      return async () => {
        names = await nameServer(world, internetAddress);
      };
    },
    check: 'upstream-dns',
    seen: /^names of the outside do not resolve \(E\w+\)/,
    mends: null,
    warns: true,
  },
];

const flushOther = 'nft delete table inet other';
const other = (chain: string, hook: string, ...rules: string[]) =>
  `nft add table inet other
  nft 'add chain inet other ${chain} { type filter hook ${hook}; }'
  ${rules.map(rule => `nft 'add rule inet other ${chain} ${rule}'`).join('\n')}`;
const strangers: Broken[] = [
  {
    title: "another's policy that forwards nothing, as Docker's",
    by: 'iptables -P FORWARD DROP',
    check: 'probe-forward',
    seen: /^a packet to 203\.0\.113\.2 is dropped by the policy of ip filter FORWARD$/,
    mends:
      /^iptables -t filter -I FORWARD -i k8s-br0 -j ACCEPT && iptables -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
    undo: 'iptables -P FORWARD ACCEPT; iptables -F FORWARD',
  },
  {
    title: "another's policy that lets nothing in",
    by: 'iptables -P INPUT DROP',
    check: 'probe-lease',
    seen: /^the DHCP request is dropped by the policy of ip filter INPUT$/,
    mends: /^iptables -t filter -I INPUT -i k8s-br0 -j ACCEPT$/,
    undo: 'iptables -P INPUT ACCEPT; iptables -F INPUT',
  },
  {
    title: "another's rule against DNS",
    by: other('in', 'input priority 5', 'iifname "k8s-br0" udp dport 53 drop'),
    check: 'probe-dns',
    seen: /^a DNS question to 192\.168\.100\.1 is dropped by a rule of inet other in: iifname "k8s-br0" udp dport 53 drop$/,
    mends: /^nft insert rule inet other in iifname k8s-br0 udp dport 53 accept$/,
    undo: flushOther,
  },
  {
    title: "another's rule against the way back",
    by: other('out', 'forward priority -5', 'oifname "k8s-br0" ct direction reply reject'),
    check: 'probe-return',
    seen: /^the answer of 203\.0\.113\.2 is dropped by a rule of inet other out: oifname "k8s-br0" ct direction reply reject/,
    mends: /^nft insert rule inet other out oifname k8s-br0 accept$/,
    undo: flushOther,
  },
  {
    title: 'connections that are not tracked, and so not masqueraded',
    by: other('pre', 'prerouting priority -300', 'ip saddr 192.168.100.0/24 notrack'),
    check: 'probe-masquerade',
    seen: /^packets leave by uplink with a machine's own address/,
    mends: null,
    undo: flushOther,
  },
  {
    title: 'a rule of the bridge family',
    by: `nft add table bridge other
      nft 'add chain bridge other pre { type filter hook prerouting priority 0; }'
      nft 'add rule bridge other pre ip daddr ${internetAddress} drop'`,
    check: 'probe-forward',
    seen: /does not get from its port to the host: a rule of the bridge family/,
    mends: null,
    undo: 'nft delete table bridge other',
  },
];

const onMachine: Broken[] = [
  {
    title: 'a machine that nobody knows',
    by: ':',
    machine: 'nobody',
    check: 'machine',
    seen: /^libvirt has no machine "nobody"$/,
    mends: null,
  },
  {
    title: 'a machine that is shut off',
    by: 'mv /run/libvirt/qemu/web.xml /tmp/running.xml',
    check: 'machine',
    seen: /^"web" is shut off$/,
    mends: /^virsh start -- web$/,
    undo: 'mv /tmp/running.xml /run/libvirt/qemu/web.xml',
  },
  {
    title: 'a machine on another network',
    by: 'sed -e "s/<name>web/<name>lost/; s/000a<.uuid/000c<\\/uuid/; s/bridge=.k8s-br0./bridge=\'br1\'/; s/:0a/:0c/" /etc/libvirt/qemu/web.xml > /etc/libvirt/qemu/lost.xml; cp /etc/libvirt/qemu/lost.xml /run/libvirt/qemu/',
    machine: 'lost',
    check: 'nic',
    seen: /^"lost" has no NIC on a network of virlan: it is on bridge br1$/,
    mends: null,
    undo: 'rm /etc/libvirt/qemu/lost.xml /run/libvirt/qemu/lost.xml',
  },
  {
    title: "the machine's port down",
    by: 'ip link set veth-web down',
    check: 'tap',
    seen: /^its port veth-web is down$/,
    mends: /^ip link set dev veth-web up$/,
  },
  {
    title: "the machine's port disabled",
    by: 'bridge link set dev veth-web state 0',
    check: 'port',
    seen: /^veth-web is disabled in its bridge$/,
    mends: /^bridge link set dev veth-web state 3$/,
  },
  {
    title: 'a machine that sends nothing',
    by: mute,
    machine: 'mute',
    check: 'discover',
    seen: /^"mute" has not sent a single frame on veth-mute/,
    mends: null,
  },
  {
    title: 'a machine without a reservation',
    by: `rm ${ledger}; virlan up`,
    check: 'reservation',
    seen: /^no address is reserved for 52:54:00:00:00:0a on k8s-br0$/,
    mends: 'virlan',
  },
  {
    title: 'a machine with an address from before its reservation',
    by: `echo 52:54:00:00:00:0a,192.168.100.50 >> ${hostsfile}; virlan up`,
    check: 'ack',
    seen: /^52:54:00:00:00:0a has leased [\d.]+ before 192\.168\.100\.50 was reserved for it/,
    mends: /^virsh reboot -- web$/,
    undo: `sed -i /100.50/d ${hostsfile}; virlan up`,
  },
  {
    title: 'a machine that gave up its address',
    by: 'ip -n web address flush dev eth0',
    check: 'arp',
    seen: /^"web" does not answer for [\d.]+, though it leased it/,
    mends: null,
    undo: 'ip -n web address add $WEB/24 dev eth0',
  },
  {
    title: "another machine with the machine's address",
    by: 'ip -n web address flush dev eth0; ip -n db address add $WEB/24 dev eth0',
    check: 'arp',
    seen: /^52:54:00:00:00:0b answers for [\d.]+, which belongs to 52:54:00:00:00:0a: two machines use one address$/,
    mends: null,
    undo: 'ip -n db address flush dev eth0; ip -n web address add $WEB/24 dev eth0',
  },
];

const doctor = suite('doctor');
let world: Linked;
let names: Server;
let web: Guest;
let webAddress: string;

async function shell(script: string): Promise<void> {
  await execa('sh', ['-eu', '-c', script], { env: { WEB: webAddress } });
}

async function examine(...args: string[]): Promise<{ exitCode: number; report: Report }> {
  const { exitCode, stdout, stderr } = await virlan('doctor', ...args, '--json');
  assert.equal(stderr, '');
  return { exitCode, report: JSON.parse(stdout) };
}

/** Takes dnsmasq's port while dnsmasq is away. */
async function squatter(port: number): Promise<() => Promise<void>> {
  await shell(killDnsmasq);
  const server = await serve(host, { proto: 'udp', port });
  return () => server.stop();
}

/** libvirt's word on a machine that runs, whose port a guest's is. */
function runs(name: string, mac: string, uuidEnd: string): void {
  const uuid = `00000000-0000-4000-8000-00000000${uuidEnd}`;
  const xml = domainXml({ name, uuid, nics: [{ ...bridge, mac }] });
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  writeFileSync(`/etc/libvirt/qemu/${name}.xml`, xml);
  const running = xml.replace('<model', `<target dev='veth-${name}'/><model`);
  writeFileSync(`/run/libvirt/qemu/${name}.xml`, `<domstatus state='running'>${running}</domstatus>`);
}

/** A machine that is plugged in and says nothing. */
async function mute(): Promise<() => Promise<void>> {
  const mac = '52:54:00:00:00:0d';
  await prepare({ name: 'mute', uuid: '00000000-0000-4000-8000-00000000000d', nics: [{ ...bridge, mac }] });
  runs('mute', mac, '000d');
  await shell(`ip netns add mute
    ip netns exec mute sysctl -q net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip link add veth-mute type veth peer name eth0 address ${mac} netns mute
    ip -n mute link set eth0 up
    ip link set veth-mute master k8s-br0 up`);
  return () =>
    shell(`ip link delete veth-mute; ip netns delete mute
      rm /etc/libvirt/qemu/mute.xml /run/libvirt/qemu/mute.xml; virlan forget mute`);
}

doctor('a good host, of which there is nothing to say', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await up();
  world = await internet();
  names = await nameServer(world, internetAddress);
  for (const [name, mac, uuidEnd] of [
    ['web', '52:54:00:00:00:0a', '000a'],
    ['db', '52:54:00:00:00:0b', '000b'],
  ] as const) {
    const uuid = `00000000-0000-4000-8000-00000000${uuidEnd}`;
    await prepare({ name, uuid, nics: [{ ...bridge, mac }] });
    runs(name, mac, uuidEnd);
    const machine = await guest(name, { mac });
    if (name !== 'web') continue;
    web = machine;
    webAddress = await dhcp(web);
  }
  const before = await snapshot();
  for (const args of [[], ['web']]) {
    assert.deepEqual(await virlan('doctor', ...args), { exitCode: 0, stdout: 'All is well.', stderr: '' });
    const { exitCode, report } = await examine(...args);
    assert.deepEqual([exitCode, report.well, report.explanation], [0, true, null]);
    assert.deepEqual(
      report.checks.filter(({ state }) => state !== 'ok'),
      [],
    );
  }
  // The hostsfile is written anew, and dnsmasq told of it.
  assert.deepEqual(await changesSince(before, /hostsfile|\.told|leases/), []);
});

for (const { title, by, check, seen, mends, undo, machine = 'web', warns } of [
  ...onHost,
  ...onNetwork,
  ...strangers,
  ...onMachine,
]) {
  const isRunnable = check.startsWith('probe');
  doctor(title, async () => {
    const restore = typeof by === 'string' ? await shell(by) : await by();
    try {
      const { exitCode, report } = await examine(machine);
      const found = report.checks.find(each => each.check === check && each.state !== 'ok');
      const first = warns ? found : report.explanation;
      assert.equal(first?.check, check, JSON.stringify(first));
      assert.match(first?.seen ?? '', seen);
      assert.match(first?.code ?? '', /^[a-z]+(-[a-z]+)*$/);
      assert.deepEqual([exitCode, report.well, found?.state], warns ? [0, true, 'warn'] : [1, false, 'fail']);

      const fix = first?.fix ?? null;
      assert.equal(fix?.ours ?? false, mends === 'virlan');
      if (mends === 'virlan') {
        const mended = await examine(machine, '--fix');
        assert.deepEqual([mended.exitCode, mended.report.explanation], [0, null]);
        assert(mended.report.mended?.some(each => each.check === check));
      } else if (mends === null) assert.notEqual(fix?.mends, true);
      else {
        assert.match(fix?.command ?? '', mends);
        assert.equal(fix?.mends, true);
        // What undoes such a case is not what the doctor says.
        if (isRunnable || undo === undefined) {
          await shell(fix?.command ?? '');
          assert.equal((await examine(machine)).report.explanation, null);
        }
      }
    } finally {
      await restore?.();
      if (undo !== undefined) await shell(undo);
    }
  });
}

doctor('and the host is as good as it was', async () => {
  assert.deepEqual(await virlan('doctor', 'web'), { exitCode: 0, stdout: 'All is well.', stderr: '' });
  assert.equal(readFileSync(hostsfile, 'utf8').includes('probe'), false);
});

doctor.run();
