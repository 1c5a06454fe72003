// `virlan down`, and an `up` that fails, restore what the kernel changed as a consequence of forwarding.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, installVirlan, internet, virlan } from './host.ts';
import { down, up } from './virlan-commands.ts';

const consequences = suite('consequences of forwarding');

/** Returns all settings of IPv4, without those that the kernel chooses or counts. */
async function settings(): Promise<string[]> {
  const { stdout } = await execa('sysctl', ['-a', '--pattern', '^net\\.ipv4\\.(conf|ip_forward)'], {
    stderr: 'ignore',
  });
  return stdout.split('\n').sort();
}

/** A hardened host that takes no redirects, and forwards on one link alone. */
const hardened = [
  'net.ipv4.conf.all.accept_redirects=0',
  'net.ipv4.conf.default.forwarding=1',
  'net.ipv4.conf.uplink.forwarding=1',
];

consequences('`down` restores a hardened host, where forwarding was on for some links', async () => {
  await installVirlan();
  await configure('');
  await internet();
  await execa('sysctl', ['-w', ...hardened]);
  const before = await settings();
  await up();
  assert((await settings()).includes('net.ipv4.ip_forward = 1'));
  await down();

  assert.deepEqual(await settings(), before);
});

consequences('a link that vanishes while the network is up does not stop `down`', async () => {
  const before = await settings();
  await execa('ip', ['link', 'add', 'brief', 'type', 'veth', 'peer', 'name', 'brief2']);
  await up();
  await execa('ip', ['link', 'delete', 'brief']);
  await down();
  assert.deepEqual(await settings(), before);
});

consequences('an `up` that fails leaves them as they were', async () => {
  const before = await settings();
  await execa('sh', [
    '-c',
    'mkdir -p /etc/virlan/dnsmasq.d/k8s-br0; echo nonsense > /etc/virlan/dnsmasq.d/k8s-br0/a.conf',
  ]);
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 1);
  assert.match(stderr, /the host is as it was/);
  assert.deepEqual(await settings(), before);
});

consequences.run();
