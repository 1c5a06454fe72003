// The programs that report changes of the kernel to the watcher: nft monitor, ip monitor, bridge monitor, busctl.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { Follower } from '../../src/system/follow.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { processes } from './snapshot.ts';
import { until } from './until.ts';
import { startWatcher, statusWhen, stopWatcher, watcherPid } from './watcher.ts';

const monitors = suite('kernel monitors');
const sysctlFile = '/etc/sysctl.d/60-virlan.conf';

const monitorCommands = ['nft monitor', 'ip -o monitor', 'bridge -d -o monitor link'];

/** Returns the processes whose command line starts with `command`. */
function pidsOf(command: string): number[] {
  const [program = ''] = command.split(' ');
  return processes(program)
    .filter(process => process.command.startsWith(command))
    .map(({ pid }) => pid);
}

/** Returns the processor time of a process and its ended children in seconds. proc(5) counts hundredths. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').map(Number) ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100;
}

/** Returns the resident memory of a process in MiB. */
function memoryMiB(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

async function hasEmptyPlan(): Promise<boolean> {
  return (await virlan('plan')).exitCode === 0;
}

function isMadeWithin(seconds: number, path: string): Promise<boolean> {
  return until(() => existsSync(path), seconds).then(
    () => true,
    () => false,
  );
}

function repairs() {
  return logLinesOf('network-repaired');
}

function sh(script: string) {
  return execa('sh', ['-eu', '-c', script]);
}

monitors('the monitors end with the watcher, also when it is killed', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  const counts = () => monitorCommands.map(command => pidsOf(command).length);
  const areRunning = () => counts().every(count => count === 1);
  const haveEnded = () => counts().every(count => count === 0);
  await until(areRunning);
  await stopWatcher('SIGKILL');
  await until(haveEnded, 2);
  await startWatcher();
  await until(areRunning);
  await stopWatcher('SIGTERM');
  assert(haveEnded());
});

monitors('a monitor that ends is started again', async () => {
  await startWatcher();
  await until(() => pidsOf('nft monitor').length === 1);
  const [pid = 0] = pidsOf('nft monitor');
  process.kill(pid, 'SIGKILL');
  await until(() => pidsOf('nft monitor').some(other => other !== pid), 2);
  assert(logLinesOf('monitor-failed').some(({ msg }) => String(msg).includes('nft monitor ended: SIGKILL')));
  await sh('nft flush ruleset');
  await until(hasEmptyPlan, 2);
});

monitors('a program that ends at once is restarted at increasing intervals', async () => {
  const times: number[] = [];
  const failed = () => void times.push(performance.now());
  const follower = new Follower(['false'], { started: () => {}, line: () => {}, failed });
  await until(() => times.length === 4);
  follower.stop();
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  for (const [index, gap] of gaps.entries()) assert(gap >= 100 * 2 ** index, `${gaps}`);
});

monitors('a program that floods is blocked while the follower holds, and continues afterwards', async () => {
  let lines = 0;
  const line = () => {
    lines++;
  };
  const follower = new Follower(['yes', 'x'.repeat(10_000)], {
    started: () => {},
    line,
    failed: assert.fail,
  });
  await until(() => lines > 0);
  follower.pause();
  const [pid = 0] = pidsOf('yes');
  // It sleeps because its pipe is full.
  await until(() => /^State:\s+S/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  const before = lines;
  follower.resume();
  await until(() => lines > before);
  follower.stop();
});

monitors('a network that was taken down stays down', async () => {
  const before = repairs().length;
  assert.equal((await virlan('down')).exitCode, 0);
  // Foreign rules come and go: the watcher compares and finds nothing to repair.
  await sh('nft add table ip foreign; nft delete table ip foreign; sleep 1');
  assert.equal(repairs().length, before);
  assert.doesNotMatch((await execa('ip', ['link'])).stdout, /k8s-br0/);
  assert.equal((await virlan('up')).exitCode, 0);
});

monitors(
  'a ruleset of ten thousand rules that is rewritten all the time does not use up the processor',
  async () => {
    await stopWatcher();
    await startWatcher();
    const comment = 'x'.repeat(100);
    const rules = Array.from({ length: 10_000 }, (_, index) => {
      const [high, low] = [index >> 8, index & 255];
      return `add rule ip foreign f ip saddr 10.${high}.${low}.1 counter drop comment "${comment}"\n`;
    });
    const script = `add table ip foreign\nadd chain ip foreign f\nflush chain ip foreign f\n${rules.join('')}`;
    writeFileSync('/tmp/foreign.nft', script);
    const rewriter = spawn('sh', ['-c', 'while :; do nft -f /tmp/foreign.nft; done']);
    await until(async () => (await execa('nft', ['list', 'tables'])).stdout.includes('foreign'), 20);
    const monitor = pidsOf('nft monitor')[0] ?? 0;
    const pids = [watcherPid(), monitor];
    const measure = async () => {
      const before = pids.map(processorSeconds);
      const began = performance.now();
      await new Promise(resolve => setTimeout(resolve, 5000));
      const seconds = (performance.now() - began) / 1000;
      return pids.map((pid, index) => (processorSeconds(pid) - (before[index] ?? 0)) / seconds);
    };
    let shares = await measure();
    // The watcher's start, or a host that stands still for a while, may spoil one measurement.
    for (let more = 0; more < 2 && (shares[0] ?? 1) >= 0.5; more++) shares = await measure();
    console.log(`  of one processor: watcher ${shares[0]?.toFixed(2)}, nft monitor ${shares[1]?.toFixed(2)}`);
    console.log(`  MiB: ${pids.map(pid => memoryMiB(pid).toFixed(0))}`);
    const count = repairs().length;
    await sh('nft delete table ip virlan-k8s-br0');
    const deleted = Date.now();
    await until(() => repairs().length > count);
    const repairMs = Date.parse(String(repairs()[count]?.time)) - deleted;
    console.log(`  repaired after ${repairMs} ms`);
    rewriter.kill();
    // A quarter on a quiet host; without its pauses between comparisons it takes all of it.
    assert((shares[0] ?? 1) < 0.5, `the watcher took ${shares[0]}`);
    assert(repairMs < 5000);
    assert(memoryMiB(watcherPid()) < 120);
  },
);

monitors('a reload of firewalld, which its D-Bus signal announces, triggers a comparison', async () => {
  await stopWatcher();
  // Only that firewalld is installed, and its signal, matter here.
  writeFileSync('/usr/sbin/firewalld', '', { mode: 0o755 });
  await sh('mkdir -p /run/dbus; dbus-daemon --system --fork');
  await startWatcher();
  await until(() => pidsOf('busctl').length === 1);
  // The probe after the start makes changes that cause comparisons, for as long as it takes.
  await statusWhen(({ probe }) => probe !== null, 20);
  // The kernel does not report changes of this file.
  do rmSync(sysctlFile, { force: true });
  while (await isMadeWithin(1.5, sysctlFile));
  assert.equal((await virlan('plan')).exitCode, 3);
  await sh('dbus-send --system --type=signal / org.fedoraproject.FirewallD1.Reloaded');
  await until(hasEmptyPlan, 5);
});

monitors('rules of iptables-legacy, which the kernel does not report, are repaired too', async () => {
  await configure('[network.k8s-br0]\nstp = no\nfirewall = iptables\n');
  await stopWatcher();
  assert.equal((await virlan('down')).exitCode, 0);
  await sh('update-alternatives --set iptables /usr/sbin/iptables-legacy');
  await startWatcher();
  await sh('iptables -F');
  await until(async () => (await execa('iptables-save')).stdout.includes('-j VIRLAN-FWD-k8s-br0'), 10);
});

monitors('on a host without nft the watcher works and logs a warning', async () => {
  await stopWatcher();
  for (const directory of ['/usr/sbin', '/sbin']) rmSync(`${directory}/nft`, { force: true });
  await startWatcher();
  assert(logLinesOf('monitor-failed').some(({ msg }) => String(msg).includes('nft is not on this host')));
  await sh('ip link delete k8s-br0');
  await until(hasEmptyPlan, 2);
});

monitors.run();
