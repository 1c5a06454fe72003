// The types of answers and handlers on the watcher's socket. Pure.
import type { Writable } from 'node:stream';

/** An HTTP answer of the watcher. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** An answer that goes on until the client or the watcher ends it. */
export interface StreamedAnswer {
  readonly type: string;
  writeTo(output: Writable): void;
}

/** Answers a request, given its body. */
export type Handler = (body: string) => Promise<Answer | StreamedAnswer>;

/** Handlers by `METHOD /path`. */
export type Routes = ReadonlyMap<string, Handler>;

export const plainText = 'text/plain; charset=utf-8';
