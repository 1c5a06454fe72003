// The doctor and its probe know what each mode promises.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, host, installVirlan, internet, type Linked, run, virlan } from './host.ts';
import { resetHost } from './reset-host.ts';
import { up } from './virlan-commands.ts';

const probes = suite('modes, probe');
let outside: Linked;

probes.before(async () => {
  await installVirlan();
  outside = await internet();
});

async function establish(...lines: string[]): Promise<void> {
  await configure(['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n'));
  await up();
}

/** Returns whether all is well, and the codes of these checks of the network with their states. */
async function examine(...checks: readonly string[]): Promise<{ well: boolean; found: string[] }> {
  const { stdout } = await virlan('doctor', '--json');
  const result = JSON.parse(stdout) as {
    well: boolean;
    checks: { check: string; state: string; code: string }[];
  };
  const found = result.checks.filter(({ check }) => checks.includes(check));
  return { well: result.well, found: found.map(({ check, state, code }) => `${check} ${state} ${code}`) };
}

const path = ['forwarding', 'probe-forward', 'probe-masquerade', 'probe-return'] as const;

probes('isolated: it is well that nothing leaves the host', async () => {
  await establish('mode = isolated');
  assert.deepEqual(await examine(...path, 'upstream-dns'), {
    well: true,
    found: [
      'forwarding ok forwarding-not-needed',
      'probe-forward ok kept-inside',
      'probe-masquerade skipped kept-inside',
      'probe-return skipped kept-inside',
      'upstream-dns skipped kept-inside',
    ],
  });
});

probes('isolated: what leaves the host all the same is a failure', async () => {
  await establish('mode = isolated');
  for (const key of ['ip_forward', 'conf/k8s-br0/forwarding'])
    writeFileSync(`/proc/sys/net/ipv4/${key}`, '1');
  await run(host, 'nft', 'flush', 'chain', 'ip', 'virlan-k8s-br0', 'forward');
  const { found } = await examine('probe-forward');
  assert.deepEqual(found, ['probe-forward fail not-kept-inside']);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
});

probes('routed: packets leave with their own address, and the LAN needs a route back', async () => {
  await establish('mode = routed');
  const leaves = ['forwarding ok forwarding-on', 'probe-forward ok forwarded'];
  const own = [...leaves, 'probe-masquerade ok own-address-kept'];
  assert.deepEqual(await examine(...path), {
    well: true,
    found: [...own, 'probe-return ok next-hop-answers'],
  });
  await run(outside, 'ip', 'route', 'delete', 'default');
  assert.deepEqual(await examine(...path), {
    well: true,
    found: [...own, 'probe-return warn route-missing'],
  });
  await run(outside, 'ip', 'route', 'add', 'default', 'via', '203.0.113.1');
  const masquerade = ['-s', '192.168.100.0/24', '-o', 'uplink', '-j', 'MASQUERADE'];
  await execa('iptables', ['-t', 'nat', '-A', 'POSTROUTING', ...masquerade]);
  assert.deepEqual(await examine('probe-masquerade'), {
    well: false,
    found: ['probe-masquerade fail own-address-lost'],
  });
  await execa('iptables', ['-t', 'nat', '-D', 'POSTROUTING', ...masquerade]);
});

probes('open: what other firewalls drop is reported, and is not a failure', async () => {
  await establish('mode = open');
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
  assert.deepEqual(await examine('probe-forward', 'foreign'), {
    well: true,
    // The policy drops what machines send each other, too: br_netfilter is on.
    found: ['foreign warn frames-may-be-dropped', 'probe-forward warn packet-dropped'],
  });
  const { stdout } = await virlan('status');
  assert.doesNotMatch(stdout, /drops forwarded packets/);
  await execa('iptables', ['-P', 'FORWARD', 'ACCEPT']);
});

probes('uplink: another link to the outside is named, and nothing leaves by it', async () => {
  await establish('uplink = eth9');
  assert.deepEqual(await examine('uplink', 'probe-forward'), {
    well: true,
    found: ['uplink warn uplink-not-allowed', 'probe-forward ok kept-inside'],
  });
});

probes.after(async () => {
  await execa('ip', ['netns', 'delete', 'internet'], { reject: false });
  await resetHost();
});

probes.run();
