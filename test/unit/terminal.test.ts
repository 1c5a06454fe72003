// terminal.test.ts: tests errors, help and progress messages on a terminal.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { failureLines, stackLines } from '../../src/cli/failure.ts';
import { commandHelp, programHelp } from '../../src/cli/help.ts';
import { commands } from '../../src/cli/table.ts';
import { progress } from '../../src/cli/terminal.ts';
import { VirlanError } from '../../src/errors.ts';

const terminal = suite('terminal');

terminal('an error is one line per problem, without control characters', () => {
  assert.deepEqual(failureLines(new VirlanError('invalid-config', 'a.ini:1: x\na.ini:2: \u001b[2J')), [
    'virlan: a.ini:1: x',
    'virlan: a.ini:2: ?[2J',
  ]);
  assert.deepEqual(failureLines('text'), ['virlan: text']);
});

terminal('the stack shows each cause once, the innermost last', () => {
  const innermost = new Error('EACCES');
  const middle = new VirlanError('damaged-file', 'cannot read it', { cause: innermost });
  const lines = stackLines(new VirlanError('refused', 'cannot set it up', { cause: middle }));
  assert.deepEqual(
    lines.filter(line => !/^ {4}at /.test(line)),
    [
      'VirlanError: cannot set it up',
      'Caused by:',
      'VirlanError: cannot read it',
      'Caused by:',
      'Error: EACCES',
    ],
  );
  assert(lines.some(line => line.includes('terminal.test.ts')));
  assert.deepEqual(stackLines(new Error('a', { cause: 'text' })).slice(-2), ['Caused by:', 'text']);
});

terminal('help fits 80 columns and does not break a word', () => {
  for (const lines of [programHelp(), ...commands.map(commandHelp)]) {
    for (const line of lines) assert([...line].length <= 80, line);
    assert(!lines.some(line => /\s$/.test(line)), lines.join('\n'));
  }
});

/** Runs `progress` with standard error as a terminal or not. Returns the text that was written there. */
async function progressOutput(isTerminal: boolean, work: () => Promise<unknown>): Promise<string> {
  const { stderr } = process;
  const fake = {
    isTTY: isTerminal,
    text: '',
    write: (text: string) => {
      fake.text += text;
    },
  };
  Object.defineProperty(process, 'stderr', { configurable: true, get: () => fake });
  try {
    await progress('setting up networks', work()).catch(() => {});
  } finally {
    Object.defineProperty(process, 'stderr', { configurable: true, get: () => stderr });
  }
  return fake.text;
}

terminal('work that takes longer than a second is announced, on a terminal only', async () => {
  assert.equal(await progressOutput(true, () => sleep(1100)), 'virlan: setting up networks …\n');
  assert.equal(await progressOutput(false, () => sleep(1100)), '');
  assert.equal(await progressOutput(true, () => sleep(10)), '');
  assert.equal(await progress('setting up networks', Promise.resolve(7)), 7);
  const failing = () => Promise.reject(new Error('failed'));
  assert.equal(await progressOutput(true, failing), '');
  await assert.rejects(progress('setting up networks', failing()), /failed/);
});

terminal.run();
