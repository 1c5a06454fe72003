import { ExecaError, execa } from 'execa';
import { systemPath } from './paths.ts';

/** A program of the system that could not be run, failed or took too long. Its message is one line. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  constructor(
    message: string,
    readonly missing: boolean,
  ) {
    super(message);
  }
}

const timeLimit = 10_000;

/** How long after its end a program's output is waited for, in milliseconds: a daemon that it left running may hold the pipe for ever. */
const lastWords = 1000;

/**
 * Runs a program of the system with a list of arguments, never a shell, and gives its standard output. Throws
 * CommandFailed when it fails or has not ended after ten seconds.
 */
export async function run(program: string, args: readonly string[], input = ''): Promise<string> {
  try {
    const child = execa(program, args, {
      env: { PATH: systemPath, LC_ALL: 'C' },
      extendEnv: false,
      input,
      timeout: timeLimit,
      killSignal: 'SIGKILL',
      cwd: '/',
    });
    child.once('exit', () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, lastWords).unref();
    });
    return (await child).stdout;
  } catch (error) {
    if (!(error instanceof ExecaError)) throw error;
    const command = [program, ...args].join(' ');
    if (error.code === 'ENOENT') throw new CommandFailed(`${program} is not on this host: install it`, true);
    const said = String(error.stderr ?? '')
      .split('\n')
      .map(line => line.trim())
      .find(line => line !== '');
    const outcome = error.timedOut ? `not done after ${timeLimit / 1000} s` : (said ?? error.shortMessage);
    throw new CommandFailed(`${command}: ${outcome}`, false);
  }
}

/** As `run`, but null when the program fails or is not there: for questions whose answer may be no. */
export async function ask(program: string, args: readonly string[]): Promise<string | null> {
  try {
    return await run(program, args);
  } catch (error) {
    if (error instanceof CommandFailed) return null;
    throw error;
  }
}
