// virlan beside two other firewalls at once, and after the removal of one.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls, type OtherFirewall, otherFirewalls, ufw } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const together = suite('firewalls together');
together.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
together.after.each(resetScenario);

for (const pair of [
  ['ufw', 'docker'],
  ['docker', 'firewalld'],
  ['firewalld', 'ufw'],
] as const) {
  together(`${pair.join(' and ')} together`, async () => {
    const [first, second] = pair.map(name => otherFirewalls[name]) as [OtherFirewall, OtherFirewall];
    await first.start();
    await configureBackend('nftables');
    await up();
    const scenario = await addMachines();
    await second.start();
    await up();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);
    await first.restart();
    await second.reload();
    await up();
    await assertConnectivity(scenario);
    await second.stop();
    await up();
    await assertConnectivity(scenario);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

together('down removes virlan from the configuration of a ufw that was uninstalled', async () => {
  await ufw('allow', 'in', 'on', 'lo', 'comment', 'mine');
  await ufw('--force', 'enable');
  await configureBackend('nftables');
  await up();
  await ufw('disable');
  const before = await execa('grep', ['-c', '^### tuple', '/etc/ufw/user.rules']);
  assert(Number(before.stdout) > 1);
  renameSync('/usr/sbin/ufw', '/usr/sbin/ufw.hidden');
  try {
    await down();
  } finally {
    renameSync('/usr/sbin/ufw.hidden', '/usr/sbin/ufw');
  }
  assert.deepEqual(await leftoverRules(), []);
  assert.match((await ufw('show', 'added')).stdout, /ufw allow in on lo comment 'mine'/);
});

together.run();
