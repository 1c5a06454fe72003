import { type ExecFileException, execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { CommandError } from '../errors.ts';
import { systemPath } from './paths.ts';

/** How long a program may take that is given no other time, in seconds. */
const timeLimit = 10;

/** The rulesets of others can be long. */
const longestOutput = 2 ** 28;

/** How long after its end a program's output is waited for, in milliseconds: a daemon that it left running may hold the pipe for ever. */
const lastWords = 1000;

const execute = promisify(execFile);

/**
 * Runs a program of the system with a list of arguments, never a shell, and gives its standard output without the line
 * break at its end. Throws CommandError when it fails or has not ended in time.
 */
export async function run(
  program: string,
  args: readonly string[],
  input = '',
  seconds = timeLimit,
): Promise<string> {
  const running = execute(program, [...args], {
    env: { PATH: systemPath, LC_ALL: 'C' },
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: longestOutput,
    cwd: '/',
  });
  const { stdin, stdout, stderr } = running.child;
  // A program need not read what it gets: how it ends says whether it had to.
  stdin?.on('error', () => {});
  stdin?.end(input);
  running.child.once('exit', () => {
    setTimeout(() => {
      stdout?.destroy();
      stderr?.destroy();
    }, lastWords).unref();
  });
  try {
    return (await running).stdout.replace(/\n$/, '');
  } catch (error) {
    throw explain([program, ...args].join(' '), seconds, error as ExecFileException);
  }
}

/** Whether a program of the system is on this host. */
export function isInstalled(program: string): boolean {
  return systemPath.split(':').some(directory => existsSync(`${directory}/${program}`));
}

/** As `run`, but null when the program fails or is not there: for questions whose answer may be no. */
export async function runOrNull(
  program: string,
  args: readonly string[],
  input = '',
): Promise<string | null> {
  try {
    return await run(program, args, input);
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}

function explain(
  command: string,
  seconds: number,
  { code, killed, signal, stderr = '', message }: ExecFileException,
): CommandError {
  const [program = ''] = command.split(' ');
  if (code === 'ENOENT')
    return new CommandError(`${program} is not installed on this host: install it`, {
      reason: 'missing',
      exitCode: null,
      stderr,
    });
  const said = stderr
    .split('\n')
    .map(line => line.trim())
    .find(line => line !== '');
  const ending =
    typeof code === 'number' ? `ended with ${code}` : signal ? `was ended by ${signal}` : message;
  const outcome = killed ? `not done after ${seconds} s` : (said ?? ending);
  const reason = killed ? 'timeout' : signal ? 'killed' : 'failed';
  const exitCode = typeof code === 'number' ? code : null;
  return new CommandError(`${command}: ${outcome}`, { reason, exitCode, stderr });
}
