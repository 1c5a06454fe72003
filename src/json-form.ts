// Parts of the forms of JSON output, for its schemas: a value with a description. All are functions, so that a bundle
// that makes no schema has neither them nor valibot.
import * as v from 'valibot';

/** Returns the form of a number without a fraction. */
export function integer() {
  return v.pipe(v.number(), v.integer());
}

/** Adds a description to a value. */
export function described<TSchema extends v.GenericSchema>(schema: TSchema, text: string) {
  return v.pipe(schema, v.description(text));
}

/** Returns the form of a value that may be null, with a description. */
export function nullable<TSchema extends v.GenericSchema>(schema: TSchema, text: string) {
  return v.pipe(v.nullable(schema), v.description(text));
}
