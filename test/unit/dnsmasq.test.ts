// dnsmasq.test.ts: tests the configuration and the paths of dnsmasq.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseBootUrl } from '../../src/config/boot.ts';
import { machineBootLines } from '../../src/dnsmasq/boot-lines.ts';
import { type DnsmasqHost, renderDnsmasqConf, wildcardLines } from '../../src/dnsmasq/conf.ts';
import { readMachineLines } from '../../src/dnsmasq/machine-lines.ts';
import { dnsmasqPaths } from '../../src/dnsmasq/paths.ts';
import { ip, mac, network } from './builders.ts';
import { assertGolden } from './golden.ts';

const dnsmasq = suite('dnsmasq');

const host: DnsmasqHost = {
  user: 'dnsmasq',
  canWatchResolvConf: true,
  machineLines: [],
  recordLines: [],
  extras: null,
};

dnsmasq('the configuration is the golden one', () => {
  assertGolden('default.conf', renderDnsmasqConf(network(), host));
  assertGolden('isolated.conf', renderDnsmasqConf(network('mode = isolated'), host));
  const options = 'dhcp-option = 42:10.0.0.1 10.0.0.2, domain-search:lab.example';
  const url = `boot = http://192.168.100.1/\${hostname}.ipxe`;
  assertGolden('boot-url.conf', renderDnsmasqConf(network(url, options, 'tftp = /srv/tftp'), host));
  assertGolden('boot-file.conf', renderDnsmasqConf(network('boot = a/x.efi', 'tftp = /srv/tftp'), host));
  const odd = network(
    'bridge = br.1',
    'subnet = 10.0.0.0/8',
    'mtu = 9000',
    'dns = 9.9.9.9, 1.1.1.1',
    'domain = Lan.example',
    'lease-time = infinite',
  );
  const wildcards = wildcardLines([{ ip: ip('10.0.0.7'), names: ['apps.web', 'lb'] }], 'lan.example');
  const extras = { directory: '/etc/virlan/dnsmasq.d/k8s-br0', digest: '0123456789abcdef' };
  assertGolden(
    'odd.conf',
    renderDnsmasqConf(odd, { ...host, user: 'nobody', machineLines: wildcards, extras }),
  );
});

dnsmasq('the boot of a machine comes after that of its network, and stands alone without one', () => {
  const url = (text: string) => parseBootUrl(text) || assert.fail(text);
  const machines = [
    { macs: [mac(1), mac(2)], hostname: 'web', boot: url('http://10.0.0.1:8080/web.ipxe') },
    { macs: [mac(3)], hostname: 'db', boot: url('tftp://10.0.0.1/db.ipxe') },
  ];
  const own = [
    'dhcp-mac=set:boot-web,52:54:00:00:00:01',
    'dhcp-mac=set:boot-web,52:54:00:00:00:02',
    'dhcp-boot=tag:boot-web,tag:ipxe,http://10.0.0.1:8080/web.ipxe',
    'dhcp-boot=tag:boot-web,tag:efi-http,tag:!ipxe,http://10.0.0.1:8080/web.ipxe',
    'dhcp-mac=set:boot-db,52:54:00:00:00:03',
    'dhcp-boot=tag:boot-db,tag:ipxe,tftp://10.0.0.1/db.ipxe',
  ];
  const general = ['dhcp-match=set:ipxe,175', 'dhcp-match=set:efi-http,option:client-arch,16'];
  for (const [boot, added] of [
    ['http://10.0.0.1/x.ipxe', [] as string[]],
    ['tftp://10.0.0.1/x.ipxe', general.slice(1)],
    ['', general],
  ] as const) {
    const lan = network(`boot = ${boot}`);
    const lines = machineBootLines(machines, lan);
    assert.deepEqual(lines.slice(-own.length), own);
    for (const line of general) assert.equal(lines.includes(line), added.includes(line), `${boot}: ${line}`);
    const conf = renderDnsmasqConf(lan, { ...host, machineLines: lines });
    assert(conf.lastIndexOf('dhcp-boot=tag:ipxe') < conf.indexOf('dhcp-boot=tag:boot-web'));
    assert.deepEqual(readMachineLines(conf), lines);
  }
  assert.deepEqual(machineBootLines([], network()), []);
});

dnsmasq('the lines of wildcards are found again, whatever follows them', () => {
  const wildcards = wildcardLines([{ ip: ip('10.0.0.7'), names: ['apps.web'] }], 'lan.example');
  const extras = { directory: '/d', digest: '1' };
  for (const each of [
    { ...host, machineLines: wildcards },
    { ...host, machineLines: wildcards, extras },
  ])
    assert.deepEqual(readMachineLines(renderDnsmasqConf(network(), each)), wildcards);
  assert.deepEqual(readMachineLines(renderDnsmasqConf(network(), { ...host, extras })), []);
});

dnsmasq('a changed digest of the extra files changes the configuration, so that dnsmasq restarts', () => {
  const withDigest = (digest: string) =>
    renderDnsmasqConf(network(), { ...host, extras: { directory: '/d', digest } });
  assert.notEqual(withDigest('1'), withDigest('2'));
});

dnsmasq('the files of dnsmasq have their documented paths', () => {
  assert.deepEqual(dnsmasqPaths('k8s-br0'), {
    directory: '/var/lib/dnsmasq/k8s-br0',
    conf: '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf',
    hostsfile: '/var/lib/dnsmasq/k8s-br0/hostsfile',
    names: '/var/lib/dnsmasq/k8s-br0/names',
    leases: '/var/lib/dnsmasq/k8s-br0/leases',
    pid: '/run/dnsmasq/k8s-br0.pid',
    told: '/run/virlan/k8s-br0.told',
  });
});

dnsmasq.run();
