// Routing rules and routes that refuse machines, or some of them, the way to the outside, or lead answers to them
// elsewhere: status and doctor name them, not the host.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formatPrefix, type Ipv4, parseIpv4, prefixOf } from '../../src/address/ip.ts';
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

const refused = suite('refused ways');

let web: Guest;
let address: string;

const ip = (...args: string[]) => execa('ip', args);

refused.before(async () => {
  await installVirlan();
  await internet();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  address = await dhcp(web);
});
refused.after.each(async () => {
  for (const pref of ['89', '90']) await execa('ip', ['rule', 'delete', 'pref', pref], { reject: false });
  // The kernel's own routes stay. A table without routes may not exist.
  await execa('ip', ['route', 'flush', 'table', 'local', 'proto', 'boot'], { reject: false });
  await execa('ip', ['route', 'flush', 'table', '100'], { reject: false });
});

function ping(to = internetAddress) {
  return run(web, 'ping', '-n', '-c', '1', '-W', '1', to);
}

/** Returns the part of the subnet with this length that the machine is in. */
function partOf(length: number): string {
  return formatPrefix(prefixOf(parseIpv4(address) as Ipv4, length));
}

interface Check {
  readonly check: string;
  readonly state: string;
  readonly code: string;
  readonly seen: string;
  readonly fix: { readonly command: string } | null;
}

async function checkOf(name: string): Promise<Check> {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout) as { checks: Check[] };
  const found = checks.find(({ check }) => check === name);
  assert(found);
  return found;
}

const uplinkCheck = () => checkOf('uplink');

/** Asserts that the machine has lost the host, and has it again by the command that doctor and status name. */
async function assertRepairedBy(command: string, text: string): Promise<void> {
  const gateway = '192.168.100.1';
  await assert.rejects(ping(gateway));
  const { state, code, seen, fix } = await checkOf('forwarding');
  assert.deepEqual([state, code, seen, fix?.command], ['fail', 'answers-elsewhere', text, command]);
  const { problems } = await networkStatus();
  assert(problems.includes(`${text}: ${command}`), problems.join('\n'));
  await execa('sh', ['-c', command]);
  await ping(gateway);
  await ping();
  const { problems: left } = await networkStatus();
  assert(!left.some(problem => problem.includes('packets to')), left.join('\n'));
}

/** Asserts that doctor and status name the rule, with a command that shows this. */
async function assertNamed(by: string, shown: RegExp, sent = 'what machines send'): Promise<void> {
  await assert.rejects(ping());
  const { state, code, seen, fix } = await uplinkCheck();
  const text = `${sent} to the outside is refused by the routing rule of priority 90${by}; this host itself has a way there`;
  assert.deepEqual([state, code, seen], ['fail', 'outside-refused', text]);
  assert(fix);
  const { stdout } = await execa('sh', ['-c', fix.command]);
  assert.match(stdout, shown);
  const { problems } = await networkStatus();
  assert(problems.includes(`${text}: ${fix.command}`), problems.join('\n'));
}

refused('a rule that refuses what comes in by the bridge', async () => {
  await ping();
  await ip('rule', 'add', 'iif', 'k8s-br0', 'prohibit', 'pref', '90');
  await assertNamed('', /^90:\s+from all iif k8s-br0 prohibit$/m);
});

refused('a rule that refuses what one machine sends', async () => {
  await ping();
  await ip('rule', 'add', 'from', address, 'prohibit', 'pref', '90');
  await assertNamed('', new RegExp(`^90:\\s+from ${address} prohibit$`, 'm'), `what ${address} sends`);
});

refused('a rule that refuses one kind of packets alone', async () => {
  const ask = (port: number) => probe(web, { proto: 'tcp', to: internetAddress, port, seconds: 1 });
  assert.equal(await ask(81), 'tcp-reset');
  await ip('rule', 'add', 'iif', 'k8s-br0', 'ipproto', 'tcp', 'dport', '80-89', 'prohibit', 'pref', '90');
  await assert.rejects(ask(81));
  assert.equal(await ask(90), 'tcp-reset');
  const { state, code, seen, fix } = await uplinkCheck();
  const text =
    'what machines send by tcp to port 80-89 to the outside is refused by the routing rule of priority 90; this host itself has a way there';
  assert.deepEqual(
    [state, code, seen, fix?.command],
    ['warn', 'outside-refused', text, 'ip rule show pref 90'],
  );
  const { problems } = await networkStatus();
  assert(problems.includes(`${text}: ip rule show pref 90`), problems.join('\n'));
});

refused('a table for one kind of answers alone', async () => {
  await ip('route', 'add', 'default', 'via', internetAddress, 'table', '100');
  await ip('rule', 'add', 'ipproto', 'icmp', 'lookup', '100', 'pref', '90');
  await assertRepairedBy(
    'ip rule add to 192.168.100.0/24 lookup main pref 89',
    'packets to machines by icmp leave by uplink, not by k8s-br0: routing table 100 is asked before the main one',
  );
});

refused('a table for packets to a part of the subnet', async () => {
  await ip('route', 'add', 'default', 'via', internetAddress, 'table', '100');
  await ip('rule', 'add', 'to', partOf(26), 'lookup', '100', 'pref', '90');
  await assertRepairedBy(
    `ip rule add to ${partOf(26)} lookup main pref 89`,
    `packets to ${partOf(26)} leave by uplink, not by k8s-br0: routing table 100 is asked before the main one`,
  );
});

for (const { name, route, part, way } of [
  {
    name: 'local, a part',
    route: () => `local ${partOf(25)} dev lo`,
    part: () => partOf(25),
    way: 'stay on this host',
  },
  {
    name: 'local, all',
    route: () => 'local 192.168.100.0/24 dev lo',
    part: () => 'machines',
    way: 'stay on this host',
  },
  {
    name: 'local, one machine, by the bridge',
    route: () => `local ${address} dev k8s-br0`,
    part: () => address,
    way: 'stay on this host',
  },
  { name: 'blackhole', route: () => `blackhole ${address}`, part: () => address, way: 'are refused' },
])
  refused(`a route of table local (${name})`, async () => {
    await ip('route', 'add', ...route().split(' '), 'table', 'local');
    await assertRepairedBy(
      `ip route delete ${route()} table local`,
      `packets to ${part()} ${way}: the route ${route()} of table local is asked before the main table`,
    );
  });

for (const type of ['blackhole', 'prohibit', 'unreachable'])
  refused(`a table for what the subnet sends, with a route that refuses it (${type})`, async () => {
    await ip('route', 'add', '192.168.0.0/16', 'dev', 'k8s-br0', 'table', '100');
    await ip('route', 'add', type, 'default', 'table', '100');
    await ip('rule', 'add', 'from', '192.168.100.0/24', 'lookup', '100', 'pref', '90');
    await assertNamed(', by a route of table 100', new RegExp(`^${type} default`, 'm'));
  });

refused('a host without a way to the outside is still said to have none', async () => {
  await ip('rule', 'add', 'iif', 'k8s-br0', 'prohibit', 'pref', '90');
  await ip('route', 'delete', 'default');
  const { state, code } = await uplinkCheck();
  await ip('route', 'add', 'default', 'via', internetAddress);
  assert.deepEqual([state, code], ['warn', 'uplink-missing']);
  const { problems } = await networkStatus();
  assert(
    problems.some(problem => problem.includes('the routing rule of priority 90')),
    problems.join('\n'),
  );
});

refused(
  'a rule to a table without routes, after which the main table is asked, refuses nothing',
  async () => {
    await ip('rule', 'add', 'iif', 'k8s-br0', 'lookup', '100', 'pref', '90');
    await ping();
    assert.equal((await uplinkCheck()).code, 'uplink-found');
    const { problems } = await networkStatus();
    assert(!problems.some(problem => problem.includes('refused')), problems.join('\n'));
  },
);

refused.run();
