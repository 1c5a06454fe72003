// The watcher while it can open no descriptor, or only a few: it lives, and does afterwards what it could not.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaMacOf } from './formula-values.ts';
import { configure, define, domainXml, installVirlan, macsOf, startLibvirtd } from './host.ts';
import { until } from './until.ts';
import { plannedSteps } from './virlan-commands.ts';
import { get, idle, startWatcher, stopWatcher, watcherPid } from './watcher.ts';

const descriptors = suite('used-up descriptors');
let ini = '[network.k8s-br0]\nstp = no\n';

/** Leaves the watcher this many numbers for new descriptors. */
async function leaveFree(free: number): Promise<void> {
  const used = Math.max(...readdirSync(`/proc/${watcherPid()}/fd`).map(Number));
  await execa('prlimit', ['--pid', String(watcherPid()), `--nofile=${used + 1 + free}:`]);
}

function isAlive(): boolean {
  return process.kill(watcherPid(), 0);
}

descriptors.before(async () => {
  await installVirlan();
  await configure(ini);
  await startLibvirtd();
});

// One watcher for all would take the damage of the third round for a fight with another program, and wait.
descriptors.before.each(() => startWatcher());
descriptors.after.each(() => stopWatcher());

for (const free of [0, 1, 2, 4, 8, 12, 16])
  descriptors(`${free} are free: damage, a new machine and a new configuration`, async () => {
    await leaveFree(free);
    const machine = `machine${free}`;
    await execa('sh', ['-euc', 'nft flush ruleset; kill -9 "$(cat /run/dnsmasq/k8s-br0.pid)"']);
    ini += `; ${free}\n`;
    await configure(ini);
    await define(domainXml({ name: machine, nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
    await execa('ip', ['link', 'delete', 'k8s-br0']);
    // Each that is not answered takes two seconds, in which the watcher has tried all of that.
    await get('/ping');
    await get('/ping');
    assert(isAlive());
    await execa('prlimit', ['--pid', String(watcherPid()), '--nofile=1024:']);
    await until(async () => (await plannedSteps()).length === 0, 60);
    await until(async () => (await get('/ping')) !== null);
    await idle(machine);
    assert.deepEqual(await macsOf(machine), [formulaMacOf(machine)]);
  });

descriptors.run();
