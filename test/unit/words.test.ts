// words.test.ts: tests the sentences and commands of all kinds of findings, as a golden file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { prefixOf } from '../../src/address/ip.ts';
import type { EtcdConfig } from '../../src/config/config.ts';
import type { DetailKind, Details } from '../../src/diagnosis/details.ts';
import type { Subject } from '../../src/diagnosis/subject.ts';
import { subjectText } from '../../src/diagnosis/words/subject-text.ts';
import { fixFor, seen } from '../../src/diagnosis/words/words.ts';
import { hostileNames, ip, mac, network } from './builders.ts';
import { assertGolden } from './golden.ts';

const words = suite('words');

const message = 'MESSAGE';
const [machine, bridge, tap, dev] = ['web', 'k8s-br0', 'vnet0', 'eth0'];
const [gateway, nextHop] = ['192.168.100.1', '203.0.113.2'];
const [leased, reserved] = [ip('192.168.100.7'), ip('192.168.100.8')];
const address = { ip: ip('192.168.100.1'), prefixLength: 24, broadcast: ip('192.168.100.255') };
const owner = { protocol: 'udp', address: '0.0.0.0', port: 67, program: 'dhcpd', pid: 7 } as const;
const dropped = {
  packet: { kind: 'dhcp' },
  drop: { family: 'ip', table: 'filter', chain: 'INPUT', rule: null, links: { in: bridge, out: null } },
  bridge,
} as const;

const ofMachine = { bridge, tap, mac: mac(1), ip: ip('192.168.100.7') };
const policy = { from: '192.168.100.7/32', to: '0.0.0.0/0', priority: 9 } as const;
const input = { ...dropped.drop, rule: '-s 192.168.100.7/32 -j DROP' };
const forwarded = { ...input, chain: 'FORWARD', links: { in: bridge, out: dev } };
const lostOfMachine: Details['machine-dropped'][] = (
  [
    ['dhcp', { ...input, chain: 'OUTPUT', links: { in: null, out: bridge } }],
    ['dns', { ...input, family: 'inet', table: 'f2b', chain: 'in' }],
    ['dns', { ...input, chain: 'ufw-user-input' }],
    ['dhcp', { ...input, family: 'netdev', table: 'corp', chain: 'in', links: { in: tap, out: null } }],
    ['connecting', forwarded],
    ['connecting', { ...forwarded, chain: 'ufw-user-forward' }],
    ['connecting', { ...forwarded, family: 'inet', table: 'firewalld' }],
    ['connecting', { ...forwarded, chain: 'POSTROUTING', table: 'mangle', links: { in: null, out: dev } }],
    ['connected', { ...forwarded, links: { in: dev, out: bridge } }],
    ['connected', { ...forwarded, family: 'inet', table: '$(reboot)', links: { in: dev, out: bridge } }],
  ] as const
).map(([packet, lost]) => ({ machine, packet, drop: lost, port: ofMachine }));

const listener = { protocol: 'tcp', address: '0.0.0.0', port: 8443, inode: '1' } as const;
function forwardOf(protocol: 'tcp' | 'udp') {
  return { protocol, first: 8443, last: 8443, to: 443, address: null, from: null } as const;
}
const inactive: Details['forward-inactive']['problem'][] = [
  { kind: 'busy', forward: forwardOf('tcp'), listener, process: null },
  { kind: 'busy', forward: forwardOf('udp'), listener, process: { pid: 7, name: 'x' } },
  { kind: 'taken', forward: forwardOf('tcp'), by: { name: "d'b", uuid: 'u' } },
  { kind: 'of-libvirt', forward: forwardOf('tcp'), setting: 'migration_port_min' },
  { kind: 'mode', forward: forwardOf('tcp'), mode: 'isolated' },
  { kind: 'needs-localhost', forward: { ...forwardOf('tcp'), address: ip('127.0.0.1') } },
  { kind: 'no-address', forward: forwardOf('tcp') },
];
const unknownName = { name: 'web.lan.internal', network: 'lan', hasNssModule: false } as const;

const chainOf = (family: string, table: string, name: string) =>
  ({ family, table, name, hook: 'forward', policy: null }) as const;
const range = { ...forwardOf('tcp'), first: 30_000, last: 30_010, to: 30_000, address: ip('192.0.2.5') };
const drop = { forward: forwardOf('tcp'), ip: leased, bridge, rule: 'tcp dport 443 drop', chain: 'f' };
const firstDrop = { ...drop, way: 'forwarded', base: chainOf('inet', 'corp', 'f') } as const;
const otherDrops: Details['forward-dropped']['drop'][] = [
  { ...drop, way: 'answering', base: chainOf('inet', 'corp', 'f'), rule: null },
  { ...drop, way: 'arriving', base: { ...chainOf('ip', 'corp', 'f'), hook: 'prerouting' }, forward: range },
  { ...drop, way: 'forwarded', base: chainOf('inet', '$(reboot)', 'f'), rule: 'log prefix "\u001b[2J" drop' },
  { ...drop, way: 'forwarded', base: chainOf('ip', 'filter', 'FORWARD'), chain: 'DOCKER-USER' },
  { ...drop, way: 'answering', base: chainOf('iptables-legacy', 'filter', 'FORWARD'), forward: range },
  { ...drop, way: 'answered', base: { ...chainOf('ip', 'corp', 'f'), hook: 'postrouting' }, forward: range },
];

const detour = { bridge, subnet: network().subnet, part: null, link: null } as const;
const mails = {
  protocol: 'tcp',
  sourcePorts: null,
  destinationPorts: { first: 25, last: 25 },
  tos: null,
} as const;

const half = prefixOf(ip('192.168.100.128'), 25);
const localRoute = { kind: 'local-route', destination: '192.168.100.128/25' } as const;

const peer = ip('10.0.0.2');
const etcd: EtcdConfig = {
  endpoints: ['https://10.0.0.11:2379'],
  address: ip('10.0.0.1'),
  namesPeers: true,
  ca: '/etc/virlan/ca.pem',
  cert: null,
  key: null,
  user: { name: 'virlan', passwordFile: '/etc/virlan/password' },
};
const member = { endpoint: 'https://10.0.0.11:2379', etcd };
const tunnelDrop = {
  way: 'arriving',
  peers: [peer],
  base: { family: 'inet', table: 'corp', name: 'in', hook: 'input', policy: 'drop' },
  chain: 'in',
  by: 'rule',
  rule: 'udp dport 4789 drop',
  owner: null,
} as const;
const inputChain = { family: 'ip', table: 'filter', name: 'INPUT', hook: 'input', policy: 'drop' };
const manyPeers = ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'].map(ip);
const ofFirewalld = {
  ...tunnelDrop,
  base: { ...tunnelDrop.base, table: 'firewalld' },
  owner: 'firewalld',
} as const;
const tunnelDrops: Details['tunnel-dropped']['drop'][] = [
  tunnelDrop,
  { ...tunnelDrop, way: 'leaving', peers: manyPeers, rule: null },
  { ...tunnelDrop, by: 'policy', rule: null, base: { ...tunnelDrop.base, table: '$(reboot)' } },
  { ...tunnelDrop, base: inputChain, chain: 'corp', peers: manyPeers, rule: '-j DROP \u001b[2J' },
  { ...tunnelDrop, base: inputChain, by: 'policy', rule: null, owner: 'ufw' },
  { ...tunnelDrop, way: 'leaving', base: inputChain, by: 'policy', rule: null, owner: 'ufw' },
  ofFirewalld,
  { ...ofFirewalld, chain: 'filter_IN_public_deny' },
  { ...ofFirewalld, chain: 'filter_IN_nm-shared' },
  { ...ofFirewalld, way: 'leaving' },
];

/** Fields for each kind; several where the texts differ. */
const samples: { readonly [K in DetailKind]: readonly [Details[K], ...Details[K][]] } = {
  'config-unreadable': [{ message }],
  'fix-failed': [{ message }],
  'kernel-ready': [{}],
  'kernel-replaced': [{ release: '6.1.0-9-amd64' }],
  'nft-fails': [{ message }],
  'conntrack-full': [{ max: 65_536 }],
  'inotify-exhausted': [{ sysctl: 'fs.inotify.max_user_instances', max: 128 }],
  'libvirt-absent': [{}],
  'hooks-installed': [{}],
  'hook-missing': [{ driver: 'qemu' }],
  'hook-not-executable': [{ driver: 'qemu', path: '/etc/libvirt/hooks/qemu.d/50-virlan' }],
  'dnsmasq-version-unknown': [{}],
  'dnsmasq-patched': [{ version: '2.93' }],
  'dnsmasq-unpatched': [
    { version: '2.91', cves: ['CVE-1', 'CVE-2'], hasChangelog: false },
    { version: '2.91', cves: ['CVE-1', 'CVE-2', 'CVE-3', 'CVE-4'], hasChangelog: true },
  ],
  'network-unreadable': [{ message }],
  'subnet-unique': [{}],
  'subnet-conflict': [
    {
      network: network(),
      other: { subnet: prefixOf(ip('192.168.100.128'), 25), link: 'tun0', by: 'route' },
      made: null,
    },
    {
      network: network(),
      other: { subnet: network().subnet, link: 'br7', by: 'address' },
      made: 'lab',
    },
  ],
  'tunnel-in-force': [{ link: 'k8s-br0-vx' }],
  'underlay-missing': [{ address: ip('10.0.0.1') }],
  'tunnel-dropped': tunnelDrops.map(each => ({ drop: each })) as [Details['tunnel-dropped']],
  'peer-answers': [
    { peer, bytes: 1500, macs: 0 },
    { peer, bytes: 1500, macs: 1 },
  ],
  'peer-without-route': [{ peer }],
  'peer-silent': [{ peer }],
  'peer-refuses': [{ peer }],
  'peer-needs-smaller-packets': [
    { peer, network: 'k8s-br0', bytes: 1500, mtu: null },
    { peer, network: 'k8s-br0', bytes: 1500, mtu: 1350 },
  ],
  'peer-size-unknown': [{ peer }],
  'bgp-not-configured': [
    { problem: { kind: 'no-frr' } },
    { problem: { kind: 'not-running', program: 'bgpd' } },
    { problem: { kind: 'not-running', program: 'zebra' } },
    { problem: { kind: 'unreadable', message } },
    { problem: { kind: 'other-as', as: 64_999, wanted: 65_000, isSaved: true } },
    { problem: { kind: 'other-as', as: 64_999, wanted: 65_000, isSaved: false } },
    { problem: { kind: 'own-neighbour', neighbour: peer, as: 65_000 } },
  ],
  'bgp-established': [
    { neighbour: peer, routes: 1 },
    { neighbour: peer, routes: 2 },
  ],
  'bgp-without-route': [{ neighbour: peer }],
  'bgp-silent': [{ neighbour: peer }],
  'bgp-refused': [{ neighbour: peer }],
  'bgp-blocked': [{ neighbour: peer }],
  'bgp-other-as': [{ neighbour: peer, as: 65_000 }],
  'bgp-same-identifier': [{ neighbour: peer }],
  'bgp-not-established': [{ neighbour: peer, state: 'active' }],
  'etcd-serves': [{ ...member, writeMs: 12.3 }],
  'etcd-slow': [{ ...member, writeMs: 2440, limitMs: 2000 }],
  'etcd-no-quorum': [{ ...member, etcd: { ...etcd, cert: '/a b.pem', key: '/key.pem' } }],
  'etcd-unreachable': [{ endpoint: 'http://127.0.0.1:2379', etcd: { ...etcd, ca: null }, message }],
  'etcd-tls': [{ ...member, message }],
  'etcd-certificate-time': [{ ...member, message }],
  'etcd-auth': [
    { ...member, message },
    { ...member, etcd: { ...etcd, user: null }, message },
  ],
  'etcd-file': [{ ...member, message }],
  'etcd-failed': [{ ...member, message }],
  'etcd-not-read': [{}],
  'clocks-agree': [{ limitMs: 10_000 }],
  'clock-of-member': [{ endpoint: member.endpoint, aheadMs: 3_600_400 }],
  'clock-of-host': [{ aheadMs: -61_000 }],
  'clocks-unknown': [{}],
  'hosts-alive': [{ host: ip('10.0.0.1') }],
  'host-twice': [{ host: ip('10.0.0.1') }],
  'host-not-joined': [{ host: ip('10.0.0.1') }],
  'host-dead': [
    { host: peer, machines: 0 },
    { host: peer, machines: 1 },
    { host: peer, machines: 2 },
  ],
  'addresses-unique': [{}],
  'address-of-another': [{ ip: leased, machine, holder: { machine: 'b\n;', host: peer } }],
  'address-twice': [
    {
      ip: leased,
      holders: [
        { machine, host: ip('10.0.0.1') },
        { machine: "d'b", host: peer },
      ],
    },
  ],
  'block-twice': [{ block: { first: ip('192.168.100.16'), last: ip('192.168.100.19') }, host: peer }],
  'block-astray': [{ first: ip('192.168.100.18'), host: peer }],
  'ledger-intact': [{}],
  'ledger-damaged': [{ message }],
  'macs-unique': [{}],
  'mac-shared': [{ mac: mac(1), machines: ['a', 'b\n;'] }],
  'ss-missing': [{}],
  'port-free': [{}],
  'port-taken': [
    { service: 'DHCP', bridge, owner },
    { service: 'DNS', bridge, owner: { ...owner, port: 53, program: null, pid: null } },
  ],
  'port-shared': [{ owner }],
  'as-configured': [{}],
  'not-established': [{ bridge, others: 8 }],
  'link-managed': [
    { bridge, link: bridge, manager: 'NetworkManager' },
    { bridge, link: bridge, manager: 'systemd-networkd' },
    { bridge, link: 'web;tap', manager: 'NetworkManager' },
    { bridge, link: 'web-tap', manager: 'systemd-networkd' },
  ],
  'bridge-is-uplink': [{ bridge }],
  'dnsmasq-cannot-read': [
    { path: '/data', isDirectory: true, mode: 0o700 },
    { path: '/data/a b', isDirectory: false, mode: 0o600 },
  ],
  'own-mac-unknown': [{ bridge, mac: mac(1) }],
  'bridge-of-libvirt': [{ bridge, network: 'default' }],
  'lan-port': [
    { bridge, link: 'eth1' },
    { bridge, link: 'a;b' },
  ],
  'frames-may-be-dropped': [
    {
      drop: {
        family: 'bridge',
        table: 'corp',
        chain: 'f',
        rule: 'iifname "vnet1" drop',
        links: { in: 'vnet1', out: null },
      },
    },
  ],
  'neighbours-right': [{}],
  'neighbour-static': [{ bridge, ip: leased, mac: mac(9), owner: mac(1) }],
  'address-shared': [{ address: ip('192.168.100.50'), prefixLength: 24, link: bridge, machine: 'web' }],
  'plan-step': [
    { subject: 'dnsmasq', bridge, step: { kind: 'start dnsmasq', bridge }, others: 0 },
    { subject: 'bridge', bridge, step: { kind: 'add route', link: bridge, address }, others: 1 },
    {
      subject: 'foreign',
      bridge,
      step: { kind: 'allow in', firewall: 'ufw', bridge, rules: [] },
      others: 0,
    },
  ],
  'forwarding-on': [{}],
  'forwarding-off': [
    { key: 'net.ipv4.ip_forward', value: '0' },
    { key: 'a.b', value: null },
  ],
  'forwarding-off-after-boot': [{ path: '/etc/sysctl.d/60-virlan.conf' }],
  'answers-elsewhere': [
    { ...detour, link: 'ts0', by: { kind: 'rule', table: '52', priority: 5270, only: null } },
    { ...detour, by: { kind: 'rule', table: '52', priority: 1, only: null } },
    { ...detour, by: { kind: 'rule', table: null, priority: 0, only: { ...mails, tos: '0x10' } } },
    { ...detour, part: half, link: 'eth0', by: { kind: 'rule', table: '77', priority: 80, only: null } },
    { ...detour, part: half, link: 'lo', by: { ...localRoute, type: 'local', link: 'lo' } },
    { ...detour, part: half, by: { ...localRoute, type: 'blackhole', link: null } },
    { ...detour, part: half, link: 'a;b', by: { ...localRoute, type: 'unicast', link: 'a;b' } },
    { ...detour, part: half, link: bridge, by: { ...localRoute, type: 'broadcast', link: bridge } },
  ],
  'link-forwarding-off': [{ key: 'net.ipv4.conf.eth0.forwarding' }],
  'no-other-policy': [{}],
  'other-policies': [
    {
      chains: [
        { family: 'ip', table: 'filter', name: 'FORWARD' },
        { family: 'inet', table: 'corp', name: 'fw' },
      ],
    },
  ],
  'other-firewall-unreadable': [{ subject: 'ufw', error: new Error(message) }],
  'uplink-not-asked': [{}],
  'outside-refused': [
    { bridge, part: null, table: null, priority: 90, only: null },
    {
      bridge,
      part: null,
      table: '100',
      priority: 90,
      only: { ...mails, sourcePorts: { first: 1, last: 9 } },
    },
    { bridge, part: prefixOf(leased, 32), table: null, priority: 81, only: mails },
  ],
  'outside-lost': [{ reason: 'Invalid cross-device link' }],
  'uplink-missing': [{ reason: 'Network is unreachable' }],
  'forwarding-not-needed': [{}],
  'uplink-not-allowed': [{ dev, allowed: ['eth1'] }],
  'uplink-found': [
    { dev, gateway: nextHop },
    { dev: 'ppp0', gateway: null },
  ],
  'machine-unknown': [
    { machine, nearest: null },
    { machine: 'wbe', nearest: machine },
  ],
  'machine-shut-off': [{ machine }, { machine: "x'; reboot" }],
  'machine-runs': [{}],
  'nics-found': [
    {
      nics: [
        { mac: mac(1), network: bridge, was: null },
        { mac: mac(2), network: 'lab', was: mac(3) },
      ],
    },
  ],
  'no-nic': [{ machine }],
  'nics-elsewhere': [
    {
      machine,
      places: [{ kind: 'network', name: 'default' }, { kind: 'bridge', name: 'br1' }, { kind: 'other' }],
    },
  ],
  'not-running': [{}],
  'tap-plugged-in': [{ tap, bridge }],
  'tap-gone': [{ tap, machine }],
  'tap-unplugged': [{ tap }],
  'tap-in-other-bridge': [{ tap, bridge, found: 'virbr0' }],
  'tap-down': [{ tap }],
  'tap-kept-down': [{ tap: 'vnet0', machine: 'web' }],
  'port-forwards': [{}],
  'port-outside-bridge': [{ tap }],
  'mac-behind-other-port': [{ tap, mac: mac(1), behind: 'vnet1;reboot' }],
  'nothing-in-the-way': [{}],
  'machine-dropped': [{ machine, packet: 'dhcp', drop: input, port: ofMachine }, ...lostOfMachine],
  'machine-taken': [
    {
      machine,
      packet: 'outgoing',
      policy: { ...policy, effect: 'drops', direction: 'fwd' },
      port: ofMachine,
    },
    {
      machine,
      packet: 'outgoing',
      policy: { ...policy, effect: 'encrypts', direction: 'out' },
      port: ofMachine,
    },
  ],
  'port-waits-for-stp': [{ tap }],
  'port-blocked': [{ tap }],
  'port-disabled': [{ tap }],
  'request-answered': [{}],
  'request-heard': [{}],
  'address-static': [{ ip: reserved }],
  'nothing-sent': [{ machine, tap }],
  'no-lease-given': [{ mac: mac(1), tap }],
  'request-missing': [{ mac: mac(1), tap }],
  reserved: [{ ip: reserved }],
  'not-reserved': [{ machine, mac: mac(1), network: bridge }],
  'reservation-problem': [
    { problem: { kind: 'mac-taken', mac: mac(1), holder: { kind: 'machine', machine: 'db' } } },
  ],
  'not-in-hostsfile': [{ mac: mac(1), ip: reserved }],
  leased: [{ ip: leased }],
  'not-leased': [{}],
  'lease-refused': [{ logged: 'DHCPNAK(k8s-br0) 192.168.100.9' }],
  'leased-before-reserved': [{ machine, mac: mac(1), leased, reserved }],
  'no-forwards': [{}],
  'forwards-active': [{ forwards: ['tcp/8443:443', 'udp/53'] }],
  'forward-inactive': [
    { machine, problem: { kind: 'invalid', attribute: 'port', value: '0' } },
    ...inactive.map(problem => ({ machine, problem })),
  ],
  'forward-unanswered': [
    { forward: 'tcp/8443:443', ip: leased, port: 443, answer: 'refused', machine },
    { forward: 'tcp/8443:443', ip: leased, port: 443, answer: 'none', machine },
  ],
  'forward-without-lease': [{ forward: 'tcp/8443:443', ip: leased, machine: 'web' }],
  'forward-dropped': [{ drop: firstDrop }, ...otherDrops.map(each => ({ drop: each }))],
  'forward-dropped-by-virlan': [
    { drop: { ...firstDrop, base: chainOf('ip', 'virlan-k8s-br0', 'forward'), chain: 'forward' } },
  ],
  'forward-taken': [
    {
      taking: {
        ...drop,
        effect: 'translate',
        rule: '-p tcp --dport 8443 -j DNAT',
        base: chainOf('ip', 'nat', 'PREROUTING'),
      },
    },
    {
      taking: {
        ...drop,
        rule: 'tcp dport 8443 notrack',
        effect: 'untrack',
        base: chainOf('ip', 'corp', 'f'),
      },
    },
    {
      taking: {
        ...drop,
        effect: 'translate',
        rule: 'tcp dport 8443 dnat to 172.17.0.2:443',
        base: chainOf('ip', 'corp', 'f'),
      },
    },
    { taking: { ...drop, effect: 'translate', base: chainOf('ip', '$(reboot)', 'f') } },
  ],
  'forwards-meet-chain': [
    { bridge, chain: { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' } },
    { bridge, chain: { family: 'inet', table: '$(reboot)', name: 'f', hook: 'forward', policy: 'drop' } },
    { bridge, chain: { family: 'inet', table: 'corp', name: 'f', hook: 'forward', policy: 'drop' } },
  ],
  'forwards-meet-reverse-path': [{ link: 'eth0.5', dropped: 3 }],
  'name-found': [{ name: 'web.lan.internal', ip: leased, by: 'resolved' }],
  'name-not-wanted': [{}],
  'name-not-asked': [{}],
  'name-elsewhere': [{ name: 'web.lan.internal', ip: leased, found: ['10.9.9.9'] }],
  'name-unknown': [
    { ...unknownName, by: 'resolved' },
    { ...unknownName, by: 'network-manager' },
    { ...unknownName, by: 'nss' },
    { ...unknownName, by: 'resolved-not-asked' },
    { ...unknownName, by: 'not-found' },
    { ...unknownName, by: 'not-found', hasNssModule: true },
    { ...unknownName, by: 'off' },
  ],
  'forward-address-absent': [{ forward: 'tcp/8443 on 192.0.2.5', address: ip('192.0.2.5') }],
  'forwards-need-conntrack': [{}],
  'forwards-kept-out': [{}],
  'answers-arp': [{ ip: leased }],
  'no-address': [{}],
  'address-unused': [{ machine, ip: reserved }],
  'leased-but-silent': [{ machine, ip: leased }],
  'guard-not-there': [{ network: 'k8s-br0' }],
  'nothing-dropped': [{}],
  'frames-dropped': [
    {
      machine,
      tap,
      dropped: [
        {
          denial: 'addr4',
          value: { kind: 'address', ip: leased },
          frames: 7,
          owner: { kind: 'machine', name: 'db' },
        },
        {
          denial: 'mac',
          value: { kind: 'mac', mac: mac(1) },
          frames: 2,
          owner: { kind: 'device', name: 'printer' },
        },
        { denial: 'router', value: null, frames: 1, owner: null },
        { denial: 'tag', value: null, frames: 1, owner: null },
      ],
    },
    {
      machine,
      tap,
      dropped: [{ denial: 'addr4', value: { kind: 'address', ip: leased }, frames: 1, owner: null }],
    },
    {
      machine,
      tap,
      dropped: [
        { denial: 'addr4', value: { kind: 'address', ip: leased }, frames: 1, owner: { kind: 'host' } },
      ],
    },
  ],
  'address-duplicate': [{ ip: leased, mac: mac(1), answeredBy: '52:54:00:00:00:09' }],
  'probe-without-nft': [{}],
  'probe-without-bridge': [{ bridge }],
  'probe-without-dnsmasq': [{}],
  'probe-without-address': [{}],
  'probe-without-block': [{}],
  'probe-error': [{ message }],
  'not-reached': [{}],
  'probe-not-leased': [{}],
  'probe-port-forwards': [{ waitedMs: 20 }, { waitedMs: 4012 }],
  'probe-port-waits': [{ bridge }],
  'probe-leased': [{ ip: '192.168.100.254' }],
  'wrong-lease': [{ bridge, leased: '10.0.0.9', reserved: '192.168.100.254' }],
  'offer-withdrawn': [{ bridge }],
  'dhcp-silent': [{ bridge, after: 'REQUEST' }],
  'dhcp-not-running': [{ gateway, after: 'DISCOVER' }],
  'packet-dropped': [
    dropped,
    { ...dropped, drop: { ...dropped.drop, table: '$(reboot)' } },
    { ...dropped, packet: { kind: 'dns', gateway }, drop: { ...dropped.drop, rule: 'r'.repeat(200) } },
    {
      ...dropped,
      packet: { kind: 'outgoing', to: nextHop },
      drop: { ...dropped.drop, chain: 'ufw-user-forward', links: { in: bridge, out: dev } },
    },
    {
      ...dropped,
      packet: { kind: 'returning', from: nextHop },
      drop: {
        family: 'inet',
        table: 'firewalld',
        chain: 'filter_FORWARD',
        rule: 'reject',
        links: { in: dev, out: bridge },
      },
    },
  ],
  'dropped-by-virlan': [
    {
      packet: { kind: 'dns', gateway },
      drop: { ...dropped.drop, table: 'virlan-lab', chain: 'input', rule: 'reject' },
      own: { bridge: 'lab', rules: 'input' },
    },
    {
      packet: { kind: 'outgoing', to: nextHop },
      drop: { ...dropped.drop, chain: 'VIRLAN-FWD-k8s-br0', rule: 'xt target "REJECT"' },
      own: { bridge, rules: 'forward' },
    },
  ],
  'dropped-by-zone': [
    {
      packet: { kind: 'outgoing', to: nextHop },
      drop: { ...dropped.drop, family: 'inet', table: 'firewalld', chain: 'filter_FORWARD', rule: 'reject' },
      by: { zone: 'internal', source: '192.168.0.0/16' },
    },
    {
      packet: { kind: 'dns', gateway },
      drop: { ...dropped.drop, family: 'inet', table: 'firewalld', chain: 'filter_INPUT', rule: 'reject' },
      by: { zone: 'internal', source: 'ipset:$(reboot)' },
    },
  ],
  'probe-name-known': [{ gateway }],
  'probe-name-unknown': [{ gateway }],
  'dns-silent': [{ gateway, code: 'ETIMEOUT' }],
  'outside-unreachable': [{}],
  'next-hop-unknown': [{ dev: 'ppp0' }],
  'packets-not-counted': [{}],
  'silence-unexplained': [{ nextHop }],
  'lost-before-host': [{ nextHop }],
  'lost-in-host': [{ nextHop, bridge, dev }],
  'nothing-forwarded': [{}],
  forwarded: [{ dev }],
  'not-masqueraded': [{ dev }],
  'arp-silent': [{ gateway, bridge }],
  'dns-redirected': [
    {
      gateway,
      bridge,
      by: { ...dropped.drop, table: 'nat', chain: 'PREROUTING', rule: 'udp dport 53 xt target "DNAT"' },
    },
    {
      gateway,
      bridge,
      by: { ...dropped.drop, table: 'corp', chain: 'pre', rule: 'udp dport 53 dnat to 192.0.2.9' },
    },
    {
      gateway,
      bridge,
      by: {
        ...dropped.drop,
        family: 'inet',
        table: 'firewalld',
        chain: 'nat_PRE_public_allow',
        rule: 'redirect to :5353',
      },
    },
  ],
  'not-tracked': [
    { dev, by: { ...dropped.drop, table: 'raw', chain: 'PREROUTING', rule: 'xt target "CT"' } },
  ],
  'answer-not-tracked': [
    { nextHop, by: { ...dropped.drop, table: 'raw', chain: 'PREROUTING', rule: 'xt target "CT"' } },
  ],
  masqueraded: [{}],
  'own-address-kept': [{}],
  'own-address-lost': [{ dev }],
  'route-missing': [{ nextHop, subnet: '192.168.100.0/24' }],
  'kept-inside': [{}],
  'not-kept-inside': [{ nextHop }],
  'no-return-possible': [{}],
  'next-hop-answers': [{ nextHop }],
  'answer-lost': [{ nextHop }],
  'reverse-path-dropped': [{ packet: { kind: 'returning', from: nextHop } }],
  'routed-by-mark': [
    {
      packet: { kind: 'returning', from: nextHop },
      route: { mark: 0x20, priority: 90, link: 'wan', table: '100' },
      subnet: '192.168.100.0/24',
    },
    {
      packet: { kind: 'outgoing', to: nextHop },
      route: { mark: 0x20, priority: 90, link: null, table: null },
      subnet: '192.168.100.0/24',
    },
  ],
  'taken-by-ipsec': [
    {
      packet: { kind: 'returning', from: nextHop },
      policy: {
        from: '0.0.0.0/0',
        to: '192.168.0.0/16',
        direction: 'out',
        priority: 383,
        effect: 'encrypts',
      },
      subnet: '192.168.100.0/24',
    },
    {
      packet: { kind: 'outgoing', to: nextHop },
      policy: {
        from: '192.168.0.0/16',
        to: '0.0.0.0/0',
        direction: 'fwd',
        priority: 383,
        effect: 'encrypts',
      },
      subnet: '192.168.100.0/24',
    },
    {
      packet: { kind: 'outgoing', to: nextHop },
      policy: { from: '192.168.0.0/16', to: '0.0.0.0/0', direction: 'out', priority: 0, effect: 'drops' },
      subnet: '192.168.100.0/24',
    },
  ],
  'answers-host-only': [{ nextHop, dev }],
  'next-hop-silent': [{ nextHop }],
  'next-hop-unresolved': [{ nextHop, dev: 'eth0' }],
  'outside-names-resolve': [{}],
  'gateway-dns-silent': [{}],
  'upstream-dropped': [{ drop: { ...dropped.drop, chain: 'OUTPUT', rule: '-p udp --dport 53 -j DROP' } }],
  'outside-names-fail': [{ code: 'ESERVFAIL' }],
};

/** Returns the code of a kind, followed by a line for each sentence and command of its samples. */
function textLines<K extends DetailKind>(kind: K): string[] {
  const sentences = samples[kind].flatMap(fields => {
    const detail = { kind, ...fields };
    const fix = fixFor<K>(detail);
    const does = fix?.ours ? 'virlan doctor --fix does' : fix?.mends ? 'repairs it' : 'shows more';
    return [`    ${seen<K>(detail)}`, ...(fix === null ? [] : [`        ${does}: ${fix.command}`])];
  });
  return [kind, ...sentences];
}

words('each kind of finding has its sentence and its command', () => {
  const kinds = Object.keys(samples) as DetailKind[];
  assertGolden('findings.txt', `${kinds.flatMap(kind => textLines(kind)).join('\n')}\n`);
});

words('each kind of subject has its words', () => {
  const subjects: readonly Subject[] = [
    { kind: 'host' },
    { kind: 'network', name: 'lan' },
    { kind: 'machine', name: 'web' },
    { kind: 'nic', machine: 'web', nic: 1, mac: mac('52:54:00:00:00:01') },
    { kind: 'nic-on-network', machine: 'web', nic: 0, network: 'lan' },
  ];
  assert.deepEqual(subjects.map(subjectText), [
    'host',
    'network lan',
    'machine web',
    'machine web NIC 1 (52:54:00:00:00:01)',
    'machine web NIC 0 on lan',
  ]);
});

words('docs/doctor.md documents each code, and no other one', () => {
  const tables = readFileSync('docs/doctor.md', 'utf8').split('## Checks')[1]?.split('## The probe')[0] ?? '';
  const rows = tables.split('\n').map(line => line.split('|').at(-2) ?? '');
  const named = [...rows.join().matchAll(/`([a-z-]+)`/g)].map(([, code]) => code);
  const kinds = Object.keys(samples).filter(kind => kind !== 'fix-failed');
  assert.deepEqual([...new Set(named)].sort(), kinds.sort());
});

words('a hostile name of a machine is a single word of each command', () => {
  const withoutQuotedName = (command: string | undefined) =>
    command?.replaceAll(/'[^']*('\\''[^']*)*'/gs, 'web');
  for (const name of hostileNames.filter(each => !/^[\w.-]+$/.test(each))) {
    for (const kind of ['machine-shut-off', 'no-nic', 'leased-but-silent', 'tap-gone'] as const) {
      const commandFor = (each: string) => fixFor({ kind, machine: each, tap, ip: leased })?.command;
      assert.equal(withoutQuotedName(commandFor(name)), commandFor('web'));
    }
  }
});

words.run();
