import { stripVTControlCharacters, styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Colour on a terminal; plain elsewhere, and with NO_COLOR. styleText of Node 20 asks neither. */
export function style(text: string, ...styles: Style[]): string {
  return isColoured(process.stdout) ? styleText(styles, text) : text;
}

function isColoured(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

export function print(...lines: readonly string[]): void {
  process.stdout.write(lines.map(line => `${line}\n`).join(''));
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** What a person ought to know, but a program that reads the output ought not to meet there. */
export function warn(message: string): void {
  const prefix = isColoured(process.stderr) ? styleText('yellow', 'warning:') : 'warning:';
  process.stderr.write(`virlan: ${prefix} ${message}\n`);
}

/** What a person who waits ought to know meanwhile; nobody reads it who does not sit at a terminal. */
export function note(message: string): void {
  if (process.stderr.isTTY === true) process.stderr.write(`virlan: ${message}\n`);
}

/** A cell: its text, and how it looks. */
export type Cell = string | { readonly text: string; readonly styles: readonly Style[] };

/** Rows under a header, each column as wide as its widest cell, none with white space at its end. */
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

/** Text in lines that fit a terminal's 80 columns, the first as it begins, the others indented by this much. */
export function wrap(text: string, indent: number): string[] {
  const lines: string[] = [];
  for (const word of text.match(/\s*\S+/g) ?? []) {
    const line = lines.at(-1);
    const isFull = line !== undefined && stripVTControlCharacters(line + word).length > 80;
    if (line === undefined) lines.push(word);
    else if (isFull) lines.push(`${' '.repeat(indent)}${word.trimStart()}`);
    else lines[lines.length - 1] = line + word;
  }
  return lines;
}

function asCell(cell: Cell): { text: string; styles: readonly Style[] } {
  return typeof cell === 'string' ? { text: cell, styles: [] } : cell;
}
