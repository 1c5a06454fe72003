import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { Follower } from '../../src/system/follow.ts';
import { logLines } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { processes } from './snapshot.ts';
import { startWatcher, stopWatcher, until, watcherPid } from './watcher.ts';

const following = suite('following');
const sysctlFile = '/etc/sysctl.d/60-virlan.conf';

/** The watcher's children of this command. */
function followers(command: string): number[] {
  const [program = ''] = command.split(' ');
  return processes(program)
    .filter(process => process.command.startsWith(command))
    .map(({ pid }) => pid);
}

/** Seconds of processor time that a process and those of its children that ended have taken (proc(5), in hundredths). */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').map(Number) ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100;
}

function memory(pid: number): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

const isRight = async () => (await virlan('plan')).exitCode === 0;
const repairs = () => logLines().filter(line => line.msg === 'network repaired');
const sh = (script: string) => execa('sh', ['-eu', '-c', script]);

following('the watcher follows the kernel by programs that end with it, however it ends', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  await until(() => followers('nft monitor').length === 1 && followers('ip -o monitor').length === 1);
  await stopWatcher('SIGKILL');
  await until(() => followers('nft monitor').length === 0 && followers('ip -o monitor').length === 0, 2);
  await startWatcher();
  await until(() => followers('nft monitor').length === 1);
  await stopWatcher('SIGTERM');
  assert.deepEqual([followers('nft monitor'), followers('ip -o monitor')], [[], []]);
});

following('one that ends is started again', async () => {
  await startWatcher();
  await until(() => followers('nft monitor').length === 1);
  const [pid = 0] = followers('nft monitor');
  process.kill(pid, 'SIGKILL');
  await until(() => followers('nft monitor').some(other => other !== pid), 2);
  assert(logLines().some(line => String(line.msg).includes('nft monitor ended: SIGKILL')));
  await sh('nft flush ruleset');
  await until(isRight, 2);
});

following('one that ends at once is started ever more rarely', async () => {
  const times: number[] = [];
  const failed = () => void times.push(performance.now());
  const follower = new Follower(['false'], { started: () => {}, line: () => {}, failed });
  await until(() => times.length === 4);
  follower.stop();
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  for (const [index, gap] of gaps.entries()) assert(gap >= 100 * 2 ** index, `${gaps}`);
});

following('one that floods waits while nobody listens, and goes on afterwards', async () => {
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
  const [pid = 0] = followers('yes');
  // Asleep, as nobody empties its pipe.
  await until(() => /^State:\s+S/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  const before = lines;
  follower.resume();
  await until(() => lines > before);
  follower.stop();
});

following('a network that was taken down stays down', async () => {
  const before = repairs().length;
  assert.equal((await virlan('down')).exitCode, 0);
  // Another network's rules come and go: the watcher looks, and finds nothing that is its own.
  await sh('nft add table ip stranger; nft delete table ip stranger; sleep 1');
  assert.equal(repairs().length, before);
  assert.doesNotMatch((await execa('ip', ['link'])).stdout, /k8s-br0/);
  assert.equal((await virlan('up')).exitCode, 0);
});

following(
  'a firewall of ten thousand rules that is rewritten all the time does not burn the host',
  async () => {
    await stopWatcher();
    await startWatcher();
    const comment = 'x'.repeat(100);
    const rules = Array.from({ length: 10_000 }, (_, index) => {
      const [high, low] = [index >> 8, index & 255];
      return `add rule ip stranger f ip saddr 10.${high}.${low}.1 counter drop comment "${comment}"\n`;
    });
    const script = `add table ip stranger\nadd chain ip stranger f\nflush chain ip stranger f\n${rules.join('')}`;
    writeFileSync('/tmp/stranger.nft', script);
    const rewriter = spawn('sh', ['-c', 'while :; do nft -f /tmp/stranger.nft; done']);
    await until(async () => (await execa('nft', ['list', 'tables'])).stdout.includes('stranger'), 20);
    const monitor = followers('nft monitor')[0] ?? 0;
    const pids = [watcherPid(), monitor];
    const before = pids.map(processorTime);
    const began = performance.now();
    await new Promise(resolve => setTimeout(resolve, 5000));
    const shares = pids.map(
      (pid, index) => (processorTime(pid) - (before[index] ?? 0)) / ((performance.now() - began) / 1000),
    );
    console.log(`  of one processor: watcher ${shares[0]?.toFixed(2)}, nft monitor ${shares[1]?.toFixed(2)}`);
    console.log(`  MiB: ${pids.map(pid => memory(pid).toFixed(0))}`);
    const count = repairs().length;
    await sh('nft delete table ip virlan-k8s-br0');
    const deleted = Date.now();
    await until(() => repairs().length > count);
    const took = Date.parse(String(repairs()[count]?.time)) - deleted;
    console.log(`  repaired meanwhile after ${took} ms`);
    rewriter.kill();
    assert((shares[0] ?? 1) < 0.3, `the watcher took ${shares[0]}`);
    assert(took < 5000);
    assert(memory(watcherPid()) < 120);
  },
);

following('a reload of firewalld is a sign, by its signal on D-Bus', async () => {
  await stopWatcher();
  // What of firewalld matters here is that it is installed, and its signal.
  writeFileSync('/usr/sbin/firewalld', '', { mode: 0o755 });
  await sh('mkdir -p /run/dbus; dbus-daemon --system --fork');
  await startWatcher();
  await until(() => followers('busctl').length === 1);
  // The looks after its start are over, and of this file the kernel says nothing.
  await new Promise(resolve => setTimeout(resolve, 1500));
  rmSync(sysctlFile);
  assert.equal((await virlan('plan')).exitCode, 3);
  await sh('dbus-send --system --type=signal / org.fedoraproject.FirewallD1.Reloaded');
  await until(isRight, 2);
});

following(
  'rules of iptables-legacy, of which the kernel tells nobody, are looked after all the same',
  async () => {
    await configure('[network.k8s-br0]\nstp = no\nfirewall = iptables\n');
    await stopWatcher();
    assert.equal((await virlan('down')).exitCode, 0);
    await sh('update-alternatives --set iptables /usr/sbin/iptables-legacy');
    await startWatcher();
    await sh('iptables -F');
    await until(async () => (await execa('iptables-save')).stdout.includes('-j VIRLAN-FWD-k8s-br0'), 10);
  },
);

following('a host without nft goes on, and says so', async () => {
  await stopWatcher();
  for (const directory of ['/usr/sbin', '/sbin']) rmSync(`${directory}/nft`, { force: true });
  await startWatcher();
  assert(logLines().some(line => String(line.msg).includes('nft is not on this host')));
  await sh('ip link delete k8s-br0');
  await until(isRight, 2);
});

following.run();
