// The watcher follows what machines may reach; a machine's own limit of bandwidth survives a repair.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  configure,
  define,
  domainXml,
  guest,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  probe,
  run,
  startLibvirtd,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const watched = suite('modes, watched');
let outside: Linked;

watched.before(async () => {
  await installVirlan();
  await startLibvirtd();
  outside = await internet();
  await configure('[network.k8s-br0]\nstp = no\noutside = uplink\n');
  await startWatcher();
});

watched('outside = uplink: the watcher follows the default route from link to link', async () => {
  const web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await run(web, 'ip', 'address', 'add', '192.168.100.10/24', 'dev', 'eth0');
  await run(web, 'ip', 'route', 'add', 'default', 'via', '192.168.100.1');
  const second = '198.51.100.2';
  await execa('ip', ['link', 'add', 'lte0', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', outside.name]);
  await execa('ip', ['address', 'add', '198.51.100.1/24', 'dev', 'lte0']);
  await execa('ip', ['link', 'set', 'lte0', 'up']);
  await run(outside, 'ip', 'address', 'add', `${second}/24`, 'dev', 'eth1');
  await run(outside, 'ip', 'link', 'set', 'eth1', 'up');
  // The watcher's own probe makes rules, and each change of rules causes a scan.
  await statusWhen(({ probe }) => probe !== null, 30);
  const reaches = async (to: string) => (await probe(web, { proto: 'icmp', to, seconds: 0.5 })) === 'open';
  assert.deepEqual([await reaches(internetAddress), await reaches(second)], [true, false]);
  await execa('ip', ['route', 'replace', 'default', 'via', second]);
  await until(async () => (await reaches(second)) && !(await reaches(internetAddress)));
  await execa('ip', ['route', 'delete', 'default']);
  await until(async () => !(await reaches(second)));
  await execa('ip', ['route', 'add', 'default', 'via', internetAddress]);
  await until(async () => (await reaches(internetAddress)) && !(await reaches(second)));
});

watched('mode: the watcher applies a saved virlan.ini, forwarding included, while machines run', async () => {
  const forwarding = async () => (await execa('sysctl', ['-n', 'net.ipv4.ip_forward'])).stdout;
  const listing = async () => (await execa('nft', ['list', 'ruleset'])).stdout;
  await configure('[network.k8s-br0]\nstp = no\nmode = isolated\n');
  await until(async () => (await forwarding()) === '0');
  await configure('[network.k8s-br0]\nstp = no\nmode = open\n');
  await until(async () => (await forwarding()) === '1' && !(await listing()).includes('virlan-k8s-br0'));
  await configure('[network.k8s-br0]\nstp = no\n');
  await until(async () => (await listing()).includes('masquerade'));
});

watched('traffic control of a machine’s port holds, also after its port was put back', async () => {
  await define(domainXml({ name: 'slow', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  await virsh('start', 'slow');
  const [, tap = ''] = /^\s*(vnet\d+)/m.exec(await virsh('domiflist', 'slow')) ?? [];
  // The settings that libvirt makes for <bandwidth>, without the classful rest, which needs modules of the kernel.
  const tc = (...args: string[]) => execa('tc', args);
  await tc('qdisc', 'replace', 'dev', tap, 'root', 'handle', '1:', 'htb', 'default', '1');
  await tc('class', 'add', 'dev', tap, 'parent', '1:', 'classid', '1:1', 'htb', 'rate', '8mbit');
  const limit = async () => (await tc('class', 'show', 'dev', tap)).stdout;
  const before = await limit();
  assert.match(before, /\bhtb\b.*\brate 8Mbit\b/);
  await execa('ip', ['link', 'set', tap, 'nomaster']);
  await until(async () => (await execa('ip', ['link', 'show', tap])).stdout.includes('master k8s-br0'));
  assert.equal(await limit(), before);
  await virsh('destroy', 'slow');
});

watched.after(async () => {
  await stopWatcher();
});

watched.run();
