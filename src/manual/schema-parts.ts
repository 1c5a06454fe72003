// Parts of the schemas of JSON output: a value with a description.
import * as v from 'valibot';
import type { Fix } from '../diagnosis/finding.ts';

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

/** The form of a command about a finding. */
export const fix = v.object({
  command: described(v.string(), 'For a shell.'),
  mends: described(v.boolean(), 'Whether it repairs the failure; otherwise it shows more about it.'),
  ours: described(v.boolean(), 'Whether virlan does it: `virlan up`, or `virlan doctor --fix`.'),
});
null as unknown as Fix satisfies v.InferOutput<typeof fix>;
null as unknown as v.InferOutput<typeof fix> satisfies Fix;
