// ip-batch.test.ts: tests which commands of a batch run, fail or are skipped.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { runIpBatch } from '../../src/network/executors/ip-batch.ts';
import type { RunOptions } from '../../src/system/run.ts';

const batches = suite('ip batch');

/**
 * Simulates `ip -batch -`: fails at the first command that contains `bad`, as do_batch() of iproute2 does.
 */
class FakeIp {
  readonly executed: string[] = [];
  processes = 0;

  run = async (
    program: string,
    args: readonly string[],
    { input = '' }: RunOptions = {},
  ): Promise<string> => {
    this.processes++;
    if (args[0] !== '-batch') {
      this.executed.push(args.join('|'));
      return '';
    }
    assert.deepEqual([program, ...args], ['ip', '-batch', '-']);
    for (const [index, command] of input.split('\n').slice(0, -1).entries()) {
      if (command.includes('bad')) {
        const stderr = `Error: mtu greater than device maximum.\nCommand failed -:${index + 1}\n`;
        throw new CommandError('ip -batch -: failed', { reason: 'failed', exitCode: 1, stderr });
      }
      this.executed.push(command);
    }
    return '';
  };
}

batches('without a failure all commands run in one process', async () => {
  const ip = new FakeIp();
  const result = await runIpBatch(ip, ['a', 'b', 'c'], 'stop');
  assert.deepEqual(result, { done: [0, 1, 2], failed: [], skipped: [] });
  assert.equal(ip.processes, 1);
  assert.deepEqual(await runIpBatch(ip, [], 'continue'), { done: [], failed: [], skipped: [] });
});

batches('a command that a batch would read otherwise has a process of its own', async () => {
  const ip = new FakeIp();
  const commands = ['a', 'b', 'link set dev we#b up', 'c', 'link set dev "q up'];
  const { done, failed } = await runIpBatch(ip, commands, 'stop');
  assert.deepEqual([done, failed], [[0, 1, 2, 3, 4], []]);
  assert.deepEqual(ip.executed, ['a', 'b', 'link|set|dev|we#b|up', 'c', 'link|set|dev|"q|up']);
  assert.equal(ip.processes, 4);
});

batches('stop: the commands after a refused one are skipped', async () => {
  const ip = new FakeIp();
  const { done, failed, skipped } = await runIpBatch(ip, ['a', 'bad', 'c', 'd'], 'stop');
  assert.deepEqual([done, failed.map(({ index }) => index), skipped], [[0], [1], [2, 3]]);
  assert.deepEqual(ip.executed, ['a']);
});

batches('continue: the commands after a refused one are executed', async () => {
  const ip = new FakeIp();
  const { done, failed, skipped } = await runIpBatch(ip, ['bad', 'b', 'bad', 'bad', 'e'], 'continue');
  assert.deepEqual([done, failed.map(({ index }) => index), skipped], [[1, 4], [0, 2, 3], []]);
  assert.deepEqual(ip.executed, ['b', 'e']);
});

batches('a failure contains its command and the error of ip, not the batch', async () => {
  const { failed } = await runIpBatch(new FakeIp(), ['a', 'link set dev br0 mtu bad'], 'continue');
  const [failure] = failed;
  assert.equal(
    failure?.error.message,
    'ip link set dev br0 mtu bad: Error: mtu greater than device maximum.',
  );
  assert(failure?.error.cause instanceof CommandError);
});

batches('if ip does not report which command failed, all remaining ones are reported', async () => {
  const stderr = 'Error: any valid prefix is expected rather than "x".\n';
  const run = () => Promise.reject(new CommandError('ip', { reason: 'failed', exitCode: 1, stderr }));
  const { done, failed } = await runIpBatch({ run }, ['a', 'b'], 'continue');
  assert.deepEqual([done, failed.map(({ index }) => index)], [[], [0, 1]]);
});

batches('if ip times out or is missing, the whole batch fails', async () => {
  for (const reason of ['timeout', 'missing'] as const) {
    const run = () => Promise.reject(new CommandError('ip', { reason, exitCode: null, stderr: '' }));
    await assert.rejects(runIpBatch({ run }, ['a', 'b'], 'continue'), { reason });
  }
});

batches.run();
