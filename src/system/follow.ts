// Follows a program that prints a line for each event, such as `ip monitor`, for as long as this process
// lives.
import { Lines } from './lines.ts';
import { isInstalled } from './run.ts';

/** Callbacks of a Follower. */
export interface FollowerEvents {
  /** The program was started. What happened before is not reported. */
  started(): void;
  /** A line of its standard output or error. */
  line(text: string): void;
  /** It ended, or cannot be started: one line for the log. It is started again. */
  failed(message: string): void;
}

/** Delay before a program is started again: each is twice the one before. */
const minRestartDelayMs = 100;
const maxRestartDelayMs = 60_000;

/** The part of a line that is kept. execa's own lines have no limit. */
const maxLineBytes = 4096;

/** The program that runs now. */
interface RunningProgram {
  readonly stdout: { pause(): unknown; resume(): unknown };
  kill(): boolean;
}

/**
 * Runs a program and reports its lines. A program that ends is started again. The kernel ends it together
 * with this process, however this process ends (setpriv(1), --pdeathsig).
 */
export class Follower {
  readonly #command: readonly [string, ...string[]];
  readonly #events: FollowerEvents;
  /** Returns whether the program can report anything now; called before each start. */
  readonly #isUseful: () => boolean;
  #running: RunningProgram | null = null;
  #timer: NodeJS.Timeout | null = null;
  #delayMs = minRestartDelayMs;
  #isPaused = false;
  #isMissing = false;
  #isStopped = false;

  constructor(command: readonly [string, ...string[]], events: FollowerEvents, isUseful = () => true) {
    this.#command = command;
    this.#events = events;
    this.#isUseful = isUseful;
    this.#start();
  }

  /**
   * Stops reading for a while. The program's output stays in its pipe; when that is full, the program waits.
   */
  pause(): void {
    this.#isPaused = true;
    this.#running?.stdout.pause();
  }

  /** Reads on after `pause`. */
  resume(): void {
    this.#isPaused = false;
    this.#running?.stdout.resume();
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#running?.kill();
    this.#running = null;
  }

  #start(): void {
    this.#timer = null;
    if (!this.#isUseful()) {
      this.#startLater(maxRestartDelayMs);
      return;
    }
    const missing = ['setpriv', this.#command[0]].find(program => !isInstalled(program));
    if (missing === undefined) void this.#run();
    else {
      if (!this.#isMissing) this.#events.failed(`${missing} is not on this host: install it`);
      this.#startLater(maxRestartDelayMs);
    }
    this.#isMissing = missing !== undefined;
  }

  async #run(): Promise<void> {
    const { startProgram } = await import('./execa.ts');
    if (this.#isStopped) return;
    const began = performance.now();
    const program = startProgram('setpriv', ['--pdeathsig', 'KILL', ...this.#command], {
      stdin: 'ignore',
      buffer: false,
      reject: false,
    });
    this.#running = program;
    let firstError: string | null = null;
    const [output, errors] = [new Lines(maxLineBytes), new Lines(maxLineBytes)];
    program.stdout.on('data', (chunk: Buffer) => {
      for (const line of output.push(chunk)) this.#report(line);
    });
    program.stderr.on('data', (chunk: Buffer) => {
      for (const line of errors.push(chunk)) {
        firstError ??= line;
        this.#report(line);
      }
    });
    if (this.#isPaused) program.stdout.pause();
    this.#events.started();
    const { exitCode, signal, originalMessage } = await program;
    if (this.#isStopped) return;
    this.#running = null;
    const reason = firstError ?? originalMessage ?? signal ?? `exit status ${exitCode}`;
    this.#events.failed(`${this.#command.join(' ')} ended: ${reason}`);
    if (performance.now() - began > maxRestartDelayMs) this.#delayMs = minRestartDelayMs;
    this.#startLater(this.#delayMs);
    this.#delayMs = Math.min(2 * this.#delayMs, maxRestartDelayMs);
  }

  #report(line: string): void {
    if (!this.#isStopped) this.#events.line(line);
  }

  #startLater(delayMs: number): void {
    this.#timer = setTimeout(() => this.#start(), delayMs).unref();
  }
}
