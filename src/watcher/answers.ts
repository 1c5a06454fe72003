// What travels on the watcher's socket: HTTP answers, and the handlers that make them. Pure.

/** An answer of the watcher, as an HTTP status code and a text. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Handlers by `METHOD /path`, given the request's body. */
export type Routes = ReadonlyMap<string, (body: string) => Promise<Answer>>;

export const plainText = 'text/plain; charset=utf-8';
