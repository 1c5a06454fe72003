// dnsmasq.test.ts: tests the configuration and the paths of dnsmasq.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  type DnsmasqHost,
  readWildcardLines,
  renderDnsmasqConf,
  wildcardLines,
} from '../../src/dnsmasq/conf.ts';
import { dnsmasqPaths } from '../../src/dnsmasq/paths.ts';
import { ip, network } from './builders.ts';
import { assertGolden } from './golden.ts';

const dnsmasq = suite('dnsmasq');

const host: DnsmasqHost = { user: 'dnsmasq', wildcards: [], extras: null };

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
  assertGolden('odd.conf', renderDnsmasqConf(odd, { user: 'nobody', wildcards, extras }));
});

dnsmasq('the lines of wildcards are found again, whatever follows them', () => {
  const wildcards = wildcardLines([{ ip: ip('10.0.0.7'), names: ['apps.web'] }], 'lan.example');
  const extras = { directory: '/d', digest: '1' };
  for (const each of [
    { ...host, wildcards },
    { ...host, wildcards, extras },
  ])
    assert.deepEqual(readWildcardLines(renderDnsmasqConf(network(), each)), wildcards);
  assert.deepEqual(readWildcardLines(renderDnsmasqConf(network(), { ...host, extras })), []);
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
