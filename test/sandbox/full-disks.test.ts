// Disks and directories that are full, as at a boot: the network is made, and what could not be written is
// written when there is room again.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { hasNetwork } from './firewall-scenario.ts';
import { prepare, runHook } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import type { Machine } from './machine.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const disks = suite('full disks');

const original = '/var/lib/virlan/before.json';
const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const config = '[network.k8s-br0]\nstp = no\n';

/** Mounts a full file system over a directory, with the directory's files in it. */
async function fill(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  await execa('sh', [
    '-euc',
    'cp -a "$1/." /tmp/kept; mount -t tmpfs -o size=256k full "$1"; cp -a /tmp/kept/. "$1"; rm -r /tmp/kept',
    '-',
    directory,
  ]);
  await execa('sh', ['-c', 'cat /dev/zero > "$1/filler" 2>/dev/null || [ -s "$1/filler" ]', '-', directory]);
}

function makeRoom(directory: string): void {
  rmSync(`${directory}/filler`);
}

/** Takes away what a reboot takes. */
async function reboot(): Promise<void> {
  await execa(
    'sh',
    [
      '-c',
      'kill "$(cat /run/dnsmasq/k8s-br0.pid)"; ip link delete k8s-br0; ip link delete k8s-br0-nic; nft flush ruleset; rm -rf /run/virlan /run/dnsmasq',
    ],
    { reject: false },
  );
  writeFileSync(original, readFileSync(original, 'utf8').replace(/"boot": "[^"]*"/, '"boot": "earlier"'));
}

function isRecorded(): boolean {
  return !readFileSync(original, 'utf8').includes('earlier');
}

disks.before(async () => {
  await installVirlan();
  await configure(config);
  await startLibvirtd();
  await up();
});

for (const directory of ['/var/lib/virlan', '/run/virlan']) {
  disks(`with a full ${directory} at boot the network is made, and a warning is logged`, async () => {
    await reboot();
    await fill(directory);
    await runHook('daemon', ['-', 'start', '-', 'start']);
    assert.equal(await hasNetwork(), true);
    assert.match(
      String(logLinesOf('network-warning').at(-1)?.msg),
      new RegExp(`record is not: ${directory}/.*ENOSPC`),
    );
  });

  disks(`with a full ${directory}, "virlan up" warns and succeeds`, async () => {
    await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, new RegExp(`${directory}/.*ENOSPC`));
    assert.equal(await hasNetwork(), true);
  });

  disks(
    `with a full ${directory} the watcher repairs, says why, and records all when there is room`,
    async () => {
      await startWatcher();
      await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
      await until(hasNetwork);
      await until(async () => /repair failed.*ENOSPC/.test((await virlan('status')).stdout));
      makeRoom(directory);
      await until(async () => isRecorded() && existsSync('/run/virlan/k8s-br0.applied.json'), 30);
      assert.equal(existsSync('/run/virlan/before.json'), false);
      assert.deepEqual(logLinesOf('unit-left-alone'), []);
      assert.doesNotMatch((await virlan('status')).stdout, /failed/);
      assert.deepEqual(await plannedSteps(), []);
      await stopWatcher();
      await execa('umount', ['--lazy', directory]);
      if (directory === '/run/virlan') return;
      assert.equal(existsSync(original), true);
    },
  );
}

disks('a known machine has its reservation on a full disk, also after a new one that has none', async () => {
  const machine = (name: string, mac: string): Machine => ({
    name,
    uuid: randomUUID(),
    nics: [{ type: 'bridge', source: 'k8s-br0', mac }],
  });
  const known = machine('known', '52:54:00:00:00:01');
  await prepare(known);
  await fill('/var/lib/virlan');
  await prepare(machine('new', '52:54:00:00:00:02'));
  const failures = () => logLinesOf('reservation-failed').map(({ machine }) => machine);
  assert.equal(failures().at(-1), 'new');
  for (let start = 0; start < 3; start++) await prepare(known);
  assert.equal(failures().at(-1), 'new');
  makeRoom('/var/lib/virlan');
  await prepare(machine('later', '52:54:00:00:00:03'));
  assert.equal(failures().at(-1), 'new');
  await execa('umount', ['--lazy', '/var/lib/virlan']);
  await up();
});

disks('a configuration that cannot be written does not stop dnsmasq, and is not a fight', async () => {
  await up();
  await startWatcher();
  // The probe has a reservation and a lease, and there is room again when they go.
  await statusWhen(({ probe }) => probe !== null, 60);
  const before = readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8');
  await fill('/var/lib/dnsmasq/k8s-br0');
  await configure(`${config}lease-time = 30m\n`);
  const problem = /repair failed.*dnsmasq\.conf cannot be written: ENOSPC/;
  await until(async () => problem.test((await virlan('status')).stdout));
  assert.equal(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'), before);
  makeRoom('/var/lib/dnsmasq/k8s-br0');
  await until(() => readFileSync(conf, 'utf8').includes(',1800\n'), 30);
  await until(async () => (await plannedSteps()).length === 0);
  assert.notEqual(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'), before);
  assert.deepEqual(logLinesOf('unit-left-alone'), []);
});

disks(
  'with no room for the files of dnsmasq at boot, the watcher makes the rest, and starts dnsmasq when there is room',
  async () => {
    await stopWatcher();
    await configure(config);
    await reboot();
    await execa('umount', ['--lazy', '/var/lib/dnsmasq/k8s-br0'], { reject: false });
    rmSync(conf, { force: true });
    await fill('/var/lib/dnsmasq/k8s-br0');
    await runHook('daemon', ['-', 'start', '-', 'start']);
    assert.equal(existsSync('/run/dnsmasq/k8s-br0.pid'), false);
    const rules = await execa('nft', ['list', 'table', 'ip', 'virlan-k8s-br0'], { reject: false });
    assert.match(rules.stdout, /masquerade/);
    await startWatcher();
    await until(async () => /k8s-br0\/dnsmasq\.conf .*ENOSPC/.test((await virlan('status')).stdout));
    makeRoom('/var/lib/dnsmasq/k8s-br0');
    await until(hasNetwork, 30);
    await until(async () => (await plannedSteps()).length === 0);
    await stopWatcher();
  },
);

disks.run();
