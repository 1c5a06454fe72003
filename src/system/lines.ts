/**
 * Cuts what a program says into lines as it comes. Of a line that is longer than the limit only its beginning is kept,
 * so that no text, however long and whoever wrote it, fills the memory.
 */
export class Lines {
  #line = '';
  readonly #longest: number;

  /** `longest` is in bytes. */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that end in this piece, each byte a character. */
  push(piece: Buffer): string[] {
    const [first = '', ...rest] = piece.toString('latin1').split('\n');
    this.#line += first.slice(0, this.#longest - this.#line.length);
    const lines: string[] = [];
    for (const next of rest) {
      lines.push(this.#line);
      this.#line = next.slice(0, this.#longest);
    }
    return lines;
  }
}
