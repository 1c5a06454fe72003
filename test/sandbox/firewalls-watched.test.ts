import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  allIsWell,
  askInternet,
  clear,
  configureBackend,
  leftBehind,
  populate,
  servePorts,
} from './firewall-scenario.ts';
import { installFirewalls, others } from './firewalls.ts';
import { installVirlan, virlan } from './host.ts';
import { down } from './virlan-commands.ts';
import { get, until } from './watcher.ts';

const watched = suite('firewalls, watched');
watched.before(async () => {
  await installVirlan();
  await installFirewalls();
  await servePorts();
});
watched.after.each(clear);

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
    const scene = await populate();
    await allIsWell(scene);
    // Long enough for one that writes its rules again and again as it starts on a busy host: it is left alone for a while.
    const isMended = () => until(async () => (await isRight()) && (await askInternet(scene)) === 'open', 40);

    // Docker forwards nothing but its own where it had to switch forwarding on.
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    await other.start();
    await isMended();
    await allIsWell(scene);
    for (const table of ['filter', 'nat', 'mangle']) await execa('iptables', ['-t', table, '-F']);
    await isMended();
    await allIsWell(scene);
    // One that has repaired a thing three times within a minute would leave it alone.
    await end(watcher);
    watcher = await watch();
    await other.restart();
    await isMended();
    await allIsWell(scene);

    await end(watcher);
    await down();
    assert.deepEqual(await leftBehind(), []);
  });
}

watched.run();
