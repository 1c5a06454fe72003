// inotify used up by other programs: the watcher notices changes of files all the same. Its limits belong to a
// user namespace, so that the watcher runs in one of its own, with a network namespace that it may change. Directories
// that are removed and made again are followed, too.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { Event } from '../../src/report/event.ts';
import { configure, installVirlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { answerOf } from './watcher.ts';

const inotify = suite('used-up inotify');
const config =
  '[network.k8s-br0]\nstp = no\n[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:01:01\nip = 192.168.100.9\n';
const ini = '/etc/virlan/virlan.ini';
const publishedMacs = '/var/lib/libvirt/dnsmasq/k8s-br0.macs';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
const limits = { max_user_instances: 128, max_user_watches: 1000 };
type Limit = keyof typeof limits;

/** A process that keeps the namespaces. */
let keeper: ChildProcess;
let watcher: ChildProcess | null = null;
/** How many leases were added to those of dnsmasq. */
let leases = 0;

function within(...command: string[]): string[] {
  return ['-t', String(keeper.pid), '-U', '-n', '-m', ...command];
}

/** Sets a limit of the user namespace: those in /proc/sys/fs/inotify are of all users of the machine. */
async function setLimit(limit: Limit, value: number): Promise<void> {
  await execa(
    'nsenter',
    within('sh', '-c', `echo ${value} > /proc/sys/user/${limit.replace('user', 'inotify')}`),
  );
}

/** Resolves when libvirt's tools are shown a lease that was added to a bridge's leases. */
async function assertPublished(
  bridge: string,
  mac: string,
  ip: string,
  timeoutSeconds: number,
): Promise<void> {
  const file = `/var/lib/dnsmasq/${bridge}/leases`;
  const status = `/var/lib/libvirt/dnsmasq/${bridge}.status`;
  const expires = Math.floor(Date.now() / 1000) + 3600;
  await until(() => {
    // dnsmasq, which does not know this lease, writes the file without it for each of the probe's leases.
    if (!readFileSync(file, 'utf8').includes(ip)) appendFileSync(file, `${expires} ${mac} ${ip} * *\n`);
    return existsSync(status) && readFileSync(status, 'utf8').includes(ip);
  }, timeoutSeconds);
}

/** Returns how many lines of a kind the log has. */
function logged(code: Event['kind']): number {
  return existsSync('/var/log/virlan.log') ? logLinesOf(code).length : 0;
}

/** Starts the watcher in the namespaces, and resolves when it follows its files. */
async function startThere(): Promise<void> {
  const before = logged('watcher-started');
  watcher = spawn('nsenter', within('/usr/sbin/virlan', 'watch'), {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await until(() => logged('watcher-started') > before, 20);
}

async function stopThere(): Promise<void> {
  if (watcher === null) throw new Error('the watcher was not started');
  const ended = once(watcher, 'exit');
  watcher.kill();
  await ended;
}

async function problems(): Promise<string> {
  return JSON.parse(await answerOf('/status')).networks[0].problems.join('\n');
}

/** Adds a device to virlan.ini, and resolves when the watcher has applied that. */
async function assertConfigurationNoticed(timeoutSeconds: number): Promise<void> {
  const before = logged('configuration-applied');
  const [mac, ip] = [`52:54:00:00:02:${10 + before}`, `192.168.100.${200 + before}`];
  appendFileSync(ini, `[host.device${before}]\nnetwork = k8s-br0\nmac = ${mac}\nip = ${ip}\n`);
  await until(() => logged('configuration-applied') > before, timeoutSeconds);
}

/** Adds a lease, and resolves when the watcher has noticed it. */
async function assertLeaseNoticed(timeoutSeconds: number): Promise<void> {
  leases += 1;
  await assertPublished(
    'k8s-br0',
    `52:54:00:00:00:${10 + leases}`,
    `192.168.100.${100 + leases}`,
    timeoutSeconds,
  );
}

/** Changes the directory of the ledger, and resolves when the watcher has noticed it. */
async function assertLedgerNoticed(timeoutSeconds: number): Promise<void> {
  // The MACs, not the leases: dnsmasq may write its file of leases again at any time, without this one.
  rmSync(publishedMacs, { force: true });
  writeFileSync('/var/lib/virlan/ledger/touched', '');
  rmSync('/var/lib/virlan/ledger/touched');
  await until(() => existsSync(publishedMacs), timeoutSeconds);
}

/** Resolves when the watcher has noticed a change of each kind of file. */
async function assertNoticed(timeoutSeconds: number): Promise<void> {
  await assertConfigurationNoticed(timeoutSeconds);
  await assertLeaseNoticed(timeoutSeconds);
  await assertLedgerNoticed(timeoutSeconds);
}

/** Resolves when the watcher has repaired a file of dnsmasq's that somebody emptied. */
async function assertRepaired(): Promise<void> {
  // Only the line of the device: a probe adds and removes one of its own.
  const hasLine = () => readFileSync(hostsfile, 'utf8').includes(',192.168.100.9,printer ');
  assert(hasLine());
  writeFileSync(hostsfile, '');
  await until(hasLine, 15);
}

inotify.before(async () => {
  await installVirlan();
  await configure(config);
  mkdirSync('/var/lib/virlan/ledger', { recursive: true });
  keeper = spawn(
    'unshare',
    ['--user', '--net', '--mount', 'sh', '-euc', 'echo; read mapped; exec sleep inf'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  if (keeper.stdout !== null) await once(keeper.stdout, 'data');
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${keeper.pid}/${map}`, '0 0 4294967295');
  keeper.stdin?.write('\n');
  await execa('nsenter', within('sh', '-euc', 'ip link set lo up; mount -t sysfs private /sys'));
  for (const limit of ['max_user_instances', 'max_user_watches'] as const)
    await setLimit(limit, limits[limit]);
});

for (const limit of ['max_user_instances', 'max_user_watches'] as const) {
  inotify(`files are followed while ${limit} is used up at the start, and by events after`, async () => {
    await setLimit(limit, 0);
    await startThere();
    await until(async () => (await problems()).includes(`inotify is used up`));
    assert.match(await problems(), new RegExp(`raise fs\\.inotify\\.${limit}$`, 'm'));
    await assertNoticed(10);
    await assertRepaired();
    const before = logged('files-followed');
    await setLimit(limit, limits[limit]);
    await until(() => logged('files-followed') === before + 3, 30);
    assert.doesNotMatch(await problems(), /inotify is used up/);
    await assertNoticed(10);
  });
}

let appliedBefore = 0;
const followed: readonly (readonly [
  directory: string,
  isRemovalNoticed: () => boolean,
  assertChangeNoticed: (timeoutSeconds: number) => Promise<void>,
])[] = [
  ['/etc/virlan', () => logged('configuration-applied') > appliedBefore, assertConfigurationNoticed],
  ['/var/lib/dnsmasq', () => existsSync(hostsfile), assertLeaseNoticed],
  ['/var/lib/virlan/ledger', () => true, assertLedgerNoticed],
];
for (const [directory, isRemovalNoticed, assertChangeNoticed] of followed)
  inotify(`files in ${directory} are followed after it was removed and made again`, async () => {
    await startThere();
    appliedBefore = logged('configuration-applied');
    await execa('cp', ['-a', directory, `${directory}.again`]);
    rmSync(directory, { recursive: true });
    await until(isRemovalNoticed, 20);
    rmSync(directory, { recursive: true, force: true });
    renameSync(`${directory}.again`, directory);
    // The first may be noticed because the watcher makes or publishes everything after the removal.
    for (let change = 0; change < 3; change++) await assertChangeNoticed(10);
  });

inotify('files of a network that is added when no watch is left are followed', async () => {
  await startThere();
  assert.doesNotMatch(await problems(), /inotify/);
  await setLimit('max_user_watches', 0);
  await configure(`${config}[network.k8s-br1]\nstp = no\nsubnet = 192.168.101.0/24\n`);
  await until(async () => /inotify is used up.*max_user_watches/.test(await problems()));
  await until(() => existsSync('/var/lib/dnsmasq/k8s-br1/leases'), 10);
  // The new network itself publishes leases while it is established: the first may be noticed by that.
  for (const last of [77, 78, 79])
    await assertPublished('k8s-br1', `52:54:00:00:00:${last}`, `192.168.101.${last}`, 20);
});

inotify.after.each(async () => {
  await stopThere();
  for (const limit of ['max_user_instances', 'max_user_watches'] as const)
    await setLimit(limit, limits[limit]);
});

inotify.after(() => void keeper.kill());

inotify.run();
