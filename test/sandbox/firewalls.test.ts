// virlan beside ufw, firewalld and Docker: started before or after virlan, reloaded, restarted and stopped.
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
import { installFirewalls, otherFirewalls } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const firewalls = suite('firewalls');
firewalls.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
firewalls.after.each(resetScenario);

/** Returns the number of virlan's rules in another firewall. */
async function ruleCount(name: string): Promise<number> {
  return (await networkStatus()).otherFirewalls.find(other => other.name === name)?.rules.length ?? 0;
}

for (const [name, other] of Object.entries(otherFirewalls)) {
  firewalls(`${name} started before virlan: connectivity holds across reload, restart and stop`, async () => {
    await other.start();
    await configureBackend('nftables');
    await up();
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);
    assert((await ruleCount(name)) > 0);
    await other.reload();
    await assertConnectivity(scenario);
    await other.restart();
    await assertConnectivity(scenario);
    // At its start firewalld flushes the tables of iptables, and the checksum rule with them.
    await up();
    assert.deepEqual(await plannedSteps(), []);
    await other.stop();
    await assertConnectivity(scenario);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });

  firewalls(
    `${name} started after virlan: up restores connectivity, and down removes virlan's rules from it`,
    async () => {
      await configureBackend('nftables');
      await up();
      const scenario = await addMachines();
      await assertConnectivity(scenario);
      // If Docker itself switches forwarding on, it sets the policy of FORWARD to DROP.
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
      await other.start();
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      assert.equal(await probeInternet(scenario), other.verdictAfterStart);
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
    },
  );

  firewalls(`${name} beside virlan's iptables backend`, async () => {
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
