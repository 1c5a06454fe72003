// Hosts whose administrator or whose other programs change settings of the kernel against virlan.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import {
  capture,
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  probe,
  run,
  startLibvirtd,
} from './host.ts';
import { until } from './until.ts';
import { plannedSteps } from './virlan-commands.ts';
import { startWatcher } from './watcher.ts';

const hardened = suite('hardened host');
const forwarding = '/proc/sys/net/ipv4/conf/k8s-br0/forwarding';
const ipv6 = '/proc/sys/net/ipv6/conf/k8s-br0/disable_ipv6';

let outside: Linked;
let web: Guest;

hardened('where new links do not forward, machines reach the outside', async () => {
  await installVirlan();
  outside = await internet();
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  writeFileSync('/proc/sys/net/ipv4/conf/default/forwarding', '0');
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
  assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
  assert.deepEqual(await plannedSteps(), []);
});

hardened('a first name server that is dead costs machines no seconds', async () => {
  // Nobody has this address.
  writeFileSync('/etc/resolv.conf', `nameserver 203.0.113.99\nnameserver ${internetAddress}\n`);
  const resolver = ['--no-resolv', '--no-hosts', '--port=53', '--user=root', '--pid-file'];
  await run(outside, 'dnsmasq', ...resolver, '--conf-file=/dev/null', '--address=/example/198.51.100.80');
  const lookup = (name: string) => run(web, 'busybox', 'nslookup', '-type=a', name, '192.168.100.1');
  await until(async () => (await lookup('first.example').catch(() => '')).includes('198.51.100.80'), 20);
  const began = performance.now();
  for (const name of ['a.example', 'b.example', 'c.example'])
    assert.match(await lookup(name), /198\.51\.100\.80/);
  assert(performance.now() - began < 4000, `${performance.now() - began} ms`);
});

hardened('names without a domain and names of private addresses are not asked outside', async () => {
  const wire = await capture(outside, 'eth0', 'udp port 53');
  const ask = (...question: string[]) =>
    run(web, 'busybox', 'nslookup', ...question, '192.168.100.1').catch(() => '');
  await ask('-type=a', 'labvm');
  await ask('-type=ptr', '7.0.168.192.in-addr.arpa');
  await ask('-type=a', 'last.example');
  await wire.seen(/last\.example/);
  assert.doesNotMatch((await wire.stop()).join('\n'), /labvm|in-addr/);
});

hardened('forwarding of the bridge that is turned off is turned on again', async () => {
  writeFileSync(forwarding, '0');
  await until(() => readFileSync(forwarding, 'utf8') === '1\n');
});

hardened('IPv6 that is turned on more often than a fight allows is turned off each time', async () => {
  for (let round = 0; round < 6; round += 1) {
    writeFileSync(ipv6, '0');
    await until(() => readFileSync(ipv6, 'utf8') === '1\n');
  }
});

hardened.run();
