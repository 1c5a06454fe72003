// Programs that could not answer say nothing about what they were asked.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { createRulesReader } from '../../src/firewall/rules-reader.ts';
import { listDenied, listGuard } from '../../src/guard/table.ts';
import { readLinksAndRoutes } from '../../src/network/kernel/read-kernel.ts';

const answers = suite('answers');

function failure(reason: CommandError['reason'], stderr = ''): CommandError {
  const exitCode = reason === 'failed' ? 1 : null;
  return new CommandError(`${reason} ${stderr}`, { reason, exitCode, stderr });
}

const noTable = 'Error: No such file or directory; did you mean table ‘virlan’ in family ip?';

const withAnswer = [failure('failed', noTable), failure('missing')];

const withoutAnswer = [
  failure('not-started'),
  failure('killed'),
  failure('timeout'),
  failure('failed', 'netlink: Error: cache initialization failed: Too many open files in system'),
  failure('failed', 'netlink: Error: cache initialization failed: Cannot allocate memory'),
  failure('failed', 'iptables: Memory allocation problem.'),
];

const listings: [name: string, list: (run: () => Promise<never>) => Promise<unknown>][] = [
  ['a table', run => createRulesReader({ run }).nftTable('ipv4', 'virlan')],
  ['all tables', run => createRulesReader({ run }).ruleset()],
  ['the rules of iptables', run => createRulesReader({ run }).savedIptables('ipv4')],
  ['the guard', run => listGuard({ run }, 'k8s-br0').then(({ lines }) => lines.join())],
  ['what the guard dropped', run => listDenied({ run }, 'k8s-br0').then(denied => denied ?? '')],
];

answers('nothing is there only where a program says so, or is not installed', async () => {
  for (const [name, list] of listings) {
    for (const error of withAnswer) assert.equal(await list(() => Promise.reject(error)), '', name);
    for (const error of withoutAnswer)
      await assert.rejects(
        list(() => Promise.reject(error)),
        error,
        `${name}: ${error.message}`,
      );
  }
});

answers('a kernel without routing rules is one that refuses to list them', async () => {
  const readings: string[] = [];
  const run =
    (error: CommandError) => async (_: string, __: readonly string[], options?: { input?: string }) => {
      readings.push(options?.input ?? '');
      if (options?.input?.includes('rule show')) throw error;
      return '[]\n[]\n';
    };
  await readLinksAndRoutes({ run: run(failure('failed', 'RTNETLINK answers: Operation not supported')) });
  assert.equal(readings.length, 2);
  for (const error of withoutAnswer) await assert.rejects(readLinksAndRoutes({ run: run(error) }), error);
});

answers.run();
