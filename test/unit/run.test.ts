// run.test.ts: tests how programs of the system run: output, time limits and errors; and locks.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { LockTimeout, withLock } from '../../src/system/lock.ts';
import { run, runOrNull } from '../../src/system/run.ts';
import { tellingLine } from '../../src/system/stderr.ts';

const running = suite('run');

async function failureOf(work: Promise<unknown>): Promise<CommandError> {
  const error = await work.then(
    () => assert.fail('did not fail'),
    (reason: unknown) => reason,
  );
  assert(error instanceof CommandError);
  return error;
}

function sh(script: string, input = '', timeoutSeconds = 10) {
  return run('sh', ['-c', script], { input, timeoutSeconds });
}

running('run() returns the output without the final line break', async () => {
  assert.equal(await sh('echo a; echo; echo'), 'a\n\n');
  assert.equal(await sh('cat', 'input\n'), 'input');
  assert.equal(await sh('cat'), '');
});

running('a program has a fixed PATH and locale, / as directory, and inherits no other variable', async () => {
  process.env.VIRLAN_TEST = 'inherited';
  const lines = (await run('env', [])).split('\n').sort();
  delete process.env.VIRLAN_TEST;
  assert.deepEqual(lines, ['LC_ALL=C', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
  assert.equal(await run('pwd', []), '/');
});

running('a program that does not read its input is not an error', async () => {
  assert.equal(await sh('exec <&-; echo done', 'x'.repeat(1_000_000)), 'done');
});

running('a warning printed first does not hide the error', async () => {
  const warning = '# Warning: iptables-legacy tables present, use iptables-legacy to see them';
  const error = await failureOf(sh(`echo '${warning}' >&2; echo 'line 3: No such table' >&2; exit 4`));
  assert.match(error.message, /: line 3: No such table$/);
  assert.equal(error.reason, 'failed');
  assert.equal(error.exitCode, 4);
  assert.equal(error.stderr, `${warning}\nline 3: No such table`);
  assert(error.cause instanceof Error);
});

running('the error of a program without output contains its exit code', async () => {
  assert.match((await failureOf(sh('exit 3'))).message, /^sh -c exit 3: ended with 3$/);
});

running('a missing, a killed and a slow program have different reasons', async () => {
  const missing = await failureOf(run('no-such-program', []));
  assert.equal(missing.reason, 'missing');
  assert.equal(missing.message, 'no-such-program is not installed on this host: install it');
  const killed = await failureOf(sh('kill -TERM $$'));
  assert.equal(killed.reason, 'killed');
  assert.match(killed.message, /was ended by SIGTERM$/);
  const began = performance.now();
  const slow = await failureOf(sh('trap "" TERM; echo wait >&2; exec sleep 60', '', 0.2));
  assert.equal(slow.reason, 'timeout');
  assert.equal(slow.exitCode, null);
  assert.equal(slow.stderr, 'wait');
  assert.match(slow.message, /: not done after 0.2 s$/);
  assert(performance.now() - began < 5000);
});

running('a daemon that keeps the output open does not block run()', async () => {
  const began = performance.now();
  assert.equal(await sh('sleep 20 & echo started'), 'started');
  const error = await failureOf(sh('sleep 20 & echo wrong >&2; exit 1'));
  assert.match(error.message, /: wrong$/);
  assert(performance.now() - began < 5000);
});

function keepBusy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

running('a process that is busy while a program ends loses none of its output', async () => {
  // libuv looks for programs that ended after it has read output. If that takes long, it finds one whose output was
  // written meanwhile, and reads that later: here after the grace period.
  const program = sh('sleep 1; echo complete');
  // They are found in the order of their starts.
  await pause(100);
  const other = spawn('sh', ['-c', 'sleep 0.5; echo']);
  other.stdout.once('data', () => keepBusy(1500));
  const last = spawn('sh', ['-c', 'sleep 0.5']);
  last.once('exit', () => keepBusy(1100));
  setTimeout(() => keepBusy(500), 300);
  assert.equal(await program, 'complete');
});

running('runOrNull() returns null if the program fails or is missing', async () => {
  assert.equal(await runOrNull('false', []), null);
  assert.equal(await runOrNull('no-such-program', []), null);
  assert.equal(await runOrNull('cat', [], { input: 'yes' }), 'yes');
});

running('the most informative line of standard error is selected', () => {
  const cases = [
    ['', null],
    [
      '\n\ndnsmasq: failed to bind: Address already in use\n',
      'dnsmasq: failed to bind: Address already in use',
    ],
    [
      '/dev/stdin:1:1-3: Error: syntax error, unexpected foo\nfoo\n^^^\n',
      '/dev/stdin:1:1-3: Error: syntax error, unexpected foo',
    ],
    ['RTNETLINK answers: File exists\nCommand failed -:1\n', 'RTNETLINK answers: File exists'],
    ['Using /etc/x\nError: y\n', 'Error: y'],
    ['Warning: unit changed on disk\nJob for x failed\nSee journalctl\n', 'Job for x failed'],
    ['iptables-save: note: old kernel\n', 'iptables-save: note: old kernel'],
    ['# Warning: an error: whatever\nno table\n', 'no table'],
  ] as const;
  for (const [stderr, line] of cases) assert.equal(tellingLine(stderr), line);
});

/** Sets how many descriptors this process may have; its hard limit stays. */
async function limitDescriptors(soft: string): Promise<void> {
  await execa('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
}

running('with any number of free descriptors a program runs, or an error says why it does not', async () => {
  await run('true', []);
  const { stdout: soft } = await execa('prlimit', [
    ...['--pid', String(process.pid), '--nofile', '--output', 'SOFT', '--noheadings', '--raw'],
  ]);
  const opened: number[] = [];
  const ends: string[] = [];
  await limitDescriptors('256');
  try {
    assert.throws(
      () => {
        for (;;) opened.push(openSync('/dev/null', 'r'));
      },
      { code: 'EMFILE' },
    );
    for (let free = 0; free < 20; free += 1) {
      for (const input of ['', 'text'])
        ends.push(
          await run('cat', [], { input }).catch((error: unknown) =>
            error instanceof CommandError
              ? `${error.reason}: ${error.message}`
              : `not a CommandError: ${error}`,
          ),
        );
      closeSync(opened.pop() ?? -1);
    }
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
    await limitDescriptors(soft);
  }
  const failed = ends.filter(end => end !== '' && end !== 'text');
  assert.deepEqual([...new Set(failed)], ["not-started: cat: EMFILE: too many open files, open '/dev/null'"]);
  // From 13 on, or 12 where a program has no input of its own.
  assert.equal(ends.length - failed.length, 15);
});

running('a lock has one holder at a time', async () => {
  const directory = mkdtempSync(`${tmpdir()}/virlan-lock-`);
  const path = `${directory}/below/lock`;
  const order: string[] = [];
  await withLock(path, 5, async () => {
    await assert.rejects(
      withLock(path, 0, () => order.push('never')),
      (error: unknown) => error instanceof LockTimeout && error.message.includes(`ps -f ${process.pid}`),
    );
    order.push('first');
  });
  assert.equal(await withLock(path, 0, () => order.push('second')), 2);
  assert.deepEqual(order, ['first', 'second']);
  rmSync(directory, { recursive: true });
});

running.run();
