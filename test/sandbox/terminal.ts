// A real terminal of a given size, in which a command of virlan runs, is resized, gets keys and signals.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { execa } from 'execa';
import { until } from './until.ts';

/** Modes that a view switches, as the digits of the control sequence: alternate screen, cursor, wrapping. */
const modes = { alternateScreen: '?1049', cursor: '?25', wrapping: '?7' } as const;

export interface Terminal {
  /** Returns the lines of the screen; none while a part of them is missing. */
  screen(): string[];
  /** Waits until a line of a whole screen matches. */
  shows(line: RegExp, seconds?: number): Promise<void>;
  resize(columns: number, rows: number): Promise<void>;
  press(keys: string): void;
  signal(signal: NodeJS.Signals): void;
  /** Ends the terminal while the command runs, and returns when the command has ended too. */
  hangUp(): Promise<void>;
  /** Waits for the end of the command. */
  ended(): Promise<{
    readonly exitCode: number;
    /** The text that was written after the screen was left. */
    readonly text: string;
    /** True if line discipline, alternate screen, cursor and wrapping are as before. */
    readonly isRestored: boolean;
  }>;
}

/** Opens a terminal and runs a command line in it. */
export async function openTerminal(columns: number, rows: number, command: string): Promise<Terminal> {
  const inner = `sh -c 'echo "pid=$$"; exec ${command}'`;
  const script = `stty cols ${columns} rows ${rows}; echo "tty=$(tty)"; echo "before=$(stty -g)"; ${inner}
    echo "exit=$?"; echo "after=$(stty -g)"`;
  const emulator = spawn('script', ['--quiet', '--flush', '--command', script, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
  });
  let output = '';
  emulator.stdout.setEncoding('utf8').on('data', chunk => {
    output += chunk;
  });
  const closed = once(emulator, 'close');
  const said = (name: string) => new RegExp(`^${name}=(.*)\r$`, 'm').exec(output)?.[1] ?? '';
  await until(() => said('pid') !== '');
  const size = { rows };
  const isOn = (mode: string) =>
    output.lastIndexOf(`\u001b[${mode}h`) > output.lastIndexOf(`\u001b[${mode}l`);
  const screen = () => {
    const lines = output.slice(output.lastIndexOf('\u001b[H')).split(/\r+\n/);
    return lines.length === size.rows ? lines.map(stripVTControlCharacters) : [];
  };
  return {
    screen,
    shows: async (line, seconds = 20) => {
      const isShown = () => isOn(modes.alternateScreen) && screen().some(each => line.test(each));
      try {
        await until(isShown, seconds);
      } catch {
        throw new Error(
          `no line is like ${line} after ${seconds} s:\n${stripVTControlCharacters(output.slice(-3000))}`,
        );
      }
    },
    resize: async (toColumns, toRows) => {
      size.rows = toRows;
      await execa('stty', ['-F', said('tty'), 'cols', `${toColumns}`, 'rows', `${toRows}`]);
    },
    press: keys => emulator.stdin.write(keys),
    signal: signal => process.kill(Number(said('pid')), signal),
    hangUp: async () => {
      const pid = Number(said('pid'));
      emulator.kill('SIGKILL');
      await until(() => !existsSync(`/proc/${pid}`));
    },
    ended: async () => {
      await until(() => said('after') !== '');
      emulator.stdin.end();
      await closed;
      return {
        exitCode: Number(said('exit')),
        text: output.slice(Math.max(0, output.lastIndexOf('\u001b[?1049l'))),
        isRestored:
          said('before') === said('after') &&
          !isOn(modes.alternateScreen) &&
          isOn(modes.cursor) &&
          isOn(modes.wrapping),
      };
    },
  };
}
