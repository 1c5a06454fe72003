import { type ChildProcess, spawn } from 'node:child_process';
import { Lines } from './lines.ts';
import { systemPath } from './paths.ts';
import { isInstalled } from './run.ts';

/** What is said of a program that is followed. */
export interface Listener {
  /** The program was started; what happened before, it does not tell. */
  started(): void;
  /** A line that it said, to its standard output or error. */
  line(text: string): void;
  /** It ended, or cannot be started: one line for the log. It is tried again. */
  failed(message: string): void;
}

/** Rests before a program is started again, in milliseconds: from the first on, each twice the one before. */
const rests = { first: 100, longest: 60_000 };

/** The longest beginning of a line that anybody looks at, in bytes. */
const longestLine = 4096;

/**
 * Follows a program that says a line whenever something happens, for as long as this process lives. One that ends is
 * started again. The kernel ends it together with this process, however this one ends (setpriv(1), --pdeathsig).
 */
export class Follower {
  readonly #command: readonly [string, ...string[]];
  readonly #listener: Listener;
  /** What has to be there for the program to be of use: asked before each start. */
  readonly #isUseful: () => boolean;
  #child: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #rest = rests.first;
  #isHeld = false;
  #isMissing = false;

  constructor(command: readonly [string, ...string[]], listener: Listener, isUseful = () => true) {
    this.#command = command;
    this.#listener = listener;
    this.#isUseful = isUseful;
    this.#start();
  }

  /** Stops listening for a while. What the program says meanwhile waits in its pipe, and when that is full it waits, too. */
  hold(): void {
    this.#isHeld = true;
    this.#child?.stdout?.pause();
  }

  goOn(): void {
    this.#isHeld = false;
    this.#child?.stdout?.resume();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#child?.removeAllListeners();
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }

  #start(): void {
    this.#timer = null;
    if (!this.#isUseful()) {
      this.#startLater(rests.longest);
      return;
    }
    const missing = ['setpriv', this.#command[0]].find(program => !isInstalled(program));
    if (missing === undefined) this.#run();
    else {
      if (!this.#isMissing) this.#listener.failed(`${missing} is not on this host: install it`);
      this.#startLater(rests.longest);
    }
    this.#isMissing = missing !== undefined;
  }

  #run(): void {
    const began = performance.now();
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...this.#command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: systemPath, LC_ALL: 'C' },
      cwd: '/',
    });
    this.#child = child;
    let said: string | undefined;
    const [output, errors] = [new Lines(longestLine), new Lines(longestLine)];
    child.stdout.on('data', piece => {
      for (const line of output.push(piece)) this.#listener.line(line);
    });
    child.stderr.on('data', piece => {
      for (const line of errors.push(piece)) {
        said ??= line;
        this.#listener.line(line);
      }
    });
    if (this.#isHeld) child.stdout.pause();
    const ended = (how: string) => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#listener.failed(`${this.#command.join(' ')} ended: ${said ?? how}`);
      if (performance.now() - began > rests.longest) this.#rest = rests.first;
      this.#startLater(this.#rest);
      this.#rest = Math.min(2 * this.#rest, rests.longest);
    };
    child.on('error', error => ended(error.message));
    child.on('close', (status, signal) => ended(signal ?? `exit status ${status}`));
    this.#listener.started();
  }

  #startLater(rest: number): void {
    this.#timer = setTimeout(() => this.#start(), rest).unref();
  }
}
