// /run without room for another file, as after a program that leaves files there: the network is made and
// repaired, machines have reservations, and the watcher runs.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare, runHook } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { get, startWatcherProcess, stopWatcher } from './watcher.ts';

const inodes = suite('used-up inodes');
let machines = 0;

/** Leaves /run no inode: a tmpfs may have as many as it uses. */
async function useUpInodes(): Promise<void> {
  const { stdout } = await execa('df', ['--output=iused', '/run']);
  await execa('mount', ['-o', `remount,nr_inodes=${stdout.split('\n')[1]?.trim()}`, '/run']);
  assert.throws(() => writeFileSync('/run/another', ''), { code: 'ENOSPC' });
}

async function freeInodes(): Promise<void> {
  await execa('mount', ['-o', 'remount,nr_inodes=100000', '/run']);
}

async function hasRules(): Promise<boolean> {
  const { stdout } = await execa('nft', ['list', 'tables'], { reject: false });
  return stdout.includes('virlan-k8s-br0');
}

async function prepareNew(): Promise<void> {
  machines += 1;
  const mac = `52:54:00:62:00:0${machines}`;
  const { exitCode, stderr } = await prepare({
    name: `machine${machines}`,
    nics: [{ type: 'bridge', source: 'k8s-br0', mac }],
  });
  assert.deepEqual([exitCode, stderr], [0, '']);
  assert.match(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), new RegExp(`^${mac},`, 'm'));
}

inodes.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await up();
});

inodes.after.each(freeInodes);

inodes('a command and hooks, on a network that is there', async () => {
  await useUpInodes();
  await execa('nft', ['flush', 'ruleset']);
  const { exitCode, stderr } = await virlan('up');
  assert.deepEqual([exitCode, await hasRules()], [0, true], stderr);
  assert.match(stderr, /^virlan: .*\/run\/.*ENOSPC.*$/);
  await prepareNew();
  const [first, second] = await Promise.all([prepareNew(), prepareNew()]);
  assert.deepEqual([first, second], [undefined, undefined]);
});

inodes(
  'the watcher starts, repairs, says what it cannot write, and has its socket when there is room',
  async () => {
    await useUpInodes();
    await execa('nft', ['flush', 'ruleset']);
    startWatcherProcess();
    await until(hasRules);
    assert.equal(existsSync('/run/virlan/socket'), false);
    const socketLines = logLinesOf('failed').filter(({ path }) => path === '/run/virlan/socket');
    assert.equal(socketLines.length, 1, JSON.stringify(socketLines));
    assert.match(String(socketLines[0]?.msg), /ENOSPC/);
    await freeInodes();
    await until(async () => (await get('/ping')) !== null);
    await until(async () => (await plannedSteps()).length === 0);
    await stopWatcher();
  },
);

inodes('the daemon hook at boot', async () => {
  await execa('sh', [
    '-euc',
    'kill "$(cat /run/dnsmasq/k8s-br0.pid)"; ip link delete k8s-br0; nft flush ruleset; rm -rf /run/virlan /run/dnsmasq',
  ]);
  const original = '/var/lib/virlan/before.json';
  writeFileSync(original, readFileSync(original, 'utf8').replace(/"boot": "[^"]*"/, '"boot": "earlier"'));
  await useUpInodes();
  const { exitCode, stderr } = await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.deepEqual([exitCode, stderr], [0, '']);
  const { stdout } = await execa('ip', ['address', 'show', 'dev', 'k8s-br0']);
  assert.match(stdout, /192\.168\.100\.1\/24/);
  assert.equal(await hasRules(), true);
  await prepareNew();
  const failed = logLinesOf('step-failed').map(({ msg }) => String(msg));
  assert(
    failed.some(message => /ENOSPC.*\/run\/dnsmasq/.test(message)),
    failed.join('\n'),
  );
  await freeInodes();
  await up();
  assert.deepEqual(await plannedSteps(), []);
});

inodes.run();
