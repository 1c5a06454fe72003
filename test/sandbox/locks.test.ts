// Locks between processes: killed and stopped holders, many at once, and those of an earlier version.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import { readFileOrNull } from '../../src/system/files.ts';
import { LockTimeout, withLock } from '../../src/system/lock.ts';
import { configure, installVirlan, virlan } from './host.ts';
import { until } from './until.ts';

const path = '/run/virlan-test/lock';
/** Has the number of the process that holds the lock; a killed one leaves it. */
const inside = '/run/virlan-test-inside';
/** Has a line for each process that took the lock while another one held it. */
const collisions = '/run/virlan-test-collisions';
const taken = '/run/virlan-test-taken';

/** PF_EXITING of Linux's include/linux/sched.h. */
const exitingFlag = 0x4;

/**
 * Returns whether a process can run its program. The kernel closes the files of a killed process, and with them
 * releases its lock, some time before the process is a zombie.
 */
function isAlive(pid: number): boolean {
  try {
    const fields = readFileOrNull(`/proc/${pid}/stat`)?.split(') ')[1]?.split(' ');
    return fields !== undefined && fields[0] !== 'Z' && (Number(fields[6]) & exitingFlag) === 0;
  } catch (error) {
    // It has ended since its file was opened.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Returns the process that is inside; 0 when there is none. */
function readInside(): number {
  return Number(readFileOrNull(inside) ?? 0);
}

/** Takes and releases the lock for ever, and notes each time that another living process is inside. */
async function work(): Promise<never> {
  for (;;) {
    await withLock(path, 60, async () => {
      const other = readInside();
      if (other > 1 && isAlive(other)) writeFileSync(collisions, `${process.pid} ${other}\n`, { flag: 'a' });
      writeFileSync(inside, `${process.pid}`);
      writeFileSync(taken, '.', { flag: 'a' });
      // Killed here, mostly.
      await pause(randomInt(0, 3));
      rmSync(inside, { force: true });
    });
  }
}

/** Holds the lock until it ends. */
function hold(): Promise<void> {
  return withLock(path, 5, async () => {
    writeFileSync(inside, `${process.pid}`);
    await pause(1_000_000);
  });
}

/** Starts this file again, to work or to hold. */
function start(role: 'work' | 'hold'): ChildProcess {
  return spawn(process.execPath, [process.argv[1] ?? '', role], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function startHolder(): Promise<ChildProcess> {
  rmSync(inside, { force: true });
  const holder = start('hold');
  await until(() => readInside() === holder.pid);
  return holder;
}

async function kill(child: ChildProcess): Promise<void> {
  assert.deepEqual([child.exitCode, child.signalCode], [null, null], 'it has ended by itself');
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

const locks = suite('locks');

locks('a holder that is killed releases the lock at once; one that is stopped holds it', async () => {
  const holder = await startHolder();
  holder.kill('SIGSTOP');
  const isNamed = (error: unknown) =>
    error instanceof LockTimeout && error.message.includes(`"ps -f ${holder.pid}"`);
  await assert.rejects(
    withLock(path, 0.1, () => assert.fail('two holders')),
    isNamed,
  );
  await kill(holder);
  const began = performance.now();
  await withLock(path, 0, () => {});
  const tookMs = performance.now() - began;
  // Nothing waits for a program the next time.
  const again = performance.now();
  await withLock(path, 0, () => {});
  const againMs = performance.now() - again;
  console.log(`after a killed holder ${tookMs.toFixed(0)} ms, then ${againMs.toFixed(1)} ms`);
  assert(againMs < tookMs);
  assert.equal(statSync(`${path}.fifo`).mode & 0o777, 0o600);
});

locks('many processes that are killed at any moment never hold it at the same time', async () => {
  const workers = Array.from({ length: 6 }, () => start('work'));
  try {
    await until(() => existsSync(taken));
    for (let run = 0; run < 60; run++) {
      const at = randomInt(workers.length);
      await pause(randomInt(5, 60));
      const [old] = workers.splice(at, 1, start('work'));
      if (old !== undefined) await kill(old);
    }
    const count = statSync(taken).size;
    // Those that live go on.
    await until(() => statSync(taken).size > count + 20);
  } finally {
    for (const worker of workers) await kill(worker);
  }
  console.log(`taken ${statSync(taken).size} times, 60 processes killed`);
  assert(!existsSync(collisions), existsSync(collisions) ? readFileSync(collisions, 'utf8') : '');
  await withLock(path, 0, () => {});
});

locks('calls in one process wait for each other', async () => {
  let insideNow = 0;
  const calls = Array.from({ length: 20 }, () =>
    withLock(path, 5, async () => {
      assert.equal(++insideNow, 1);
      await pause(1);
      insideNow--;
    }),
  );
  await Promise.all(calls);
  assert.equal(insideNow, 0);
});

locks('processes that hold it in turn are waited for longer than one that keeps it', async () => {
  const calls = (count: number) =>
    Promise.allSettled(Array.from({ length: count }, () => withLock(path, 0.5, () => pause(100))));
  const isTaken = ({ status }: PromiseSettledResult<void>) => status === 'fulfilled';
  // Longer than 0.5 s.
  assert((await calls(10)).every(isTaken));
  // Longer than six times 0.5 s: a machine's start does not wait without end.
  const late = (await calls(50)).filter(result => !isTaken(result));
  assert(
    late.length > 0 && late.every(result => (result as PromiseRejectedResult).reason instanceof LockTimeout),
  );
});

locks('virlan up does not wait for a probe that runs, nor fails because of it', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  const { exitCode, stderr } = await withLock('/run/virlan/probe.lock', 5, () => virlan('up'));
  assert.equal(exitCode, 0, stderr);
});

locks('where an earlier version has run since boot, its lock counts too', async () => {
  const earlier = spawn('flock', [path, 'sleep', '1000'], { stdio: 'ignore', detached: true });
  await until(() => spawnSync('flock', ['--nonblock', path, 'true']).status === 1);
  const isNamed = (error: unknown) => error instanceof LockTimeout && error.message.includes(`fuser ${path}`);
  await assert.rejects(
    withLock(path, 1, () => assert.fail('two holders')),
    isNamed,
  );
  process.kill(-(earlier.pid ?? 0), 'SIGKILL');
  await withLock(path, 5, () => {
    assert.equal(spawnSync('flock', ['--nonblock', path, 'true']).status, 1);
  });
  assert.equal(spawnSync('flock', ['--nonblock', path, 'true']).status, 0);
});

const role = process.argv[2];
if (role === 'work') void work();
else if (role === 'hold') void hold();
else locks.run();
