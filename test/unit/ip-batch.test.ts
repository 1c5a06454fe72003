import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { runIpBatch } from '../../src/network/ip-batch.ts';
import type { RunOptions } from '../../src/system/run.ts';

const batches = suite('ip batch');

/** A model of `ip -batch -`: refuses commands that contain `bad`, and ends at the first, as iproute2's do_batch() does. */
class FakeIp {
  readonly executed: string[] = [];
  processes = 0;

  run = async (
    program: string,
    args: readonly string[],
    { input = '' }: RunOptions = {},
  ): Promise<string> => {
    assert.deepEqual([program, ...args], ['ip', '-batch', '-']);
    this.processes++;
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

batches('all in one process where nothing fails', async () => {
  const ip = new FakeIp();
  const result = await runIpBatch(ip, ['a', 'b', 'c'], 'stop');
  assert.deepEqual(result, { done: [0, 1, 2], failed: [], skipped: [] });
  assert.equal(ip.processes, 1);
  assert.deepEqual(await runIpBatch(ip, [], 'continue'), { done: [], failed: [], skipped: [] });
});

batches('stop: what comes behind a refused command is skipped', async () => {
  const ip = new FakeIp();
  const { done, failed, skipped } = await runIpBatch(ip, ['a', 'bad', 'c', 'd'], 'stop');
  assert.deepEqual([done, failed.map(({ index }) => index), skipped], [[0], [1], [2, 3]]);
  assert.deepEqual(ip.executed, ['a']);
});

batches('continue: a refused command does not prevent those behind it', async () => {
  const ip = new FakeIp();
  const { done, failed, skipped } = await runIpBatch(ip, ['bad', 'b', 'bad', 'bad', 'e'], 'continue');
  assert.deepEqual([done, failed.map(({ index }) => index), skipped], [[1, 4], [0, 2, 3], []]);
  assert.deepEqual(ip.executed, ['b', 'e']);
});

batches('a failure names its command and what ip said, not the batch', async () => {
  const { failed } = await runIpBatch(new FakeIp(), ['a', 'link set dev br0 mtu bad'], 'continue');
  const [failure] = failed;
  assert.equal(
    failure?.error.message,
    'ip link set dev br0 mtu bad: Error: mtu greater than device maximum.',
  );
  assert(failure?.error.cause instanceof CommandError);
});

batches('where ip does not tell which command failed, all that could have failed are reported', async () => {
  const stderr = 'Error: any valid prefix is expected rather than "x".\n';
  const run = () => Promise.reject(new CommandError('ip', { reason: 'failed', exitCode: 1, stderr }));
  const { done, failed } = await runIpBatch({ run }, ['a', 'b'], 'continue');
  assert.deepEqual([done, failed.map(({ index }) => index)], [[], [0, 1]]);
});

batches('an ip that hangs or is missing fails as a whole', async () => {
  for (const reason of ['timeout', 'missing'] as const) {
    const run = () => Promise.reject(new CommandError('ip', { reason, exitCode: null, stderr: '' }));
    await assert.rejects(runIpBatch({ run }, ['a', 'b'], 'continue'), { reason });
  }
});

batches.run();
