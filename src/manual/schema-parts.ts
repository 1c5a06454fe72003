// Parts of the schemas of JSON output: a value with a description.
import * as v from 'valibot';

/** A number without a fraction. */
export const integer = v.pipe(v.number(), v.integer());

/** Adds a description to a value. */
export function described<TSchema extends v.GenericSchema>(schema: TSchema, text: string) {
  return v.pipe(schema, v.description(text));
}

/** Returns the schema of a value that may be null, with a description. */
export function nullable<TSchema extends v.GenericSchema>(schema: TSchema, text: string) {
  return v.pipe(v.nullable(schema), v.description(text));
}
