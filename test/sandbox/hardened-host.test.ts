// Hosts whose administrator or whose other programs change settings of the kernel against virlan.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import {
  configure,
  dhcp,
  guest,
  installVirlan,
  internet,
  internetAddress,
  probe,
  startLibvirtd,
} from './host.ts';
import { until } from './until.ts';
import { plannedSteps } from './virlan-commands.ts';
import { startWatcher } from './watcher.ts';

const hardened = suite('hardened host');
const forwarding = '/proc/sys/net/ipv4/conf/k8s-br0/forwarding';
const ipv6 = '/proc/sys/net/ipv6/conf/k8s-br0/disable_ipv6';

hardened('where new links do not forward, machines reach the outside', async () => {
  await installVirlan();
  await internet();
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  writeFileSync('/proc/sys/net/ipv4/conf/default/forwarding', '0');
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  const web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
  assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
  assert.deepEqual(await plannedSteps(), []);
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
