import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  networkStatus,
  probeInternet,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls, others } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const firewalls = suite('firewalls');
firewalls.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
firewalls.after.each(resetScenario);

const linesIn = async (name: string) =>
  (await networkStatus()).otherFirewalls.find(other => other.name === name)?.rules.length;

for (const [name, other] of Object.entries(others)) {
  firewalls(
    `${name} is there first, reloads, restarts, stops, and is forgotten when it is gone`,
    async () => {
      await other.start();
      await configureBackend('nftables');
      await up();
      const scenario = await addMachines();
      await assertConnectivity(scenario);
      assert.deepEqual(await plannedSteps(), []);
      assert(Number(await linesIn(name)) > 0);
      await other.reload();
      await assertConnectivity(scenario);
      await other.restart();
      await assertConnectivity(scenario);
      // firewalld flushes the tables of iptables when it starts, and the rule for the checksum with them.
      await up();
      assert.deepEqual(await plannedSteps(), []);
      await other.stop();
      await assertConnectivity(scenario);
      await down();
      assert.deepEqual(await leftoverRules(), []);
    },
  );

  firewalls(`${name} comes later, is flushed, and is told to forget while it runs`, async () => {
    await configureBackend('nftables');
    await up();
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    // Docker forwards nothing but its own where it had to switch forwarding on.
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    await other.start();
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    assert.equal(await probeInternet(scenario), other.atItsStart);
    await up();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);

    for (const table of ['filter', 'nat', 'mangle']) await execa('iptables', ['-t', table, '-F']);
    await up();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);
    await execa('nft', ['flush', 'ruleset']);
    await up();
    await assertConnectivity(scenario);

    await other.restart();
    await up();
    await assertConnectivity(scenario);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });

  firewalls(`${name} beside virlan's rules of iptables`, async () => {
    await other.start();
    await configureBackend('iptables');
    await up();
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    await other.restart();
    await up();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

firewalls.run();
