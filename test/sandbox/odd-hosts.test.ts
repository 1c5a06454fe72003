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
  probe,
  run,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';
import { addSecondUplink } from './second-uplink.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { assertFailure, down, plannedSteps, up } from './virlan-commands.ts';

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

odd(
  "a bridge that is the host's own way to the outside is not taken over, and everything says so",
  async () => {
    const there = await internet();
    await execa('ip', ['-batch', '-'], {
      input: [
        'link add br0 address 02:00:00:00:00:99 type bridge',
        'link set uplink master br0',
        'link set br0 up',
        'address add 203.0.113.1/24 dev br0',
        'address delete 203.0.113.1/24 dev uplink',
        'route replace default via 203.0.113.2 dev br0',
        '',
      ].join('\n'),
    });
    await configure('[network.lan]\nbridge = br0\nstp = no\n');
    const before = await snapshot();
    const reason = /^br0 is this host's own way to the outside, .*: choose another bridge in virlan\.ini/m;
    for (const command of ['plan', 'up'])
      assertFailure(await virlan(command), new RegExp(`virlan: ${reason.source.slice(1)}`));
    assert.deepEqual(await prepare({ name: 'web', nics: [{ type: 'bridge', source: 'br0' }] }), {
      exitCode: 0,
      stderr: '',
      signal: undefined,
    });
    assert.deepEqual(await changesSince(before, /^[+-] file \/(var\/lib|run)\/(virlan|dnsmasq)\//), []);
    const { problems } = JSON.parse((await virlan('status', '--json')).stdout).networks[0];
    assert.match(problems[0], reason);
    assert.equal(problems[1], 'not established: "virlan up" does that');
    assert(
      (await failures()).some(each => /^bridge: br0 is this host's own way/.test(each)),
      String(await failures()),
    );
    assert.equal(await probe(there, { proto: 'icmp', to: '203.0.113.1' }), 'open');
  },
);

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
        await addSecondUplink('internet', 'eth1');
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

for (const [title, rules, named] of [
  [
    'a table for what machines send catches what the gateway answers',
    [
      'route add default via 198.51.100.2 dev uplink2 table 100',
      'rule add pref 1001 from 192.168.100.0/24 lookup 100',
    ],
    /packets to machines leave by uplink2, not by k8s-br0: routing table 100 is asked before the main one: (ip rule .*)/,
  ],
  [
    'a rule refuses packets to all private networks',
    ['rule add pref 1001 to 192.168.0.0/16 prohibit'],
    /packets to machines are refused: the routing rule of priority 1001 is asked before the main table: (ip rule .*)/,
  ],
  [
    'a table refuses packets to all private networks',
    [
      'rule add pref 1000 lookup 99',
      'route add blackhole 192.168.0.0/16 table 100',
      'rule add pref 1001 lookup 100',
    ],
    /packets to machines are refused: routing table 100 is asked before the main one: (ip rule .*)/,
  ],
  [
    'a table for what comes in by the uplink catches answers of the outside',
    ['route add default via 203.0.113.2 dev uplink table 100', 'rule add pref 1001 iif uplink lookup 100'],
    /packets to machines leave by uplink, not by k8s-br0: routing table 100 is asked before the main one: (ip rule .*)/,
  ],
] as const)
  odd(`${title}: it is named, and the command works`, async () => {
    await configure('[network.k8s-br0]\nstp = no\n');
    await up();
    const web = await newGuest();
    await nameServer(await internet(), internetAddress);
    await addSecondUplink('internet', 'eth1');
    await dhcp(web);
    const reaches = async () =>
      (await probe(web, { proto: 'icmp', to: internetAddress })) === 'open' &&
      (await probe(web, { proto: 'icmp', to: '192.168.100.1' })) === 'open';
    assert(await reaches());
    await execa('ip', ['-batch', '-'], { input: `${rules.join('\n')}\n` });
    assert(!(await reaches()));
    const [, command = ''] = named.exec((await virlan('status')).stdout) ?? [];
    assert.match((await failures()).join('\n'), /^forwarding: packets to machines/m);
    await execa('sh', ['-c', command]);
    assert(await reaches(), (await virlan('status')).stdout);
    for (const rule of ['1000', '1000', '1001'])
      await execa('ip', ['rule', 'delete', 'pref', rule], { reject: false });
    await execa('ip', ['route', 'flush', 'table', '100'], { reject: false });
  });

odd.run();
