// The stream of `GET /v1/follow`: one line of JSON, the status as a whole, for each change of it.
import type { Writable } from 'node:stream';
import { messageOf } from '../../errors.ts';
import type { Status } from '../../report/status.ts';
import { Coalesced } from '../process/serial.ts';

/** Least time between two readings of the status: a burst of events is one line. */
const defaultPauseMs = 250;

/** The readings take at most a third of the time, because hooks wait meanwhile. */
const pausePerReading = 2;

/** Longest time for which a status counts as the present one while no event says that it changed. */
const maxAgeMs = 60_000;

/** A reader of the stream. */
interface Reader {
  /** The last line that was written; null before the first. */
  sent: string | null;
  /** True if it has not yet read what was written. */
  isBehind: boolean;
}

/**
 * Sends the status to readers, at once and after each change. A reader that is slow gets the newest status when
 * it has read the one before: what lies between is dropped, so that none of them fills the memory.
 */
export class StatusFeed {
  readonly #readers = new Map<Writable, Reader>();
  readonly #read: () => Promise<Status>;
  readonly #round: Coalesced;
  #line: string | null = null;
  /** The last reading, and when it began; null after a change. */
  #last: { readonly at: number; readonly status: Promise<Status> } | null = null;

  constructor(read: () => Promise<Status>, pauseMs = defaultPauseMs) {
    this.#read = read;
    this.#round = new Coalesced(
      () => this.#sendAll(),
      tookMs => Math.max(pauseMs, pausePerReading * tookMs),
    );
  }

  /** Adds a reader, until it is closed. */
  add(output: Writable): void {
    const reader: Reader = { sent: null, isBehind: false };
    this.#readers.set(output, reader);
    output.on('drain', () => {
      reader.isBehind = false;
      this.#send(output, reader);
    });
    output.once('close', () => this.#readers.delete(output));
    this.changed();
  }

  /** Returns the status: the last that was read, if nothing has changed since. */
  current(): Promise<Status> {
    const now = performance.now();
    if (this.#last !== null && now - this.#last.at < maxAgeMs) return this.#last.status;
    // Kept from its beginning, so that a change during the reading makes it old.
    const last = { at: now, status: this.#read() };
    this.#last = last;
    last.status.catch(() => {
      if (this.#last === last) this.#last = null;
    });
    return last.status;
  }

  /** Tells that the status may have changed. Without a reader this costs nothing. */
  changed(): void {
    this.#last = null;
    if (this.#readers.size > 0) void this.#round.request();
  }

  /** Ends the stream of each reader. */
  close(): void {
    for (const output of this.#readers.keys()) output.end();
  }

  async #sendAll(): Promise<void> {
    this.#line = `${await this.#readLine()}\n`;
    for (const [output, reader] of this.#readers) this.#send(output, reader);
  }

  async #readLine(): Promise<string> {
    try {
      return JSON.stringify(await this.current());
    } catch (error) {
      return JSON.stringify({ error: messageOf(error) });
    }
  }

  #send(output: Writable, reader: Reader): void {
    // Its stream may have ended while the status was read.
    if (!output.writable || reader.isBehind || this.#line === null || reader.sent === this.#line) return;
    reader.sent = this.#line;
    reader.isBehind = !output.write(this.#line);
  }
}
