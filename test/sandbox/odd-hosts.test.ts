// Hosts that are set up in an uncommon way: directories that are symbolic links, two uplinks, policy routing.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  nameServer,
  run,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const odd = suite('odd hosts');
odd.before(installVirlan);
odd.after.each(async () => {
  for (const name of ['web', 'internet', 'other'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

async function newGuest(): Promise<Guest> {
  const mac = '52:54:00:00:00:0a';
  assert.deepEqual(await prepare({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0', mac }] }), {
    exitCode: 0,
    stderr: '',
    signal: undefined,
  });
  const web = await guest('web', { mac });
  await up();
  return web;
}

/** Returns the checks of the doctor that fail. */
async function failures(): Promise<string[]> {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
  return checks.flatMap(({ check, state, seen }: { check: string; state: string; seen: string }) =>
    state === 'fail' ? [`${check}: ${seen}`] : [],
  );
}

odd('directories of virlan and dnsmasq that are symbolic links to another disk', async () => {
  const moved = ['/var/lib/virlan', '/var/lib/dnsmasq', '/var/cache/virlan', '/etc/virlan'];
  for (const path of moved) {
    const to = `/data${path}`;
    mkdirSync(to, { recursive: true });
    rmSync(to, { recursive: true });
    mkdirSync(path, { recursive: true });
    await execa('cp', ['-a', path, to]);
    rmSync(path, { recursive: true });
    symlinkSync(to, path);
  }
  await configure('[network.k8s-br0]\nstp = no\n');
  await up();
  const web = await newGuest();
  assert.equal(await dhcp(web), (await virlan('ip', 'web')).stdout);
  assert.deepEqual(await plannedSteps(), []);
  assert.deepEqual(await failures(), []);
  assert.match(readFileSync('/data/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /52:54:00:00:00:0a/);
  await down();
  for (const path of moved) {
    rmSync(path);
    await execa('mv', [`/data${path}`, path]);
  }
});

/** Adds a second way out, which leads to the same internet by another address of the host. */
async function secondUplink(): Promise<void> {
  await execa('ip', ['link', 'add', 'uplink2', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', 'internet']);
  await execa('ip', ['address', 'add', '198.51.100.1/24', 'dev', 'uplink2']);
  await execa('ip', ['link', 'set', 'uplink2', 'up']);
  const inside = ['-netns', 'internet'];
  await execa('ip', [...inside, 'address', 'add', '198.51.100.2/24', 'dev', 'eth1']);
  await execa('ip', [...inside, 'link', 'set', 'eth1', 'up']);
}

for (const outside of ['all', 'uplink'])
  for (const [title, ways] of Object.entries({
    'a rule for the subnet': [
      'route add default via 198.51.100.2 dev uplink2 table 100',
      'rule add pref 1000 from 192.168.100.0/24 lookup main suppress_prefixlength 0',
      'rule add pref 1001 from 192.168.100.0/24 lookup 100',
    ],
    'a rule for the bridge': [
      'route add default via 198.51.100.2 dev uplink2 table 100',
      'rule add pref 1001 iif k8s-br0 lookup 100',
    ],
    'a default route of two next hops': [
      'route replace default nexthop via 203.0.113.2 dev uplink weight 1 nexthop via 198.51.100.2 dev uplink2 weight 200',
    ],
    'a next hop object': ['nexthop add id 7 via 198.51.100.2 dev uplink2', 'route replace default nhid 7'],
  }))
    odd(
      `outside = ${outside}, and ${title} sends machines out by the second uplink: they leave with its address`,
      async () => {
        await configure(`[network.k8s-br0]\nstp = no\noutside = ${outside}\n`);
        await up();
        const web = await newGuest();
        const there = await internet();
        await nameServer(there, internetAddress);
        await secondUplink();
        await execa('ip', ['-batch', '-'], { input: `${ways.join('\n')}\n` });
        await serve(there, { proto: 'tcp', port: 80 });
        await run(there, 'ip', 'address', 'add', '192.0.2.80/32', 'dev', 'lo');
        assert.equal((await virlan('up')).exitCode, 0);
        await dhcp(web);
        const { address } = await seenAs(web, { proto: 'tcp', to: '192.0.2.80', port: 80 });
        assert.equal(address, '198.51.100.1');
        assert.deepEqual(await failures(), []);
        for (const rule of ['1000', '1001'])
          await execa('ip', ['rule', 'delete', 'pref', rule], { reject: false });
        await execa('ip', ['nexthop', 'flush'], { reject: false });
      },
    );

odd.run();
