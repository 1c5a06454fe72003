// Strict reverse path filters: answers that come in by another link than that of the host's own route.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import { networkStatus } from './firewall-scenario.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  nameServer,
  probe,
  run,
  startLibvirtd,
  virlan,
} from './host.ts';
import { addSecondUplink } from './second-uplink.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const reversePath = suite('reverse path');

let web: Guest;

/** Answers to packets of the first uplink come in by the second one. */
reversePath.before(async () => {
  await installVirlan();
  const outside = await internet();
  await nameServer(outside, internetAddress);
  await addSecondUplink('internet', 'eth1');
  await run(outside, 'ip', 'route', 'add', '203.0.113.1/32', 'dev', 'eth1');
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
});
reversePath.after(() => stopWatcher());

const filters = [
  {
    title: 'a rule of nftables',
    load: `nft 'table inet filters { chain pre { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }; }'`,
    remove: 'nft delete table inet filters',
    code: 'packet-dropped',
    seen: 'is dropped by a reverse path filter, a rule of inet filters pre',
    isWatched: true,
  },
  {
    title: 'a rule of iptables',
    load: 'iptables -t raw -A PREROUTING -m rpfilter --invert -j DROP',
    remove: 'iptables -t raw -F PREROUTING',
    code: 'packet-dropped',
    seen: 'is dropped by a reverse path filter, a rule of ip raw PREROUTING',
    isWatched: false,
  },
  ...['uplink2', 'all'].map(link => ({
    title: `the sysctl of ${link}`,
    load: `sysctl -qw net.ipv4.conf.${link}.rp_filter=1`,
    remove: 'sysctl -qw net.ipv4.conf.uplink2.rp_filter=0 net.ipv4.conf.all.rp_filter=0',
    code: 'reverse-path-dropped',
    seen: `the answer of ${internetAddress} is dropped by the reverse path filter`,
    isWatched: link === 'uplink2',
  })),
];

for (const { title, load, remove, code, seen, isWatched } of filters)
  reversePath(`answers that ${title} drops: named, and the command of doctor works`, async () => {
    const named = async () =>
      (await networkStatus()).problems.some(
        problem => problem.includes(seen) && problem.includes(internetAddress),
      );
    const answer = () => probe(web, { proto: 'icmp', to: internetAddress, seconds: 0.5 });
    assert.equal(await answer(), 'open');
    await execa('sh', ['-c', load]);
    assert.equal(await answer(), 'timeout');
    // The watcher probes the more rarely the more often rules change.
    if (isWatched) await until(named, 60);
    const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
    assert.deepEqual([explanation.check, explanation.code], ['probe-return', code]);
    assert(explanation.seen.includes(seen), explanation.seen);
    await execa('sh', ['-c', explanation.fix.command]);
    assert.equal(await answer(), 'open');
    if (isWatched) await until(async () => !(await named()), 60);
    await execa('sh', ['-c', remove]);
  });

reversePath.run();
