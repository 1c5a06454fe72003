// Splits a program's output into lines of bounded length.

/**
 * Splits output into lines as it arrives. Only the beginning of a line longer than the limit is kept, so that
 * no output fills the memory, however long its lines are.
 */
export class Lines {
  #line = '';
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Returns the lines that end in this chunk, one character per byte (latin1). */
  push(chunk: Buffer): string[] {
    const [first = '', ...rest] = chunk.toString('latin1').split('\n');
    this.#line += first.slice(0, this.#maxBytes - this.#line.length);
    const lines: string[] = [];
    for (const next of rest) {
      lines.push(this.#line);
      this.#line = next.slice(0, this.#maxBytes);
    }
    return lines;
  }
}
