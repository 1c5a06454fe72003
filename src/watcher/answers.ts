// The types of answers and handlers on the watcher's socket. Pure.

/** An HTTP answer of the watcher. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Handlers by `METHOD /path`, given the request's body. */
export type Routes = ReadonlyMap<string, (body: string) => Promise<Answer>>;

export const plainText = 'text/plain; charset=utf-8';
