// The whole terminal, as a view draws it: the alternate screen, keys, its size, and that it is left as it was.
import { emitKeypressEvents, type Key } from 'node:readline';
import type { Size } from '../cli/status-screen.ts';

/** The reason why a view ends: a key or the end of the terminal, or a signal. */
export type StopReason = 'closed' | (typeof signals)[number];

/** SIGINT is like Ctrl-C. */
const signals = ['SIGTERM', 'SIGHUP'] as const;

/** Control sequences of all terminals like xterm. Without wrapping, no line can move those below it. */
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
const eraseLine = '\u001b[2K';

/** The size of a terminal that does not tell it. */
const usualSize: Size = { columns: 80, rows: 24 };

/** Returns whether keys are read from a terminal and lines can be drawn on one. */
export function isOnTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true && process.env.TERM !== 'dumb';
}

/** A terminal that shows the lines of a view, until q, Esc, Ctrl-C or a signal stops it with a StopReason. */
export class Screen {
  readonly #lines: (size: Size) => readonly string[];
  readonly #stop: AbortController;

  /** Opens the screen and draws the lines for its size: now, at `draw()` and when the size changes. */
  constructor(lines: (size: Size) => readonly string[], stop: AbortController) {
    this.#lines = lines;
    this.#stop = stop;
    const { stdin, stdout } = process;
    process.on('exit', this.close).on('SIGINT', this.#end);
    for (const signal of signals) process.on(signal, this.#endBy);
    stdout.on('error', this.#end).on('resize', this.draw);
    emitKeypressEvents(stdin);
    stdin.on('keypress', this.#press).on('error', this.#end).on('end', this.#end);
    stdin.setRawMode(true).resume();
    stdout.write(enter);
    this.draw();
  }

  readonly draw = (): void => {
    const { columns, rows } = process.stdout;
    const size = { columns: columns || usualSize.columns, rows: rows || usualSize.rows };
    const lines = this.#lines(size);
    const all = Array.from({ length: size.rows }, (_, row) => `${eraseLine}${lines[row] ?? ''}`);
    process.stdout.write(`${home}${all.join('\r\n')}`);
  };

  /** Leaves the terminal as it was. Listeners for its errors stay: it may be gone. */
  readonly close = (): void => {
    const { stdin, stdout } = process;
    process.off('exit', this.close).off('SIGINT', this.#end);
    for (const signal of signals) process.off(signal, this.#endBy);
    stdout.off('resize', this.draw).write(leave);
    stdin.off('keypress', this.#press).setRawMode(false).pause();
  };

  readonly #end = (): void => this.#stop.abort('closed' satisfies StopReason);

  readonly #endBy = (signal: NodeJS.Signals): void => this.#stop.abort(signal);

  readonly #press = (_: string | undefined, { name, ctrl }: Key): void => {
    if (name === 'q' || name === 'escape' || (name === 'c' && ctrl)) this.#end();
  };
}
