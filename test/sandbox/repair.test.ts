// Damage of each kind: `virlan plan` shows exactly the missing steps, and `virlan up` changes nothing else.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import { configure, dhcp, domainXml, type Guest, guest, installVirlan, probe } from './host.ts';
import { changesSince, processes, snapshot } from './snapshot.ts';
import { plan, plannedSteps, up } from './virlan-commands.ts';

interface Damage {
  title: string;
  /** The shell script that causes it. */
  script: string;
  /** All steps of the plan. */
  plan: RegExp[];
  /** A detail line of the plan. */
  detail?: RegExp;
  /** The only lines of the snapshot that may differ after the repair. */
  changed: RegExp;
}

const nothing = /^$/;
const table = / nft .*"virlan-k8s-br0"/;
const dnsmasq = / process \d+ dnsmasq|k8s-br0\.pid|dnsmasq\.conf|k8s-br0\.told/;

function chains(...tables: string[]): RegExp {
  return new RegExp(` nft .*"table":"(${tables.join('|')})"| nft \\["table"`);
}

function file(path: string): RegExp {
  return new RegExp(` file ${path} `);
}

/** Returns the command that prints the handle of a rule. */
function handleOf(chain: string, pattern: string): string {
  return `nft --handle list chain ip virlan-k8s-br0 ${chain} | sed -n 's/.*${pattern}.* # handle //p' | head -n 1`;
}

/** Returns the arguments of iptables for a jump to one of virlan's chains. */
function jump(hook: string, chain: string): string {
  return `${hook} -j VIRLAN-${chain}-k8s-br0`;
}

const links: Damage[] = [
  {
    title: 'the bridge deleted',
    script: 'ip link delete k8s-br0',
    plan: [
      /^\+ bridge k8s-br0 52:54:00:/,
      /^\+ address on k8s-br0 192.168.100.1\/24, broadcast 192.168.100.255$/,
      /^~ link of k8s-br0 down → up$/,
      /^~ veth-web into k8s-br0$/,
      /^~ veth-web frames to bridges pass the guard$/,
      /^~ net.ipv4.conf.k8s-br0.forwarding 1$/,
      /^~ net.ipv6.conf.k8s-br0.disable_ipv6 1$/,
      /^~ net.ipv6.conf.k8s-br0.accept_ra 0$/,
      /^~ net.ipv6.conf.k8s-br0.autoconf 0$/,
      /^- dnsmasq process \d+$/,
      /^\+ dnsmasq DHCP and DNS on k8s-br0$/,
    ],
    changed: new RegExp(`${dnsmasq.source}| link .*"ifname":"(k8s-br0|veth-web)"`),
  },
  {
    title: "a machine's port removed from the bridge",
    script: 'ip link set veth-web nomaster',
    plan: [/^~ veth-web into k8s-br0$/, /^~ veth-web frames to bridges pass the guard$/],
    changed: nothing,
  },
  {
    title: 'the address removed',
    script: 'ip address delete 192.168.100.1/24 dev k8s-br0',
    plan: [/^\+ address on k8s-br0 192.168.100.1\/24, broadcast 192.168.100.255$/],
    changed: nothing,
  },
  {
    title: 'the route to the machines deleted',
    script: 'ip route delete 192.168.100.0/24 dev k8s-br0',
    plan: [/^\+ route on k8s-br0 192.168.100.0\/24$/],
    changed: nothing,
  },
  {
    title: 'another broadcast address',
    script: `ip address delete 192.168.100.1/24 dev k8s-br0
      ip address add 192.168.100.1/24 broadcast 192.168.100.7 dev k8s-br0`,
    plan: [
      /^- address on k8s-br0 192.168.100.1\/24, broadcast 192.168.100.7$/,
      /^\+ address on k8s-br0 192.168.100.1\/24, broadcast 192.168.100.255$/,
    ],
    changed: nothing,
  },
  {
    title: 'link down',
    script: 'ip link set k8s-br0 down',
    plan: [/^~ link of k8s-br0 down → up$/],
    changed: nothing,
  },
  {
    title: 'another MAC',
    script: 'ip link set k8s-br0 address 52:54:00:01:02:03',
    plan: [/^~ mac of k8s-br0 52:54:00:01:02:03 → 52:54:00:/],
    changed: nothing,
  },
  {
    title: 'another MTU',
    script: 'ip link set k8s-br0 mtu 1300',
    plan: [/^~ mtu of k8s-br0 1300 → 1500$/],
    changed: nothing,
  },
  {
    title: 'another STP',
    script: 'ip link set k8s-br0 type bridge stp_state 1',
    plan: [/^~ stp of k8s-br0 on → off$/],
    changed: nothing,
  },
  {
    title: 'another forward delay',
    script: 'ip link set k8s-br0 type bridge forward_delay 1500',
    plan: [/^~ forward delay of k8s-br0 1500 → 200$/],
    changed: nothing,
  },
  {
    title: 'IPv6 on',
    script: 'sysctl -q net.ipv6.conf.k8s-br0.disable_ipv6=0',
    plan: [/^~ net.ipv6.conf.k8s-br0.disable_ipv6 0 → 1$/],
    changed: nothing,
  },
];

const hostWide: Damage[] = [
  {
    title: 'forwarding off',
    script: 'sysctl -q net.ipv4.ip_forward=0',
    plan: [
      /^~ net.ipv4.ip_forward 0 → 1$/,
      /^~ net.ipv4.conf.all.forwarding 0 → 1$/,
      /^~ net.ipv4.conf.k8s-br0.forwarding 0 → 1$/,
    ],
    // The machine's port is new since the first `up`: its forwarding changes with that of all links.
    changed: file('/var/lib/virlan/before.json'),
  },
  {
    title: 'the sysctl file removed',
    script: 'rm /etc/sysctl.d/60-virlan.conf',
    plan: [/^\+ \/etc\/sysctl.d\/60-virlan.conf$/],
    changed: file('/etc/sysctl.d/60-virlan.conf'),
  },
  {
    title: 'the sysctl file edited',
    script: 'sed -i s/ip_forward.*/ip_forward=0/ /etc/sysctl.d/60-virlan.conf',
    plan: [/^~ \/etc\/sysctl.d\/60-virlan.conf$/],
    detail: /^- net.ipv4.ip_forward=0$/,
    changed: file('/etc/sysctl.d/60-virlan.conf'),
  },
];

const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
const services: Damage[] = [
  {
    title: 'dnsmasq killed',
    script: 'kill -9 $(cat /run/dnsmasq/k8s-br0.pid)',
    plan: [/^\+ dnsmasq DHCP and DNS on k8s-br0$/],
    changed: dnsmasq,
  },
  {
    title: "dnsmasq's configuration deleted",
    script: `rm ${conf}`,
    plan: [/^- dnsmasq process \d+$/, /^\+ .*dnsmasq.conf$/, /^\+ dnsmasq /],
    changed: dnsmasq,
  },
  {
    title: "dnsmasq's configuration edited",
    script: `echo log-dhcp >> ${conf}`,
    plan: [/^- dnsmasq process \d+$/, /^~ .*dnsmasq.conf$/, /^\+ dnsmasq /],
    detail: /^- log-dhcp$/,
    changed: dnsmasq,
  },
  {
    title: "dnsmasq's pid file removed",
    script: 'rm /run/dnsmasq/k8s-br0.pid',
    plan: [],
    changed: dnsmasq,
  },
  {
    title: 'the hostsfile emptied',
    script: `: > ${hostsfile}`,
    plan: [/^~ .*hostsfile 1 of its lines$/],
    detail: /^\+ 52:54:00:00:00:0a,.*web/,
    changed: /hostsfile|k8s-br0\.told/,
  },
  {
    title: 'the hostsfile removed',
    script: `rm ${hostsfile}`,
    plan: [/^~ .*hostsfile 1 of its lines$/],
    changed: /hostsfile|k8s-br0\.told/,
  },
];

const checksumRule: Damage[] = [
  {
    title: 'the chain of the checksum rule removed',
    script: `iptables -t mangle -D ${jump('POSTROUTING', 'POST')}
      iptables -t mangle -F VIRLAN-POST-k8s-br0
      iptables -t mangle -X VIRLAN-POST-k8s-br0`,
    plan: [/^\+ firewall \(iptables\) iptables chains VIRLAN-…-k8s-br0, 2 rules$/],
    changed: chains('mangle'),
  },
  {
    title: 'the jump to the checksum chain removed',
    script: `iptables -t mangle -D ${jump('POSTROUTING', 'POST')}`,
    plan: [/^~ firewall \(iptables\) /],
    detail: /^- -A POSTROUTING -j VIRLAN-POST-k8s-br0/,
    changed: chains('mangle'),
  },
  {
    title: 'the jump to the checksum chain doubled',
    script: `iptables -t mangle -A ${jump('POSTROUTING', 'POST')}`,
    plan: [/^~ firewall \(iptables\) /],
    detail: /duplicated/,
    changed: chains('mangle'),
  },
];

const nftables: Damage[] = [
  {
    title: 'the table deleted',
    script: 'nft delete table ip virlan-k8s-br0',
    plan: [/^\+ firewall \(nftables\) table ip virlan-k8s-br0, \d+ rules$/],
    changed: table,
  },
  {
    title: 'all rules flushed',
    script: 'nft flush table ip virlan-k8s-br0',
    plan: [/^~ firewall \(nftables\) /],
    changed: table,
  },
  {
    title: 'one rule deleted',
    script: `nft delete rule ip virlan-k8s-br0 forward handle $(${handleOf('forward', 'oifname.*reject')})`,
    plan: [/^~ firewall \(nftables\) /],
    detail: /^- oifname "k8s-br0" reject/,
    changed: table,
  },
  {
    title: 'a rule added',
    script: 'nft insert rule ip virlan-k8s-br0 input tcp dport 99 accept',
    plan: [/^~ firewall \(nftables\) /],
    detail: /^\+ tcp dport 99 accept$/,
    changed: table,
  },
  {
    title: 'a rule moved',
    script: `nft delete rule ip virlan-k8s-br0 input handle $(${handleOf('input', 'invalid.*drop')})
      nft add rule ip virlan-k8s-br0 input ct state invalid drop`,
    plan: [/^~ firewall \(nftables\) /],
    detail: /another order/,
    changed: table,
  },
  {
    title: 'the ruleset flushed, as by a reload of nftables.service',
    script: 'nft flush ruleset',
    plan: [
      /^\+ firewall \(nftables\) table ip /,
      /^\+ firewall \(nftables\) table ip6 /,
      /^\+ guard table bridge virlan-k8s-br0, 1 tap$/,
      /^\+ firewall \(iptables\) /,
    ],
    changed: / {2}nft| nft /,
  },
];

const iptables: Damage[] = [
  {
    title: 'a chain flushed',
    script: 'iptables -F VIRLAN-FWD-k8s-br0',
    plan: [/^~ firewall \(iptables\) /],
    detail: /^- -A VIRLAN-FWD-k8s-br0 /,
    changed: chains('filter', 'nat', 'mangle', 'security'),
  },
  {
    title: 'all chains flushed, and the jumps with them',
    script: 'iptables -F',
    plan: [/^~ firewall \(iptables\) /],
    detail: /^- -A INPUT -i k8s-br0 -j VIRLAN-INP-k8s-br0/,
    changed: chains('filter', 'nat', 'mangle', 'security'),
  },
  {
    title: 'a rule added',
    script: 'iptables -I VIRLAN-INP-k8s-br0 -p tcp --dport 99 -j ACCEPT',
    plan: [/^~ firewall \(iptables\) /],
    detail: /^\+ -A VIRLAN-INP-k8s-br0 .*--dport 99 -j ACCEPT$/,
    changed: chains('filter', 'nat', 'mangle', 'security'),
  },
  {
    title: 'a jump removed',
    script: `iptables -D ${jump('FORWARD', 'FWD')}`,
    plan: [/^~ firewall \(iptables\) /],
    detail: /^- -A FORWARD -j VIRLAN-FWD-k8s-br0/,
    changed: chains('filter', 'nat', 'mangle', 'security'),
  },
  {
    title: 'a jump doubled',
    script: `iptables -t nat -I ${jump('POSTROUTING', 'POST')}`,
    plan: [/^~ firewall \(iptables\) /],
    detail: /duplicated/,
    changed: chains('filter', 'nat', 'mangle', 'security'),
  },
  {
    title: 'another rule before the jump',
    script: 'iptables -I FORWARD -s 198.51.100.1 -j DROP',
    plan: [],
    changed: / (nft|iptables) .*FORWARD/,
  },
];

const repair = suite('repair');
let web: Guest;

async function network(firewall: string): Promise<void> {
  await configure(`[network.k8s-br0]\nstp = no\nfirewall = ${firewall}\n`);
  await up();
}

repair('a network with a machine on it', async () => {
  await installVirlan();
  await network('nftables');
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  const machine = {
    name: 'web',
    uuid: '00000000-0000-4000-8000-00000000000a',
    nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: web.mac }],
  };
  assert.equal((await prepare(machine)).exitCode, 0);
  // The file by which libvirt names the machine's port.
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  const running = domainXml(machine).replace('<model', `<target dev='${web.port}'/><model`);
  writeFileSync('/run/libvirt/qemu/web.xml', `<domstatus state='running'>${running}</domstatus>`);
  await dhcp(web);
  // Without the hook's start: the guard gets to know the machine.
  await up();
  assert.deepEqual(await plannedSteps(), []);
});

/**
 * Simulates a killed dnsmasq that the kernel is slow to end, which cannot be provoked: a process without a
 * command line (PR_SET_MM_MAP of prctl(2), with the fields of stat in proc(5)) that keeps the port for a
 * second.
 */
const dyingDnsmasq = `
import ctypes, socket, struct, time
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
stat = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
code, data, brk, stack = (26, 27), (45, 46), 47, 28
arguments, environment = (48, 48), (50, 51)
fields = [int(stat[field - 3]) for field in (*code, *data, brk, stack, *arguments, *environment)]
fields.insert(5, libc.sbrk(0))
layout = struct.pack("12QIi", *fields, 0, 0, -1)
assert libc.prctl(35, 14, layout, ctypes.c_ulong(len(layout)), 0) == 0
assert libc.prctl(15, b"dnsmasq", 0, 0, 0) == 0
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
  try:
    port.bind(("192.168.100.1", 53))
    break
  except OSError:
    time.sleep(0.01)
print("bound", flush=True)
time.sleep(1)
`;

import { until } from './until.ts';

repair('dnsmasq killed while the kernel still holds its sockets', async () => {
  const [dnsmasq] = processes('dnsmasq');
  assert(dnsmasq);
  process.kill(dnsmasq.pid, 'SIGKILL');
  await until(() => processes('dnsmasq').length === 0);
  const dying = execa('python3', ['-c', dyingDnsmasq]);
  await once(dying.stdout, 'data');
  writeFileSync('/run/dnsmasq/k8s-br0.pid', `${dying.pid}\n`);
  await up();
  await dying;
  assert.deepEqual(await plannedSteps(), []);
});

for (const [firewall, damages] of [
  ['nftables', [...links, ...hostWide, ...services, ...nftables, ...checksumRule]],
  ['iptables', iptables],
] as const) {
  for (const { title, script, plan: steps, detail, changed } of damages) {
    repair(`${firewall}: ${title}`, async () => {
      await network(firewall);
      const before = await snapshot();
      await execa('sh', ['-eu', '-c', script]);
      const found = await plan();
      assert.equal(found.steps.length, steps.length, found.steps.join('\n'));
      for (const [index, step] of steps.entries()) assert.match(found.steps[index] ?? '', step);
      if (detail !== undefined)
        assert(
          found.details.some(line => detail.test(line)),
          found.details.join('\n'),
        );
      await up();
      assert.deepEqual(await plannedSteps(), []);
      assert.deepEqual(await changesSince(before, changed, /applied\.json/), []);
      assert.equal(processes('dnsmasq').length, 1);
      assert.match(readFileSync(hostsfile, 'utf8'), /web/);
      assert.equal(await probe(web, { proto: 'udp', to: '192.168.100.1', port: 53 }), 'open');
    });
  }
}
repair.run();
