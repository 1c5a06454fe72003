// The result of reading hostile or damaged text, where a failure is an ordinary outcome and not an exception.

/**
 * The value that was read, or one line that says what is wrong with the text. The discriminant is the boolean
 * `ok` and not `kind`, because there are only ever these two cases: the compiler narrows on `if
 * (!result.ok)`.
 */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };
