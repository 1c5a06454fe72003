// virlan's watcher beside ufw, firewalld and Docker: it repairs the network without a command.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  probeInternet,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls, otherFirewalls } from './firewalls.ts';
import { installVirlan, virlan } from './host.ts';
import { until } from './until.ts';
import { down } from './virlan-commands.ts';
import { get } from './watcher.ts';

const watched = suite('firewalls, watched');
watched.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
watched.after.each(resetScenario);

/** Returns whether nothing remains to be repaired. Status may show problems while another firewall starts. */
async function hasEmptyPlan(): Promise<boolean> {
  return (await virlan('plan')).exitCode === 0;
}

async function startWatcher(): Promise<ChildProcess> {
  const watcher = spawn('/usr/sbin/virlan', ['watch'], { stdio: 'ignore' });
  await until(async () => (await get('/ping')) !== null && (await hasEmptyPlan()));
  return watcher;
}

async function stopWatcher(watcher: ChildProcess): Promise<void> {
  const ended = once(watcher, 'exit');
  watcher.kill('SIGTERM');
  await ended;
}

for (const [name, other] of Object.entries(otherFirewalls)) {
  watched(`${name} starts, is flushed and restarts: the watcher repairs the network each time`, async () => {
    await configureBackend('nftables');
    let watcher = await startWatcher();
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    // On a busy host a firewall may write its rules several times at its start, and virlan leaves them alone
    // for a while.
    const waitForRepair = () =>
      until(async () => (await hasEmptyPlan()) && (await probeInternet(scenario)) === 'open', 40);

    // If Docker itself switches forwarding on, it sets the policy of FORWARD to DROP.
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    await other.start();
    await waitForRepair();
    await assertConnectivity(scenario);
    for (const table of ['filter', 'nat', 'mangle']) await execa('iptables', ['-t', table, '-F']);
    await waitForRepair();
    await assertConnectivity(scenario);
    // A new watcher, since one that has repaired a unit three times within a minute leaves it alone.
    await stopWatcher(watcher);
    watcher = await startWatcher();
    await other.restart();
    await waitForRepair();
    await assertConnectivity(scenario);

    await stopWatcher(watcher);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

watched.run();
