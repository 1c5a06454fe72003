// `virlan doctor` on a real host: breaks one thing at a time and compares the explanation and the fix.
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
import { logLinesOf } from './log.ts';
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
  /** Stable code for what was seen. */
  code: string;
  seen: string;
  fix: Fix | null;
}

interface Fix {
  command: string;
  mends: boolean;
  ours: boolean;
}

/** A fault of a working host, and what the doctor must report. */
interface Fault {
  title: string;
  /**
   * A shell script that causes the fault; or a function that causes it and returns the function that undoes
   * it.
   */
  cause: string | (() => Promise<() => Promise<void>>);
  check: string;
  seen: RegExp;
  /** Names what repairs the fault: `--fix`, or the command that the doctor proposes; null for nothing. */
  repairedBy: 'virlan' | RegExp | null;
  /** A shell script that undoes the fault if nothing that the doctor proposes does. */
  undo?: string;
  machine?: string;
  /** Set if the doctor only warns, which does not make the host unwell. */
  isWarning?: true;
}

const bridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
const ledger = '/var/lib/virlan/ledger';
const killDnsmasq =
  'kill -9 $(cat /run/dnsmasq/k8s-br0.pid); while pgrep -F /run/dnsmasq/k8s-br0.pid; do :; done';

const onHost: Fault[] = [
  {
    title: 'a misspelt key in the configuration',
    cause: 'echo "sbunet = 10.0.0.0/24" >> /etc/virlan/virlan.ini',
    check: 'config',
    seen: /virlan\.ini:4: .*sbunet/,
    repairedBy: null,
    undo: 'sed -i /sbunet/d /etc/virlan/virlan.ini',
  },
  {
    title: 'a kernel without nftables',
    cause: `mv /usr/sbin/nft /usr/sbin/nft.real
      printf '#!/bin/sh\\necho "nft: Operation not supported" >&2\\nexit 1\\n' > /usr/sbin/nft
      chmod 755 /usr/sbin/nft`,
    check: 'kernel',
    seen: /nft does not work on this host: .*Operation not supported/,
    repairedBy: null,
    undo: 'mv /usr/sbin/nft.real /usr/sbin/nft; virlan up',
  },
  {
    title: 'forwarding off',
    cause: 'sysctl -q net.ipv4.ip_forward=0',
    check: 'forwarding',
    seen: /^net\.ipv4\.ip_forward is 0: no packet gets from machines to the outside$/,
    repairedBy: 'virlan',
  },
  {
    title: 'forwarding off on the bridge alone',
    cause: 'sysctl -q net.ipv4.conf.k8s-br0.forwarding=0',
    check: 'forwarding',
    seen: /^net\.ipv4\.conf\.k8s-br0\.forwarding is 0/,
    repairedBy: 'virlan',
  },
  {
    title: 'forwarding off after the next boot',
    cause: 'rm /etc/sysctl.d/60-virlan.conf',
    check: 'forwarding',
    seen: /60-virlan\.conf is not as it should be: forwarding is off after the next boot/,
    repairedBy: 'virlan',
  },
  {
    title: "libvirt's hook not executable",
    cause: 'chmod 644 /etc/libvirt/hooks/qemu',
    check: 'hooks',
    seen: /hook qemu is not executable/,
    repairedBy: /^chmod 755 \/etc\/libvirt\/hooks\/qemu$/,
  },
  {
    title: "libvirt's hook missing",
    cause: 'mv /etc/libvirt/hooks/daemon /tmp/daemon',
    check: 'hooks',
    seen: /hook daemon is missing/,
    repairedBy: /setup configure$/,
    undo: 'mv /tmp/daemon /etc/libvirt/hooks/daemon',
  },
  {
    title: 'a dnsmasq with known vulnerabilities, without a changelog of its package',
    cause: 'mv /usr/share/doc/dnsmasq-base /tmp/doc',
    check: 'dnsmasq-version',
    seen: /dnsmasq 2\..* is older than the fixes for CVE-2026-2291, CVE-2026-4890 and 4 more/,
    repairedBy: null,
    undo: 'mv /tmp/doc /usr/share/doc/dnsmasq-base',
    isWarning: true,
  },
  {
    title: 'a host without a default route',
    cause: 'ip route delete default',
    check: 'uplink',
    seen: /this host itself has no way to the outside: Network is unreachable/,
    repairedBy: null,
    undo: `ip route add default via ${internetAddress}`,
    isWarning: true,
  },
];

const onNetwork: Fault[] = [
  {
    title: 'a route of a VPN that overlaps the subnet',
    cause: 'ip route add 192.168.100.128/25 dev uplink',
    check: 'subnet',
    seen: /^subnet 192\.168\.100\.0\/24 overlaps 192\.168\.100\.128\/25 of a route on uplink/,
    repairedBy: null,
    undo: 'ip route delete 192.168.100.128/25 dev uplink',
  },
  {
    title: 'a damaged ledger',
    cause: `echo damaged > ${ledger}/machines/00000000-0000-4000-8000-00000000dead.json`,
    check: 'ledger',
    seen: /dead\.json: not a JSON object/,
    repairedBy: null,
    undo: `rm ${ledger}/machines/*dead.json`,
  },
  {
    title: 'two machines with one MAC',
    cause:
      'sed -e "s/<name>web/<name>twin/; s/000a<.uuid/000e<\\/uuid/" /etc/libvirt/qemu/web.xml > /etc/libvirt/qemu/twin.xml',
    check: 'macs',
    seen: /^"web" and "twin" have one MAC, 52:54:00:00:00:0a: give one of them another$/,
    repairedBy: null,
    undo: 'rm /etc/libvirt/qemu/twin.xml',
  },
  {
    title: 'another process on the DHCP port',
    cause: () => occupyPort(67),
    check: 'dhcp-port',
    seen: /^python3 \(process \d+\) has port 67 of 0\.0\.0\.0: dnsmasq cannot serve DHCP on k8s-br0$/,
    repairedBy: null,
    undo: 'virlan up',
  },
  {
    title: 'another process on the DNS port',
    cause: () => occupyPort(53),
    check: 'dns-port',
    seen: /^python3 \(process \d+\) has port 53 of 0\.0\.0\.0: dnsmasq cannot serve DNS on k8s-br0$/,
    repairedBy: null,
    undo: 'virlan up',
  },
  {
    title: 'the rules flushed',
    cause: 'nft flush ruleset',
    check: 'rules',
    seen: /^virlan's rules \(nftables\) are missing \(and 3 more\): packets of machines are not let through/,
    repairedBy: 'virlan',
  },
  {
    title: 'the rule that masquerades deleted',
    cause: 'nft flush chain ip virlan-k8s-br0 postrouting',
    check: 'rules',
    seen: /^virlan's rules \(nftables\) were changed: missing: .*192\.168\.100\.0\/24/,
    repairedBy: 'virlan',
  },
  {
    title: 'the bridge deleted',
    cause: 'ip link delete k8s-br0',
    check: 'bridge',
    seen: /^there is no bridge k8s-br0 .*: machines have no network$/,
    repairedBy: 'virlan',
  },
  {
    title: 'the bridge down',
    cause: 'ip link set k8s-br0 down',
    check: 'bridge',
    seen: /^k8s-br0 is down/,
    repairedBy: 'virlan',
  },
  {
    title: "the bridge's own entry flushed",
    cause: 'bridge fdb flush dev k8s-br0',
    check: 'bridge',
    seen: /^k8s-br0 takes no frame to its own 52:54:00:[0-9a-f:]+, as after bridge fdb flush/,
    repairedBy: /^bridge fdb add 52:54:00:[0-9a-f:]+ dev k8s-br0 self local$/,
  },
  {
    title: "the bridge's address removed",
    cause: 'ip address flush dev k8s-br0',
    check: 'bridge',
    seen: /^k8s-br0 lacks its 192\.168\.100\.1\/24/,
    repairedBy: 'virlan',
  },
  {
    title: 'the route to the machines removed',
    cause: 'ip route delete 192.168.100.0/24 dev k8s-br0',
    check: 'bridge',
    seen: /^no route to 192\.168\.100\.0\/24 leads to k8s-br0/,
    repairedBy: 'virlan',
  },
  {
    title: 'a forward delay that is not configured',
    cause: 'ip link set k8s-br0 type bridge forward_delay 3000',
    check: 'stp',
    seen: /^forward delay of k8s-br0 is 3000, not 200: a machine that starts waits for its port$/,
    repairedBy: 'virlan',
  },
  {
    title: 'dnsmasq killed',
    cause: killDnsmasq,
    check: 'dnsmasq',
    seen: /^no dnsmasq runs on k8s-br0: machines get no address and no names$/,
    repairedBy: 'virlan',
  },
  {
    title: 'a directory that dnsmasq cannot enter',
    cause: 'chmod 0750 /var/lib',
    check: 'dnsmasq',
    seen: /^dnsmasq cannot enter \/var\/lib \(mode 0750\): it gets no new reservations$/,
    repairedBy: /^chmod a\+x '\/var\/lib'$/,
    undo: 'chmod 0755 /var/lib',
  },
  {
    title: 'dnsmasq with another configuration',
    cause: `sed -i s/dhcp-range.*/dhcp-range=192.168.100.2,192.168.100.3/ ${conf}`,
    check: 'dnsmasq',
    seen: /^dnsmasq does not run with the configuration that virlan\.ini calls for/,
    repairedBy: 'virlan',
  },
  {
    title: 'the hostsfile emptied',
    cause: `: > ${hostsfile}`,
    check: 'reservations',
    seen: /^the hostsfile lacks 52:54:00:00:00:0a,.*,web: machines do not get their own addresses$/,
    repairedBy: 'virlan',
  },
  ...(['permanent', 'noarp'] as const).map(entry => ({
    title: `a static entry of a machine's address in the neighbour table: ${entry}`,
    cause: `ip neigh replace $WEB dev k8s-br0 lladdr 52:54:00:00:00:66 nud ${entry}`,
    check: 'neighbours',
    seen: /packets for [\d.]+ to 52:54:00:00:00:66; the address belongs to 52:54:00:00:00:0a$/,
    repairedBy: /^ip neigh delete [\d.]+ dev k8s-br0$/,
  })),
  {
    title: "a machine's port removed from the bridge",
    cause: 'ip link set veth-web nomaster',
    check: 'taps',
    seen: /^veth-web is not in k8s-br0/,
    repairedBy: 'virlan',
  },
  {
    title: 'name servers that do not answer',
    cause: async () => {
      await upstreamDns.stop();
      return async () => {
        upstreamDns = await nameServer(outside, internetAddress);
      };
    },
    check: 'upstream-dns',
    seen: /^names of the outside do not resolve \(E\w+\)/,
    repairedBy: null,
    isWarning: true,
  },
];

const deleteTable = 'nft delete table inet other';

/** Returns the script that adds a table with one base chain and its rules. */
function addTable(chain: string, hook: string, ...rules: string[]): string {
  return `nft add table inet other
  nft 'add chain inet other ${chain} { type filter hook ${hook}; }'
  ${rules.map(rule => `nft 'add rule inet other ${chain} ${rule}'`).join('\n')}`;
}

const foreignRules: Fault[] = [
  {
    title: 'policy drop for forwarded packets, as Docker sets it',
    cause: 'iptables -P FORWARD DROP',
    check: 'probe-forward',
    seen: /^a packet to 203\.0\.113\.2 is dropped by the policy of ip filter FORWARD$/,
    repairedBy:
      /^iptables -t filter -I FORWARD -i k8s-br0 -j ACCEPT && iptables -t filter -I FORWARD -o k8s-br0 -j ACCEPT$/,
    undo: 'iptables -P FORWARD ACCEPT; iptables -F FORWARD',
  },
  {
    title: 'policy drop for packets to the host',
    // Accepts the answers to the host's own packets, such as those of its name servers.
    cause: 'iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables -P INPUT DROP',
    check: 'probe-lease',
    seen: /^the DHCP request is dropped by the policy of ip filter INPUT$/,
    repairedBy: /^iptables -t filter -I INPUT -i k8s-br0 -j ACCEPT$/,
    undo: 'iptables -P INPUT ACCEPT; iptables -F INPUT',
  },
  {
    title: 'a foreign rule that drops DNS',
    cause: addTable('in', 'input priority 5', 'iifname "k8s-br0" udp dport 53 drop'),
    check: 'probe-dns',
    seen: /^a DNS question to 192\.168\.100\.1 is dropped by a rule of inet other in: iifname "k8s-br0" udp dport 53 drop$/,
    repairedBy: /^nft insert rule inet other in iifname k8s-br0 udp dport 53 accept$/,
    undo: deleteTable,
  },
  {
    title: 'a foreign rule that rejects replies',
    cause: addTable('out', 'forward priority -5', 'oifname "k8s-br0" ct direction reply reject'),
    check: 'probe-return',
    seen: /^the answer of 203\.0\.113\.2 is dropped by a rule of inet other out: oifname "k8s-br0" ct direction reply reject/,
    repairedBy: /^nft insert rule inet other out oifname k8s-br0 accept$/,
    undo: deleteTable,
  },
  {
    title: 'connections that are not tracked and so not masqueraded',
    cause: addTable('pre', 'prerouting priority -300', 'ip saddr 192.168.100.0/24 notrack'),
    check: 'probe-masquerade',
    seen: /^packets leave by uplink with a machine's own address/,
    repairedBy: null,
    undo: deleteTable,
  },
  {
    title: 'a foreign rule of the bridge family',
    cause: `nft add table bridge other
      nft 'add chain bridge other pre { type filter hook prerouting priority 0; }'
      nft 'add rule bridge other pre ip daddr ${internetAddress} drop'`,
    check: 'probe-forward',
    seen: /does not get from its port to the host: a rule of the bridge family/,
    repairedBy: null,
    undo: 'nft delete table bridge other',
  },
  {
    title: 'a foreign rule between two machines',
    cause: `nft add table bridge other
      nft 'add chain bridge other f { type filter hook forward priority 0; }'
      nft 'add rule bridge other f iifname "veth-web" oifname "veth-db" drop'`,
    check: 'foreign',
    seen: /^frames from machine to machine may be dropped by a rule of bridge other f: iifname "veth-web" oifname "veth-db" drop$/,
    repairedBy: null,
    undo: 'nft delete table bridge other',
    isWarning: true,
  },
];

const onMachine: Fault[] = [
  {
    title: 'an unknown machine',
    cause: ':',
    machine: 'nobody',
    check: 'machine',
    seen: /^libvirt has no machine "nobody"$/,
    repairedBy: null,
  },
  {
    title: 'a machine that is shut off',
    cause: 'mv /run/libvirt/qemu/web.xml /tmp/running.xml',
    check: 'machine',
    seen: /^"web" is shut off$/,
    repairedBy: /^virsh start -- web$/,
    undo: 'mv /tmp/running.xml /run/libvirt/qemu/web.xml',
  },
  {
    title: 'a machine on another network',
    cause:
      'sed -e "s/<name>web/<name>lost/; s/000a<.uuid/000c<\\/uuid/; s/bridge=.k8s-br0./bridge=\'br1\'/; s/:0a/:0c/" /etc/libvirt/qemu/web.xml > /etc/libvirt/qemu/lost.xml; cp /etc/libvirt/qemu/lost.xml /run/libvirt/qemu/',
    machine: 'lost',
    check: 'nic',
    seen: /^"lost" has no NIC on a network of virlan: it is on bridge br1$/,
    repairedBy: null,
    undo: 'rm /etc/libvirt/qemu/lost.xml /run/libvirt/qemu/lost.xml',
  },
  {
    title: "the machine's port down",
    cause: 'ip link set veth-web down',
    check: 'taps',
    seen: /^veth-web is down: machines are not plugged in$/,
    repairedBy: 'virlan',
  },
  {
    title: "the machine's port disabled",
    cause: 'bridge link set dev veth-web state 0',
    check: 'port',
    seen: /^veth-web is disabled in its bridge$/,
    repairedBy: /^bridge link set dev veth-web state 3$/,
  },
  {
    title: 'a machine that sends nothing',
    cause: addSilentMachine,
    machine: 'mute',
    check: 'discover',
    seen: /^"mute" has not sent a single frame on veth-mute/,
    repairedBy: null,
  },
  {
    title: 'a machine without a reservation',
    cause: `rm -r ${ledger}; virlan up`,
    check: 'reservation',
    seen: /^no address is reserved for 52:54:00:00:00:0a on k8s-br0$/,
    repairedBy: 'virlan',
  },
  {
    title: 'a machine with a lease older than its reservation',
    cause: `echo 52:54:00:00:00:0a,192.168.100.50 >> ${hostsfile}; virlan up`,
    check: 'ack',
    seen: /^52:54:00:00:00:0a has leased [\d.]+ before 192\.168\.100\.50 was reserved for it/,
    repairedBy: /^virsh reboot -- web$/,
    undo: `sed -i /100.50/d ${hostsfile}; virlan up`,
  },
  {
    title: 'a machine that removed its address',
    cause: 'ip -n web address flush dev eth0',
    check: 'arp',
    seen: /^"web" does not answer for [\d.]+, though it leased it/,
    repairedBy: null,
    undo: 'ip -n web address add $WEB/24 dev eth0',
  },
  {
    title: "another machine with the machine's address",
    // The guard would drop the answers.
    cause: `echo 'guard = no' >> /etc/virlan/virlan.ini; virlan up
      ip -n web address flush dev eth0; ip -n db address add $WEB/24 dev eth0`,
    check: 'arp',
    seen: /^52:54:00:00:00:0b answers for [\d.]+, which belongs to 52:54:00:00:00:0a: two machines use one address$/,
    repairedBy: null,
    undo: `ip -n db address flush dev eth0; ip -n web address add $WEB/24 dev eth0
      sed -i '/guard = no/d' /etc/virlan/virlan.ini; virlan up`,
  },
];

const doctor = suite('doctor');
let outside: Linked;
let upstreamDns: Server;
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

/** Kills dnsmasq and binds its port. Returns the function that frees the port. */
async function occupyPort(port: number): Promise<() => Promise<void>> {
  await shell(killDnsmasq);
  const server = await serve(host, { proto: 'udp', port });
  return () => server.stop();
}

/** Writes libvirt's files for a running machine whose tap is a guest's port. */
function writeRunningMachine(name: string, mac: string, uuidEnd: string): void {
  const uuid = `00000000-0000-4000-8000-00000000${uuidEnd}`;
  const xml = domainXml({ name, uuid, nics: [{ ...bridge, mac }] });
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  writeFileSync(`/etc/libvirt/qemu/${name}.xml`, xml);
  const running = xml.replace('<model', `<target dev='veth-${name}'/><model`);
  writeFileSync(`/run/libvirt/qemu/${name}.xml`, `<domstatus state='running'>${running}</domstatus>`);
}

/** Adds a machine whose port is in the bridge and that sends no frame. */
async function addSilentMachine(): Promise<() => Promise<void>> {
  const mac = '52:54:00:00:00:0d';
  await prepare({ name: 'mute', uuid: '00000000-0000-4000-8000-00000000000d', nics: [{ ...bridge, mac }] });
  writeRunningMachine('mute', mac, '000d');
  await shell(`ip netns add mute
    ip netns exec mute sysctl -q net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip link add veth-mute type veth peer name eth0 address ${mac} netns mute
    ip -n mute link set eth0 up
    ip link set veth-mute master k8s-br0 up
    virlan up`);
  return () =>
    shell(`ip link delete veth-mute; ip netns delete mute
      rm /etc/libvirt/qemu/mute.xml /run/libvirt/qemu/mute.xml; virlan forget mute`);
}

doctor('a working host: nothing to report, nothing changed', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\nnames = no\n');
  await up();
  outside = await internet();
  upstreamDns = await nameServer(outside, internetAddress);
  for (const [name, mac, uuidEnd] of [
    ['web', '52:54:00:00:00:0a', '000a'],
    ['db', '52:54:00:00:00:0b', '000b'],
  ] as const) {
    const uuid = `00000000-0000-4000-8000-00000000${uuidEnd}`;
    await prepare({ name, uuid, nics: [{ ...bridge, mac }] });
    writeRunningMachine(name, mac, uuidEnd);
    const machine = await guest(name, { mac });
    if (name !== 'web') continue;
    web = machine;
    webAddress = await dhcp(web);
  }
  // Without a watcher, and without the hook's start: the guard knows the machines.
  await up();
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
  // The hostsfile is rewritten, and dnsmasq reloads it.
  assert.deepEqual(await changesSince(before, /hostsfile|\.told|leases/), []);
});

for (const { title, cause, check, seen, repairedBy, undo, machine = 'web', isWarning } of [
  ...onHost,
  ...onNetwork,
  ...foreignRules,
  ...onMachine,
]) {
  const isProbe = check.startsWith('probe');
  doctor(title, async () => {
    const restore = typeof cause === 'string' ? await shell(cause) : await cause();
    try {
      const { exitCode, report } = await examine(machine);
      const found = report.checks.find(each => each.check === check && each.state !== 'ok');
      const first = isWarning ? found : report.explanation;
      assert.equal(first?.check, check, JSON.stringify(first));
      assert.match(first?.seen ?? '', seen);
      assert.match(first?.code ?? '', /^[a-z]+(-[a-z]+)*$/);
      assert.deepEqual(
        [exitCode, report.well, found?.state],
        isWarning ? [0, true, 'warn'] : [1, false, 'fail'],
      );

      const fix = first?.fix ?? null;
      assert.equal(fix?.ours ?? false, repairedBy === 'virlan');
      if (repairedBy === 'virlan') {
        const repaired = await examine(machine, '--fix');
        assert.deepEqual([repaired.exitCode, repaired.report.explanation], [0, null]);
        assert(repaired.report.mended?.some(each => each.check === check));
      } else if (repairedBy === null) assert.notEqual(fix?.mends, true);
      else {
        assert.match(fix?.command ?? '', repairedBy);
        assert.equal(fix?.mends, true);
        // Otherwise the command would not undo the fault: `undo` does.
        if (isProbe || undo === undefined) {
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

doctor('a limit of inotify that is used up is named with its sysctl', async () => {
  // The limit of a user namespace: that of root itself is one for the whole machine that the tests run on.
  const script = 'echo 0 > /proc/sys/user/max_inotify_instances && exec virlan doctor --json';
  const args = ['--user', '--map-root-user', 'sh', '-c', script];
  const { stdout } = await execa('unshare', args, { reject: false });
  const { checks }: Report = JSON.parse(stdout);
  const kernel = checks.find(({ check }) => check === 'kernel');
  assert.equal(kernel?.code, 'inotify-exhausted', stdout);
  assert.match(kernel.fix?.command ?? '', /^sysctl -w fs\.inotify\.max_user_instances=[1-9]\d*$/);
});

doctor('a reservation that --fix makes is in the log', async () => {
  const reserved = () => logLinesOf('reservation').filter(line => line.machine === 'web').length;
  const before = reserved();
  await shell(`rm -r ${ledger}; virlan up`);
  assert.equal((await examine('web', '--fix')).exitCode, 0);
  assert.equal(reserved(), before + 1);
});

doctor('the host works as before after all faults', async () => {
  assert.deepEqual(await virlan('doctor', 'web'), { exitCode: 0, stdout: 'All is well.', stderr: '' });
  assert.equal(readFileSync(hostsfile, 'utf8').includes('probe'), false);
});

doctor.run();
