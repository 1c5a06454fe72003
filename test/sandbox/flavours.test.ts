// The two flavours of iptables: virlan's rules in the one that is not selected, and rules of others there.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { NetworkStatus } from '../../src/report/status.ts';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  networkStatus,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls } from './firewalls.ts';
import { installVirlan, startLibvirtd, stopLibvirtd } from './host.ts';
import { clearLegacy, type Flavour, followDoctor, useIptables } from './iptables-flavours.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const flavours = suite('flavours of iptables');
flavours.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
flavours.after.each(async () => {
  await useIptables('nft');
  await clearLegacy();
  await resetScenario();
});

const other: Readonly<Record<Flavour, Flavour>> = { nft: 'legacy', legacy: 'nft' };

/** Returns virlan's lines in both families of one flavour. */
async function ownLinesOf(flavour: Flavour): Promise<string[]> {
  const listings = await Promise.all([execa(`iptables-${flavour}-save`), execa(`ip6tables-${flavour}-save`)]);
  return listings.flatMap(({ stdout }) => stdout.split('\n').filter(line => line.includes('VIRLAN-')));
}

for (const firewall of ['iptables', 'nftables'] as const)
  for (const first of ['nft', 'legacy'] as const) {
    flavours(
      `${firewall}, iptables-${first} replaced by iptables-${other[first]}: up removes the old rules`,
      async () => {
        await useIptables(first);
        await configureBackend(firewall);
        await up();
        assert((await ownLinesOf(first)).length > 0);
        await useIptables(other[first]);
        const steps = await plannedSteps();
        assert(
          steps.some(step => step.startsWith(`- firewall (iptables-${first}) iptables chains VIRLAN-`)),
          steps.join('\n'),
        );
        await up();
        assert.deepEqual(await ownLinesOf(first), []);
        assert((await ownLinesOf(other[first])).length > 0);
        assert.deepEqual(await plannedSteps(), []);
        await assertConnectivity(await addMachines());
        await down();
        assert.deepEqual(await ownLinesOf(other[first]), []);
        assert.deepEqual(await leftoverRules(), []);
      },
    );

    flavours(
      `${firewall}, iptables-${first} replaced by iptables-${other[first]}: down removes the old rules`,
      async () => {
        await useIptables(first);
        await configureBackend(firewall);
        await up();
        await useIptables(other[first]);
        await down();
        for (const flavour of ['nft', 'legacy'] as const) assert.deepEqual(await ownLinesOf(flavour), []);
      },
    );
  }

flavours('the watcher removes the rules of a flavour that is no longer selected', async () => {
  await useIptables('legacy');
  await configureBackend('iptables');
  await up();
  await startLibvirtd();
  await startWatcher();
  await useIptables('nft');
  await until(async () => (await ownLinesOf('legacy')).length === 0, 20);
  assert((await ownLinesOf('nft')).length > 0);
  await stopWatcher();
  await stopLibvirtd();
});

flavours('chains of others in the flavour that is not selected are left alone', async () => {
  await useIptables('legacy');
  await configureBackend('iptables');
  await execa('iptables-legacy', ['-N', 'corp']);
  await execa('iptables-legacy', ['-A', 'INPUT', '-s', '10.9.0.1', '-j', 'corp']);
  const rules = async () => (await execa('iptables-legacy', ['-S'])).stdout;
  const before = await rules();
  await up();
  await useIptables('nft');
  await up();
  assert.equal(await rules(), before);
});

for (const table of ['filter', 'mangle', 'raw'])
  flavours(
    `a policy DROP in table ${table} of iptables-legacy, which nft cannot see, is named with a command`,
    async () => {
      await configureBackend('nftables');
      const chain = table === 'raw' ? 'PREROUTING' : 'FORWARD';
      // The host's own packets pass.
      for (const link of ['uplink', 'lo'])
        await execa('iptables-legacy', ['-t', table, '-A', chain, '-i', link, '-j', 'ACCEPT']);
      await execa('iptables-legacy', ['-t', table, '-P', chain, 'DROP']);
      await up().catch(() => null);
      const proposals = async () =>
        (await networkStatus()).problems.flatMap(
          problem => / unless a rule of its own accepts them: (.*)$/.exec(problem)?.[1] ?? [],
        );
      const [command = '', ...others] = await proposals();
      assert.deepEqual(others, []);
      assert.match(command, /^iptables-legacy /);
      await execa('sh', ['-c', command]);
      assert.deepEqual(await proposals(), []);
      await assertConnectivity(await addMachines());
    },
  );

flavours(
  'rules of iptables-legacy that drop or reject packets of machines are named, and the commands of doctor work',
  async () => {
    await configureBackend('nftables');
    await up();
    await addMachines();
    for (const [table, rule] of [
      ['filter', 'FORWARD -s 192.168.100.0/24 -j REJECT --reject-with icmp-admin-prohibited'],
      ['filter', 'OUTPUT -p udp --sport 53 -j DROP'],
      ['mangle', 'PREROUTING -s 192.168.100.0/24 -j DROP'],
    ] as const) {
      await execa('sh', ['-c', `iptables-legacy -t ${table} -A ${rule}`]);
      await followDoctor(table);
      await clearLegacy();
    }
  },
);

flavours(
  'a rule of iptables-legacy that drops packets of machines is named soon after it was added',
  async () => {
    await configureBackend('nftables');
    await up();
    await startLibvirtd();
    await startWatcher();
    const scenario = await addMachines();
    await statusWhen(({ probe }) => probe?.passed === true, 60);
    await execa('iptables-legacy', ['-A', 'FORWARD', '-s', '192.168.100.0/24', '-j', 'DROP']);
    const isNamed = ({ problems }: NetworkStatus) =>
      problems.some(problem =>
        problem.includes('a rule of iptables-legacy filter FORWARD: -s 192.168.100.0/24 -j DROP'),
      );
    await statusWhen(isNamed, 60);
    await followDoctor('filter');
    await statusWhen(network => !isNamed(network), 60);
    await assertConnectivity(scenario);
    await stopWatcher();
    await stopLibvirtd();
  },
);

flavours.run();
