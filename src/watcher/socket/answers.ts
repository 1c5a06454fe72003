// The types of answers and handlers on the watcher's socket. Pure.
import type { Writable } from 'node:stream';

/** An HTTP answer of the watcher as a whole. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** A `stream` goes on until the client or the watcher ends it. */
export type Reply =
  | { readonly kind: 'whole'; readonly answer: Answer }
  | { readonly kind: 'stream'; readonly type: string; writeTo(output: Writable): void };

/** Answers a request, given its body. */
export type Handler = (body: string) => Promise<Reply>;

/** Handlers by `METHOD /path`. */
export type Routes = ReadonlyMap<string, Handler>;

const plainText = 'text/plain; charset=utf-8';

/** Returns an answer in plain text. */
export function textAnswer(status: number, body: string): Answer {
  return { status, type: plainText, body };
}
