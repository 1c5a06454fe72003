// One watcher at a time, its socket, which others may remove or replace, and when it answers a daemon.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { isAlive } from '../../src/dnsmasq/process.ts';
import { runHook } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { busyness, until } from './until.ts';
import { assertFailure, plannedSteps } from './virlan-commands.ts';
import { get, startWatcher, stopWatcher, watcherPid } from './watcher.ts';

const sockets = suite('watcher socket');
const socket = '/run/virlan/socket';

async function answers(): Promise<boolean> {
  return (await get('/ping')) !== null;
}

sockets.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
});

sockets('a second watcher fails at once and names the first, also while that one is stopped', async () => {
  const pid = watcherPid();
  for (const signal of ['SIGCONT', 'SIGSTOP'] as const) {
    process.kill(pid, signal);
    const began = performance.now();
    assertFailure(await virlan('watch'), new RegExp(`another virlan watch runs already: process ${pid}\\b`));
    // A watcher that is asked is waited for longer.
    assert(performance.now() - began < 5000 * busyness());
  }
  process.kill(pid, 'SIGCONT');
  await until(answers);
});

sockets('a socket that is removed, alone or with its directory, is there again', async () => {
  for (const path of [socket, '/run/virlan']) {
    const before = logLinesOf('socket-restored').length;
    rmSync(path, { recursive: true });
    await until(() => logLinesOf('socket-restored').length > before, 5);
    await until(answers);
  }
});

sockets(
  'a socket that another process has put in its place is replaced, and stays when that one ends',
  async () => {
    rmSync(socket);
    const other = spawn('socat', [`UNIX-LISTEN:${socket},fork`, 'EXEC:cat'], { stdio: 'ignore' });
    await until(answers, 10);
    other.kill();
    await until(() => other.exitCode !== null || other.signalCode !== null);
    await until(answers, 5);
    assert.equal(JSON.parse((await virlan('status', '--json')).stdout).watcher.pid, watcherPid());
  },
);

sockets('a daemon of libvirt is answered once DHCP answers, and the rest is done after that', async () => {
  assert.equal((await virlan('down')).exitCode, 0);
  // The rule that fills in checksums is the first of the rest.
  await execa('mkfifo', ['/tmp/go-on']);
  stubProgram('iptables-restore', '[ ! -p /tmp/go-on ] || read -r _ </tmp/go-on; exec $original "$@"');
  const checksums = async () => (await execa('iptables-save', ['-t', 'mangle'])).stdout.includes('CHECKSUM');
  const began = performance.now();
  const { exitCode } = await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.equal(exitCode, 0);
  // A program that hangs is ended after 10 s.
  assert(performance.now() - began < 9000);
  assert(isAlive({ bridge: 'k8s-br0' }));
  assert.equal(await checksums(), false);
  // Opening it waits for the reader.
  writeFileSync('/tmp/go-on', '\n');
  rmSync('/tmp/go-on');
  await until(checksums);
  await until(() => logLinesOf('network-established').some(({ network }) => network === 'k8s-br0'));
  restorePrograms();
  assert.deepEqual(await plannedSteps(), []);
});

sockets('after a killed watcher the next one starts', async () => {
  await stopWatcher('SIGKILL');
  await startWatcher();
  await stopWatcher();
});

sockets.run();
