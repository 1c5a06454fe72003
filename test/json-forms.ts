// Compares JSON that virlan printed with the schemas in docs/schema.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';

type Form = 'status' | 'plan' | 'doctor';

/** Cache of compiled schemas: compiling one takes a second. */
const compiled = new Map<Form, ValidateFunction>();

/**
 * Asserts that a value has the form of docs/schema/NAME.json, and no field that the schema lacks: a program may
 * ignore those, but they are documented.
 */
export function assertForm(name: Form, value: unknown): void {
  const validate = compiled.get(name) ?? compile(name);
  compiled.set(name, validate);
  if (!validate(value)) assert.deepEqual(relevant(validate.errors ?? []), []);
}

function compile(name: Form): ValidateFunction {
  const schema = withoutOtherFields(JSON.parse(readFileSync(`docs/schema/${name}.json`, 'utf8')));
  return new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true }).compile(schema);
}

/** Returns a schema whose objects have only the fields that it names. */
function withoutOtherFields(part: object): object {
  const change = (value: unknown) =>
    typeof value === 'object' && value !== null ? withoutOtherFields(value) : value;
  if (Array.isArray(part)) return part.map(change);
  const inside = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, change(value)]));
  return 'type' in part && part.type === 'object' ? { additionalProperties: false, ...inside } : inside;
}

/** Returns the errors without those about the forms of other kinds of steps. */
function relevant(errors: readonly ErrorObject[]): string[] {
  const formOf = ({ schemaPath }: ErrorObject) => /^.*?\/oneOf\/\d+\//.exec(schemaPath)?.[0];
  const others = errors.filter(({ keyword }) => keyword === 'const').map(formOf);
  return errors
    .filter(error => formOf(error) === undefined || !others.includes(formOf(error)))
    .map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`);
}
