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
  probe,
  run,
  startLibvirtd,
  virlan,
} from './host.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const reversePath = suite('reverse path');

let web: Guest;

const ip = (...args: string[]) => execa('ip', args);

const setFilter = (link: string, value: number) =>
  execa('sysctl', ['-qw', `net.ipv4.conf.${link}.rp_filter=${value}`]);

/** Answers to packets of the first uplink come in by the second one. */
reversePath.before(async () => {
  await installVirlan();
  const outside = await internet();
  await ip('link', 'add', 'uplink2', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', 'internet');
  await ip('address', 'add', '198.51.100.1/24', 'dev', 'uplink2');
  await ip('link', 'set', 'uplink2', 'up');
  await run(outside, 'ip', 'address', 'add', '198.51.100.2/24', 'dev', 'eth1');
  await run(outside, 'ip', 'link', 'set', 'eth1', 'up');
  await run(outside, 'ip', 'route', 'add', '203.0.113.1/32', 'dev', 'eth1');
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
});
reversePath.after(() => stopWatcher());

for (const link of ['uplink2', 'all'])
  reversePath(
    `answers that a strict filter drops, set for ${link}: named by status and doctor, whose command works`,
    async () => {
      const named = async () =>
        (await networkStatus()).problems.some(problem =>
          problem.includes(`the answer of ${internetAddress} is dropped by the reverse path filter`),
        );
      assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
      await setFilter(link, 1);
      assert.equal(await probe(web, { proto: 'icmp', to: internetAddress, seconds: 0.5 }), 'timeout');
      await until(named, 60);
      const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
      assert.deepEqual([explanation.check, explanation.code], ['probe-return', 'reverse-path-dropped']);
      await execa('sh', ['-c', explanation.fix.command]);
      assert.equal(await probe(web, { proto: 'icmp', to: internetAddress }), 'open');
      await until(async () => !(await named()), 60);
      for (const each of ['uplink2', 'all']) await setFilter(each, 0);
    },
  );

reversePath.run();
