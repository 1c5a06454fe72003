// Hosts whose administrator or whose other programs change settings of the kernel against virlan.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
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
  virlan,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { busyness, until } from './until.ts';
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
  // A safety net, as the administrator of a router has it.
  await execa('ip', ['route', 'add', 'unreachable', '192.168.0.0/16', 'metric', '999']);
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
  assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
  assert.deepEqual(await plannedSteps(), []);
});

// Nobody has the first address.
const servers = ['203.0.113.99', internetAddress];
for (const [source, keys] of [
  ['/etc/resolv.conf', ''],
  ['dns =', `dns = ${servers.join(', ')}\n`],
] as const)
  hardened(`a first name server that is dead, named by ${source}, costs machines no seconds`, async () => {
    writeFileSync(
      '/etc/resolv.conf',
      keys === '' ? servers.map(each => `nameserver ${each}\n`).join('') : '',
    );
    await configure(`[network.k8s-br0]\nstp = no\n${keys}`);
    await until(async () => (await plannedSteps()).length === 0, 20);
    const resolver = ['--no-resolv', '--no-hosts', '--port=53', '--user=root', '--pid-file'];
    const args = [...resolver, '--conf-file=/dev/null', '--address=/example/198.51.100.80'];
    if (keys === '') await run(outside, 'dnsmasq', ...args);
    const lookup = (name: string) => run(web, 'busybox', 'nslookup', '-type=a', name, '192.168.100.1');
    await until(async () => (await lookup('first.example').catch(() => '')).includes('198.51.100.80'), 20);
    const began = performance.now();
    for (const name of ['a.example', 'b.example', 'c.example'])
      assert.match(await lookup(name), /198\.51\.100\.80/);
    assert(performance.now() - began < 4000 * busyness(), `${performance.now() - began} ms`);
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

hardened(
  'a routing table that catches answers to machines is named with the command against it',
  async () => {
    const { problems } = JSON.parse((await virlan('status', '--json')).stdout).networks[0];
    assert.doesNotMatch(problems.join('\n'), /overlaps|routing table/);
    await execa('ip', ['link', 'add', 'ts0', 'type', 'veth', 'peer', 'name', 'ts1']);
    for (const link of ['ts0', 'ts1']) await execa('ip', ['link', 'set', link, 'up']);
    await execa('ip', ['route', 'add', 'default', 'dev', 'ts0', 'table', '52']);
    await execa('ip', ['rule', 'add', 'pref', '5270', 'lookup', '52']);
    const status = async () => (await virlan('status')).stdout;
    const named = /packets to machines leave by ts0, not by k8s-br0: routing table 52 .*: (ip rule add .*)/;
    const [, command = ''] = named.exec(await status()) ?? [];
    assert.equal(command, 'ip rule add to 192.168.100.0/24 lookup main pref 5269');
    await until(() => logLinesOf('network-warning').some(({ msg }) => named.test(String(msg))));
    const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
    assert.deepEqual([explanation.check, explanation.code], ['forwarding', 'answers-elsewhere']);
    await execa('sh', ['-c', command]);
    assert.doesNotMatch(await status(), named);
    await execa('ip', ['rule', 'delete', 'pref', '5270']);
  },
);

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

hardened('a bridge that is made anew has no IPv6 address in use, not even for a moment', async () => {
  // On most hosts a new link has a link-local address at once.
  for (const link of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, '0');
  const monitor = execa('ip', ['-o', 'monitor', 'address'], { reject: false });
  const lines: string[] = [];
  monitor.stdout.on('data', data => lines.push(...String(data).split('\n')));
  /** Resolves when the monitor has reported everything so far. */
  const settled = async (address: string) => {
    await until(async () => {
      await execa('ip', ['address', 'replace', address, 'dev', 'lo']);
      await execa('ip', ['address', 'delete', address, 'dev', 'lo']);
      return lines.some(line => line.includes(address));
    });
  };
  await settled('192.0.2.77/32');
  // A bridge has an address of its own choice when a port has a link.
  const replug = `until ip link set dev ${web.port} master k8s-br0; do :; done 2>/dev/null`;
  await execa('sh', ['-c', `ip link delete k8s-br0; ${replug}`]);
  await until(async () => (await plannedSteps()).length === 0);
  await settled('192.0.2.78/32');
  monitor.kill();
  const added = lines.filter(line => / k8s-br0 /.test(line) && !line.startsWith('Deleted'));
  assert(added.some(line => line.includes('192.168.100.1/24')));
  const { stdout } = await execa('ip', ['-6', '-oneline', 'address', 'show', 'dev', 'k8s-br0']);
  assert.equal(stdout, '');
  // Nobody answers for one that is tentative.
  const inUse = added.filter(line => line.includes('inet6') && !line.includes(' tentative'));
  assert.deepEqual(inUse, []);
});

hardened.run();
