// Output for a person at a terminal: colours, tables, wrapped text, warnings and progress.
import { stripVTControlCharacters, styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Work that takes longer is announced by a message. */
const progressDelayMs = 1000;

/** The width of wrapped text. */
const textWidthColumns = 80;

/**
 * Returns text with styles if standard output is a terminal and NO_COLOR is not set: styleText of Node 20
 * checks neither.
 */
export function style(text: string, ...styles: Style[]): string {
  return isColoured(process.stdout) ? styleText(styles, text) : text;
}

function isColoured(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

/** Writes lines to standard output. */
export function print(...lines: readonly string[]): void {
  standardOutput ??= openStandardOutput();
  standardOutput.write(lines.map(line => `${line}\n`).join(''));
}

/** Opened by the first line: it takes 7 ms, and libvirtd's start and `up` wait for other things first. */
let standardOutput: NodeJS.WriteStream | null = null;

/** Returns standard output. A reader that stops reading, as `head` does, ends the process without an error. */
function openStandardOutput(): NodeJS.WriteStream {
  return process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

/** Writes a value to standard output as indented JSON. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Prints a value as one line of JSON, for programs that read line by line. */
export function printJsonLine(value: unknown): void {
  print(JSON.stringify(value));
}

/** Writes a warning to standard error, so that programs that read standard output do not see it. */
export function warn(message: string): void {
  const prefix = isColoured(process.stderr) ? styleText('yellow', 'warning:') : 'warning:';
  process.stderr.write(`virlan: ${prefix} ${message}\n`);
}

/**
 * Awaits work. If it takes longer than a second and standard error is a terminal, prints the message there.
 */
export async function progress<T>(message: string, work: Promise<T>): Promise<T> {
  // Only then is standard error opened, which takes 2 ms.
  const announce = () => {
    if (process.stderr.isTTY === true) process.stderr.write(`virlan: ${message} …\n`);
  };
  const timer = setTimeout(announce, progressDelayMs);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/** A cell of a table: its text, and its styles. */
export type Cell = string | { readonly text: string; readonly styles: readonly Style[] };

/** Returns the lines of a table. Each column is as wide as its widest cell; no line ends with white space. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const all = [header.map(text => ({ text, styles: ['dim'] as const })), ...rows.map(row => row.map(asCell))];
  const widths = header.map((_, column) => Math.max(...all.map(row => row[column]?.text.length ?? 0)));
  return all.map(row => {
    const last = row.findLastIndex(cell => cell.text !== '');
    const cells = row.slice(0, last + 1).map(({ text, styles }, column) => {
      const padding = column === last ? '' : ' '.repeat((widths[column] ?? 0) - text.length + 2);
      return `${styles.length === 0 || text === '' ? text : style(text, ...styles)}${padding}`;
    });
    return cells.join('');
  });
}

/** Returns text in lines of at most `columns`. All but the first are indented by `indent` columns. */
export function wrap(text: string, indent: number, columns = textWidthColumns): string[] {
  const lines: string[] = [];
  for (const word of text.match(/\s*\S+/g) ?? []) {
    const line = lines.at(-1);
    const isFull = line !== undefined && stripVTControlCharacters(line + word).length > columns;
    if (line === undefined) lines.push(word);
    else if (isFull) lines.push(`${' '.repeat(indent)}${word.trimStart()}`);
    else lines[lines.length - 1] = line + word;
  }
  return lines;
}

/** Returns a line, which may have styles, cut to a number of columns. A cut line ends with "…". */
export function cut(line: string, columns: number): string {
  if ([...stripVTControlCharacters(line)].length <= columns) return line;
  let room = columns - 1;
  const take = (text: string) => {
    const taken = [...text].slice(0, room);
    room -= taken.length;
    return taken.join('');
  };
  // A style begins with this and ends with "m".
  const [first = '', ...styled] = line.split('\u001b[');
  const start = take(first);
  const rest = styled.map(piece => {
    const end = piece.indexOf('m') + 1;
    return `\u001b[${piece.slice(0, end)}${take(piece.slice(end))}`;
  });
  return `${[start, ...rest].join('')}…`;
}

function asCell(cell: Cell): { text: string; styles: readonly Style[] } {
  return typeof cell === 'string' ? { text: cell, styles: [] } : cell;
}
