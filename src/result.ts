/** What a reader of hostile or damaged text gives: the value, or one line that says what is wrong with it. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };
