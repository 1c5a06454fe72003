// The layout of text on a terminal, in columns: tables, wrapped and cut lines. Pure.
import { stripVTControlCharacters } from 'node:util';
import { type Style, style } from './terminal.ts';

/** The width of wrapped text. */
const textWidthColumns = 80;

/** A cell of a table: its text, and its styles. */
export type Cell = string | { readonly text: string; readonly styles: readonly Style[] };

/** Returns the lines of a table. Each column is as wide as its widest cell; no line ends with white space. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const all = [header.map(text => ({ text, styles: ['dim'] as const })), ...rows.map(row => row.map(asCell))];
  const widths = header.map((_, column) => Math.max(...all.map(row => columnsOf(row[column]?.text ?? ''))));
  return all.map(row => {
    const last = row.findLastIndex(cell => cell.text !== '');
    const cells = row.slice(0, last + 1).map(({ text, styles }, column) => {
      const padding = column === last ? '' : ' '.repeat((widths[column] ?? 0) - columnsOf(text) + 2);
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
    const isFull = line !== undefined && columnsOf(line + word) > columns;
    if (line === undefined) lines.push(word);
    else if (isFull) lines.push(`${' '.repeat(indent)}${word.trimStart()}`);
    else lines[lines.length - 1] = line + word;
  }
  return lines;
}

/** Returns a line, which may have styles, cut to a number of columns. A cut line ends with "…". */
export function cut(line: string, columns: number): string {
  if (columnsOf(line) <= columns) return line;
  let room = columns - 1;
  const take = (text: string) => {
    const taken = startOf(text, room);
    // Nothing follows a character that had no room.
    room = taken === text ? room - columnsOf(taken) : 0;
    return taken;
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

/** Returns how many columns of a terminal a text takes: East Asian characters take two, combining ones none. */
export function columnsOf(text: string): number {
  const plain = stripVTControlCharacters(text);
  return /^[ -~]*$/.test(plain) ? plain.length : stringWidth()(plain);
}

/**
 * Returns the function of string-width, which is loaded for the first text that is not ASCII: its expressions for emoji
 * take as much time as Node itself needs to start. esbuild runs a package at its import, but not before its require.
 */
function stringWidth(): typeof import('string-width').default {
  return (require('string-width') as typeof import('string-width')).default;
}

/** Made by the first line that is cut: it takes 13 ms of a processor. */
let characters: Intl.Segmenter | null = null;

/** Returns as much of the start of a text, without styles, as a number of columns holds. */
function startOf(text: string, columns: number): string {
  characters ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  let room = columns;
  let end = 0;
  for (const { segment } of characters.segment(text)) {
    room -= columnsOf(segment);
    if (room < 0) break;
    end += segment.length;
  }
  return text.slice(0, end);
}

function asCell(cell: Cell): { text: string; styles: readonly Style[] } {
  return typeof cell === 'string' ? { text: cell, styles: [] } : cell;
}
