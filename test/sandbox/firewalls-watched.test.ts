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
import { installFirewalls, others } from './firewalls.ts';
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

/** Between the steps of another program status may well have something to say. */
const isRight = async () => (await virlan('plan')).exitCode === 0;

async function watch(): Promise<ChildProcess> {
  const watcher = spawn('/usr/sbin/virlan', ['watch'], { stdio: 'ignore' });
  await until(async () => (await get('/ping')) !== null && (await isRight()));
  return watcher;
}

async function end(watcher: ChildProcess): Promise<void> {
  const ended = once(watcher, 'exit');
  watcher.kill('SIGTERM');
  await ended;
}

for (const [name, other] of Object.entries(others)) {
  watched(`${name} comes, is flushed and restarts, and nobody types a command`, async () => {
    await configureBackend('nftables');
    let watcher = await watch();
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    // Long enough for one that writes its rules again and again as it starts on a busy host: it is left alone for a while.
    const isMended = () =>
      until(async () => (await isRight()) && (await probeInternet(scenario)) === 'open', 40);

    // Docker forwards nothing but its own where it had to switch forwarding on.
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    await other.start();
    await isMended();
    await assertConnectivity(scenario);
    for (const table of ['filter', 'nat', 'mangle']) await execa('iptables', ['-t', table, '-F']);
    await isMended();
    await assertConnectivity(scenario);
    // One that has repaired a thing three times within a minute would leave it alone.
    await end(watcher);
    watcher = await watch();
    await other.restart();
    await isMended();
    await assertConnectivity(scenario);

    await end(watcher);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

watched.run();
