/** Pieces of a manual page in the language of man(7). */

/** The day a page last said something else. */
const date = '2026-11-25';

export function title(name: string, section: number, manual: string): string {
  return `.TH ${name.toUpperCase()} ${section} ${date} virlan "${manual}"`;
}

export function heading(text: string): string {
  return `.SH ${text.toUpperCase()}`;
}

/** Running text: what stands between back quotes is bold, no line is longer than 80 columns. */
export function paragraph(text: string): string[] {
  const lines = bold(escaped(text.trim())).match(/\S.{0,77}(?=\s|$)/g) ?? [];
  return lines.map(line => line.replace(/^(?=[.'])/, '\\&'));
}

/** A term, and what is said of it. */
export function item(term: string, text: readonly string[]): string[] {
  return ['.TP', bold(escaped(term)), ...text];
}

/** Lines as they are to be typed. */
export function example(lines: readonly string[]): string[] {
  return ['.PP', '.EX', ...lines.map(line => escaped(line).replace(/^(?=[.'])/, '\\&')), '.EE'];
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', ' ...');
}

function bold(text: string): string {
  return text.replace(/`([^`]*)`/g, '\\fB$1\\fR');
}
