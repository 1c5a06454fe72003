import { type ExecFileException, execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { systemPath } from './paths.ts';

/** A program of the system that could not be run, failed or took too long. Its message is one line. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  constructor(
    message: string,
    /** Whether it was ended because it took too long: what it was asked is not known, rather than answered with no. */
    readonly ranOutOfTime: boolean,
  ) {
    super(message);
  }
}

/** How long a program may take that is given no other time, in seconds. */
const timeLimit = 10;

/** The rulesets of others can be long. */
const longestOutput = 2 ** 28;

/** How long after its end a program's output is waited for, in milliseconds: a daemon that it left running may hold the pipe for ever. */
const lastWords = 1000;

const execute = promisify(execFile);

/**
 * Runs a program of the system with a list of arguments, never a shell, and gives its standard output without the line
 * break at its end. Throws CommandFailed when it fails or has not ended in time.
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
export async function ask(program: string, args: readonly string[], input = ''): Promise<string | null> {
  try {
    return await run(program, args, input);
  } catch (error) {
    if (error instanceof CommandFailed) return null;
    throw error;
  }
}

function explain(
  command: string,
  seconds: number,
  { code, killed, signal, stderr = '', message }: ExecFileException,
): CommandFailed {
  const [program = ''] = command.split(' ');
  if (code === 'ENOENT') return new CommandFailed(`${program} is not on this host: install it`, false);
  const said = stderr
    .split('\n')
    .map(line => line.trim())
    .find(line => line !== '');
  const ending =
    typeof code === 'number' ? `ended with ${code}` : signal ? `was ended by ${signal}` : message;
  const outcome = killed ? `not done after ${seconds} s` : (said ?? ending);
  return new CommandFailed(`${command}: ${outcome}`, killed === true);
}
