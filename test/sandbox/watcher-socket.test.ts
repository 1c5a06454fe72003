// One watcher at a time, and its socket, which others may remove or replace.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { assertFailure } from './virlan-commands.ts';
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
    assert(performance.now() - began < 3000);
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

sockets('after a killed watcher the next one starts', async () => {
  await stopWatcher('SIGKILL');
  await startWatcher();
  await stopWatcher();
});

sockets.run();
