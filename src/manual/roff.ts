// Pieces of a manual page in the language of man(7).

/** Returns the first line of a page; the date is in ISO 8601, `2026-11-25`. */
export function title(name: string, section: number, date: string, manual: string): string {
  return `.TH ${name.toUpperCase()} ${section} ${date} virlan "${manual}"`;
}

/** Returns the date in the title of a page; null for a text that is not a page. */
export function dateOf(page: string): string | null {
  return /^\.TH \S+ \d (\S+)/.exec(page)?.[1] ?? null;
}

/** Returns the heading of a section. */
export function heading(text: string): string {
  return `.SH ${text.toUpperCase()}`;
}

/** Returns text in lines of at most 80 columns; text between back quotes is bold. */
export function paragraph(text: string): string[] {
  const lines = bold(escaped(text.trim())).match(/\S.{0,77}(?=\s|$)/g) ?? [];
  return lines.map(line => line.replace(/^(?=[.'])/, '\\&'));
}

/** Returns a term with the lines that explain it. */
export function item(term: string, text: readonly string[]): string[] {
  return ['.TP', bold(escaped(term)), ...text];
}

/** Returns lines that are shown as they are typed. */
export function example(lines: readonly string[]): string[] {
  return ['.PP', '.EX', ...lines.map(line => escaped(line).replace(/^(?=[.'])/, '\\&')), '.EE'];
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', ' ...');
}

function bold(text: string): string {
  return text.replace(/`([^`]*)`/g, '\\fB$1\\fR');
}
