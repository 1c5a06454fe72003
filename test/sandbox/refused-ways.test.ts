// Routing rules that refuse machines alone the way to the outside: status and doctor name them, not the host.
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
  run,
  startLibvirtd,
  virlan,
} from './host.ts';

const refused = suite('refused ways');

let web: Guest;

const ip = (...args: string[]) => execa('ip', args);

refused.before(async () => {
  await installVirlan();
  await internet();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
});
refused.after.each(async () => {
  await ip('rule', 'delete', 'pref', '90');
  // A table without routes may not exist.
  await execa('ip', ['route', 'flush', 'table', '100'], { reject: false });
});

function ping() {
  return run(web, 'ping', '-n', '-c', '1', '-W', '1', internetAddress);
}

interface Check {
  readonly check: string;
  readonly state: string;
  readonly code: string;
  readonly seen: string;
  readonly fix: { readonly command: string };
}

async function uplinkCheck(): Promise<Check> {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout) as { checks: Check[] };
  const found = checks.find(({ check }) => check === 'uplink');
  assert(found);
  return found;
}

/** Asserts that doctor and status name the rule, with a command that shows this. */
async function assertNamed(by: string, shown: RegExp): Promise<void> {
  await assert.rejects(ping());
  const { state, code, seen, fix } = await uplinkCheck();
  const text = `what machines send to the outside is refused by the routing rule of priority 90${by}; this host itself has a way there`;
  assert.deepEqual([state, code, seen], ['fail', 'outside-refused', text]);
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
